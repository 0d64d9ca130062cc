//! What can go wrong between the rooms.

use std::path::PathBuf;

use crate::cancel::Cancelled;
use crate::digest::Digest;
use crate::distro::Arch;
use crate::error::{Diagnose, Exit, io_exit};
use crate::guest;
use crate::report::Report;
use crate::size::Size;

/// A build could not be done, for a reason that belongs to no single room.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The plan has warnings, and `--strict` builds nothing then.
    #[error("{}", .0.join("; and "))]
    Strict(Vec<String>),
    /// The output exists and may not be replaced.
    #[error("`{}` exists", .0.display())]
    Exists(PathBuf),
    /// The output is there and is no image.
    #[error("`{}` is not a regular file", .0.display())]
    NotAFile(PathBuf),
    /// The path of the output is to be told as JSON, which has no bytes.
    #[error("the path `{}` is not UTF-8, so JSON cannot tell it", .0.display())]
    NotUtf8(PathBuf),
    /// The output cannot be written.
    #[error("cannot write `{}`", path.display())]
    Output {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Somebody else has locked the directory of the output, for longer than tib would.
    #[error("another program has locked `{}`", .0.display())]
    Busy(PathBuf),
    /// Somebody else is building an image that is to have the same name.
    #[error("another tib ({by}) is building `{}`", image.display())]
    Building {
        /// The image.
        image: PathBuf,
        /// Who: `process 7`.
        by: String,
    },
    /// The image could not be published, and what was there before could not be put back either.
    #[error(
        "what was in `{}` before could not be put back: {reason}; it is in `{}`",
        directory.display(),
        kept.display()
    )]
    NotRestored {
        /// The output's directory.
        directory: PathBuf,
        /// Where the old files are.
        kept: PathBuf,
        /// Why they could not be put back.
        reason: std::io::Error,
        /// Why the image could not be published.
        source: Box<BuildError>,
    },
    /// The base is for other machines than this one.
    #[error("the base image is for {guest}, and this host is {host}: its programs cannot run here")]
    Architecture {
        /// The base's architecture.
        guest: String,
        /// The host's.
        host: Arch,
    },
    /// Neither the command line nor the recipe says what to start from.
    #[error("recipe `{recipe}` recommends no base")]
    NoBase {
        /// The recipe.
        recipe: String,
    },
    /// There is no operating system that tib knows in the base.
    #[error("no operating system found in `{}`: {reason}", path.display())]
    NoOperatingSystem {
        /// The base.
        path: PathBuf,
        /// What was looked for.
        reason: String,
    },
    /// The size asked for is too small.
    #[error("a disk of {asked} is too small: {reason}, so at least {needed} are needed")]
    TooSmall {
        /// `--size`.
        asked: Size,
        /// The smallest that would do.
        needed: Size,
        /// What takes the space.
        reason: String,
    },
    /// The base's root file system cannot have a larger disk.
    #[error("the disk cannot grow from {from} to {to}")]
    CannotGrow {
        /// The base's disk.
        from: Size,
        /// What it would have to be.
        to: Size,
        /// The base's size, if the build would do with that.
        without: Option<Size>,
        /// Why not.
        source: crate::disk::Obstacle,
    },
    /// The disk is made for other disks than those of instances.
    #[error(
        "the partition table counts sectors of {sector} bytes, and the virtual disks that instances get have 512"
    )]
    Sectors {
        /// Bytes.
        sector: u64,
    },
    /// The base's root file system cannot be enlarged with what this host has.
    #[error("the base's root file system is on {kind}, and this host's appliance has no tools for that")]
    NoTools {
        /// `XFS`, say.
        kind: &'static str,
    },
    /// No image can have such a disk.
    #[error("a disk with {size} is more than an image can have ({})", Size(crate::disk::LARGEST_DISK))]
    TooLarge {
        /// What was asked for, or what the recipe needs beyond the base.
        size: Size,
    },
    /// The image is to be written over the base.
    #[error("the image cannot be written to `{}`: that is the base of this build", .0.display())]
    IsBase(PathBuf),
    /// The file system of the cache is full, or nearly.
    #[error("no space left for the build in `{}` ({free} free)", directory.display())]
    CacheFull {
        /// The cache.
        directory: PathBuf,
        /// What is left.
        free: Size,
    },
    /// The agent needs Python, and the base has none.
    #[error("{os} has no python3, which the guest agent needs")]
    NoPython {
        /// The operating system.
        os: String,
    },
    /// A check of the recipe cannot come true with the packages that the plan leads to.
    #[error("the recipe demands that {check}, and {problem}")]
    Foreseen {
        /// What the check demands.
        check: String,
        /// What will be there instead.
        problem: String,
    },
    /// The recipe enables units, and what starts the base is not systemd.
    #[error("{os} is not started by systemd, which `{unit}` needs")]
    NoSystemd {
        /// The operating system.
        os: String,
        /// A unit that the recipe enables.
        unit: String,
    },
    /// A script of the recipe needs the network, and the build is offline.
    #[error("the script `{purpose}` needs the network, and the build is offline")]
    OfflineScript {
        /// What the script is for.
        purpose: String,
    },
    /// Packages can only be had over the network, and the build is offline.
    #[error("packages of {os} cannot be resolved on this host, and the build is offline")]
    OfflinePackages {
        /// The operating system.
        os: String,
    },
    /// The finished image failed its checks.
    #[error("the finished image failed {} of {} checks and was thrown away", report.failures().len(), report.results.len())]
    Checks {
        /// The report.
        report: Box<Report>,
        /// The full log of the build, unless everything came from the cache.
        log: Option<PathBuf>,
    },
    /// Work in the guest failed; wraps the error with the place of the full log.
    #[error("building the image failed")]
    Logged {
        /// What failed.
        source: crate::engine::EngineError,
        /// The full log.
        log: PathBuf,
    },
    /// What a person brings cannot be read.
    #[error("cannot read `{}` for the artifact `{name}`", path.display())]
    ArtifactFile {
        /// The artifact.
        name: String,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// What a person brings is something else.
    #[error("the artifact `{name}` has SHA-256 {found}, not {expected}")]
    ArtifactDigest {
        /// The artifact.
        name: String,
        /// The digest that it must have.
        expected: Digest,
        /// Its own.
        found: Digest,
    },
    /// What a person brings is of no use.
    #[error("the artifact `{name}` cannot be used: {problem}")]
    Artifact {
        /// The artifact.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
    /// What a person brings is on a server, and the build is offline.
    #[error("the artifact `{name}` is not in the cache, and the build is offline")]
    OfflineArtifact {
        /// The artifact.
        name: String,
    },
    /// The user interrupted.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

impl Diagnose for BuildError {
    fn exit(&self) -> Exit {
        match self {
            Self::Exists(_)
            | Self::NotAFile(_)
            | Self::NotUtf8(_)
            | Self::Busy(_)
            | Self::Building { .. }
            | Self::NoBase { .. }
            | Self::TooLarge { .. }
            | Self::IsBase(_) => Exit::Usage,
            Self::NotRestored { source, .. } => source.exit(),
            Self::Output { source, .. } => io_exit(source, Exit::Usage),
            Self::Architecture { .. }
            | Self::OfflinePackages { .. }
            | Self::NoPython { .. }
            | Self::NoTools { .. }
            | Self::NoSystemd { .. } => Exit::Host,
            Self::Foreseen { .. } | Self::Strict(_) => Exit::Recipe,
            Self::ArtifactFile { source, .. } => io_exit(source, Exit::Usage),
            Self::Artifact { .. } | Self::ArtifactDigest { .. } => Exit::Integrity,
            Self::OfflineArtifact { .. } | Self::OfflineScript { .. } => Exit::Network,
            Self::NoOperatingSystem { .. } | Self::Sectors { .. } => Exit::Integrity,
            Self::TooSmall { .. } | Self::CannotGrow { .. } | Self::CacheFull { .. } => Exit::Space,
            Self::Checks { .. } => Exit::Checks,
            Self::Logged { source, .. } => source.exit(),
            Self::Cancelled(cancelled) => cancelled.exit(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Strict(_) => Some("correct that, or build without `--strict`".to_owned()),
            Self::Exists(_) => Some("give `--force` to replace it, or another `--output`".to_owned()),
            Self::Output { .. } | Self::NotAFile(_) | Self::Busy(_) => {
                Some("choose another place with `--output`".to_owned())
            }
            Self::Building { .. } => {
                Some("wait until it has ended, or choose another place with `--output`".to_owned())
            }
            Self::NotUtf8(_) => {
                Some("choose another place with `--output`, or build without `--json`".to_owned())
            }
            Self::NotRestored { directory, .. } => {
                Some(format!("the next build with its output in `{}` puts it back", directory.display()))
            }
            Self::NoBase { .. } => Some(
                "name one with `--base` (`tib base list`), or put `base = \"debian-12\"` into the recipe"
                    .to_owned(),
            ),
            Self::Architecture { guest, .. } => {
                Some(format!("build it on a host whose processor is {guest}"))
            }
            Self::NoOperatingSystem { .. } => {
                Some("give a cloud image of a distribution, or `--base bootstrap:debian-12`".to_owned())
            }
            Self::TooSmall { needed, .. } => {
                Some(format!("give `--size {}M` or more, or leave it out", needed.0.div_ceil(1 << 20)))
            }
            Self::TooLarge { .. } => Some("look at `--size`, and at the recipe's `needs`".to_owned()),
            Self::IsBase(_) => Some("name another file with `--output`".to_owned()),
            Self::CannotGrow { without: Some(size), source, .. } => Some(format!(
                "leave out `--size`: the base's own {size} are enough; for more, {}",
                source.remedy()
            )),
            Self::CannotGrow { source, .. } => Some(source.remedy()),
            Self::Sectors { .. } => Some("give the maker's image for sectors of 512 bytes".to_owned()),
            Self::NoTools { kind } => Some(format!(
                "install {} (`make setup` does; `tib doctor` tells what is missing)",
                guest::packages_for(kind).unwrap_or("what libguestfs needs for that")
            )),
            Self::CacheFull { .. } => Some(
                "make room there, or set TIB_CACHE_DIR to a larger place; the cache is safe to remove"
                    .to_owned(),
            ),
            Self::NoPython { .. } => Some("give a base with python3, or `--agent none`".to_owned()),
            Self::Foreseen { .. } => {
                Some("change the check, or what the recipe installs and removes".to_owned())
            }
            Self::NoSystemd { .. } => {
                Some("give a base with systemd, or install it in the recipe: on Debian's family, the package `systemd-sysv`"
                    .to_owned())
            }
            Self::ArtifactFile { name, .. }
            | Self::Artifact { name, .. }
            | Self::ArtifactDigest { name, .. } => Some(format!(
                "give the right file with `--artifact {name}=FILE`; `tib recipe show` tells what it is"
            )),
            Self::OfflineArtifact { .. } | Self::OfflinePackages { .. } | Self::OfflineScript { .. } => {
                Some("build without `--offline`".to_owned())
            }
            Self::Checks { log, .. } => log.as_ref().map(|log| format!("the full log is {}", log.display())),
            Self::Logged { source, log } => Some(match source.hint() {
                Some(hint) => format!("{hint}; the full log is {}", log.display()),
                None => format!("the full log is {}", log.display()),
            }),
            Self::Cancelled(_) => None,
        }
    }

    fn context(&self) -> Vec<String> {
        match self {
            Self::Checks { report, .. } => report.failures(),
            Self::Logged { source, .. } => source.context(),
            _ => Vec::new(),
        }
    }
}
