//! Why an image could not be opened.

use crate::disk::DiskError;
use crate::error::{Diagnose, Exit};
use crate::guest::GuestError;

/// An image could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// It is refused or damaged, or there is no operating system in it.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The appliance, which had to read it, did not start, cannot read it either, or ended badly.
    #[error(transparent)]
    Guest(#[from] GuestError),
    /// Only the appliance could read its file systems, and its disk is not made for the appliance.
    #[error(
        "{reason}, and the appliance, which would have to read that, reads disks with sectors of 512 bytes only: this one \
         has sectors of {sector}"
    )]
    SectorsUnread {
        /// Bytes.
        sector: u64,
        /// Why the host does not read it.
        reason: String,
    },
}

impl Diagnose for ImageError {
    fn exit(&self) -> Exit {
        match self {
            Self::Disk(error) => error.exit(),
            Self::Guest(error) => error.exit(),
            Self::SectorsUnread { .. } => Exit::Integrity,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Disk(error) => error.hint(),
            Self::Guest(error) => error.hint(),
            Self::SectorsUnread { sector, .. } => {
                Some(format!("look at it with `guestfish --ro --blocksize={sector} -i -a IMAGE`"))
            }
        }
    }

    fn context(&self) -> Vec<String> {
        match self {
            Self::Disk(error) => error.context(),
            Self::Guest(error) => error.context(),
            Self::SectorsUnread { .. } => Vec::new(),
        }
    }
}
