//! One stage: names in, a transaction with its files out.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use super::answer::{self, Simulated};
use super::error::{AptError, UnknownPackage};
use super::host::Apt;
use super::status::{self, Status};
use super::{Action, PackageFile, PackageSet, archive};

/// Names offered instead of an unknown one.
const SUGGESTIONS: usize = 3;

/// Refuses what apt would read as something other than one package: options, patterns, removals, releases.
pub(super) fn check_name(name: &str) -> Result<(), AptError> {
    let invalid = || AptError::Invalid { what: "package name", value: name.to_owned() };
    let (package, version) = name.split_once('=').map_or((name, None), |(p, v)| (p, Some(v)));
    let (bare, arch) = package.split_once(':').map_or((package, None), |(p, a)| (p, Some(a)));
    let made_of = |text: &str, extra: &[u8]| {
        text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || extra.contains(&b))
    };
    let good = made_of(bare, b"+-.")
        && !bare.ends_with('-')
        && arch.is_none_or(|arch| made_of(arch, b"-"))
        && version.is_none_or(|version| made_of(&version.to_ascii_lowercase(), b"+-.:~"));
    if good { Ok(()) } else { Err(invalid()) }
}

/// Brings `status` to what it is when the packages are removed, with all that depends on them.
pub(super) fn remove(
    apt: &Apt<'_>,
    root: &Path,
    status: &mut Status,
    names: &[&str],
) -> Result<(), AptError> {
    let installed = status.installed();
    // What is not there needs no removing, and apt need not know it.
    let names: Vec<_> = names.iter().copied().filter(|name| installed.contains(*name)).collect();
    if names.is_empty() {
        return Ok(());
    }
    write(root, status)?;
    let arguments = ["-s", "-q", "purge", "--"].into_iter().chain(names);
    for action in answer::simulation(&apt.call("resolving packages to remove", "apt-get", arguments)?)? {
        if let Simulated::Remove { name } = action {
            status.remove(&name);
        }
    }
    Ok(())
}

/// Writes the database where apt's configuration says it is.
pub(super) fn write(root: &Path, status: &Status) -> Result<(), AptError> {
    let path = root.join("status");
    fs_err::write(&path, status.to_string()).map_err(AptError::io("write", path))
}

