//! What a stage installs and removes, as it was resolved on this host.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;

/// A package file that was chosen for a guest, fetched and verified. Where it lies on this host, [`Resolver::files`](super::Resolver::files) says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolved {
    /// Name, as the package manager takes it: with the architecture (`libc6:i386`) where that is not the guest's own.
    pub name: String,
    /// Version: of an RPM with epoch, unless that is 0, and release.
    pub version: String,
    /// Architecture, as the package manager calls it (`amd64`, `all`; `x86_64`, `noarch`).
    pub arch: String,
    /// SHA-256 of the file.
    pub digest: Digest,
    /// Length of the file in bytes.
    pub size: u64,
    /// The URL that it comes from, without credentials.
    pub source: String,
    /// The repository that it comes from, by its name in the guest; where the package manager has such names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// Bytes it takes when installed, as its maker says.
    pub installed_size: u64,
    /// The recipe names it; otherwise it is a dependency.
    pub requested: bool,
    /// No version of it was installed before.
    pub new: bool,
}

/// What a stage installs and removes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageSet {
    /// The files, in an order that the package manager likes.
    pub files: Vec<Resolved>,
    /// Packages that the recipe names and that are installed already: from now on they are wanted.
    pub present: Vec<String>,
    /// Packages that are removed with their configuration after that, in order: those that the recipe names, what
    /// depends on them, and what came as a dependency and is not needed any more.
    pub removed: Vec<String>,
    /// How one package manager does it.
    pub transaction: Transaction,
}

/// What only one package manager knows of a [`PackageSet`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transaction {
    /// What dpkg does, in order.
    Apt(Vec<DpkgAction>),
    /// What rpm is told beside the files.
    Rpm(RpmTransaction),
}

/// How rpm installs a [`PackageSet`]. It finds the order by itself.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RpmTransaction {
    /// Indices of [`PackageSet::files`] that are installed beside what is there, and not in its place: kernels.
    pub beside: Vec<usize>,
    /// SHA-256 of the files with the keys that signed the packages: the guest's rpm gets them, too.
    pub keys: Vec<Digest>,
    /// Names of packages that go because others take their place.
    pub replaced: Vec<String>,
}

/// Something dpkg does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DpkgAction {
    /// Unpacks the file with this index in [`PackageSet::files`].
    Unpack(usize),
    /// Configures a package.
    Configure(String),
    /// Removes a package that stands in the way.
    Remove(String),
}

/// How a stage gets its packages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StagePackages {
    /// It asks for none.
    Nothing,
    /// Resolved and fetched on this host; they get into the guest on the payload disk.
    Resolved(PackageSet),
    /// By the guest's own package manager, over the network. What that finds is not known beforehand.
    InGuest {
        /// The day, counted from 1970: such a layer is good for that long.
        day: u64,
    },
}

/// What of a stage's packages decides over the guest. The rest follows from it, or makes no difference there: where a
/// file comes from, and the order in which things are done.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
enum Decisive<'a> {
    Nothing,
    Resolved {
        files: Vec<DecisiveFile<'a>>,
        present: Vec<&'a str>,
        /// Removed because they stand in the way.
        replaced: Vec<&'a str>,
        removed: Vec<&'a str>,
        /// RPM: which the guest has afterwards.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        keys: Vec<Digest>,
    },
    InGuest {
        day: u64,
    },
}

#[derive(Serialize, PartialEq, Eq, PartialOrd, Ord)]
struct DecisiveFile<'a> {
    name: &'a str,
    version: &'a str,
    arch: &'a str,
    digest: Digest,
    requested: bool,
}

impl<'a> DecisiveFile<'a> {
    fn of(file: &'a Resolved) -> Self {
        let Resolved { name, version, arch, digest, requested, .. } = file;
        Self { name, version, arch, digest: *digest, requested: *requested }
    }
}

impl PackageSet {
    /// Bytes that everything takes when installed.
    pub fn installed_size(&self) -> u64 {
        self.files.iter().map(|file| file.installed_size).sum()
    }

