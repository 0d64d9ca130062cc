//! What an image does not hold, and a running instance has: places, and mounts.

use crate::disk::Tree;
use crate::disk::fstab::{self, FstabEntry};
use crate::os::ReadError;
use crate::os::cloud_init;
use crate::os::files::{glob, read_optional};

/// What is there in a running instance only, or is written when it boots.
const AT_BOOT: [&str; 9] =
    ["/run", "/proc", "/sys", "/dev", "/tmp", "/var", "/etc/trove", "/etc/machine-id", "/mnt"];

/// Beginnings of the names of mounts that a generator makes of what partitions there are, or that are there in a running
/// instance only.
const MOUNTS_AT_BOOT: [&str; 11] =
    ["-.", "boot.", "efi.", "home.", "srv.", "var.", "run-", "dev-", "sys-", "proc-", "mnt"];

/// Whether a path is one of these, or below.
pub(super) fn is_at_boot(path: &str) -> bool {
    AT_BOOT.iter().any(|place| is_within(path, place))
}

/// Whether a path is a place, or below it.
pub(super) fn is_within(path: &str, place: &str) -> bool {
    path.strip_prefix(place).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether something makes a path that the image does not have, before services start: a mount, or systemd-tmpfiles.
pub(super) fn is_made(tree: &mut dyn Tree, path: &str) -> Result<bool, ReadError> {
    let entries = entries(tree)?;
    if entries.iter().any(|entry| !entry.point.is_empty() && is_within(path, &entry.point)) {
        return Ok(true);
    }
    for pattern in ["/etc/tmpfiles.d/*.conf", "/usr/lib/tmpfiles.d/*.conf"] {
        for file in glob(tree, pattern.as_bytes())? {
            let text = read_optional(tree, &file)?.unwrap_or_default();
            let text = String::from_utf8_lossy(&text);
            let mut made = text.lines().filter(|line| !line.trim_start().starts_with('#'));
            if made.any(|line| {
                line.split_whitespace().nth(1).is_some_and(|made| made.trim_end_matches('/') == path)
            }) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Whether a boot makes a mount of which there is no unit in the image.
pub(super) fn is_mounted(tree: &mut dyn Tree, name: &str) -> Result<bool, ReadError> {
    if MOUNTS_AT_BOOT.iter().any(|start| name.starts_with(start)) {
        return Ok(true);
    }
    let text = read_optional(tree, b"/etc/fstab")?.unwrap_or_default();
    let entries = fstab::parse(&String::from_utf8_lossy(&text));
    if entries.iter().any(|entry| mount_unit(&entry.point) == name) {
        return Ok(true);
    }
    // cloud-init writes these into /etc/fstab, and mounts them, before the agent starts.
    Ok(cloud_init::settings(tree, &["mounts"])?.get("mounts").is_some())
}

/// The name of the unit for a mount point, as systemd-escape makes it.
fn mount_unit(point: &str) -> String {
    let mut name = String::new();
    for (at, byte) in point.trim_matches('/').bytes().enumerate() {
        match byte {
            b'/' => name.push('-'),
            b'.' if at == 0 => name.push_str("\\x2e"),
            b'_' | b'.' | b':' => name.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => name.push(char::from(byte)),
            _ => name.push_str(&format!("\\x{byte:02x}")),
        }
    }
    name + ".mount"
}

/// What `/etc/fstab` mounts when the system boots.
pub(super) fn entries(tree: &mut dyn Tree) -> Result<Vec<FstabEntry>, ReadError> {
    let text = read_optional(tree, b"/etc/fstab")?.unwrap_or_default();
    let mut entries = fstab::parse(&String::from_utf8_lossy(&text));
    entries.retain(|entry| !entry.later);
    Ok(entries)
}
