//! The gate every image passes before anything reads it: qemu, a library, or tib itself.

use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fs_err::File;
use serde::Serialize;

use super::container::{PROBE_BYTES, recognise};
use super::header::{self, Compression, Header, HeaderFault};
use super::raw::{Raw, read_padded};
use super::{DiskError, partition};
use crate::filesystem;
use crate::shown::escape;

/// Largest virtual disk accepted by default: 2 TiB.
const MAX_VIRTUAL_SIZE: u64 = 2 << 40;
/// Files in a backing chain.
const MAX_DEPTH: usize = 16;
/// Shortest raw image: room for a partition table and one aligned partition.
const MIN_RAW_SIZE: u64 = 1 << 20;

/// Format of an image file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// The bytes of the disk.
    Raw,
    /// qemu's format, version 2 or 3.
    Qcow2,
}

impl Format {
    /// The name qemu and libguestfs know it by.
    pub fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
        }
    }
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// What an image may ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Backing files are allowed, if they lie below this directory. Without it, none are.
    pub allow_backing_in: Option<PathBuf>,
    /// Largest virtual disk, in bytes.
    pub max_virtual_size: u64,
}

impl Default for Policy {
    /// No backing files, 2 TiB: right for every image that comes from outside.
    fn default() -> Self {
        Self { allow_backing_in: None, max_virtual_size: MAX_VIRTUAL_SIZE }
    }
}

impl Policy {
    /// Allows backing files below `root`: right for tib's own layers.
    pub fn within(root: impl Into<PathBuf>) -> Self {
        Self { allow_backing_in: Some(root.into()), ..Self::default() }
    }
}

/// What the gate learned about an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct ImageInfo {
    /// Format of the file.
    pub format: Format,
    /// Size of the virtual disk in bytes.
    pub virtual_size: u64,
    /// Length of the file in bytes.
    pub file_size: u64,
    /// Bytes of disk the file takes up.
    pub allocated: u64,
    /// qcow2: version of the format.
    pub version: Option<u32>,
    /// qcow2: cluster size in bytes.
    pub cluster_size: Option<u64>,
    /// qcow2: how compressed clusters are compressed.
    pub compression: Option<Compression>,
    /// qcow2: internal snapshots. They are ignored: only the current state is read and exported.
    pub snapshots: u32,
    /// What lies behind the image, nearest first.
    pub backing: Vec<Backing>,
}

/// A file behind an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Backing {
    /// The file, canonical.
    pub path: PathBuf,
    /// Its format, as stated by the file in front of it.
    pub format: Format,
}

/// One file of a chain that has passed the gate.
pub(super) struct ChainFile {
    pub(super) file: Arc<File>,
    pub(super) path: PathBuf,
    pub(super) file_size: u64,
    allocated: u64,
    pub(super) content: Content,
    pub(super) is_top: bool,
}

/// What a layer holds.
pub(super) enum Content {
    Raw,
    Qcow2(Header),
}

impl ChainFile {
    pub(super) fn header(&self) -> Option<&Header> {
        match &self.content {
            Content::Raw => None,
            Content::Qcow2(header) => Some(header),
        }
    }

    fn format(&self) -> Format {
        if self.header().is_some() { Format::Qcow2 } else { Format::Raw }
    }
}

/// Checks an image and everything behind it, without reading data.
///
/// # Errors
/// [`DiskError::Refused`] for what tib will not use, [`DiskError::Damaged`], [`DiskError::Io`].
pub fn gate(path: &Path, policy: &Policy) -> Result<ImageInfo, DiskError> {
    info(&chain(path, policy)?)
}

