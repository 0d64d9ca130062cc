//! Stage after stage: names in, a set of verified files out.

use std::path::PathBuf;

use fs_err as fs;

use super::answer::{Chosen, Installed, Removal, Removed, problem, refusal};
use super::archive;
use super::error::{DnfError, Fault};
use super::host::{Dnf, HostDnf};
use super::keys::{self, Keys};
use super::metadata::Metadata;
use super::package_file::{self, Identity};
use super::repositories::Repositories;
use super::repository;
use super::root::Root;
use super::{PackageSet, RpmTransaction, StageRequest, Transaction, nothing};
use crate::control::Control;
use crate::digest::Digest;
use crate::disk::Tree;
use crate::packages::EntitledRepository;
use crate::recipe::package_name;
use crate::trust::openpgp::Keyring;

/// Refuses what dnf would read as something other than one package: options, patterns, paths, groups.
pub(crate) fn check_name(name: &str) -> Result<(), DnfError> {
    let (package, version) = name.split_once('=').map_or((name, None), |(p, v)| (p, Some(v)));
    let made_of = |text: &str, extra: &[u8]| {
        text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || extra.contains(&b))
    };
    let good = made_of(package, b"+-._") && version.is_none_or(|version| made_of(version, b"+-.:~^_"));
    if good { Ok(()) } else { Err(DnfError::Invalid { what: "package name", value: name.to_owned() }) }
}

/// The private root, as it is after the stages so far.
pub(crate) struct Solver<'a> {
    dnf: Dnf<'a>,
    root: Root,
    repositories: Repositories,
    cache: PathBuf,
    metadata: Metadata,
    offline: bool,
    control: &'a Control,
}

impl<'a> Solver<'a> {
    /// Imports the image's package database.
    pub(crate) fn new(
        host: &'a HostDnf,
        root: Root,
        cache: PathBuf,
        offline: bool,
        control: &'a Control,
    ) -> Result<Self, DnfError> {
        for directory in [archive::packages(&cache), archive::keys(&cache), cache.join("metadata")] {
            fs::create_dir_all(&directory).map_err(DnfError::io("create", directory))?;
        }
        let dnf = Dnf { host, home: root.path().join("home"), temp: root.path().join("tmp"), control };
        dnf.rpm("rpmdb", &root.database(), ["--importdb"], Some(&root.exported()))?;
        Ok(Self {
            dnf,
            root,
            repositories: Repositories::default(),
            metadata: Metadata::new(&cache, offline),
            cache,
            offline,
            control,
        })
    }

