//! How leftovers are found.

use std::collections::BTreeSet;

use super::{BUILD_MARKER, Leftovers, Search};
use crate::disk::{DiskError, FileKind, Tree};
use crate::os::files::{
    base_name, glob, is_directory, join, names, optional, read_optional, read_start, walk,
};
use crate::os::identity::IDENTITIES;
use crate::os::{ReadError, users};

/// The appliance's network: what points there makes no sense in an instance.
const APPLIANCE_NETWORK: &[u8] = b"169.254.2.";

impl Search {
    pub(super) fn run(&self, tree: &mut dyn Tree) -> Leftovers {
        let mut found = Vec::new();
        match self {
            Self::Any(patterns) => {
                for pattern in *patterns {
                    found.extend(glob(tree, pattern.as_bytes())?);
                }
            }
            Self::Content(patterns) => {
                for pattern in *patterns {
                    found.extend(with_content(tree, pattern.as_bytes())?);
                }
            }
            Self::Homes(patterns) => {
                for home in homes(tree)? {
                    for pattern in *patterns {
                        found.extend(with_content(tree, &join(&home, pattern.as_bytes()))?);
                    }
                }
            }
            Self::Inside(look) => return look(tree),
        }
        Ok(found)
    }
}

fn with_content(tree: &mut dyn Tree, pattern: &[u8]) -> Result<Vec<Vec<u8>>, DiskError> {
    let mut found = glob(tree, pattern)?;
    let mut error = None;
    found.retain(|path| match tree.lstat(path) {
        Ok(stat) => stat.kind == FileKind::File && stat.size > 0,
        Err(problem) => {
            error = Some(problem);
            false
        }
    });
    error.map_or(Ok(found), Err)
}

/// The homes of all users that exist, as directories, each once. `/root` is always among them.
fn homes(tree: &mut dyn Tree) -> Leftovers {
    let mut homes = BTreeSet::from([b"/root".to_vec()]);
    for user in users(tree)? {
        let home = user.home.as_bytes();
        // A home with a wildcard in its name would be taken for a pattern.
        if home.contains(&b'*') || home.contains(&b'?') {
            return Err(ReadError::malformed("/etc/passwd", format!("the home of {} is odd", user.name)));
        }
        if home.starts_with(b"/") {
            homes.insert(home.to_vec());
        }
    }
    let mut existing = Vec::new();
    for home in homes {
        if is_directory(tree, &home)? {
            existing.push(home);
        }
    }
    Ok(existing)
}

/// A machine id that every instance would share. `uninitialized` and an empty file make a new one at boot.
pub(super) fn machine_id(tree: &mut dyn Tree) -> Leftovers {
    const SYSTEMD: &[u8] = b"/etc/machine-id";
    const DBUS: &[u8] = b"/var/lib/dbus/machine-id";
    let mut found = Vec::new();
    if let Some(id) = read_optional(tree, SYSTEMD)?
        && !matches!(id.trim_ascii(), b"" | b"uninitialized")
    {
        found.push(SYSTEMD.to_vec());
    }
    // A link to the first is what it should be.
    if optional(tree.lstat(DBUS))?.is_some_and(|stat| stat.kind == FileKind::File && stat.size > 0) {
        found.push(DBUS.to_vec());
    }
    Ok(found)
}

/// The files at a pattern with something in them, and of directories there the first such file below.
fn with_content_below(tree: &mut dyn Tree, pattern: &[u8]) -> Result<Vec<Vec<u8>>, DiskError> {
    let mut found = Vec::new();
    for path in glob(tree, pattern)? {
        let stat = tree.lstat(&path)?;
        let mut first = None;
        match stat.kind {
            FileKind::File if stat.size > 0 => first = Some(path),
            FileKind::Directory => walk(tree, &path, &mut |below, stat| {
                if first.is_none() && stat.kind == FileKind::File && stat.size > 0 {
                    first = Some(below.to_vec());
                }
            })?,
            _ => {}
        }
        found.extend(first);
    }
    Ok(found)
}

/// What identifies one machine, with something in it.
pub(super) fn identities(tree: &mut dyn Tree) -> Leftovers {
    let mut found = Vec::new();
    for identity in IDENTITIES {
        for pattern in identity.paths {
            // Directories are there before anything is in them.
            for path in with_content_below(tree, pattern.as_bytes())? {
                let is_unmade = match identity.instead {
                    Some(instead) => {
                        read_optional(tree, &path)?.unwrap_or_default() == instead.text.as_bytes()
                    }
                    None => false,
                };
                if !is_unmade {
                    found.push(path);
                }
            }
        }
    }
    Ok(found)
}

