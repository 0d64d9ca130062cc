//! The directories of the cache, and the names of its locks. What is in them is documented in `docs/cache.md`.

use std::fmt;

use crate::digest::Digest;

/// A directory of the cache. Each holds one kind of content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bucket {
    /// Wheels and virtual environments of agents.
    Agents,
    /// Files that recipes leave to a person to bring, and were downloaded. Made when there is one.
    Artifacts,
    /// Package indexes and packages, as apt has them.
    Apt,
    /// Base images.
    Bases,
    /// Which base a bootstrap made: notes.
    Bootstrap,
    /// Which base is what the catalogue calls by a name: notes.
    Catalogue,
    /// Who is registered where, for as long as that is. Made when somebody is.
    Consumers,
    /// What container images are made of.
    Containers,
    /// What turned out to be damaged, set aside.
    Damaged,
    /// Metadata of RPM repositories, and package files.
    Dnf,
    /// Downloads that were interrupted, or go on.
    Downloads,
    /// Which repositories a subscription opened: notes. Made when there is one.
    Entitled,
    /// Mirrors of git repositories. Made when there is one.
    Git,
    /// Which base a file or a checksum stands for: notes.
    Index,
    /// Keys of makers.
    Keys,
    /// What stages of builds made.
    Layers,
    /// Files that processes lock.
    Locks,
    /// Logs of builds. Made when there is one.
    Logs,
    /// pip's own cache.
    Pip,
    /// Working directories.
    Work,
}

impl Bucket {
    /// What every cache has.
    pub(crate) const ALWAYS: [Self; 15] = [
        Self::Agents,
        Self::Apt,
        Self::Bases,
        Self::Bootstrap,
        Self::Catalogue,
        Self::Containers,
        Self::Damaged,
        Self::Dnf,
        Self::Downloads,
        Self::Index,
        Self::Keys,
        Self::Layers,
        Self::Locks,
        Self::Pip,
        Self::Work,
    ];

    /// Those that are used, measured and removed as a whole.
    pub(crate) const SHELVES: [Self; 6] =
        [Self::Agents, Self::Apt, Self::Artifacts, Self::Containers, Self::Dnf, Self::Pip];

    /// Those with notes that lead to bases.
    pub(crate) const NOTES: [Self; 3] = [Self::Bootstrap, Self::Catalogue, Self::Index];

    /// The directory's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Agents => "agents",
            Self::Apt => "apt",
            Self::Artifacts => "artifacts",
            Self::Bases => "bases",
            Self::Bootstrap => "bootstrap",
            Self::Catalogue => "catalogue",
            Self::Consumers => "consumers",
            Self::Containers => "containers",
            Self::Damaged => "damaged",
            Self::Dnf => "dnf",
            Self::Downloads => "downloads",
            Self::Entitled => "entitled",
            Self::Git => "git",
            Self::Index => "index",
            Self::Keys => "keys",
            Self::Layers => "layers",
            Self::Locks => "locks",
            Self::Logs => "logs",
            Self::Pip => "pip",
            Self::Work => "work",
        }
    }
}

/// What a lock of the cache is for; its text is the name of the lock's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LockName {
    /// Whoever uses a base shares it, whoever removes it has it alone.
    Base(Digest),
    /// The same for a layer.
    Layer(Digest),
    /// Making a layer.
    MakingLayer(Digest),
    /// The directory of a download.
    Download(String),
    /// As of a base, for a bucket that is used as a whole.
    Shelf(Bucket),
    /// Bootstrapping a base, by what it is made of.
    Bootstrap(Digest),
    /// Fetching what the catalogue calls by a name.
    CatalogueImage(String),
    /// A consumer that is registered, by its id.
    Consumer(String),
    /// As of a base, for a mirror of a git repository.
    Mirror(Digest),
    /// Building an image that is to get a certain name, by directory and name.
    Output(Digest),
    /// Removing what is not used any more.
    Collection,
    /// The moment between making a working directory and locking it.
    WorkStart,
    /// A working directory, by its name.
    Work(String),
}

impl fmt::Display for LockName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Base(digest) => write!(f, "base-{digest}"),
            Self::Layer(digest) => write!(f, "layer-{digest}"),
            Self::MakingLayer(digest) => write!(f, "making-{digest}"),
            Self::Download(key) => write!(f, "download-{key}"),
            Self::Shelf(bucket) => write!(f, "shelf-{}", bucket.name()),
            Self::Bootstrap(key) => write!(f, "bootstrap-{key}"),
            Self::CatalogueImage(name) => write!(f, "catalogue-{name}"),
            Self::Mirror(key) => write!(f, "mirror-{key}"),
            Self::Consumer(uuid) => write!(f, "consumer-{uuid}"),
            Self::Output(key) => write!(f, "output-{key}"),
            Self::Collection => f.write_str("collection"),
            Self::WorkStart => f.write_str("work"),
            Self::Work(id) => write!(f, "work-{id}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_locks_have_one_name() {
        let digest = Digest::of(b"x");
        let names = [
            LockName::Base(digest),
            LockName::Layer(digest),
            LockName::MakingLayer(digest),
            LockName::Download(digest.to_string()),
            LockName::Shelf(Bucket::Apt),
            LockName::Bootstrap(digest),
            LockName::CatalogueImage("debian-12-x86_64".to_owned()),
            LockName::Consumer("1-1".to_owned()),
            LockName::Mirror(digest),
            LockName::Output(digest),
            LockName::Collection,
            LockName::WorkStart,
            LockName::Work("1-1".to_owned()),
        ];
        let texts: std::collections::BTreeSet<_> = names.iter().map(LockName::to_string).collect();
        assert_eq!(texts.len(), names.len());
    }
}
