//! Putting file systems, and paths of them, under one root.

use super::{Mount, OsTree, Volume};
use crate::disk::place::Place;
use crate::disk::{DiskError, Room};
use crate::filesystem::FileSystemKind;
use crate::filesystem::inodes::Inodes;

/// Mount points, all together.
const MAX_MOUNTS: usize = 10_000;

impl OsTree {
    /// The directories that can be shown as the root, the one that is shown now first.
    pub(in crate::disk) fn roots(&self) -> Vec<u64> {
        self.volumes[0].inodes.roots()
    }

    /// Shows another directory of the first file system as the root.
    ///
    /// # Errors
    /// What is wrong with the image.
    pub(in crate::disk) fn show(&mut self, root: u64) -> Result<(), DiskError> {
        let part = self.volumes[0].inodes.part(root)?;
        self.mounts[0] = Mount { inode: root, part, ..self.mounts[0].clone() };
        self.forget();
        Ok(())
    }

    /// What people call a directory that can be shown as the root.
    ///
    /// # Errors
    /// What is wrong with the image.
    pub(in crate::disk) fn part(&mut self, root: u64) -> Result<Option<String>, DiskError> {
        self.volumes[0].inodes.part(root)
    }

    /// The directory that is shown as the root if the first file system is mounted with these options.
    ///
    /// # Errors
    /// What is wrong with the image.
    pub(in crate::disk) fn mounted(&mut self, options: &[String]) -> Result<Option<u64>, DiskError> {
        self.volumes[0].inodes.mounted(options)
    }

    /// Adds a file system, which is not mounted yet. Returns its number; that of the root is 0.
    pub(in crate::disk) fn open(&mut self, place: Place, inodes: Box<dyn Inodes>) -> usize {
        self.volumes.push(Volume { place, inodes });
        self.volumes.len() - 1
    }

    /// Mounts a file system in front of what is at `point`. Returns whether it has what the options name.
    ///
    /// # Errors
    /// What is wrong with the image.
    pub(in crate::disk) fn mount(
        &mut self,
        point: &str,
        volume: usize,
        options: &[String],
    ) -> Result<bool, DiskError> {
        let inodes = &mut self.volumes[volume].inodes;
        let Some(inode) = inodes.mounted(options)? else { return Ok(false) };
        let part = inodes.part(inode)?;
        let mount = Mount { point: self.point(point)?, volume, inode, source: None, part };
        self.add(mount);
        Ok(true)
    }

    fn add(&mut self, mount: Mount) {
        self.points.insert(mount.point.clone(), self.mounts.len());
        self.mounts.push(mount);
        self.forget();
    }

    /// Says what the root file system is and how much room it has, where the disk alone does not tell.
    pub(in crate::disk) fn with_root(self, kind: Option<FileSystemKind>, room: Option<Room>) -> Self {
        Self { kind, room, ..self }
    }

    /// Keeps in mind that something is not there.
    pub(in crate::disk) fn miss(&mut self, what: String) {
        self.missed.push(what);
    }

    /// Shows what is at `source` at `point` too, if there is anything; with what is mounted below it if `recursive` is set.
    ///
    /// # Errors
    /// What is wrong with the image.
    pub(in crate::disk) fn bind(
        &mut self,
        source: &str,
        point: &str,
        recursive: bool,
    ) -> Result<(), DiskError> {
        let (source, node) = match self.resolve(source.as_bytes(), true) {
            Ok((source, node, _)) => (source, node),
            Err(error) if error.is_missing() => return Ok(()),
            Err(error) => return Err(error),
        };
        let point = self.point(point)?;
        let below = [source.as_slice(), b"/"].concat();
        let mut shown = vec![Mount {
            point: point.clone(),
            inode: node.inode,
            volume: self.mounts[node.mount].volume,
            source: Some(source),
            part: None,
        }];
        for mount in self.mounts.iter().filter(|_| recursive) {
            if let Some(rest) = mount.point.strip_prefix(below.as_slice()) {
                let point = [&point, b"/".as_slice(), rest].concat();
                shown.push(Mount { point, source: Some(mount.point.clone()), ..mount.clone() });
            }
        }
        shown.into_iter().for_each(|mount| self.add(mount));
        if self.mounts.len() > MAX_MOUNTS {
            return Err(DiskError::Damaged("/etc/fstab shows the same over and over".to_owned()));
        }
        Ok(())
    }

    /// The canonical path of a mount point.
    fn point(&mut self, point: &str) -> Result<Vec<u8>, DiskError> {
        match self.resolve(point.as_bytes(), true) {
            Ok((point, ..)) => Ok(point),
            // systemd makes a mount point that is missing.
            Err(error) if error.is_missing() => Ok(point.into()),
            Err(error) => Err(error),
        }
    }
}
