//! An image, opened once: what the gate says of it, how its disk is laid out, and its file tree, read on the host where
//! possible and through an appliance otherwise.

mod error;
mod watch;

use std::path::{Path, PathBuf};

use crate::control::Control;
use crate::disk::{self, DiskError, Format, GrowthPlan, ImageInfo, Layout, Policy, Tree, VirtualDisk};
use crate::error::Result;
use crate::guest::{self, Drive, DriveFormat, Session, SessionOptions, SessionTree};

pub use error::ImageError;
use watch::Watched;

/// An open image. Everything is found out when it is asked for, and once: an appliance that had to be started for the tree
/// runs on, idle, for whoever reads the tree next. It ends with [`close`](Self::close) or [`read`](Self::read), or at once
/// when this value is dropped.
#[derive(Debug)]
pub struct Image {
    path: PathBuf,
    disk: VirtualDisk,
    layout: Option<Layout>,
    opened: Option<Opened>,
    control: Control,
}

/// How the file tree is read.
enum Opened {
    Natively(Box<dyn Tree>),
    ThroughAppliance(Box<SessionTree>),
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Natively(_) => "Natively",
            Self::ThroughAppliance(_) => "ThroughAppliance",
        })
    }
}

impl Opened {
    fn tree(&mut self) -> &mut dyn Tree {
        match self {
            Self::Natively(tree) => &mut **tree,
            Self::ThroughAppliance(tree) => &mut **tree,
        }
    }
}

impl Image {
    /// Opens an image, through the gate. `control` is for everything that is read from it later.
    ///
    /// # Errors
    /// [`ImageError::Disk`] when the image is refused or damaged.
    pub fn open(path: &Path, policy: &Policy, control: &Control) -> Result<Self, ImageError> {
        let disk = VirtualDisk::open(path, policy)?;
        let control = control.clone();
        Ok(Self { path: path.to_owned(), disk, layout: None, opened: None, control })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the gate learned about it.
    pub fn info(&self) -> &ImageInfo {
        self.disk.info()
    }

    /// How its disk is laid out.
    ///
    /// # Errors
    /// [`ImageError::Disk`] for a partition table that makes no sense. What is wrong inside a partition is told with it.
    pub fn layout(&mut self) -> Result<&Layout, ImageError> {
        let layout = match self.layout.take() {
            Some(layout) => layout,
            None => self.disk.layout()?,
        };
        Ok(self.layout.insert(layout))
    }

    /// Whether and how its root file system can be made larger, and what room there is in it.
    ///
    /// # Errors
    /// As [`tree`](Self::tree).
    pub fn growth(&mut self) -> Result<GrowthPlan, ImageError> {
        let root = self.tree()?.root()?;
        let plan = self.disk.growth(root)?;
        let lacks = guest::lacking(plan.needs());
        Ok(plan.with_lack(lacks))
    }

    /// Its file tree, which tells how much of it is read and stops when the user interrupts: opened on the host if its file
    /// systems allow that, otherwise through an appliance with the image attached read-only.
    ///
    /// # Errors
    /// [`ImageError::Disk`] when the image is damaged or holds no operating system, [`ImageError::Guest`] when the
    /// appliance cannot read it either, [`ImageError::SectorsUnread`] when that is not asked.
    pub fn tree(&mut self) -> Result<impl Tree + '_, ImageError> {
        let opened = match self.opened.take() {
            Some(opened) => opened,
            None => self.open_tree()?,
        };
        let tree = self.opened.insert(opened).tree();
        Ok(Watched::new(tree, format!("reading {}", self.path.display()), &self.control))
    }

    /// Looks for an operating system as far as the host can, without an appliance.
    ///
    /// # Errors
    /// [`ImageError::Disk`] when the image is damaged or holds none for certain.
    pub fn check_system(&self) -> Result<(), ImageError> {
        match self.disk.tree() {
            Ok(_) | Err(DiskError::Unsupported(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn open_tree(&self) -> Result<Opened, ImageError> {
        let reason = match self.disk.tree() {
            Ok(tree) => {
                let missed = tree.missed().iter();
                missed.for_each(|missed| {
                    self.control.events.note(format!("{}: {missed}", self.path.display()));
                });
                return Ok(Opened::Natively(tree));
            }
            Err(DiskError::Unsupported(reason)) => reason,
            Err(error) => return Err(error.into()),
        };
        let sector = self.disk.sector()?;
        if sector != disk::SECTOR {
            return Err(ImageError::SectorsUnread { sector, reason });
        }
        self.control.events.note(format!("reading {} through the appliance: {reason}", self.path.display()));
        let format = match self.info().format {
            Format::Raw => DriveFormat::Raw,
            Format::Qcow2 => DriveFormat::Qcow2,
        };
        let drives = vec![Drive::read_only(&self.path, format)];
        let options = SessionOptions { drives, ..SessionOptions::default() };
        let mut session = Session::launch(&options, &self.control)?;
        session.mount_root(true)?;
        Ok(Opened::ThroughAppliance(Box::new(SessionTree::new(session, reason))))
    }

    /// Hands the file tree to `work`, and closes the image.
    ///
    /// # Errors
    /// As [`tree`](Self::tree), what `work` returns, or as [`close`](Self::close).
    pub fn read<T>(mut self, work: impl FnOnce(&mut dyn Tree) -> Result<T>) -> Result<T> {
        let result = work(&mut self.tree()?);
        let closed = self.close();
        let result = result?;
        closed?;
        Ok(result)
    }

    /// Ends the appliance, if there is one, in good order.
    ///
    /// # Errors
    /// [`ImageError::Guest`] when it did not end well: what was read may not be all there is.
    pub fn close(self) -> Result<(), ImageError> {
        if let Some(Opened::ThroughAppliance(tree)) = self.opened {
            tree.into_session().shutdown()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