/// Resolves what installing `names` takes, and brings `status` to what it is afterwards.
///
/// The file that apt reads stays as it was, so that the same transaction can be fetched.
pub(super) fn install(
    apt: &Apt<'_>,
    cache: &Path,
    status: &mut Status,
    names: &[&str],
) -> Result<PackageSet, AptError> {
    const DOING: &str = "resolving packages";
    let arguments =
        |first: &[&'static str]| first.iter().copied().chain(names.iter().copied()).collect::<Vec<_>>();
    // Only without `quiet` does apt tell which provider it takes for a virtual package.
    let simulate = arguments(&["-s", "-q=0", "-o", "quiet::NoProgress=true", "install", "--"]);
    let text = match apt.call(DOING, "apt-get", simulate.iter().copied()) {
        Ok(text) => text,
        // What does not fit together is explained on stdout.
        Err(AptError::Failed { .. }) => return Err(explained(apt, apt.explain(DOING, simulate))),
        Err(error) => return Err(error),
    };
    let transaction = answer::simulation(&text)?;
    let selected = answer::selections(&text);
    let before = status.installed();
    let mut requested = HashSet::new();
    let mut unknown = Vec::new();
    for name in names {
        let package = name.split('=').next().unwrap_or(name);
        let package = selected.get(package).copied().unwrap_or(package);
        let known = before.contains(package)
            || transaction
                .iter()
                .any(|action| matches!(action, Simulated::Unpack { name, .. } if name == package));
        // apt takes an unknown name with a dot in it for a pattern.
        if !known {
            unknown.push(package.to_owned());
        }
        requested.insert(package.to_owned());
    }
    if !unknown.is_empty() {
        return Err(AptError::Unknown { unknown: suggest(apt, unknown) });
    }

    let mut set = PackageSet {
        present: requested.iter().filter(|name| before.contains(*name)).cloned().collect(),
        ..PackageSet::default()
    };
    set.present.sort_unstable();
    let fetches = answer::fetches(&apt.call(
        DOING,
        "apt-get",
        arguments(&["--print-uris", "-qq", "install", "--"]),
    )?)?;
    let stanzas = stanzas(apt, &transaction)?;
    for action in transaction {
        match action {
            Simulated::Unpack { name, version, arch } => {
                let odd = |what: &str| AptError::Answer(format!("{what} of {name} {version} is missing"));
                let file_name = answer::file_name(&name, &version, &arch);
                let fetch = fetches.get(&file_name).ok_or_else(|| odd("the file"))?;
                let stanza = stanzas.get(&fetch.sha256).ok_or_else(|| odd("the record"))?;
                let kib: u64 =
                    status::field(stanza, "Installed-Size").and_then(|kib| kib.parse().ok()).unwrap_or(0);
                status.install(stanza);
                set.order.push(Action::Unpack(set.files.len()));
                set.files.push(PackageFile {
                    requested: requested.contains(&name),
                    new: !before.contains(&name),
                    path: archive::path(cache, &fetch.sha256),
                    sha256: fetch.sha256.clone(),
                    size: fetch.size,
                    installed_size: kib.saturating_mul(1024),
                    name,
                    version,
                    arch,
                });
            }
            Simulated::Configure { name } => set.order.push(Action::Configure(name)),
            Simulated::Remove { name } => {
                status.remove(&name);
                set.order.push(Action::Remove(name));
            }
        }
    }
    Ok(set)
}

/// The index records of everything a transaction unpacks, by the SHA-256 of their files.
fn stanzas(apt: &Apt<'_>, transaction: &[Simulated]) -> Result<HashMap<String, String>, AptError> {
    let unpacked = transaction.iter().filter_map(|action| match action {
        Simulated::Unpack { name, version, .. } => Some(format!("{name}={version}")),
        _ => None,
    });
    let unpacked: Vec<String> = unpacked.collect();
    if unpacked.is_empty() {
        return Ok(HashMap::new());
    }
    let arguments = ["show", "--"].into_iter().chain(unpacked.iter().map(String::as_str));
    let text = apt.call("reading package records", "apt-cache", arguments)?;
    let by_hash = |stanza: &str| Some((status::field(stanza, "SHA256")?.to_lowercase(), stanza.to_owned()));
    Ok(status::stanzas(&text).filter_map(by_hash).collect())
}

/// Turns apt's complaints about unknown names into suggestions.
fn explained(apt: &Apt<'_>, error: AptError) -> AptError {
    const COMPLAINTS: [(&str, &str); 3] = [
        ("E: Unable to locate package ", ""),
        ("E: Package '", "' has no installation candidate"),
        ("E: Version '", "' was not found"),
    ];
    let AptError::Failed { lines, .. } = &error else { return error };
    let mut unknown: Vec<String> = Vec::new();
    for line in lines {
        for (before, after) in COMPLAINTS {
            let Some(name) = line.strip_prefix(before).and_then(|rest| rest.strip_suffix(after)) else {
                continue;
            };
            // Version '1' for 'name'
            let name = match name.split_once("' for '") {
                Some((version, name)) => format!("{name}={version}"),
                None => name.to_owned(),
            };
            if !unknown.contains(&name) {
                unknown.push(name);
            }
        }
    }
    if unknown.is_empty() { error } else { AptError::Unknown { unknown: suggest(apt, unknown) } }
}

fn suggest(apt: &Apt<'_>, names: Vec<String>) -> Vec<UnknownPackage> {
    // Without suggestions the message is still right.
    let all = apt.call("reading package names", "apt-cache", ["pkgnames"]).unwrap_or_default();
    names
        .into_iter()
        .map(|name| {
            let bare = name.split(['=', ':']).next().unwrap_or(&name);
            let scored = all.lines().map(|known| (strsim::jaro_winkler(bare, known), known));
            let mut near: Vec<_> = scored.filter(|(score, known)| *score > 0.85 && *known != bare).collect();
            near.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
            let similar = near.into_iter().take(SUGGESTIONS).map(|(_, known)| known.to_owned()).collect();
            UnknownPackage { name, similar }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn package_names() {
        for good in
            ["g++", "libc6:i386", "mariadb-server=1:10.11.6-0+deb12u1", "python3.11", "0ad", "x=1.0A~rc1"]
        {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in
            ["", "-y", "x-", "x/stable", "x*", "~i", "?essential", "x y", "X", "x=", "x:", "./x.deb", "x=1 y"]
        {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }
}