    /// Settles what repositories each stage has.
    pub(crate) fn settle(
        &mut self,
        tree: &mut dyn Tree,
        stages: &[StageRequest<'_>],
        entitled: &[EntitledRepository],
    ) -> Result<(), DnfError> {
        const DOING: &str = "reading the repositories of the base image";
        let Self { dnf, root, cache, offline, control, .. } = self;
        let keys = Keys { directory: archive::keys(cache), offline: *offline, control };
        self.repositories =
            Repositories::settle(root, tree, (stages, entitled), &keys, &control.events, || {
                let request = root.request("describe", "described", &root.path().join("cache"));
                dnf.ask(DOING, &request)?.map_err(|refused| refusal(DOING, refused))
            })?;
        Ok(())
    }

    /// Enables and disables the modules that a stage does; from then on they are.
    pub(crate) fn modules(&self, stage: &StageRequest<'_>) -> Result<(), DnfError> {
        for file in stage.repositories.iter().flat_map(|step| repository::modules(step)) {
            self.root.write(&format!("root{}", file.path), file.text.as_bytes())?;
        }
        Ok(())
    }

    /// Resolves what installing the packages of a stage takes, fetches and verifies it.
    pub(crate) fn install(&mut self, index: usize, stage: &StageRequest<'_>) -> Result<PackageSet, DnfError> {
        if self.repositories.of(index).is_empty() {
            return Err(DnfError::NoRepositories);
        }
        self.metadata.provide(&self.dnf, &self.root, &self.repositories, index)?;
        let (with, without): (Vec<&str>, Vec<&str>) =
            stage.install.iter().copied().partition(|text| stage.recommends.contains(&package_name(text)));
        let mut set = nothing();
        // What is recommended has to fit to all that is asked for, and not the other way round.
        for (names, weak) in [(without, false), (with, true)] {
            if !names.is_empty() {
                let solved = self.transaction(index, &names, weak)?;
                merge(&mut set, solved);
            }
        }
        Ok(set)
    }

    fn transaction(&mut self, index: usize, names: &[&str], weak: bool) -> Result<PackageSet, DnfError> {
        const DOING: &str = "resolving packages";
        let mut request =
            self.root.request("install", &format!("stage-{index}"), &self.root.path().join("cache"));
        request["install"] = names.into();
        request["weak"] = weak.into();
        request["cached"] = true.into();
        request["logins"] = self.repositories.logins(index, &self.control.netrc);
        request["offline"] = self.offline.into();
        request["packages"] = archive::packages(&self.cache).display().to_string().into();
        request["aliases"] = archive::aliases(&self.cache).display().to_string().into();
        let answer: Installed =
            self.dnf.ask("fetching packages", &request)?.map_err(|refused| refusal(DOING, refused))?;
        let mut set = nothing();
        let mut transaction = RpmTransaction { replaced: answer.replaced, ..RpmTransaction::default() };
        set.present = answer.present;
        for chosen in answer.files {
            self.control.cancel.check()?;
            let repository =
                self.repositories.of(index).iter().find(|known| known.section.name == chosen.repository);
            let repository =
                repository.ok_or_else(|| DnfError::Answer(format!("repository {}", chosen.repository)))?;
            if repository.keys.is_empty() {
                return Err(DnfError::NoKey(chosen.repository));
            }
            let digest = Digest::parse(&chosen.digest)
                .ok_or_else(|| DnfError::Answer(format!("digest of {}", chosen.name)))?;
            self.verify(&chosen, digest, &repository.keys)?;
            for (_, bytes) in &repository.keys {
                let key = Digest::of(bytes);
                if !transaction.keys.contains(&key) {
                    keys::keep(&archive::key(&self.cache, key), bytes)?;
                    transaction.keys.push(key);
                }
            }
            if chosen.beside {
                transaction.beside.push(set.files.len());
            }
            set.files.push(chosen.resolved(digest, &repository.replaced));
        }
        set.transaction = Transaction::Rpm(transaction);
        self.apply(&set)?;
        Ok(set)
    }

    /// Checks who signed a package, and gives one that was fetched its name in the cache.
    fn verify(&self, chosen: &Chosen, digest: Digest, keys: &[(String, Vec<u8>)]) -> Result<(), DnfError> {
        let name = || format!("{}-{}.{}", chosen.name, chosen.version, chosen.arch);
        let refused =
            |source| DnfError::Signature { package: name(), repository: chosen.repository.clone(), source };
        let keyring = Keyring::of_all(keys).map_err(|error| refused(error.into()))?;
        let identity = Identity { name: &chosen.name, version: &chosen.version, arch: &chosen.arch };
        if chosen.fetched && file_digest(&chosen.path)? != digest {
            return Err(DnfError::Content(name()));
        }
        let verified = package_file::verify(&chosen.path, &identity, &keyring).map_err(refused)?;
        if verified.expired {
            self.control.events.warning(format!(
                "the key {} of repository `{}` has expired since it signed `{}`",
                verified.signer,
                chosen.repository,
                name()
            ));
        }
        if chosen.fetched {
            archive::keep(&self.cache, &chosen.path, digest)?;
        }
        match &chosen.alias {
            Some(alias) if alias.contains('/') => Err(DnfError::Answer(format!("checksum {alias}"))),
            Some(alias) => {
                keys::keep(&archive::aliases(&self.cache).join(alias), digest.to_string().as_bytes())
            }
            None => Ok(()),
        }
    }

    /// Brings the private package database to what it is after a set is installed.
    fn apply(&self, set: &PackageSet) -> Result<(), DnfError> {
        let Transaction::Rpm(transaction) = &set.transaction else { return Ok(()) };
        for (verb, beside) in [("-U", false), ("-i", true)] {
            let files =
                set.files.iter().enumerate().filter(|(at, _)| transaction.beside.contains(at) == beside);
            let paths: Vec<_> = files
                .map(|(_, file)| archive::package(&self.cache, file.digest).display().to_string())
                .collect();
            if !paths.is_empty() {
                let options = [
                    verb,
                    "--oldpackage",
                    "--replacepkgs",
                    "--nosignature",
                    "--ignorearch",
                    "--ignoreos",
                    "--ignoresize",
                ];
                self.database_only(options.into_iter().chain(paths.iter().map(String::as_str)))
                    .map_err(file_conflicts)?;
            }
        }
        Ok(())
    }

    fn database_only<'s>(&self, arguments: impl IntoIterator<Item = &'s str>) -> Result<(), DnfError> {
        let options = ["--justdb", "--nodeps", "--noscripts", "--notriggers"];
        self.dnf.rpm("rpm", &self.root.database(), options.into_iter().chain(arguments), None).map(drop)
    }

