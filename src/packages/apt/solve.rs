//! One stage: names in, a transaction with its files out.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::Path;

use super::answer::{self, Fetch, Simulated};
use super::error::{AptError, Contradiction, Fault, UnknownPackage};
use super::host::Apt;
use super::status::{self, Status};
use super::{DpkgAction, PackageSet, Resolved, StageRequest, Transaction};
use crate::digest::Digest;
use crate::mirror::Replaced;
use crate::recipe::package_name;

/// Names offered instead of an unknown one.
const SUGGESTIONS: usize = 3;

/// Refuses what apt would read as something other than one package: options, patterns, removals, releases.
pub(crate) fn check_name(name: &str) -> Result<(), AptError> {
    let invalid = || AptError::Invalid { what: "package name", value: name.to_owned() };
    let (package, version) = name.split_once('=').map_or((name, None), |(p, v)| (p, Some(v)));
    let made_of = |text: &str, extra: &[u8]| {
        text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || extra.contains(&b))
    };
    let good = made_of(package, b"+-.")
        && !package.ends_with('-')
        && version.is_none_or(|version| made_of(&version.to_ascii_lowercase(), b"+-.:~"));
    if good { Ok(()) } else { Err(invalid()) }
}

/// Removes the packages that a stage names, with their configuration, all that depends on them, and what came as
/// a dependency and is not needed any more. Brings `status` to what it is afterwards, and returns their names in the
/// order in which they go.
pub(crate) fn remove(
    apt: &Apt<'_>,
    root: &Path,
    status: &mut Status,
    stage: &StageRequest<'_>,
) -> Result<Vec<String>, AptError> {
    // What is not there needs no removing, and apt need not know it.
    let names: Vec<_> = stage.remove.iter().copied().filter(|name| status.knows(name)).collect();
    if names.is_empty() {
        return Ok(Vec::new());
    }
    write(root, status)?;
    // Essential packages and those on hold as well: what may go is decided by what the whole answer is.
    let options = ["-s", "-q", "--auto-remove", "--allow-remove-essential", "--allow-change-held-packages"];
    let arguments: Vec<_> = options.into_iter().chain(["purge", "--"]).chain(names.iter().copied()).collect();
    let doing = "resolving packages to remove";
    let text = match apt.call(doing, "apt-get", arguments.iter().copied()) {
        Ok(text) => text,
        Err(AptError::Failed { .. }) => return Err(with_holds(apt.explain(doing, arguments), status)),
        Err(error) => return Err(error),
    };
    let mut removed = Vec::new();
    for action in answer::simulation(&text)? {
        match action {
            Simulated::Remove { name } => {
                status.remove(&name);
                removed.push(name);
            }
            Simulated::Unpack { name, .. } => {
                return Err(AptError::Contradiction(Box::new(Contradiction {
                    summary: format!(
                        "{}: removing `{}` makes apt install `{name}` in its place",
                        stage.place(names[0]),
                        names.join("`, `")
                    ),
                    details: Vec::new(),
                    hint: format!("name what shall be there instead in `install`: `{name}`, for example"),
                })));
            }
            Simulated::Configure { .. } => {}
        }
    }
    Ok(removed)
}

/// Writes dpkg's database and apt's own where apt's configuration says they are.
pub(crate) fn write(root: &Path, status: &Status) -> Result<(), AptError> {
    let path = root.join("status");
    fs_err::write(&path, status.to_string()).map_err(AptError::io("write", path))?;
    let path = root.join("extended_states");
    fs_err::write(&path, status.extended_states()).map_err(AptError::io("write", path))
}

/// The set of a stage for which apt has nothing to do.
pub(crate) fn nothing() -> PackageSet {
    PackageSet {
        files: Vec::new(),
        present: Vec::new(),
        removed: Vec::new(),
        transaction: Transaction::Apt(Vec::new()),
    }
}

/// What installing the packages of a stage takes.
pub(crate) struct Solved<'a> {
    pub(crate) set: PackageSet,
    /// The package that each name of the recipe stands for.
    pub(crate) chosen: Vec<(&'a str, String)>,
    /// What apt was asked to install; asked again, it does the same.
    pub(crate) names: Vec<String>,
}

/// Resolves what installing the packages of `stage` takes, and brings `status` to what it is afterwards.
///
/// The file that apt reads stays as it was, so that the same transaction can be fetched.
pub(crate) fn install<'a>(
    apt: &Apt<'_>,
    status: &mut Status,
    stage: &StageRequest<'a>,
) -> Result<Solved<'a>, AptError> {
    let (names, answer) = choose(apt, status, stage)?;
    let transaction = answer::simulation(&answer)?;
    let chosen = chosen(apt, status, stage, &answer, &transaction)?;
    for name in answer::downgraded(&answer) {
        if !stage.install.iter().any(|text| text.split_once('=').is_some_and(|(asked, _)| asked == name)) {
            apt.control
                .events
                .note(format!("`{name}` goes back to an older version, because its source has priority"));
        }
    }
    let uris = arguments(&["--print-uris", "-qq", "--allow-remove-essential", "install", "--"], &names);
    let fetches = answer::fetches(&apt.call(DOING, "apt-get", uris.iter().map(String::as_str))?)?;
    let files = Files { fetches, stanzas: stanzas(apt, &transaction)?, replaced: apt.replaced };
    let requested = chosen.iter().map(|(_, package)| package.as_str()).collect();
    let set = apply(transaction, &files, &requested, status)?;
    Ok(Solved { set, chosen, names })
}

