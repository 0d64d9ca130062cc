//! A private root on the host, with the base image's package database and configuration as data.
//!
//! dnf works below it as an ordinary user. Of the image's configuration only what [`configuration`](super::configuration) lets
//! through gets here, no plugin, and no path that would lead to a file of the host.

use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use fs_err as fs;
use sha2::{Digest as _, Sha256};

use super::error::DnfError;
use crate::cache::WorkDir;
use crate::digest::Digest;
use crate::disk::Tree;
use crate::distro::Arch;
use crate::os;

/// No configuration file is bigger.
const CONFIG_LIMIT: u64 = 1 << 20;
/// Of dnf's own database, which remembers every transaction.
const HISTORY_LIMIT: u64 = 256 << 20;

/// A private root; gone when dropped.
#[derive(Debug)]
pub(crate) struct Root {
    /// Removed with this value.
    _work: WorkDir,
    path: PathBuf,
    arch: Arch,
    platform: Option<String>,
    protected: Vec<String>,
    /// Of everything beside repositories that decides what metadata is fetched: variables.
    pub(crate) variables: Digest,
}

impl Root {
    /// Copies what counts from the image, up to its repositories. What variables in these stand for is known only afterwards.
    pub(crate) fn stage(work: WorkDir, tree: &mut dyn Tree, arch: Arch) -> Result<Self, DnfError> {
        let path = work.path().join("root");
        // Passwords of the image, for repositories, are copied into it.
        std::fs::DirBuilder::new().mode(0o700).create(&path).map_err(DnfError::io("create", &path))?;
        let mut root = Self {
            _work: work,
            path,
            arch,
            platform: None,
            protected: Vec::new(),
            variables: Digest::of(b""),
        };
        for sub in ["root/rpmdb", "home", "cache", "persist", "log", "download", "keys", "tmp"] {
            let path = root.path.join(sub);
            fs::create_dir_all(&path).map_err(DnfError::io("create", path))?;
        }
        // dnf looks for it below the root.
        root.write("home/.rpmmacros", b"%_dbpath /rpmdb\n")?;
        root.headers(tree)?;

        let mut variables = Sha256::new();
        for directory in ["/etc/yum/vars", "/etc/dnf/vars"] {
            for (name, bytes) in directory_of(tree, directory, "")? {
                variables.update(format!("{directory}/{name}\n"));
                variables.update(Sha256::digest(&bytes));
                root.write(&format!("root{directory}/{name}"), &bytes)?;
            }
        }
        for (from, to) in [
            ("/etc/dnf/modules.d", "root/etc/dnf/modules.d"),
            ("/etc/dnf/modules.defaults.d", "root/etc/dnf/modules.defaults.d"),
            ("/var/lib/dnf/modulefailsafe", "persist/modulefailsafe"),
        ] {
            for (name, bytes) in directory_of(tree, from, "")? {
                root.write(&format!("{to}/{name}"), &bytes)?;
            }
        }
        for name in ["history.sqlite", "history.sqlite-wal"] {
            if let Some(bytes) = bytes_of(tree, &format!("/var/lib/dnf/{name}"), HISTORY_LIMIT)? {
                root.write(&format!("persist/{name}"), &bytes)?;
            }
        }
        let release = match text_of(tree, "/etc/os-release")? {
            Some(text) => text,
            None => text_of(tree, "/usr/lib/os-release")?.unwrap_or_default(),
        };
        let value = release.lines().find_map(|line| line.strip_prefix("PLATFORM_ID="));
        root.platform = value.map(|value| value.trim_matches(['"', '\'']).to_owned());
        for directory in ["/etc/yum/protected.d", "/etc/dnf/protected.d"] {
            for (_, bytes) in directory_of(tree, directory, ".conf")? {
                let names = String::from_utf8_lossy(&bytes).into_owned();
                let lines =
                    names.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
                root.protected.extend(lines.flat_map(str::split_whitespace).map(str::to_owned));
            }
        }
        variables.update(arch.name());
        root.variables = Digest::from_bytes(variables.finalize().into());
        Ok(root)
    }

