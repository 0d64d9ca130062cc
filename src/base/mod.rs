//! Base images: what `--base` names, brought into the cache.

mod bootstrap;
pub mod catalogue;
mod download;
mod error;
mod file;
mod named;
mod published;

use std::path::{Path, PathBuf};
use std::str::FromStr;

use reqwest::Url;

use self::catalogue::Selection;
use crate::cache::{Base, Cache};
use crate::control::Control;
use crate::distro::Arch;
use crate::error::Failure;
use crate::fetch::{self, Fetcher};
use crate::trust::checksum::Checksum;

pub use bootstrap::systems as bootstrap_systems;
pub use error::BaseError;
pub use named::{Held, held, import_as, remove};

/// What `--base` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BaseSpec {
    /// An image file of the host.
    File(PathBuf),
    /// A system bootstrapped from packages: `debian-12`.
    Bootstrap(String),
    /// An image somewhere on the network.
    Url(Url),
    /// An image of the catalogue: `debian-12`, `debian-12@newest` or `debian-12@VERSION`.
    Catalogue(String, Selection),
}

/// Which base is wanted, and how it may be had.
#[derive(Debug, Clone)]
pub struct BaseRequest {
    /// What `--base` says.
    pub spec: BaseSpec,
    /// The digest that a file or what comes from a URL must have.
    pub checksum: Option<Checksum>,
    /// The architecture wanted of the catalogue.
    pub arch: Arch,
    /// Open no connection.
    pub offline: bool,
    /// Ask whether there is something newer than what the cache holds.
    pub refresh: bool,
    /// Believe whatever comes, and record that.
    pub skip_verify: bool,
    /// Files with keys of makers, in place of those that the catalogue says where to get.
    pub key_files: Vec<PathBuf>,
    /// Where catalogue entries are looked for before the built-in ones.
    pub catalogue_dirs: Vec<PathBuf>,
}

impl BaseRequest {
    /// Asks for `spec` on this host's architecture, verified, from the built-in catalogue.
    pub fn new(spec: BaseSpec) -> Self {
        Self {
            spec,
            checksum: None,
            arch: Arch::host().unwrap_or(Arch::X86_64),
            offline: false,
            refresh: false,
            skip_verify: false,
            key_files: Vec::new(),
            catalogue_dirs: Vec::new(),
        }
    }
}

impl FromStr for BaseSpec {
    type Err = BaseError;

    fn from_str(text: &str) -> Result<Self, BaseError> {
        let bad = |problem: String, hint: &str| {
            Err(BaseError::BadBase { text: fetch::redact_text(text), problem, hint: hint.to_owned() })
        };
        if let Some(system) = text.strip_prefix("bootstrap:") {
            bootstrap::System::parse(system)?;
            return Ok(Self::Bootstrap(system.to_owned()));
        }
        if text.is_empty() {
            return bad(
                "is empty".to_owned(),
                "name an image of the catalogue (`tib base list`), a file, or `bootstrap:debian-12`",
            );
        }
        if text.contains("://") {
            return match Url::parse(text) {
                Ok(url) if matches!(url.scheme(), "https" | "http") && url.has_host() => Ok(Self::Url(url)),
                Ok(url) => bad(
                    format!("has the scheme `{}`", url.scheme()),
                    "URLs start with `https://`; a file is named by its path alone",
                ),
                Err(error) => bad(format!("is no URL: {error}"), "URLs look like `https://HOST/PATH`"),
            };
        }
        let is_file = text.contains('/')
            || [".qcow2", ".img", ".raw"].iter().any(|suffix| text.ends_with(suffix))
            || Path::new(text).is_file();
        if is_file {
            return Ok(Self::File(text.into()));
        }
        let (id, selection) = match text.split_once('@') {
            None => (text, Selection::Default),
            Some((id, "newest")) => (id, Selection::Newest),
            Some((_, "")) => {
                return bad(
                    "names no build behind `@`".to_owned(),
                    "write `ID@newest` or `ID@VERSION`; `tib base show ID` lists versions",
                );
            }
            Some((id, version)) => (id, Selection::Pinned(version.to_owned())),
        };
        Ok(Self::Catalogue(id.to_owned(), selection))
    }
}

