//! The payload disk: everything a build brings into the guest in bulk, as a small read-only file system.
//!
//! A second disk is an order of magnitude faster than libguestfs' upload channel under emulation, and what is
//! only mounted never takes blocks of the image.

use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::control::Control;
use crate::host::process;

use super::EngineError;
use crate::packages::PackageSet;
use crate::recipe::StageName;

/// Where the payload is mounted in the guest while steps run.
pub const PAYLOAD_MOUNT: &str = "/run/tib-payload";

/// Room for the file system's own structures. The file is sparse: what is not used costs nothing.
const OVERHEAD: u64 = 64 << 20;
const PER_FILE: u64 = 16 << 10;

/// A place on the payload disk: who fills the disk and who reads it in the guest have it from here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayloadPath(String);

impl PayloadPath {
    /// The directory with the files of a stage's packages.
    pub fn packages(set: &PackageSet, stage: StageName) -> Self {
        Self(format!("{}/{}", set.resolver().name(), stage.name()))
    }

    /// The tar with the agent.
    pub fn agent() -> Self {
        Self("agent.tar".to_owned())
    }

    /// The archive of a container image, by its name in the guest.
    pub fn container(file: &str) -> Self {
        Self(format!("containers/{file}"))
    }

    /// What a person brings, by its name in the recipe.
    pub fn artifact(name: &str) -> Self {
        Self(format!("artifacts/{name}"))
    }

    /// The directory with what is shown to servers of entitled repositories.
    pub fn subscription() -> Self {
        Self("subscription".to_owned())
    }

    /// A file in this directory.
    #[must_use]
    pub fn file(&self, name: &str) -> Self {
        Self(format!("{}/{name}", self.0))
    }

    /// Where it is in the guest while steps run.
    pub fn in_guest(&self) -> String {
        format!("{PAYLOAD_MOUNT}/{}", self.0)
    }
}

/// Files to bring, by their place on the payload disk.
#[derive(Debug, Default)]
pub struct Payload {
    files: Vec<(PayloadPath, PathBuf)>,
}

impl Payload {
    /// Adds a file.
    pub fn add(&mut self, path: PayloadPath, host: impl Into<PathBuf>) {
        self.files.push((path, host.into()));
    }

    /// Whether there is nothing to bring.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Makes the disk at `disk`, a raw ext2 file system, by way of `staging`, a directory that does not exist.
    /// Both should be on the same file system as the files, which are then linked and not copied.
    ///
    /// # Errors
    /// [`EngineError::Io`], [`EngineError::Payload`].
    pub fn write(&self, staging: &Path, disk: &Path, control: &Control) -> Result<(), EngineError> {
        let io = |path: &Path, source| EngineError::Io { path: path.display().to_string(), source };
        fs_err::create_dir_all(staging).map_err(|e| io(staging, e))?;
        let mut size = OVERHEAD;
        for (PayloadPath(name), host) in &self.files {
            let to = staging.join(name);
            let parent = to.parent().unwrap_or(staging);
            fs_err::create_dir_all(parent).map_err(|e| io(parent, e))?;
            fs_err::hard_link(host, &to)
                .or_else(|_| fs_err::copy(host, &to).map(|_| ()))
                .map_err(|e| io(&to, e))?;
            size += fs_err::metadata(&to).map_err(|e| io(&to, e))?.len() + PER_FILE;
        }
        // Inode tables take one block in 64, block maps one in 256, and copies of the superblock a little.
        size += size / 16;
        // It may hold keys, in a cache that is shared.
        let file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(disk);
        let file = file.map_err(|e| io(disk, e))?;
        file.set_len(size.next_multiple_of(1 << 20)).map_err(|e| io(disk, e))?;
        let mut command = Command::new("mke2fs");
        command
            .args(["-q", "-F", "-t", "ext2", "-b", "4096", "-m", "0", "-L", "tib-payload", "-d"])
            .arg(staging)
            .arg(disk);
        process::run(&mut command, control).map_err(EngineError::Payload)?;
        fs_err::remove_dir_all(staging).map_err(|e| io(staging, e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_disk_holds_the_files_and_staging_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().join("a.deb");
        fs_err::write(&source, vec![7; 3_000_000]).unwrap();
        let mut payload = Payload::default();
        assert!(payload.is_empty());
        let directory = PayloadPath::packages(&PackageSet::example(), StageName::Site);
        payload.add(directory.file("a.deb"), &source);
        // Large enough that the tables of every block group count.
        let large = dir.path().join("agent.tar");
        fs_err::write(&large, vec![9; 400 << 20]).unwrap();
        payload.add(PayloadPath::agent(), &large);
        let (staging, disk) = (dir.path().join("staging"), dir.path().join("payload.img"));
        payload.write(&staging, &disk, &Control::none()).unwrap();
        assert_eq!(std::os::unix::fs::MetadataExt::mode(&fs_err::metadata(&disk).unwrap()) & 0o777, 0o600);
        assert!(!staging.exists());
        let fs = ext4_view::Ext4::load_from_path(&disk).unwrap();
        assert_eq!(fs.read("/apt/site/a.deb").unwrap(), vec![7; 3_000_000]);
        assert_eq!(fs.metadata("/agent.tar").unwrap().len(), 400 << 20);
    }
}
