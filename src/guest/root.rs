//! Mounting the root file system of the first drive, and what belongs to it.

use guestfs::UmountOptArgs;

use super::GuestError;
use super::mounts::{Mount, What};
use super::session::Session;
use crate::shell::quote;

/// Where libguestfs mounts the guest, in the appliance.
const SYSROOT: &str = "/sysroot";

impl Session {
    /// Sees to it that the root file system of the first drive is mounted, with what its fstab names: finds it, unless
    /// it has been found before, and mounts what is not mounted that way already.
    ///
    /// # Errors
    /// [`GuestError::NoOperatingSystem`], or a failed mount.
    pub fn mount_root(&mut self, read_only: bool) -> Result<(), GuestError> {
        if self.mounted == Some(read_only) {
            return Ok(());
        }
        if self.mounted.is_some() {
            self.unmount()?;
        }
        self.find_root()?;
        let layout = self.layout.clone().unwrap_or_default();
        if let Err(error) = self.mount_layout(&layout, read_only) {
            // What is half mounted must not be in the way of whatever comes next.
            let _ = self.unmount();
            return Err(error);
        }
        self.mounted = Some(read_only);
        Ok(())
    }

    /// Finds the root file system and what belongs to it, once. Mounts nothing.
    pub(super) fn find_root(&mut self) -> Result<(), GuestError> {
        if self.layout.is_none() {
            self.layout = Some(self.find_layout()?);
        }
        Ok(())
    }

    fn mount_layout(&mut self, layout: &[Mount], read_only: bool) -> Result<(), GuestError> {
        self.bound.clear();
        for mount in layout {
            match &mount.what {
                What::Device { device, options } => {
                    self.mount_device(device, options, &mount.at, read_only)?;
                }
                What::Path { path, recursive } => self.bind(path, &mount.at, *recursive)?,
            }
        }
        Ok(())
    }

    /// Mounts a device of the appliance (`/dev/sda2`).
    ///
    /// # Errors
    /// [`GuestError::Call`].
    pub fn mount(&mut self, device: &str, at: &str, read_only: bool) -> Result<(), GuestError> {
        self.mount_device(device, "", at, read_only)
    }

    /// Unmounts what is mounted at a path or is on a device.
    ///
    /// # Errors
    /// [`GuestError::Call`], `EBUSY` if something still uses it.
    fn umount(&mut self, at: &str) -> Result<(), GuestError> {
        let path = at.to_owned();
        self.call("umount", Some(at), move |g| g.umount(&path, UmountOptArgs::default()))
    }

    /// Unmounts everything and writes it out. Afterwards the file of a drive may be copied while the session
    /// goes on.
    ///
    /// # Errors
    /// [`GuestError::Call`].
    pub fn unmount(&mut self) -> Result<(), GuestError> {
        for at in std::mem::take(&mut self.payloads).into_iter().rev() {
            self.umount_payload(&at)?;
        }
        self.mounted = None;
        self.call("umount_all", None, |g| g.umount_all().and_then(|()| g.sync()))
    }

    /// Mounts a whole drive, read-only, in the guest's tree. Its directory is made, and removed again when it is
    /// unmounted.
    ///
    /// # Errors
    /// [`GuestError::Call`].
    pub fn mount_payload(&mut self, drive: usize, at: &str) -> Result<(), GuestError> {
        let device = device_name(drive);
        let path = at.to_owned();
        let made = self.call("mkdir_p", Some(at), move |g| {
            if g.exists(&path)? { Ok(false) } else { g.mkdir_p(&path).map(|()| true) }
        })?;
        self.mount(&device, at, true)?;
        if made {
            self.payloads.push(at.to_owned());
        }
        Ok(())
    }

