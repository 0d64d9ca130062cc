//! tib builds, seals and checks OpenStack Trove guest images, rootless.
//!
//! The rooms, top to bottom; a room imports downwards only (`docs/architecture.md`):
//!
//! | room | what it does |
//! |---|---|
//! | [`cli`] | arguments, settings, one file per subcommand; draws progress |
//! | [`assembly`] | the main job: base, plan, stages, export, verification, evidence |
//! | [`engine`] | runs a plan in a guest: steps, scaffolding, sealing |
//! | [`evidence`] | the manifest beside an image |
//! | [`verify`] | whether an image is right: checks, its guest agent, the sealing gate |
//! | [`look`] | ls, stat, cat, extract, tail, log, diff |
//! | [`inspect`] | everything about an image |
//! | [`image`] | an image, opened once: gate, layout, file tree |
//! | [`report`] | results as text, JSON, JUnit and HTML |
//! | [`os`] | what the files of an operating system say |
//! | [`base`] | what `--base` names: files, the catalogue, URLs, bootstrapping |
//! | [`subscription`] | a system registered for Red Hat's repositories while a build needs them |
//! | [`packages`] | package managers: what they run in guests, and resolving on the host |
//! | [`agent`] | the guest agent as a whole virtual environment |
//! | [`container`] | container images of databases, from registries and files |
//! | [`cache`] | bases, layers and downloads by content; locks, work directories, collection |
//! | [`fetch`] | downloads |
//! | [`trust`] | OpenPGP, keys of repositories and checksum lists |
//! | [`recipe`] | what is wanted: recipes and plans |
//! | [`check`] | the check language |
//! | [`oslo`] | configuration files of OpenStack's services |
//! | [`guest`] | the libguestfs session |
//! | [`host`] | this machine: running programs, trying KVM |
//! | [`disk`] | the image as bytes: qcow2, partitions, volumes, the tree of its file systems, export |
//! | [`filesystem`] | file systems as numbered inodes: ext2/3/4, XFS, Btrfs, FAT |
//! | [`block`] | a disk as bytes at places, and what can be wrong with an image |
//! | [`digest`], [`distro`], [`size`], [`control`], [`event`], [`cancel`], `clock`, [`mirror`], [`netrc`], `rename`, `shell`, `sparse`, `toml_text`, `valid`, `version`, [`error`], [`shown`] | words everyone uses |
//!
//! The library is tib's own; its interface may change with any release.

pub mod agent;
pub mod assembly;
pub mod base;
pub mod block;
pub mod boot;
pub mod cache;
pub mod cancel;
pub mod check;
pub mod cli;
pub(crate) mod clock;
pub mod container;
pub mod control;
pub mod digest;
pub mod disk;
pub mod distro;
pub mod engine;
pub mod error;
pub mod event;
pub mod evidence;
pub mod fetch;
pub mod filesystem;
pub(crate) mod given;
pub mod guest;
pub mod host;
pub mod image;
pub mod inspect;
pub mod look;
pub mod mirror;
pub mod netrc;
pub mod os;
pub mod oslo;
pub mod packages;
pub mod prove;
pub mod recipe;
pub(crate) mod rename;
pub mod report;
pub(crate) mod shell;
pub mod shown;
pub mod size;
pub(crate) mod sparse;
pub mod subscription;
pub(crate) mod toml_text;
pub mod trust;
pub(crate) mod valid;
pub mod verify;
pub(crate) mod version;