impl std::fmt::Display for BaseSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Bootstrap(system) => write!(f, "bootstrap:{system}"),
            Self::Url(url) => f.write_str(&fetch::redact(url)),
            Self::Catalogue(id, Selection::Default) => f.write_str(id),
            Self::Catalogue(id, Selection::Newest) => write!(f, "{id}@newest"),
            Self::Catalogue(id, Selection::Pinned(version)) => write!(f, "{id}@{version}"),
        }
    }
}

/// Brings a base into the cache, or finds it there.
///
/// # Errors
/// [`BaseError`] and [`FetchError`](super::fetch::FetchError), errors of the catalogue, of checksum files and
/// signatures, or [`DiskError`](crate::disk::DiskError) for what is no image or must not be used.
pub fn resolve(request: &BaseRequest, cache: &Cache, control: &Control) -> Result<Base, Failure> {
    if request.checksum.is_some() && matches!(request.spec, BaseSpec::Bootstrap(_) | BaseSpec::Catalogue(..))
    {
        return Err(BaseError::BadBase {
            text: request.spec.to_string(),
            problem: "takes no checksum: it is for files and URLs".to_owned(),
            hint: "leave out `--checksum`: the digests of the catalogue's images are known or signed"
                .to_owned(),
        }
        .into());
    }
    match &request.spec {
        BaseSpec::File(path) => file::import(path, request.checksum.as_ref(), cache, control),
        BaseSpec::Bootstrap(system) => {
            let system = bootstrap::System::parse(system)?;
            Ok(bootstrap::resolve(system, cache, request.offline, control)?)
        }
        BaseSpec::Url(url) => download::by_url(url, request, cache, control),
        BaseSpec::Catalogue(id, selection) => named::resolve(id, selection, request, cache, control),
    }
}