    /// Resolves what removing the packages of a stage takes.
    pub(crate) fn remove(
        &mut self,
        index: usize,
        stage: &StageRequest<'_>,
    ) -> Result<Vec<Removed>, DnfError> {
        const DOING: &str = "resolving packages to remove";
        let mut request =
            self.root.request("remove", &format!("stage-{index}"), &self.root.path().join("cache"));
        request["remove"] = stage.remove.clone().into();
        let answer = self.dnf.ask::<Removal>(DOING, &request)?;
        let removed = answer
            .map_err(|refused| match refused.kind.as_str() {
                "protected" => DnfError::Contradiction {
                    summary: format!(
                        "{}: removing `{}` is refused: {}",
                        stage.place(stage.remove.first().copied().unwrap_or_default()),
                        stage.remove.join("`, `"),
                        problem(&refused.lines).unwrap_or("dnf does not say why")
                    ),
                    details: refused.lines,
                    hint: "take it out of `remove`".to_owned(),
                },
                _ => refusal(DOING, refused),
            })?
            .removed;
        if !removed.is_empty() {
            let names: Vec<_> = removed.iter().map(Removed::full_name).collect();
            self.database_only(std::iter::once("-e").chain(names.iter().map(String::as_str)))?;
        }
        Ok(removed)
    }

    /// Names and versions of all that is installed by now, sorted.
    pub(crate) fn installed(&self) -> Result<Vec<(String, String)>, DnfError> {
        const FORM: &str = "%{NAME} %|EPOCH?{%{EPOCH}:}|%{VERSION}-%{RELEASE}\\n";
        let text = self.dnf.rpm("rpm", &self.root.database(), ["-qa", "--qf", FORM], None)?;
        let pair =
            |line: &str| line.split_once(' ').map(|(name, version)| (name.to_owned(), version.to_owned()));
        let mut all: Vec<_> =
            text.lines().filter_map(pair).filter(|(name, _)| name != "gpg-pubkey").collect();
        all.sort_unstable();
        Ok(all)
    }
}

/// Adds what a second transaction does to what a first one did.
fn merge(set: &mut PackageSet, second: PackageSet) {
    let (Transaction::Rpm(first), Transaction::Rpm(then)) = (&mut set.transaction, second.transaction) else {
        return;
    };
    let known = set.files.len();
    first.beside.extend(then.beside.iter().map(|index| index + known));
    first.keys.extend(then.keys.into_iter().filter(|key| !first.keys.contains(key)).collect::<Vec<_>>());
    first.replaced.extend(then.replaced);
    set.files.extend(second.files);
    set.present.extend(second.present);
}

/// Two packages with one file of different content: no metadata says that, and rpm refuses it.
fn file_conflicts(error: DnfError) -> DnfError {
    let DnfError::Process { source, .. } = &error else { return error };
    let lines: Vec<String> = source
        .tail()
        .iter()
        .map(|line| line.trim().to_owned())
        .filter(|line| line.starts_with("file /") && line.contains(" conflicts "))
        .collect();
    match lines.first().cloned() {
        Some(reason) => {
            DnfError::Failed { doing: "installing packages", reason, fault: Fault::Dependencies, lines }
        }
        None => error,
    }
}

fn file_digest(path: &std::path::Path) -> Result<Digest, DnfError> {
    let file = std::fs::File::open(path).map_err(DnfError::io("open", path))?;
    Digest::of_reader(file).map(|(digest, _)| digest).map_err(DnfError::io("read", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn package_names() {
        for good in
            ["gcc-c++", "mariadb-server=3:10.5.22-1.el9_2", "python3.11", "NetworkManager", "x=1.0~rc1^git"]
        {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in ["", "-y", "@group", "x*", "/usr/bin/x", "perl(X)", "x y", "x=", "x>1", "./x.rpm", "x=1 y"]
        {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }
}
