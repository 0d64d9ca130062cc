//! A private apt root on the host, with the base image's package configuration as data.
//!
//! The image's `apt.conf` and `apt.conf.d` are never loaded: they may hold commands, which would run here.
//! The generated configuration names every directory itself and offers only web transports and signature
//! checking as methods, so that nothing an image says can make the host's apt read a file of the host.

use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use fs_err as fs;
use sha2::{Digest as _, Sha256};

use super::StageRequest;
use super::configuration::configuration;
use super::error::AptError;
use super::host::HostApt;
use super::pins::repinned;
use super::repository;
use super::sources::{SignedBy, Source, first_mirror, is_web};
use crate::cache::WorkDir;
use crate::control::Control;
use crate::digest::Digest;
use crate::disk::Tree;
use crate::distro::Arch;
use crate::event::Events;
use crate::fetch::redact_text;
use crate::mirror::{Mirrors, Replaced};
use crate::os;
use crate::packages::probe::Place;
use crate::trust::RepositoryKey;

/// No configuration file is bigger; a list of all packages of a big image has some megabytes.
const CONFIG_LIMIT: u64 = 1 << 20;
const STATUS_LIMIT: u64 = 64 << 20;

/// Methods that apt may start: the web, decompressing, and both generations of signature checking.
const METHODS: [&str; 5] = ["http", "https", "store", "gpgv", "sqv"];

/// A private apt root; gone when dropped.
#[derive(Debug)]
pub(crate) struct Root {
    /// Removed with this value.
    _work: WorkDir,
    path: PathBuf,
    /// Identifies sources, keys and architectures: where their indexes are kept.
    pub(crate) digest: Digest,
    /// Text of the image's package database.
    pub(crate) status: String,
    /// Text of the image's list of packages that came as dependencies only.
    pub(crate) extended_states: String,
    /// debconf's databases of the image, the one of passwords included.
    pub(crate) debconf: String,
    /// Sources that mirrors stand for.
    pub(crate) replaced: Replaced,
    /// All sources, as they are named where they are from.
    pub(crate) places: Vec<Place>,
    /// Whether stage `k` has any source.
    has_sources: Vec<bool>,
}