/// What apt is asked to install for a stage, and what it answers: what the stage names, and what is recommended, as far as
/// that goes together.
fn choose(
    apt: &Apt<'_>,
    status: &Status,
    stage: &StageRequest<'_>,
) -> Result<(Vec<String>, String), AptError> {
    let held = status.held();
    // What is on hold stays as it is, which is what a name without a version asks for.
    let asked = stage.install.iter().filter(|name| !held.contains(**name));
    let asked: Vec<String> = asked.map(|&name| name.to_owned()).collect();
    let mut left_out = BTreeSet::new();
    loop {
        let mut recommended = recommended(apt, status, stage, &left_out)?;
        // What was asked for keeps the version that was asked for.
        recommended.retain(|name| !asked.iter().any(|asked| package_name(asked) == name));
        let names: Vec<String> = asked.iter().chain(&recommended).cloned().collect();
        let error = match simulate(apt, status, &arguments(&SIMULATE, &names)) {
            Ok(answer) => {
                if !left_out.is_empty() {
                    let names = left_out.into_iter().collect::<Vec<_>>().join("`, `");
                    apt.control.events.note(format!(
                        "stage {}: recommended, and left out because of what else is installed: `{names}`",
                        stage.name
                    ));
                }
                return Ok((names, answer));
            }
            Err(error @ AptError::Failed { fault: Fault::Dependencies, .. }) if !recommended.is_empty() => {
                error
            }
            Err(error) => return Err(error),
        };
        // Beside all that the stage names, apt takes of the recommended ones what does not stand in the way.
        let together = unpacked(apt, status, &arguments(&SIMULATE_RECOMMENDS, &asked))?;
        recommended.retain(|name| !together.contains(name));
        if recommended.is_empty() {
            return Err(error);
        }
        left_out.extend(recommended);
    }
}

/// The package that apt takes for each name of a stage.
fn chosen<'a>(
    apt: &Apt<'_>,
    before: &Status,
    stage: &StageRequest<'a>,
    answer: &str,
    transaction: &[Simulated],
) -> Result<Vec<(&'a str, String)>, AptError> {
    let before = before.installed();
    let selected = answer::selections(answer);
    let mut chosen = Vec::new();
    let mut unknown = Vec::new();
    for &name in &stage.install {
        let package = package_name(name);
        let package = selected.get(package).copied().unwrap_or(package);
        let known = before.contains(package)
            || transaction
                .iter()
                .any(|action| matches!(action, Simulated::Unpack { name, .. } if name == package));
        // apt takes an unknown name with a dot in it for a pattern.
        if !known {
            unknown.push(package.to_owned());
        }
        chosen.push((name, package.to_owned()));
    }
    if unknown.is_empty() { Ok(chosen) } else { Err(AptError::Unknown { unknown: suggest(apt, unknown) }) }
}

/// Where the packages of a transaction come from, and what their index says of them.
struct Files<'a> {
    /// By the name that apt gives to the file.
    fetches: HashMap<String, Fetch>,
    /// By the SHA-256 of the file.
    stanzas: HashMap<Digest, String>,
    /// Sources that mirrors stand for.
    replaced: &'a Replaced,
}

/// Brings `status` to what it is after a transaction, and returns what that takes. `requested` are packages that the recipe
/// names.
fn apply(
    transaction: Vec<Simulated>,
    files: &Files<'_>,
    requested: &HashSet<&str>,
    status: &mut Status,
) -> Result<PackageSet, AptError> {
    let before = status.installed();
    let mut order = Vec::new();
    let mut set = PackageSet {
        present: requested.iter().filter(|name| before.contains(**name)).map(|&n| n.to_owned()).collect(),
        ..nothing()
    };
    set.present.sort_unstable();
    for action in transaction {
        match action {
            Simulated::Unpack { name, version, arch } => {
                let odd = |what: &str| AptError::Answer(format!("{what} of {name} {version} is missing"));
                let file_name = answer::file_name(&name, &version, &arch);
                let fetch = files.fetches.get(&file_name).ok_or_else(|| odd("the file"))?;
                let stanza = files.stanzas.get(&fetch.digest).ok_or_else(|| odd("the record"))?;
                let kib: u64 =
                    status::field(stanza, "Installed-Size").and_then(|kib| kib.parse().ok()).unwrap_or(0);
                status.install(stanza);
                if !before.contains(&name) {
                    status.set_automatic(&name, !requested.contains(name.as_str()));
                }
                order.push(DpkgAction::Unpack(set.files.len()));
                set.files.push(Resolved {
                    requested: requested.contains(name.as_str()),
                    new: !before.contains(&name),
                    digest: fetch.digest,
                    size: fetch.size,
                    source: files.replaced.original(&fetch.url),
                    repository: None,
                    installed_size: kib.saturating_mul(1024),
                    name,
                    version,
                    arch,
                });
            }
            Simulated::Configure { name } => order.push(DpkgAction::Configure(name)),
            Simulated::Remove { name } => {
                status.remove(&name);
                order.push(DpkgAction::Remove(name));
            }
        }
    }
    set.present.iter().for_each(|name| status.set_automatic(name, false));
    set.transaction = Transaction::Apt(order);
    Ok(set)
}

