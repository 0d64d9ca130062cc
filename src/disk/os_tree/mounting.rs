//! Putting file systems, and paths of them, under one root.

use super::{Mount, OsTree, Volume};
use crate::disk::filesystem::FileSystemKind;
use crate::disk::inodes::Inodes;
use crate::disk::place::Place;
use crate::disk::{DiskError, Room};

/// Mount points, all together.
const MAX_MOUNTS: usize = 10_000;

impl OsTree {
    /// Mounts a file system in front of what is at `point`.
    ///
    /// # Errors
    /// What is wrong with the image.
    pub(in crate::disk) fn mount(
        &mut self,
        point: &str,
        place: Place,
        inodes: Box<dyn Inodes>,
    ) -> Result<(), DiskError> {
        let mount = Mount {
            point: self.point(point)?,
            volume: self.volumes.len(),
            inode: inodes.root(),
            source: None,
        };
        self.volumes.push(Volume { place, inodes });
        self.add(mount);
        Ok(())
    }

    fn add(&mut self, mount: Mount) {
        self.points.insert(mount.point.clone(), self.mounts.len());
        self.mounts.push(mount);
        self.directories.clear();
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