    fn decisive(&self) -> Decisive<'_> {
        let (mut replaced, mut keys) = (Vec::new(), Vec::new());
        match &self.transaction {
            Transaction::Apt(order) => replaced.extend(order.iter().filter_map(|action| match action {
                DpkgAction::Remove(name) => Some(name.as_str()),
                _ => None,
            })),
            Transaction::Rpm(transaction) => {
                replaced.extend(transaction.replaced.iter().map(String::as_str));
                keys.clone_from(&transaction.keys);
            }
        }
        Decisive::Resolved {
            files: sorted(self.files.iter().map(DecisiveFile::of)),
            present: sorted(self.present.iter().map(String::as_str)),
            replaced: sorted(replaced.into_iter()),
            keys: sorted(keys.into_iter()),
            removed: sorted(self.removed.iter().map(String::as_str)),
        }
    }

    /// Not one that anybody resolved, but of its form: every kind of action, both kinds of marks.
    #[cfg(test)]
    pub(crate) fn example() -> Self {
        let file = |name: &str, requested, new| Resolved {
            name: name.to_owned(),
            version: "1:2.0".to_owned(),
            arch: "all".to_owned(),
            digest: Digest::of(name.as_bytes()),
            size: 1,
            source: format!("http://deb.example.org/debian/pool/{name}.deb"),
            repository: None,
            installed_size: 1024,
            requested,
            new,
        };
        Self {
            files: vec![file("dependency", false, true), file("redis-server", true, true)],
            present: vec!["curl".to_owned()],
            removed: vec!["nano".to_owned()],
            transaction: Transaction::Apt(vec![
                DpkgAction::Remove("old".to_owned()),
                DpkgAction::Unpack(0),
                DpkgAction::Configure("dependency".to_owned()),
                DpkgAction::Unpack(1),
                DpkgAction::Configure("redis-server".to_owned()),
            ]),
        }
    }
}

#[cfg(test)]
impl PackageSet {
    /// As [`example`](Self::example), of Red Hat's family.
    pub(crate) fn example_of_rpm() -> Self {
        let mut set = Self::example();
        for file in &mut set.files {
            file.version.push_str("-3.el9");
            file.arch = "noarch".to_owned();
            file.source = format!("http://rpm.example.org/el9/{}.rpm", file.name);
            file.repository = Some("appstream".to_owned());
        }
        set.removed = vec!["nano-5.6-1.el9.x86_64".to_owned()];
        set.transaction = Transaction::Rpm(RpmTransaction {
            beside: vec![0],
            keys: vec![Digest::of(b"key")],
            replaced: vec!["old".to_owned()],
        });
        set
    }
}

fn sorted<T: Ord>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut items: Vec<T> = items.collect();
    items.sort_unstable();
    items
}

impl StagePackages {
    /// Bytes that the packages take when installed, as far as that is known.
    pub fn installed_size(&self) -> u64 {
        match self {
            Self::Resolved(set) => set.installed_size(),
            Self::Nothing | Self::InGuest { .. } => 0,
        }
    }

    /// What decides over the guest, for the digest of the stage: what is installed and removed, whatever order was chosen
    /// and wherever it comes from.
    ///
    /// # Panics
    /// Never: plain data with text keys always serialises.
    pub fn digest(&self) -> Digest {
        let decisive = match self {
            Self::Nothing => Decisive::Nothing,
            Self::Resolved(set) => set.decisive(),
            Self::InGuest { day } => Decisive::InGuest { day: *day },
        };
        Digest::of(&serde_json::to_vec(&decisive).expect("plain data always serialises"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(change: impl FnOnce(&mut PackageSet)) -> Digest {
        let mut set = PackageSet::example();
        change(&mut set);
        StagePackages::Resolved(set).digest()
    }

    #[test]
    fn a_digest_follows_what_the_guest_gets() {
        let all = [
            digest(|_| {}),
            digest(|set| set.files[0].version.push('1')),
            digest(|set| set.files[0].digest = Digest::of(b"other")),
            digest(|set| set.files[0].arch = "amd64".to_owned()),
            digest(|set| set.files[0].requested = true),
            digest(|set| drop(set.files.pop())),
            digest(|set| set.present.clear()),
            digest(|set| set.removed.clear()),
            digest(|set| {
                set.transaction = Transaction::Apt(vec![DpkgAction::Unpack(0), DpkgAction::Unpack(1)]);
            }),
            StagePackages::Nothing.digest(),
            StagePackages::InGuest { day: 1 }.digest(),
            StagePackages::InGuest { day: 2 }.digest(),
        ];
        let different: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(different.len(), all.len());
        let of_rpm = |change: fn(&mut RpmTransaction)| {
            let mut set = PackageSet::example_of_rpm();
            let Transaction::Rpm(transaction) = &mut set.transaction else { unreachable!() };
            change(transaction);
            StagePackages::Resolved(set).digest()
        };
        assert_ne!(of_rpm(|_| {}), of_rpm(|transaction| transaction.keys.clear()));
        assert_ne!(of_rpm(|_| {}), of_rpm(|transaction| transaction.replaced.clear()));
        let same = [
            digest(|set| set.files[0].source = "http://mirror.example.org/x.deb".to_owned()),
            digest(|set| {
                set.files.reverse();
                set.transaction = Transaction::Apt(vec![
                    DpkgAction::Unpack(0),
                    DpkgAction::Unpack(1),
                    DpkgAction::Remove("old".to_owned()),
                ]);
            }),
        ];
        assert_eq!(same, [all[0]; 2]);
    }
}