/// What was learned about the image at the top of a chain.
pub(super) fn info(chain: &[ChainFile]) -> Result<ImageInfo, DiskError> {
    let (top, behind) = chain.split_first().ok_or_else(empty)?;
    let header = top.header();
    Ok(ImageInfo {
        format: top.format(),
        virtual_size: header.map_or(top.file_size.next_multiple_of(512), |header| header.virtual_size),
        file_size: top.file_size,
        allocated: top.allocated,
        version: header.map(|header| header.version),
        cluster_size: header.map(Header::cluster_size),
        compression: header.map(|header| header.compression),
        snapshots: header.map_or(0, |header| header.snapshots),
        backing: behind
            .iter()
            .map(|layer| Backing { path: layer.path.clone(), format: layer.format() })
            .collect(),
    })
}

/// Follows a chain from its top, checking every file on the way.
pub(super) fn chain(path: &Path, policy: &Policy) -> Result<Vec<ChainFile>, DiskError> {
    let mut seen = Vec::new();
    let mut layers: Vec<ChainFile> = Vec::new();
    let mut next = Some((path.to_owned(), None));
    while let Some((path, stated)) = next.take() {
        let (layer, identity) =
            inspect(&path, stated, policy).map_err(|error| match (error, layers.last()) {
                (DiskError::Io { source, .. }, Some(front)) => refused(
                    &front.path,
                    &format!("its backing file (`{}`) cannot be read: {}", path.display(), source.kind()),
                    None,
                ),
                (error, _) => error,
            })?;
        if seen.contains(&identity) {
            return Err(refused(&path, "it is its own backing file", None));
        }
        seen.push(identity);
        if seen.len() > MAX_DEPTH {
            return Err(refused(
                &path,
                &format!("its backing chain is longer than {MAX_DEPTH} files"),
                Some("flatten it with `qemu-img convert -O qcow2`"),
            ));
        }
        next = behind(&layer, policy)?.map(|(path, format)| (path, Some(format)));
        layers.push(layer);
    }
    Ok(layers)
}

/// The backing file of a layer, if it has one and may have it.
fn behind(layer: &ChainFile, policy: &Policy) -> Result<Option<(PathBuf, Format)>, DiskError> {
    let Some(backing) = layer.header().and_then(|header| header.backing.as_ref()) else { return Ok(None) };
    const FLATTEN: &str = "flatten it with `qemu-img convert -O qcow2`, if you trust where it comes from";
    let refuse = |reason: &str| refused(&layer.path, reason, Some(FLATTEN));
    let name = &backing.name;
    let shown = escape(name);
    let Some(root) = &policy.allow_backing_in else {
        return Err(refuse(&format!("it has a backing file (`{shown}`)")));
    };
    // qemu takes `word:rest` for a protocol or an option string, not for a file.
    if name.split('/').next().is_some_and(|first| first.contains(':')) {
        return Err(refuse(&format!("its backing file (`{shown}`) is not a plain file name")));
    }
    let format = match backing.format.as_deref() {
        Some("raw") => Format::Raw,
        Some("qcow2") => Format::Qcow2,
        Some(other) => {
            return Err(refuse(&format!("its backing file has the format `{}`", escape(other))));
        }
        None => return Err(refuse("it does not state the format of its backing file")),
    };
    let beside = layer.path.parent().unwrap_or(Path::new("/")).join(name);
    let target = fs_err::canonicalize(&beside).map_err(|error| match error.kind() {
        ErrorKind::NotFound => refused(
            &layer.path,
            &format!("its backing file (`{shown}`) is not there"),
            Some("put it back where it was, or flatten the image where both are"),
        ),
        kind => refuse(&format!("its backing file (`{shown}`) cannot be reached: {kind}")),
    })?;
    let root = fs_err::canonicalize(root).map_err(|source| io("find", root, source))?;
    if !target.starts_with(&root) {
        return Err(refuse(&format!("its backing file (`{shown}`) lies outside the cache")));
    }
    Ok(Some((target, format)))
}