impl Root {
    /// Copies what counts from the image, and writes one configuration per stage.
    pub(crate) fn stage(
        host: &HostApt,
        work: WorkDir,
        tree: &mut dyn Tree,
        arch: Arch,
        stages: &[StageRequest<'_>],
        control: &Control,
    ) -> Result<Self, AptError> {
        let Control { events, mirrors, .. } = control;
        let path = work.path().join("root");
        // Passwords of the image, for repositories and in debconf's database, are copied into it.
        std::fs::DirBuilder::new().mode(0o700).create(&path).map_err(AptError::io("create", &path))?;
        let (trust, replaced) = (Sha256::new(), Replaced::default());
        let places = Vec::new();
        let mut copy = Copy { tree, root: path.clone(), trust, mirrors, replaced, places };
        for sub in [
            "etc/trusted.gpg.d",
            "etc/auth.conf.d",
            "keys",
            "methods",
            "tmp",
            "log",
            "cache",
            "archives/partial",
            "lists",
        ] {
            let path = copy.root.join(sub);
            fs::create_dir_all(&path).map_err(AptError::io("create", path))?;
        }
        for method in METHODS {
            let (from, to) = (host.methods.join(method), copy.root.join("methods").join(method));
            if from.exists() {
                std::os::unix::fs::symlink(&from, &to).map_err(AptError::io("create", to))?;
            }
        }
        copy.file("/etc/apt/trusted.gpg", "etc/trusted.gpg", true)?;
        copy.directory("/etc/apt/trusted.gpg.d", "etc/trusted.gpg.d", true)?;
        // The first that fits counts.
        let own = copy.text("/etc/apt/auth.conf", CONFIG_LIMIT)?.unwrap_or_default();
        copy.write("etc/auth.conf", format!("{}{own}", control.netrc.for_apt()).as_bytes())?;
        copy.directory("/etc/apt/auth.conf.d", "etc/auth.conf.d", false)?;
        let base = copy.sources(events)?;
        for repository in stages.iter().flat_map(|stage| &stage.repositories) {
            copy.replaced.fetch(mirrors, &repository.url);
            copy.places.push(Place {
                repository: Some(repository.name.clone()),
                url: repository.url.clone(),
                suite: Some(repository.suite.clone().unwrap_or_else(|| "./".to_owned())),
            });
        }
        copy.preferences("/etc/apt/preferences", "etc/preferences")?;

        let mut repositories = Vec::new();
        let mut has_sources = Vec::new();
        let native = arch.debian();
        let architectures = copy.architectures(native)?;
        for (index, stage) in stages.iter().enumerate() {
            repositories.extend(stage.repositories.iter().copied());
            copy.write(&format!("sources-{index}/base.sources"), base.as_bytes())?;
            let preferences = copy.root.join(format!("preferences-{index}"));
            fs::create_dir_all(&preferences).map_err(AptError::io("create", preferences))?;
            for name in copy.names("/etc/apt/preferences.d")? {
                copy.preferences(
                    &format!("/etc/apt/preferences.d/{name}"),
                    &format!("preferences-{index}/{name}"),
                )?;
            }
            for (number, repository) in repositories.iter().enumerate() {
                repository::check(repository)?;
                let key = copy.key(&RepositoryKey::of(repository)?.binary, "gpg")?;
                let url = copy.replaced.fetch(mirrors, &repository.url);
                let stanza = repository::stanza(repository, &url, &key);
                let file = format!("sources-{index}/{number:02}-{}.sources", repository.name);
                copy.write(&file, stanza.as_bytes())?;
                if index + 1 == stages.len() {
                    copy.trust.update(stanza.replace(&key, ""));
                }
                if let Some(pin) = repository::preferences_entry(repository, &url) {
                    copy.write(&format!("preferences-{index}/{}", repository.name), pin.as_bytes())?;
                }
            }
            has_sources.push(!base.is_empty() || !repositories.is_empty());
            let config = configuration(host, &copy.root, index, native, &architectures);
            copy.write(&format!("apt-{index}.conf"), config.as_bytes())?;
        }
        // Where the keys stand differs from run to run, what they are is in the digest already.
        copy.trust.update(base.replace(&copy.root.display().to_string(), ""));
        copy.trust.update(architectures.join(" "));
        let status = os::dpkg_status(&mut *copy.tree)?.unwrap_or_default();
        let extended_states = copy.text("/var/lib/apt/extended_states", STATUS_LIMIT)?.unwrap_or_default();
        let mut debconf = String::new();
        for name in ["config.dat", "passwords.dat"] {
            let path = format!("/var/cache/debconf/{name}");
            debconf.push_str(&copy.text(&path, STATUS_LIMIT)?.unwrap_or_default());
            debconf.push_str("\n\n");
        }
        for (mirror, source) in copy.replaced.pairs() {
            events.output("mirror", format!("packages: `{mirror}` in place of `{}`", redact_text(source)));
        }
        let digest = Digest::from_bytes(copy.trust.finalize().into());
        let (replaced, places) = (copy.replaced, copy.places);
        Ok(Self {
            _work: work,
            path,
            digest,
            status,
            extended_states,
            debconf,
            replaced,
            places,
            has_sources,
        })
    }

    /// The directory itself.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The configuration of stage `index`, or of the last one: that has the sources of all.
    pub(crate) fn config(&self, index: Option<usize>) -> PathBuf {
        let index = index.unwrap_or(self.has_sources.len().saturating_sub(1));
        self.path().join(format!("apt-{index}.conf"))
    }

    /// Whether stage `index` can get packages from anywhere.
    pub(crate) fn has_sources(&self, index: usize) -> bool {
        self.has_sources.get(index).copied().unwrap_or(false)
    }
}

/// Copies from the image into the root.
struct Copy<'a> {
    tree: &'a mut dyn Tree,
    root: PathBuf,
    /// Everything that decides what is trusted and from where.
    trust: Sha256,
    mirrors: &'a Mirrors,
    replaced: Replaced,
    places: Vec<Place>,
}

