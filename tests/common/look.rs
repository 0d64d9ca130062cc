//! Looks into images with tib itself, without an appliance. `e2e_look.rs` proves on a whole image that it sees what
//! other people's tools see; with that, the other tests need not wait for an appliance each.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::run_tib;

/// All paths of an image, and what is known of each.
pub struct Look {
    image: PathBuf,
    entries: BTreeMap<String, serde_json::Value>,
}

impl Look {
    pub fn into(image: &Path) -> Self {
        let listing = run_tib(["ls", "-R", "--json", image.to_str().unwrap(), "/"]).expect(0);
        let entries: Vec<serde_json::Value> = serde_json::from_str(&listing).unwrap();
        let entries = entries.into_iter().map(|entry| (entry["path"].as_str().unwrap().to_owned(), entry));
        Self { image: image.to_owned(), entries: entries.collect() }
    }

    #[track_caller]
    pub fn at(&self, path: &str) -> &serde_json::Value {
        self.entries.get(path).unwrap_or_else(|| panic!("no {path} in {}", self.image.display()))
    }

    #[track_caller]
    pub fn mode(&self, path: &str) -> u32 {
        u32::from_str_radix(self.at(path)["mode"].as_str().unwrap(), 8).unwrap()
    }

    #[track_caller]
    pub fn uid(&self, path: &str) -> u64 {
        self.at(path)["uid"].as_u64().unwrap()
    }

    pub fn is(&self, kind: &str, path: &str) -> bool {
        self.entries.get(path).is_some_and(|entry| entry["kind"] == kind)
    }

    /// Paths that match a pattern; `*` stands for anything within a part.
    pub fn glob(&self, pattern: &str) -> Vec<&str> {
        let parts = |path: &str| path.split('/').map(str::to_owned).collect::<Vec<_>>();
        let wanted = parts(pattern);
        let paths = self.entries.keys().filter(|path| {
            let found = parts(path);
            found.len() == wanted.len()
                && wanted.iter().zip(&found).all(|(pattern, name)| fits(pattern, name))
        });
        paths.map(String::as_str).collect()
    }

    #[track_caller]
    pub fn read(&self, path: &str) -> String {
        run_tib(["cat", self.image.to_str().unwrap(), path]).expect(0)
    }
}

fn fits(pattern: &str, name: &str) -> bool {
    let Some((head, tail)) = pattern.split_once('*') else { return pattern == name };
    let Some(rest) = name.strip_prefix(head) else { return false };
    (0..=rest.len()).any(|at| rest.is_char_boundary(at) && fits(tail, &rest[at..]))
}
