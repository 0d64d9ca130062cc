//! Settings that a build may have left behind and that somebody may have meant: warnings, where the sealing gate knows tib's own.

use std::net::IpAddr;

use super::part::{Found, ReportPart, joined};
use crate::disk::{FileKind, Tree};
use crate::os::ReadError;
use crate::os::files::{glob, optional, read_optional, show};

pub(super) fn leftovers(tree: &mut dyn Tree) -> ReportPart {
    let mut part = ReportPart::default();
    part.warn(
        "packages come by way of a proxy",
        proxies(tree),
        "an instance that does not reach it installs nothing, and may wait minutes for it",
        "remove the setting, unless instances reach that proxy",
    );
    part.warn(
        "packages come from a machine that instances do not know",
        mirrors(tree),
        "the address means something else where an instance runs, or nothing",
        "put the distribution's sources back, or name a mirror that instances reach",
    );
    part.warn(
        "addresses are preferred in an order of the image's own",
        preferences(tree),
        "builds do so to avoid IPv6; instances with IPv6 then use IPv4 all the same",
        "put the distribution's /etc/gai.conf back",
    );
    part
}

/// The text of every file at some patterns.
fn texts(tree: &mut dyn Tree, patterns: &[&str]) -> Result<Vec<(String, String)>, ReadError> {
    let mut found = Vec::new();
    for pattern in patterns {
        for path in glob(tree, pattern.as_bytes())? {
            if optional(tree.stat(&path))?.is_some_and(|stat| stat.kind == FileKind::File) {
                let text = read_optional(tree, &path)?.unwrap_or_default();
                found.push((show(&path), String::from_utf8_lossy(&text).into_owned()));
            }
        }
    }
    Ok(found)
}

/// The settings of a text: lines that are no comments.
fn settings(text: &str) -> impl Iterator<Item = &str> {
    let lines = text.lines().map(str::trim);
    lines.filter(|line| !line.is_empty() && !line.starts_with(['#', ';']) && !line.starts_with("//"))
}

fn proxies(tree: &mut dyn Tree) -> Found {
    let mut found = Vec::new();
    for (path, text) in texts(tree, &["/etc/apt/apt.conf", "/etc/apt/apt.conf.d/*"])? {
        let sets = |line: &str| {
            let line = line.to_ascii_lowercase();
            line.starts_with("acquire")
                && line.contains("proxy")
                && !line.contains("direct")
                && line.contains("://")
        };
        if settings(&text).any(sets) {
            found.push(path);
        }
    }
    for (path, text) in texts(
        tree,
        &[
            "/etc/dnf/dnf.conf",
            "/etc/yum.conf",
            "/etc/yum.repos.d/*.repo",
            "/etc/pip.conf",
            "/root/.pip/pip.conf",
            "/root/.config/pip/pip.conf",
        ],
    )? {
        let sets = |line: &str| {
            let (key, value) = line.split_once('=').unwrap_or_default();
            matches!(key.trim(), "proxy" | "index-url" | "extra-index-url") && value.contains("://")
        };
        if settings(&text).any(sets) {
            found.push(path);
        }
    }
    for (path, text) in texts(tree, &["/etc/environment", "/etc/profile.d/*.sh"])? {
        let sets = |line: &str| {
            let line = line.trim_start_matches("export ").to_ascii_lowercase();
            ["http_proxy=", "https_proxy="].iter().any(|name| line.starts_with(name) && line.contains("://"))
        };
        if settings(&text).any(sets) {
            found.push(path);
        }
    }
    Ok(joined(&found))
}

fn mirrors(tree: &mut dyn Tree) -> Found {
    let patterns = [
        "/etc/apt/sources.list",
        "/etc/apt/sources.list.d/*.list",
        "/etc/apt/sources.list.d/*.sources",
        "/etc/yum.repos.d/*.repo",
    ];
    let mut found = Vec::new();
    for (path, text) in texts(tree, &patterns)? {
        for line in settings(&text) {
            for rest in line.split("://").skip(1) {
                let host = rest.split(['/', ' ', '\t', '"']).next().unwrap_or_default();
                let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
                let host = match host.strip_prefix('[') {
                    Some(rest) => rest.split(']').next().unwrap_or_default(),
                    None => host.split(':').next().unwrap_or_default(),
                };
                if is_of_the_builder(host) {
                    found.push(format!("{host} in {path}"));
                }
            }
        }
    }
    found.sort();
    found.dedup();
    Ok(joined(&found))
}

/// Whether a host is one that only the machine of the build, or its virtual machine, knows by this name.
fn is_of_the_builder(host: &str) -> bool {
    /// Where virtual machines with user networking find their host.
    const OF_MACHINES: [&str; 2] = ["10.0.2.2", "169.254.2.2"];
    match host.parse::<IpAddr>() {
        Ok(address) => address.is_loopback() || address.is_unspecified() || OF_MACHINES.contains(&host),
        Err(_) => matches!(host, "localhost" | "host.docker.internal" | "_gateway"),
    }
}

fn preferences(tree: &mut dyn Tree) -> Found {
    let mut found = Vec::new();
    for (path, text) in texts(tree, &["/etc/gai.conf"])? {
        found.extend(settings(&text).map(|line| format!("{line} in {path}")));
    }
    Ok(joined(&found))
}