/// Opens and checks one file. `stated` is the format another file's header gives for it.
fn inspect(
    path: &Path,
    stated: Option<Format>,
    policy: &Policy,
) -> Result<(ChainFile, (u64, u64)), DiskError> {
    // Asked before opening: opening a pipe would wait for a writer.
    // The error names the file already.
    let metadata = std::fs::metadata(path).map_err(|source| io("open", path, source))?;
    if !metadata.is_file() {
        let (what, hint) = match metadata.file_type() {
            kind if kind.is_dir() => ("it is a directory", "give the file with the image"),
            kind if kind.is_block_device() => {
                ("it is a device", "copy it into a file first: `qemu-img convert -O qcow2 DEVICE FILE`")
            }
            _ => ("it is not a regular file", "write the image into a file first: it is read here and there"),
        };
        return Err(refused(path, what, Some(hint)));
    }
    let path = fs_err::canonicalize(path).map_err(|source| io("find", path, source))?;
    let file = File::open(&path).map_err(|source| io("open", &path, source))?;
    let metadata = file.metadata().map_err(|source| io("open", &path, source))?;
    let file_size = metadata.len();
    let mut start = vec![0; PROBE_BYTES.min(usize::try_from(file_size).unwrap_or(PROBE_BYTES))];
    read_padded(&file, &path, &mut start, 0)?;
    let is_qcow2 = start.starts_with(&header::MAGIC);
    let content = match (stated, is_qcow2) {
        (None | Some(Format::Qcow2), true) => {
            let header =
                Header::parse(&start, file_size, policy.max_virtual_size).map_err(|fault| match fault {
                    HeaderFault::Damaged(what) => {
                        DiskError::Damaged(format!("{what} (`{}`)", path.display()))
                    }
                    HeaderFault::Refused(reason, hint) => {
                        DiskError::Refused { path: path.clone(), reason, hint }
                    }
                })?;
            Content::Qcow2(header)
        }
        (Some(Format::Qcow2), false) => {
            return Err(DiskError::Damaged(format!("`{}` should be qcow2 and is not", path.display())));
        }
        (Some(Format::Raw), _) => Content::Raw,
        (None, false) => {
            check_raw(&file, &path, &start, file_size, policy)?;
            Content::Raw
        }
    };
    let allocated = metadata.blocks() * 512;
    let layer =
        ChainFile { file: Arc::new(file), path, file_size, allocated, content, is_top: stated.is_none() };
    Ok((layer, (metadata.dev(), metadata.ino())))
}

/// A file without magic number is a disk only if it looks like one.
fn check_raw(
    file: &File,
    path: &Path,
    start: &[u8],
    file_size: u64,
    policy: &Policy,
) -> Result<(), DiskError> {
    let mut end = [0; 512];
    read_padded(file, path, &mut end, file_size.saturating_sub(512))?;
    if let Some(found) = recognise(start, &end) {
        return Err(refused(path, &format!("it is {}", found.name), Some(found.hint)));
    }
    if file_size > policy.max_virtual_size {
        let limit = policy.max_virtual_size;
        return Err(refused(
            path,
            &format!("its size of {file_size} bytes is above the limit of {limit}"),
            None,
        ));
    }
    let what = "tib reads qcow2, and raw disks with a partition table or a file system";
    if file_size < MIN_RAW_SIZE {
        return Err(refused(path, "it is too small to be a disk image", Some(what)));
    }
    let clone = file.try_clone().map_err(|source| io("open", path, source))?;
    let mut disk = Raw::new(clone, path, file_size);
    let has_partitions = partition::table(&mut disk)?.is_some();
    if has_partitions || filesystem::detect(&mut disk, 0, file_size)?.is_some() {
        return Ok(());
    }
    Err(refused(path, "it is not a disk image", Some(what)))
}

pub(super) fn empty() -> DiskError {
    DiskError::Damaged("the backing chain is empty".to_owned())
}

fn refused(path: &Path, reason: &str, hint: Option<&str>) -> DiskError {
    DiskError::Refused { path: path.to_owned(), reason: reason.to_owned(), hint: hint.map(str::to_owned) }
}

pub(super) fn io(action: &'static str, path: &Path, source: std::io::Error) -> DiskError {
    DiskError::Io { action, path: path.to_owned(), source }
}

#[cfg(test)]
#[path = "gate_tests.rs"]
mod tests;