    /// Unmounts what [`mount_payload`](Self::mount_payload) mounted and removes its directory.
    ///
    /// # Errors
    /// [`GuestError::Call`].
    pub fn umount_payload(&mut self, at: &str) -> Result<(), GuestError> {
        self.umount(at)?;
        self.payloads.retain(|other| other != at);
        let path = at.to_owned();
        self.call("rmdir", Some(at), move |g| g.rmdir(&path))
    }

    /// The device of the mounted root file system.
    ///
    /// # Errors
    /// [`GuestError::NoOperatingSystem`] before it has been found.
    pub(super) fn root_device(&self) -> Result<&str, GuestError> {
        let root = self.layout.iter().flatten().find(|mount| mount.at == "/");
        match root.map(|mount| &mount.what) {
            Some(What::Device { device, .. }) => Ok(device),
            _ => Err(GuestError::NoOperatingSystem { reason: "nothing has been mounted yet".to_owned() }),
        }
    }

    fn mount_device(&self, device: &str, options: &str, at: &str, read_only: bool) -> Result<(), GuestError> {
        let options = match (read_only, options) {
            (false, options) => options.to_owned(),
            (true, "") => "ro".to_owned(),
            (true, options) => format!("ro,{options}"),
        };
        let (device, point) = (device.to_owned(), at.to_owned());
        self.call("mount", Some(at), move |g| g.mount_options(&options, &device, &point))
    }

    /// Shows a path of the guest at another place too. libguestfs has no call for it.
    fn bind(&mut self, path: &str, at: &str, recursive: bool) -> Result<(), GuestError> {
        let (source, point) = (path.to_owned(), at.to_owned());
        // The guest's links lead elsewhere in the appliance, so they are resolved first.
        let resolved = self.call("realpath", Some(path), move |g| {
            if !g.exists(&source)? || !g.exists(&point)? {
                return Ok(None);
            }
            Ok(Some((g.realpath(&source)?, g.realpath(&point)?)))
        })?;
        let Some((source, point)) = resolved else {
            self.events
                .warning(format!("the image's fstab binds {path} to {at}, and one of them is not there"));
            return Ok(());
        };
        let how = if recursive { "--rbind" } else { "--bind" };
        let words = (quote(&format!("{SYSROOT}{source}")), quote(&format!("{SYSROOT}{point}")));
        self.appliance_sh(&format!("mount {how} {} {}", words.0, words.1))?;
        self.bound.push(point);
        Ok(())
    }

    /// What to mark the number of a path's file system with, so that what is seen at two places counts as two: whoever
    /// walks the tree meets no directory twice.
    pub(super) fn place(&self, path: &[u8]) -> u64 {
        place(&self.bound, path)
    }
}

fn place(bound: &[String], path: &[u8]) -> u64 {
    let is_within = |point: &String| {
        path.strip_prefix(point.as_bytes()).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
    };
    // Far above the bits that device numbers have.
    bound.iter().rposition(is_within).map_or(0, |index| (index as u64 + 1) << 48)
}

/// The name the appliance gives to a drive, counted from 0.
pub(super) fn device_name(drive: usize) -> String {
    let mut letters = String::new();
    let mut number = drive + 1;
    while number > 0 {
        number -= 1;
        letters.insert(0, char::from(b'a' + u8::try_from(number % 26).unwrap_or_default()));
        number /= 26;
    }
    format!("/dev/sd{letters}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drives_are_named_as_linux_does() {
        for (drive, name) in [(0, "/dev/sda"), (25, "/dev/sdz"), (26, "/dev/sdaa"), (51, "/dev/sdaz")] {
            assert_eq!(device_name(drive), name);
        }
    }

    #[test]
    fn what_is_seen_twice_is_at_two_places() {
        let bound = ["/srv".to_owned(), "/srv/deep".to_owned()];
        let places =
            ["/var", "/srv", "/srv/x", "/srvx", "/srv/deep/x"].map(|path| place(&bound, path.as_bytes()));
        assert_eq!(places, [0, 1 << 48, 1 << 48, 0, 2 << 48]);
    }
}
