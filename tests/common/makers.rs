//! Sites laid out like those of all makers in the catalogue, with small images and a throw-away key.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fs_err as fs;
use tib::base::catalogue::{Catalogue, ImageSource, Selection};
use tib::distro::Arch;

use super::gpg::{Gpg, Key, digest};
use super::http::{Server, Site};

/// A maker's key, in a home of gpg's that goes with the test.
pub fn maker() -> (Gpg, Key) {
    let gpg = Gpg::new();
    let key = gpg.key("maker", "", "0");
    (gpg, key)
}

/// A small image: an empty qcow2 whose virtual size makes it unlike every other one.
pub fn image(directory: &Path, number: usize) -> Vec<u8> {
    let path = directory.join(format!("image-{number}.qcow2"));
    super::run("qemu-img", &[&"create", &"-q", &"-f", &"qcow2", &path, &format!("{}M", number + 1)]);
    fs::read(path).unwrap()
}

/// How a distribution writes its checksum files.
fn checksum_line(id: &str, name: &str, bytes: &[u8]) -> String {
    let (sha256, sha512) = (digest("sha256", bytes), digest("sha512", bytes));
    match id.split('-').next().unwrap() {
        "ubuntu" => format!("{sha256} *{name}\n"),
        "debian" => format!("{sha512}  {name}\n"),
        "rocky" | "fedora" => format!("# {name}: {} bytes\nSHA256 ({name}) = {sha256}\n", bytes.len()),
        "centos" if id != "centos-7" => {
            format!("# {name}: {} bytes\nSHA256 ({name}) = {sha256}\n", bytes.len())
        }
        "opensuse" => {
            let build = name.replace("-Cloud", "-15.6.0-Cloud-Build16.33");
            assert_ne!(build, name);
            format!("{sha256}  {build}\n")
        }
        _ => format!("{sha256}  {name}\n"),
    }
}

/// Every image of the catalogue, newest and pinned, for every architecture, with a small image of its own.
pub struct Published {
    pub id: String,
    pub arch: Arch,
    pub spec: String,
    pub trust: &'static str,
    pub source: ImageSource,
    pub bytes: Vec<u8>,
}

pub fn publish_all(directory: &Path) -> Vec<Published> {
    let mut all = Vec::new();
    let catalogue = Catalogue::load(&[]).unwrap();
    for entry in catalogue.entries().iter().filter(|entry| entry.local.is_none()) {
        for &arch in entry.arch.keys() {
            let mut selections = vec![];
            selections.extend(entry.newest.as_ref().map(|_| Selection::Newest));
            selections.extend(entry.pins(arch).last().map(|pin| Selection::Pinned(pin.version.clone())));
            for selection in selections {
                let source = entry.image(arch, &selection).unwrap();
                let bytes = match all.iter().find(|other: &&Published| other.source.file == source.file) {
                    // Fedora's newest build and its only one are the same file.
                    Some(other) => other.bytes.clone(),
                    None => image(directory, all.len()),
                };
                let spec = match &selection {
                    Selection::Pinned(version) => format!("{}@{version}", entry.id),
                    _ => format!("{}@newest", entry.id),
                };
                let trust = match (&source.pin, &source.signed) {
                    (Some(_), _) => "pin",
                    (None, Some(_)) => "signature",
                    (None, None) => "tls",
                };
                all.push(Published { id: entry.id.clone(), arch, spec, trust, source, bytes });
            }
        }
    }
    all
}

/// Puts the images where their makers have them, below a directory for each host.
pub fn lay_out(site: &Site, all: &[Published], (gpg, key): &(Gpg, Key)) {
    let place = |source: &ImageSource, name: &str| {
        let url = &source.urls(name)[0];
        format!("/{}{}", url.host_str().unwrap(), url.path())
    };
    let mut listings: BTreeMap<String, (String, &ImageSource)> = BTreeMap::new();
    for published in all {
        let source = &published.source;
        site.put(&place(source, &source.file), published.bytes.clone());
        let path = place(source, source.checksums.as_ref().unwrap());
        let (text, _) = listings.entry(path).or_insert((String::new(), source));
        let line = checksum_line(&published.id, &source.file, &published.bytes);
        if !text.contains(&line) {
            text.push_str(&line);
        }
    }
    for (path, (text, source)) in listings {
        match (&source.signed, &source.signature) {
            (None, _) => site.put(&path, text.into_bytes()),
            (Some(_), Some(signature)) => {
                site.put(&place(source, signature), gpg.detached(&[key], "", text.as_bytes()));
                site.put(&path, text.into_bytes());
            }
            (Some(_), None) => site.put(&path, gpg.clearsigned(&[key], text.as_bytes())),
        }
    }
    // Wherever the catalogue says keys are.
    for text in catalogue_texts() {
        for url in text.split('"').filter(|word| word.starts_with("https://") && !word.contains('{')) {
            let path = url.strip_prefix("https:/").unwrap().split('?').next().unwrap().to_owned();
            if !path.ends_with('/') {
                site.put(&path, gpg.public(key));
            }
        }
    }
}

fn catalogue_texts() -> Vec<String> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("base-images");
    let directory = if directory.is_dir() { directory } else { PathBuf::from("base-images") };
    let paths = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    paths
        .filter(|path| path.extension().is_some_and(|e| e == "toml"))
        .map(|path| fs::read_to_string(path).unwrap())
        .collect()
}

/// The catalogue as it is written, with the test's server in front of every host, the test's key for every key, and
/// the digests of the small images for those of the real ones.
pub fn catalogue_for(server: &Server, all: &[Published], key: &Key) -> String {
    let mut text = String::new();
    for file in catalogue_texts() {
        let mut lines = Vec::new();
        let (mut id, mut version, mut arch) = (String::new(), String::new(), String::new());
        for line in file.lines() {
            let value = line.split('"').nth(1).unwrap_or_default().to_owned();
            match line.split(" = ").next().unwrap_or_default() {
                "id" if line.contains('-') => id = value,
                "version" => version = value,
                "arch" => arch = value,
                _ => {}
            }
            if line.starts_with("size = ") {
                continue;
            }
            if line.starts_with("checksum = ") {
                let spec = format!("{id}@{version}");
                let pinned = all.iter().find(|p| p.spec == spec && p.arch.name() == arch);
                // Older pins of the same image keep theirs: nobody asks for them here.
                if let Some(pinned) = pinned {
                    let algorithm = if line.contains("sha512:") { "sha512" } else { "sha256" };
                    lines.push(format!("checksum = \"{algorithm}:{}\"", digest(algorithm, &pinned.bytes)));
                    continue;
                }
            }
            lines.push(line.to_owned());
        }
        text.push_str(&lines.join("\n"));
        text.push('\n');
    }
    let text = text.replace("https://", &server.url("/"));
    // Every run of 40 hexadecimal digits is a fingerprint.
    text.split('"')
        .map(|word| {
            let is_fingerprint = word.len() == 40 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
            if is_fingerprint { key.fingerprint.as_str() } else { word }
        })
        .collect::<Vec<_>>()
        .join("\"")
}
