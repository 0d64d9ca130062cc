//! What operating system an image holds, read on the host where possible.

use std::path::Path;

use crate::cache::Cache;
use crate::cancel::Cancel;
use crate::disk::{self, DiskError, GrowthPlan, Policy, Tree};
use crate::distro::{Arch, OsRelease};
use crate::error::{Failure, Result};
use crate::event::Events;
use crate::guest::{Drive, DriveFormat, Session, SessionOptions, SessionTree};
use crate::os;

use super::BuildError;
use super::watch::Watched;

/// Opens the file tree of an image and hands it to `work`: natively if its file systems allow that, otherwise
/// through an appliance with the image attached read-only.
///
/// # Errors
/// [`DiskError`] when the image is refused or damaged, [`GuestError`](crate::guest::GuestError) when the
/// appliance cannot read it either, [`BuildError::SectorsUnread`] when it is not asked, or what `work` returns.
pub fn with_tree<T>(
    image: &Path,
    policy: &Policy,
    events: &Events,
    cancel: &Cancel,
    work: impl FnOnce(&mut dyn Tree) -> Result<T>,
) -> Result<T> {
    let what = format!("reading {}", image.display());
    let watched = |tree| Watched::new(tree, what.clone(), events, cancel);
    let reason = match disk::open_os_tree(image, policy) {
        Ok(mut tree) => return work(&mut watched(&mut *tree)),
        Err(DiskError::Unsupported(reason)) => reason,
        Err(error) => return Err(error.into()),
    };
    let sector = disk::sector_size(image, policy)?;
    if sector != disk::SECTOR {
        return Err(BuildError::SectorsUnread { sector, reason }.into());
    }
    events.note(format!("reading {} through the appliance: {reason}", image.display()));
    let info = disk::gate(image, policy)?;
    let format = match info.format {
        disk::Format::Raw => DriveFormat::Raw,
        disk::Format::Qcow2 => DriveFormat::Qcow2,
    };
    let options =
        SessionOptions { drives: vec![Drive::read_only(image, format)], ..SessionOptions::default() };
    let mut session = Session::launch(&options, events, cancel)?;
    session.mount_root(true)?;
    let mut tree = SessionTree::new(session, reason);
    let result = work(&mut watched(&mut tree));
    let ended = tree.into_session().shutdown();
    let result = result?;
    ended?;
    Ok(result)
}

/// Finds out what operating system `image` holds, and how its disk can grow. Refuses one whose programs this host cannot
/// run.
///
/// # Errors
/// [`BuildError::NoOperatingSystem`], [`BuildError::Architecture`], [`BuildError::Sectors`], or what is wrong with the
/// image.
pub fn inspect(
    image: &Path,
    cache: &Cache,
    events: &Events,
    cancel: &Cancel,
) -> Result<(OsRelease, GrowthPlan)> {
    let policy = Policy::within(cache.root());
    let nothing = |reason| BuildError::NoOperatingSystem { path: image.to_owned(), reason };
    // Looked at first, so that the error can say what a base must be.
    match disk::open_os_tree(image, &policy) {
        Err(DiskError::NoSystem(reason)) => return Err(nothing(reason).into()),
        Err(DiskError::Unsupported(_)) => match disk::sector_size(image, &policy)? {
            disk::SECTOR => {}
            sector => return Err(BuildError::Sectors { sector }.into()),
        },
        _ => {}
    }
    let (os, root) = with_tree(image, &policy, events, cancel, |tree| {
        let os = os::detect_os(tree).map_err(|error| nothing(Failure::from(error).to_string()))?;
        Ok((os, tree.root()?))
    })?;
    match Arch::host() {
        Some(host) if host != os.arch => {
            Err(BuildError::Architecture { guest: os.arch.name().to_owned(), host }.into())
        }
        _ => Ok((os, GrowthPlan::read(image, &policy, root)?)),
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::error::Exit;

    /// A disk of sectors of 4096 bytes with a file system that is not read natively.
    #[test]
    fn what_is_said_of_large_sectors_depends_on_what_is_done() {
        let directory = tempfile::tempdir().unwrap();
        let image = directory.path().join("disk.raw");
        let script = "truncate -s 64M disk.raw; printf 'g\\nn\\n\\n\\n\\nw\\n' | fdisk -b 4096 disk.raw; \
                      printf XFSB | dd of=disk.raw bs=1M seek=1 conv=notrunc";
        let output = Command::new("sh").args(["-ec", script]).current_dir(&directory).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let (events, cancel) = (Events::none(), Cancel::new());
        let looked = with_tree(&image, &Policy::default(), &events, &cancel, |_| Ok(())).unwrap_err();
        assert!(looked.to_string().contains("sectors of 512 bytes only"), "{looked}");
        assert!(looked.to_string().contains("XFS"), "{looked}");
        assert_eq!((looked.exit(), looked.to_string().contains("instances")), (Exit::Integrity, false));
        assert!(looked.hint().unwrap().contains("guestfish --ro --blocksize=4096 "));
        let cache = Cache::open(Some(directory.path().join("cache"))).unwrap();
        let built = inspect(&image, &cache, &events, &cancel).unwrap_err();
        assert!(built.to_string().contains("virtual disks that instances get have 512"), "{built}");
        assert!(built.hint().unwrap().contains("the maker's image"), "{built}");
    }
}