const DOING: &str = "resolving packages";

/// Only without `quiet` does apt tell which provider it takes for a virtual package. Whether an essential package
/// may go is decided by what the whole answer is.
const SIMULATE: [&str; 7] =
    ["-s", "-q=0", "-o", "quiet::NoProgress=true", "--allow-remove-essential", "install", "--"];

/// Asks apt what it would do.
fn simulate(apt: &Apt<'_>, status: &Status, arguments: &[String]) -> Result<String, AptError> {
    match apt.call(DOING, "apt-get", arguments.iter().map(String::as_str)) {
        // What does not fit together is explained on stdout.
        Err(AptError::Failed { .. }) => {
            let error = apt.explain(DOING, arguments.iter().map(String::as_str));
            Err(with_holds(explained(apt, error), status))
        }
        answer => answer,
    }
}

/// As [`SIMULATE`], with what the packages recommend.
const SIMULATE_RECOMMENDS: [&str; 9] = [
    "-o",
    "APT::Install-Recommends=true",
    "-s",
    "-q=0",
    "-o",
    "quiet::NoProgress=true",
    "--allow-remove-essential",
    "install",
    "--",
];

fn arguments(first: &[&str], names: &[String]) -> Vec<String> {
    first.iter().copied().chain(names.iter().map(String::as_str)).map(str::to_owned).collect()
}

/// The names of everything that apt would unpack.
fn unpacked(apt: &Apt<'_>, status: &Status, arguments: &[String]) -> Result<Vec<String>, AptError> {
    let transaction = answer::simulation(&simulate(apt, status, arguments)?)?;
    let names = transaction.into_iter().filter_map(|action| match action {
        Simulated::Unpack { name, .. } => Some(name),
        _ => None,
    });
    Ok(names.collect())
}

/// Everything that is installed when those packages of a stage whose recommended ones are wanted are installed with
/// these, and without `left_out`; nothing if there are none.
///
/// They are resolved without the rest of the stage, because apt would take what that recommends as well.
fn recommended(
    apt: &Apt<'_>,
    status: &Status,
    stage: &StageRequest<'_>,
    left_out: &BTreeSet<String>,
) -> Result<Vec<String>, AptError> {
    if stage.recommends.is_empty() {
        return Ok(Vec::new());
    }
    let held = status.held();
    let asked = stage.install.iter().filter(|text| stage.recommends.contains(&package_name(text)));
    let asked = asked.filter(|text| !held.contains(**text));
    // A dash behind the name keeps a package out. One that is installed would be removed, and is only not to change.
    let before = status.installed();
    let kept_out = left_out.iter().filter(|name| !before.contains(*name)).map(|name| format!("{name}-"));
    let names: Vec<String> = asked.map(|&text| text.to_owned()).chain(kept_out).collect();
    let mut names = unpacked(apt, status, &arguments(&SIMULATE_RECOMMENDS, &names))?;
    names.retain(|name| !left_out.contains(name));
    Ok(names)
}

/// Adds what the base has on hold to an error about packages that do not fit together: apt does not touch it.
fn with_holds(error: AptError, status: &Status) -> AptError {
    match error {
        AptError::Failed { doing, reason, fault: Fault::Dependencies, mut lines } => {
            let held = status.held();
            if !held.is_empty() {
                let held = held.into_iter().collect::<Vec<_>>().join(", ");
                lines.push(format!("on hold in the base image, and left as it is: {held}"));
            }
            AptError::Failed { doing, reason, fault: Fault::Dependencies, lines }
        }
        error => error,
    }
}

/// The index records of everything a transaction unpacks, by the SHA-256 of their files.
fn stanzas(apt: &Apt<'_>, transaction: &[Simulated]) -> Result<HashMap<Digest, String>, AptError> {
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
    let by_hash = |stanza: &str| Some((Digest::parse(status::field(stanza, "SHA256")?)?, stanza.to_owned()));
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
    if unknown.is_empty() {
        return error;
    }
    let mut unknown = suggest(apt, unknown);
    for package in &mut unknown {
        let providers = answer::providers(lines, &package.name);
        if !providers.is_empty() {
            package.similar = providers;
        }
    }
    AptError::Unknown { unknown }
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
        for good in ["g++", "mariadb-server=1:10.11.6-0+deb12u1", "python3.11", "0ad", "x=1.0A~rc1"] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "-y",
            "x-",
            "x/stable",
            "x*",
            "~i",
            "?essential",
            "x y",
            "X",
            "x=",
            "x:",
            "x:i386",
            "./x.deb",
            "x=1 y",
        ] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }
}
