//! What operating system a base holds.

use std::path::Path;

use crate::control::Control;
use crate::disk::{DiskError, GrowthPlan, Policy};
use crate::distro::{Arch, OsRelease};
use crate::error::{Failure, Result};
use crate::image::{Image, ImageError};
use crate::os;

use super::BuildError;

/// Finds out what operating system `base` holds, and how its disk can grow. Refuses one whose programs this host cannot
/// run.
///
/// # Errors
/// [`BuildError::NoOperatingSystem`], [`BuildError::Architecture`], [`BuildError::Sectors`], or what is wrong with the
/// image.
pub(crate) fn inspect(base: &mut Image) -> Result<(OsRelease, GrowthPlan)> {
    let path = base.path().to_owned();
    let nothing = |reason| BuildError::NoOperatingSystem { path, reason };
    let found = match base.tree() {
        Ok(mut tree) => os::detect_os(&mut tree),
        // The error says what a base must be.
        Err(ImageError::Disk(DiskError::NoSystem(reason))) => return Err(nothing(reason).into()),
        Err(ImageError::SectorsUnread { sector, .. }) => return Err(BuildError::Sectors { sector }.into()),
        Err(error) => return Err(error.into()),
    };
    let os = found.map_err(|error| nothing(Failure::from(error).to_string()))?;
    match Arch::host() {
        Some(host) if host != os.arch => {
            Err(BuildError::Architecture { guest: os.arch.name().to_owned(), host }.into())
        }
        _ => Ok((os, base.growth()?)),
    }
}

/// Refuses a file that holds no operating system, as far as the host can tell: it is not worth a copy in the cache.
///
/// # Errors
/// [`BuildError::NoOperatingSystem`], or what is wrong with the image.
pub(crate) fn refuse_without_system(path: &Path, control: &Control) -> Result<()> {
    match Image::open(path, &Policy::default(), control)?.check_system() {
        Err(ImageError::Disk(DiskError::NoSystem(reason))) => {
            Err(BuildError::NoOperatingSystem { path: path.to_owned(), reason }.into())
        }
        checked => Ok(checked?),
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// What is refused of a disk that a script makes.
    fn refused(script: &str) -> Failure {
        let directory = tempfile::tempdir().unwrap();
        let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap());
        let mut command = Command::new("sh");
        command.args(["-euc", script]).env("PATH", path).current_dir(&directory);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let image = directory.path().join("disk.raw");
        let mut base = Image::open(&image, &Policy::default(), &Control::none()).unwrap();
        inspect(&mut base).unwrap_err()
    }

    #[test]
    fn the_error_says_what_a_base_must_be() {
        let large = "truncate -s 64M disk.raw; printf 'g\\nn\\n\\n\\n\\nw\\n' | fdisk -b 4096 disk.raw; \
                     printf 'hsqs' | dd of=disk.raw bs=1M seek=1 conv=notrunc";
        let empty = "truncate -s 64M disk.raw; mke2fs -q -t ext4 disk.raw";
        let unknown = "mkdir -p root/etc root/bin; echo ID=plan9 >root/etc/os-release; cp /bin/true root/bin/sh; \
                       truncate -s 64M disk.raw; mke2fs -q -t ext4 -d root disk.raw";
        for (script, message, hint) in [
            (large, "virtual disks that instances get have 512", "the maker's image"),
            (empty, "no operating system found in", "give a cloud image"),
            (unknown, "ID=plan9", "give a cloud image"),
        ] {
            let error = refused(script);
            assert!(error.to_string().contains(message), "{error}");
            assert!(error.hint().unwrap().contains(hint), "{error}: {:?}", error.hint());
        }
    }
}