impl Copy<'_> {
    /// The content of a file of the image, if there is one.
    fn bytes(&mut self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, AptError> {
        match self.tree.read(path.as_bytes(), limit) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.is_missing() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn text(&mut self, path: &str, limit: u64) -> Result<Option<String>, AptError> {
        Ok(self.bytes(path, limit)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// Names in a directory of the image that apt would look at, sorted; none if it is missing.
    fn names(&mut self, path: &str) -> Result<Vec<String>, AptError> {
        let names = match self.tree.read_dir(path.as_bytes()) {
            Ok(names) => names,
            Err(error) if error.is_missing() => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        let plain = |name: &String| {
            !name.starts_with('.') && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b))
        };
        let mut names: Vec<String> =
            names.into_iter().filter_map(|name| String::from_utf8(name).ok()).filter(plain).collect();
        names.sort_unstable();
        Ok(names)
    }

    fn write(&self, path: &str, content: &[u8]) -> Result<(), AptError> {
        let path = self.root.join(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(AptError::io("create", parent))?;
        }
        let mut options = fs::OpenOptions::new();
        // Credentials may be among them.
        options.write(true).create(true).truncate(true).options_mut().mode(0o600);
        let mut file = options.open(&path).map_err(AptError::io("create", &path))?;
        std::io::Write::write_all(&mut file, content).map_err(AptError::io("write", path))
    }

    fn file(&mut self, from: &str, to: &str, trust: bool) -> Result<(), AptError> {
        if let Some(bytes) = self.bytes(from, CONFIG_LIMIT)? {
            if trust {
                self.trust.update(Sha256::digest(&bytes));
            }
            self.write(to, &bytes)?;
        }
        Ok(())
    }

    fn directory(&mut self, from: &str, to: &str, trust: bool) -> Result<(), AptError> {
        for name in self.names(from)? {
            self.file(&format!("{from}/{name}"), &format!("{to}/{name}"), trust)?;
        }
        Ok(())
    }

    /// Copies preferences. Pins by the host of a source hold for the host of its mirror.
    fn preferences(&mut self, from: &str, to: &str) -> Result<(), AptError> {
        let Some(text) = self.text(from, CONFIG_LIMIT)? else { return Ok(()) };
        let pinned = text.lines().map(|line| repinned(line, &self.replaced) + "\n").collect::<String>();
        self.write(to, pinned.as_bytes())
    }

    /// Puts a keyring into the root and returns where. One keyring has one path, however many sources name it: apt
    /// takes two paths for two opinions of who may sign a repository.
    fn key(&mut self, bytes: &[u8], extension: &str) -> Result<String, AptError> {
        let digest = Digest::of(bytes);
        self.trust.update(digest.to_bytes());
        let path = format!("keys/{digest}.{extension}");
        self.write(&path, bytes)?;
        Ok(self.root.join(path).display().to_string())
    }

    /// Architectures of the image: its own, and those dpkg was told to allow.
    fn architectures(&mut self, native: &str) -> Result<Vec<String>, AptError> {
        let mut all = vec![native.to_owned()];
        for name in self.text("/var/lib/dpkg/arch", CONFIG_LIMIT)?.unwrap_or_default().split_whitespace() {
            if name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') && !all.iter().any(|a| a == name)
            {
                all.push(name.to_owned());
            }
        }
        Ok(all)
    }

    /// The image's sources as one deb822 text that is safe to use here.
    fn sources(&mut self, events: &Events) -> Result<String, AptError> {
        let mut files = vec!["/etc/apt/sources.list".to_owned()];
        let parts = self.names("/etc/apt/sources.list.d")?;
        files.extend(parts.iter().map(|name| format!("/etc/apt/sources.list.d/{name}")));
        let mut all = Vec::new();
        for file in files {
            let deb822 = file.ends_with(".sources");
            if !deb822 && !file.ends_with(".list") {
                continue;
            }
            let Some(text) = self.text(&file, CONFIG_LIMIT)? else { continue };
            let refused = |problem| AptError::Source { file: file.clone(), problem };
            let parsed = if deb822 { Source::parse_deb822(&text) } else { Source::parse_list(&text) };
            for mut source in parsed.map_err(refused)? {
                if !source.dropped.is_empty() {
                    let options = source.dropped.join(", ");
                    events.warning(format!("`{file}` of the base image says `{options}`: ignored, packages are verified all the same"));
                }
                for uri in &mut source.uris {
                    *uri = self.uri(&file, uri)?;
                    let place = |suite: &String| Place {
                        repository: None,
                        url: uri.clone(),
                        suite: Some(suite.clone()),
                    };
                    self.places.extend(source.suites.iter().map(place));
                    *uri = self.replaced.fetch(self.mirrors, uri);
                }
                self.localise(&file, &mut source)?;
                all.push(source.to_string());
            }
        }
        Ok(all.join("\n"))
    }

    /// The URL to use for one of a source; mirror lists of the image are looked up in the image.
    fn uri(&mut self, file: &str, uri: &str) -> Result<String, AptError> {
        let refused = |problem| Err(AptError::Source { file: file.to_owned(), problem });
        if is_web(uri) {
            return Ok(uri.to_owned());
        }
        let Some(path) = uri.strip_prefix("mirror+file:") else {
            return refused(format!("`{uri}` is not fetched over the web"));
        };
        let path = format!("/{}", path.trim_start_matches('/'));
        let list = self.text(&path, CONFIG_LIMIT)?.unwrap_or_default();
        match first_mirror(&list) {
            Some(mirror) => Ok(mirror.to_owned()),
            None => refused(format!("mirror list `{path}` names no web server")),
        }
    }

    /// Replaces the paths of keyrings by those of copies.
    fn localise(&mut self, file: &str, source: &mut Source) -> Result<(), AptError> {
        let SignedBy::Items(items) = &mut source.signed_by else { return Ok(()) };
        for item in items {
            if item.starts_with('/') {
                let extension = if item.ends_with(".asc") { "asc" } else { "gpg" };
                let Some(bytes) = self.bytes(item, CONFIG_LIMIT)? else {
                    let problem = format!("its keyring `{item}` is missing");
                    return Err(AptError::Source { file: file.to_owned(), problem });
                };
                *item = self.key(&bytes, extension)?;
            } else if !item.bytes().all(|b| b.is_ascii_hexdigit() || b == b'!') {
                let problem = format!("`{item}` is neither a keyring nor a fingerprint");
                return Err(AptError::Source { file: file.to_owned(), problem });
            }
        }
        Ok(())
    }
}