    /// Writes the package database as RPM exports it, whatever form it has in the image.
    fn headers(&self, tree: &mut dyn Tree) -> Result<(), DnfError> {
        let path = self.exported();
        let file = fs::File::create(&path).map_err(DnfError::io("create", &path))?;
        let mut file = std::io::BufWriter::new(file);
        let count = os::rpm::headers(tree, &mut |header| {
            std::io::Write::write_all(&mut file, &os::rpm::HEADER_MAGIC)?;
            std::io::Write::write_all(&mut file, header)
        })?;
        std::io::Write::flush(&mut file).map_err(DnfError::io("write", &path))?;
        match count {
            None => Err(DnfError::Base("the base image has no database of RPM packages".to_owned())),
            // dnf would install everything once more.
            Some(0) => Err(DnfError::Base("no package is installed in the base image".to_owned())),
            Some(_) => Ok(()),
        }
    }

    /// The package database, to be imported.
    pub(crate) fn exported(&self) -> PathBuf {
        self.path.join("headers")
    }

    /// The database that dnf sees.
    pub(crate) fn database(&self) -> PathBuf {
        self.path.join("root/rpmdb")
    }

    /// The guest's architecture.
    pub(crate) fn arch(&self) -> Arch {
        self.arch
    }

    /// The directory itself.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What every request to dnf says. `repositories` is a directory of this root.
    pub(crate) fn request(&self, command: &str, repositories: &str, cache: &Path) -> serde_json::Value {
        serde_json::json!({
            "command": command,
            "root": self.path.join("root"),
            "config": self.path.join("main.conf"),
            "repositories": self.path.join(repositories),
            "cache": cache,
            "persist": self.path.join("persist"),
            "log": self.path.join("log"),
            "download": self.path.join("download"),
            "arch": self.arch.name(),
            "platform": self.platform,
            "protected": self.protected,
        })
    }

    pub(crate) fn write(&self, path: &str, content: &[u8]) -> Result<PathBuf, DnfError> {
        let path = self.path.join(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(DnfError::io("create", parent))?;
        }
        let mut options = fs::OpenOptions::new();
        // Credentials may be among them.
        options.write(true).create(true).truncate(true).options_mut().mode(0o600);
        let mut file = options.open(&path).map_err(DnfError::io("create", &path))?;
        std::io::Write::write_all(&mut file, content).map_err(DnfError::io("write", &path))?;
        Ok(path)
    }
}

/// The content of a file of the image, if there is one.
pub(crate) fn bytes_of(tree: &mut dyn Tree, path: &str, limit: u64) -> Result<Option<Vec<u8>>, DnfError> {
    match tree.read(path.as_bytes(), limit) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.is_missing() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The text of a configuration file of the image, if there is one.
pub(crate) fn text_of(tree: &mut dyn Tree, path: &str) -> Result<Option<String>, DnfError> {
    Ok(bytes_of(tree, path, CONFIG_LIMIT)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

/// The files in a directory of the image that dnf would look at, by name.
pub(crate) fn directory_of(
    tree: &mut dyn Tree,
    path: &str,
    ending: &str,
) -> Result<Vec<(String, Vec<u8>)>, DnfError> {
    let names = match tree.read_dir(path.as_bytes()) {
        Ok(names) => names,
        Err(error) if error.is_missing() => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let mut names: Vec<String> = names
        .into_iter()
        .filter_map(|name| String::from_utf8(name).ok())
        .filter(|name| !name.starts_with('.') && !name.contains('\n') && name.ends_with(ending))
        .collect();
    names.sort_unstable();
    let mut files = Vec::new();
    for name in names {
        match tree.read(format!("{path}/{name}").as_bytes(), CONFIG_LIMIT) {
            Ok(bytes) => files.push((name, bytes)),
            Err(error) if error.is_missing() => {}
            // A directory, say.
            Err(crate::disk::DiskError::WrongKind { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(files)
}
