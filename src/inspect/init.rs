//! The first process.

use schemars::JsonSchema;
use serde::Serialize;

use super::system::program;
use crate::disk::Tree;
use crate::os::ReadError;
use crate::os::files::{base_name, glob, is_directory, show};

/// The first process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Init {
    /// Which it is.
    pub kind: InitKind,
    /// The program behind `/sbin/init`.
    pub program: Option<String>,
    /// systemd: its version, by the name of its library.
    pub version: Option<String>,
}

/// Kinds of init.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum InitKind {
    /// systemd.
    Systemd,
    /// System V init.
    Sysvinit,
    /// Upstart, of Ubuntu up to 14.10 and Red Hat 6.
    Upstart,
    /// OpenRC.
    Openrc,
    /// BusyBox.
    Busybox,
    /// Something else.
    Unknown,
    /// There is no `/sbin/init`.
    Missing,
}

impl InitKind {
    /// Its name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Systemd => "systemd",
            Self::Sysvinit => "System V init",
            Self::Upstart => "Upstart",
            Self::Openrc => "OpenRC",
            Self::Busybox => "BusyBox",
            Self::Unknown => "unknown",
            Self::Missing => "no /sbin/init",
        }
    }
}

pub(crate) fn init(tree: &mut dyn Tree) -> Result<Init, ReadError> {
    let Some((path, name)) = program(tree, "/sbin/init")? else {
        return Ok(Init { kind: InitKind::Missing, program: None, version: None });
    };
    let kind = match name.as_str() {
        "systemd" => InitKind::Systemd,
        "openrc-init" => InitKind::Openrc,
        "busybox" => InitKind::Busybox,
        // Upstart's jobs are files `NAME.conf`; the other has one file, /etc/inittab.
        "init" | "upstart" if !glob(tree, b"/etc/init/*.conf")?.is_empty() => InitKind::Upstart,
        "init" if tree.exists(b"/etc/inittab")? => InitKind::Sysvinit,
        _ if is_directory(tree, b"/etc/runlevels")? => InitKind::Openrc,
        _ => InitKind::Unknown,
    };
    let version = if kind == InitKind::Systemd { systemd_version(tree)? } else { None };
    Ok(Init { kind, program: Some(path), version })
}

/// Whether systemd is there, be it the first process or not.
pub(crate) fn has_systemd(tree: &mut dyn Tree) -> Result<bool, ReadError> {
    for program in ["/usr/lib/systemd/systemd", "/lib/systemd/systemd"] {
        if tree.exists(program.as_bytes())? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// systemd's programs share a library that has the version in its name.
fn systemd_version(tree: &mut dyn Tree) -> Result<Option<String>, ReadError> {
    for pattern in [
        b"/usr/lib/systemd/libsystemd-shared-*.so".as_slice(),
        b"/usr/lib/*/systemd/libsystemd-shared-*.so",
        b"/usr/lib64/systemd/libsystemd-shared-*.so",
        b"/lib/systemd/libsystemd-shared-*.so",
    ] {
        if let Some(path) = glob(tree, pattern)?.last() {
            let name = show(base_name(path));
            let version = name.strip_prefix("libsystemd-shared-").and_then(|name| name.strip_suffix(".so"));
            return Ok(version.map(str::to_owned));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::testing::MemTree;

    #[test]
    fn kinds() {
        let link = |target: &str| MemTree::new().link("/sbin/init", target).program(target, "");
        for (tree, kind, version) in [
            (
                link("/usr/lib/systemd/systemd")
                    .file("/usr/lib/x86_64-linux-gnu/systemd/libsystemd-shared-252.so", ""),
                InitKind::Systemd,
                Some("252"),
            ),
            (
                link("/usr/lib/systemd/systemd")
                    .file("/usr/lib/systemd/libsystemd-shared-252-32.el9_4.so", ""),
                InitKind::Systemd,
                Some("252-32.el9_4"),
            ),
            (link("/lib/systemd/systemd"), InitKind::Systemd, None),
            (MemTree::new().program("/sbin/init", "").file("/etc/inittab", ""), InitKind::Sysvinit, None),
            (MemTree::new().program("/sbin/init", "").file("/etc/init/rc.conf", ""), InitKind::Upstart, None),
            (MemTree::new().program("/sbin/init", "").dir("/etc/runlevels/boot"), InitKind::Openrc, None),
            (link("/bin/busybox"), InitKind::Busybox, None),
            (MemTree::new().program("/sbin/init", ""), InitKind::Unknown, None),
            (MemTree::new(), InitKind::Missing, None),
            (MemTree::new().link("/sbin/init", "/gone"), InitKind::Missing, None),
        ] {
            let found = init(&mut tree.clone()).unwrap();
            assert_eq!((found.kind, found.version.as_deref()), (kind, version), "{found:?}");
        }
        assert!(init(&mut link("/lib/systemd/systemd").broken("/lib")).is_err());
    }
}
