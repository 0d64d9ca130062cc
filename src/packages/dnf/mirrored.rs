//! Repositories that mirrors stand for.

use super::configuration::Section;
use crate::mirror::{Mirrors, Replaced};

/// Who asks, as a repository is told.
const SECRETS: [&str; 5] = ["username", "password", "sslcacert", "sslclientcert", "sslclientkey"];

/// Lets a repository be fetched from mirrors. A list of mirrors is replaced by what stands for it as a whole.
pub(crate) fn from_mirrors(section: &mut Section, mirrors: &Mirrors) -> Replaced {
    let mut replaced = Replaced::default();
    let urls = |section: &Section, key: &str| -> Vec<String> {
        let value = section.options.get(key).map(String::as_str).unwrap_or_default();
        value.split([' ', '\n', ',', '\t']).filter(|url| !url.is_empty()).map(str::to_owned).collect()
    };
    let before = section.options.clone();
    for key in ["baseurl", "metalink", "mirrorlist"] {
        let listed = urls(section, key);
        let exact = listed.iter().find_map(|url| mirrors.of_exactly(url)).filter(|_| key != "baseurl");
        if let Some(place) = exact {
            for key in ["baseurl", "metalink", "mirrorlist"] {
                section.set(key, &[]);
            }
            section.set("baseurl", std::slice::from_ref(&place));
            replaced.remember(&place, &place);
            break;
        }
        let fetched: Vec<String> = listed.iter().map(|url| replaced.fetch(mirrors, url)).collect();
        if fetched != listed {
            section.set(key, &fetched);
        }
    }
    // What is meant for one server is not told to another.
    if section.options != before {
        section.options.retain(|key, _| !SECRETS.contains(&key.as_str()));
    }
    replaced
}