/// The appliance's name server in `resolv.conf`, and the original that libguestfs put aside under a name of
/// eight random letters and digits and did not put back.
pub(super) fn resolver(tree: &mut dyn Tree) -> Leftovers {
    const RESOLV: &[u8] = b"/etc/resolv.conf";
    let mut found = Vec::new();
    if let Some(text) = read_optional(tree, RESOLV)?
        && contains(&text, APPLIANCE_NETWORK)
    {
        found.push(RESOLV.to_vec());
    }
    for name in names(tree, b"/etc")? {
        let random = name.len() == 8 && name.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        let path = join(b"/etc", &name);
        if random && is_resolver(tree, &path)? {
            found.push(path);
        }
    }
    Ok(found)
}

fn is_resolver(tree: &mut dyn Tree, path: &[u8]) -> Result<bool, DiskError> {
    let stat = tree.lstat(path)?;
    match stat.kind {
        FileKind::Symlink => {
            let target = tree.read_link(path)?;
            Ok(base_name(&target).ends_with(b"resolv.conf"))
        }
        FileKind::File => {
            let start = read_start(tree, path, 4096)?;
            Ok(start.split(|&byte| byte == b'\n').any(|line| line.starts_with(b"nameserver ")))
        }
        _ => Ok(false),
    }
}

/// Settings of the build in the package managers' configuration: marked ones, and proxies in the appliance's
/// network.
pub(super) fn proxies(tree: &mut dyn Tree) -> Leftovers {
    const PLACES: [&str; 12] = [
        "/etc/apt/apt.conf",
        "/etc/apt/apt.conf.d/*",
        "/etc/apt/sources.list",
        "/etc/apt/sources.list.d/*",
        "/etc/dnf/dnf.conf",
        "/etc/yum.conf",
        "/etc/yum.repos.d/*",
        "/etc/zypp/zypp.conf",
        "/etc/sysconfig/proxy",
        "/etc/environment",
        "/etc/pip.conf",
        "/etc/profile.d/*",
    ];
    let mut found = Vec::new();
    for place in PLACES {
        for path in glob(tree, place.as_bytes())? {
            let stat = optional(tree.stat(&path))?;
            if stat.is_none_or(|stat| stat.kind != FileKind::File) {
                continue;
            }
            let text = read_optional(tree, &path)?.unwrap_or_default();
            if contains(&text, BUILD_MARKER.as_bytes()) || contains(&text, APPLIANCE_NETWORK) {
                found.push(path);
            }
        }
    }
    Ok(found)
}

/// The configuration of `subscription-manager`, if it holds a user or password of a proxy.
pub(super) fn subscription_credentials(tree: &mut dyn Tree) -> Leftovers {
    const CONFIG: &[u8] = b"/etc/rhsm/rhsm.conf";
    let text = read_optional(tree, CONFIG)?.unwrap_or_default();
    let is_credential = |line: &[u8]| {
        let mut halves = line.splitn(2, |&byte| byte == b'=' || byte == b':');
        let name = halves.next().unwrap_or_default().trim_ascii().to_ascii_lowercase();
        let value = halves.next().unwrap_or_default().trim_ascii();
        matches!(name.as_slice(), b"proxy_user" | b"proxy_password") && !value.is_empty()
    };
    let found = text.split(|&byte| byte == b'\n').any(is_credential);
    Ok(if found { vec![CONFIG.to_vec()] } else { Vec::new() })
}

/// Private keys of people in the homes of users, whatever they are called, and of services where they are kept by custom.
pub(super) fn private_keys(tree: &mut dyn Tree) -> Leftovers {
    let mut found = Vec::new();
    for path in Search::Homes(&[".ssh/*"]).run(tree)? {
        let named = base_name(&path).starts_with(b"id_") && !path.ends_with(b".pub");
        if named || contains(&read_start(tree, &path, 256)?, b"PRIVATE KEY-----") {
            found.push(path);
        }
    }
    let services = Search::Content(&["/etc/ssl/private/*", "/etc/pki/tls/private/*"]).run(tree)?;
    found.extend(services.into_iter().filter(|path| !path.ends_with(b".pub")));
    Ok(found)
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}