/// What opens connections. Not made before one is needed, and never offline.
fn fetcher(control: &Control) -> Result<Fetcher, Failure> {
    Ok(Fetcher::new(fetch::Options::default(), control)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::Origin;
    use crate::digest::Digest;
    use crate::disk::Format;
    use crate::error::Exit;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn specifications() {
        let dir = tempfile::tempdir().unwrap();
        let existing = dir.path().join("image");
        fs_err::write(&existing, "").unwrap();
        let existing = existing.to_str().unwrap();
        let cases = [
            ("bootstrap:debian-12", BaseSpec::Bootstrap("debian-12".into())),
            ("a.qcow2", BaseSpec::File("a.qcow2".into())),
            ("a.img", BaseSpec::File("a.img".into())),
            ("a.raw", BaseSpec::File("a.raw".into())),
            ("./a", BaseSpec::File("./a".into())),
            (existing, BaseSpec::File(existing.into())),
            ("debian-12", BaseSpec::Catalogue("debian-12".into(), Selection::Default)),
            ("debian-12@newest", BaseSpec::Catalogue("debian-12".into(), Selection::Newest)),
            ("debian-12@2026", BaseSpec::Catalogue("debian-12".into(), Selection::Pinned("2026".into()))),
            ("https://a.example/b", BaseSpec::Url(Url::parse("https://a.example/b").unwrap())),
        ];
        for (text, expected) in cases {
            let spec: BaseSpec = text.parse().unwrap();
            assert_eq!(spec, expected, "{text}");
            assert_eq!(spec.to_string(), text);
        }
        for bad in [
            "",
            "bootstrap:",
            "bootstrap:ubuntu-24.04",
            "bootstrap:debian-9",
            "debian-12@",
            "ftp://a.example/b",
            "https://",
        ] {
            let error = bad.parse::<BaseSpec>().unwrap_err();
            assert!(matches!(error, BaseError::BadBase { .. }), "{bad}");
        }
    }

    /// Tokens in a query are as secret as passwords.
    #[test]
    fn messages_say_nothing_secret_of_a_url() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(Some(dir.path().join("cache"))).unwrap();
        for scheme in ["https", "ftp"] {
            let url = format!("{scheme}://me:secret@a.example/b.qcow2?token=secret&c#secret");
            let mut messages = Vec::new();
            match url.parse::<BaseSpec>() {
                Err(error) => messages.push(error.to_string()),
                Ok(spec) => {
                    messages.push(spec.to_string());
                    let unchecked = BaseRequest::new(spec);
                    let checksum = format!("sha256:{}", Digest::of(b"")).parse().ok();
                    let offline = BaseRequest { checksum, offline: true, ..unchecked.clone() };
                    for request in [unchecked, offline] {
                        let result = resolve(&request, &cache, &Control::none());
                        messages.push(result.unwrap_err().to_string());
                    }
                }
            }
            for message in messages {
                assert!(message.contains("a.example/b.qcow2") && !message.contains("secret"), "{message}");
            }
        }
    }

    fn raw(path: &Path, mark: u8) {
        let mut content = vec![0; 1 << 20];
        content[700_000] = mark;
        // ext4's magic number: a file system without a partition table.
        content[0x438..0x43a].copy_from_slice(&[0x53, 0xef]);
        fs_err::write(path, content).unwrap();
    }

    #[test]
    fn a_file_is_copied_once_and_never_touched() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(Some(dir.path().join("cache"))).unwrap();
        let path = dir.path().join("base.raw");
        raw(&path, 1);
        fs_err::set_permissions(&path, PermissionsExt::from_mode(0o444)).unwrap();
        let before = fs_err::metadata(&path).unwrap().modified().unwrap();
        let get = || {
            let spec = BaseSpec::File(path.clone());
            resolve(&BaseRequest::new(spec.clone()), &cache, &Control::none()).unwrap()
        };
        let base = get();
        assert_eq!(base.digest, Digest::of(&fs_err::read(&path).unwrap()));
        assert_eq!((base.format, base.virtual_size), (Format::Raw, 1 << 20));
        assert_eq!(base.path, cache.root().join(format!("bases/{}/disk.raw", base.digest)));
        assert_eq!(base.origin, Origin::File { name: "base.raw".into(), sha256: base.digest });
        assert_eq!(fs_err::metadata(&path).unwrap().modified().unwrap(), before);
        let stored = || fs_err::metadata(&base.path).unwrap().modified().unwrap();
        let first = stored();
        assert_eq!(get().digest, base.digest);
        assert_eq!(stored(), first, "neither copied nor hashed again");

        fs_err::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
        raw(&path, 2);
        assert_ne!(get().digest, base.digest, "a changed file is another base");
        assert!(base.path.is_file());
    }

    #[test]
    fn a_removed_base_is_made_again() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(Some(dir.path().join("cache"))).unwrap();
        let path = dir.path().join("base.raw");
        raw(&path, 1);
        let spec = BaseSpec::File(path);
        for _ in 0..2 {
            let base = resolve(&BaseRequest::new(spec.clone()), &cache, &Control::none()).unwrap();
            assert!(base.path.is_file());
            fs_err::remove_dir_all(base.path.parent().unwrap()).unwrap();
        }
    }

    #[test]
    fn what_is_no_image_or_backed_by_another_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(Some(dir.path().join("cache"))).unwrap();
        raw(&dir.path().join("below.raw"), 1);
        // qemu-img as an independent maker of the image.
        let made = std::process::Command::new("qemu-img")
            .args(["create", "-q", "-f", "qcow2", "-F", "raw", "-b", "below.raw", "backed.qcow2"])
            .current_dir(dir.path())
            .status();
        assert!(made.unwrap().success());
        fs_err::write(dir.path().join("text.img"), "hello").unwrap();
        for (name, exit) in [("backed.qcow2", Exit::Integrity), ("text.img", Exit::Integrity)] {
            let spec = BaseSpec::File(dir.path().join(name));
            let error = resolve(&BaseRequest::new(spec.clone()), &cache, &Control::none()).unwrap_err();
            assert_eq!(error.exit(), exit, "{name}: {error}");
        }
        assert_eq!(fs_err::read_dir(cache.root().join("bases")).unwrap().count(), 0);
    }
}
