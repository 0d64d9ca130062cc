//! What this room's tests share: images made by qemu's own tools, which are the oracle for every byte.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::{DiskError, Policy, Tree, VirtualDisk};

/// The operating system in an image that comes from outside.
pub(crate) fn tree_of(image: &Path) -> Result<Box<dyn Tree>, DiskError> {
    VirtualDisk::open(image, &Policy::default())?.tree()
}

/// A directory for one test, and the tools in it.
pub(crate) struct Lab(TempDir);

impl Lab {
    pub(crate) fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.0.path().canonicalize().unwrap()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root().join(name)
    }

    /// Runs a program in the directory; it must succeed.
    pub(crate) fn run(&self, program: &str, arguments: &[&str]) -> String {
        let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
        let output = Command::new(program)
            .args(arguments)
            .env("PATH", path)
            .current_dir(self.0.path())
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {arguments:?}: {stderr}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The content of an image, by qemu.
    pub(crate) fn content(&self, image: &str, format: &str) -> Vec<u8> {
        self.run("qemu-img", &["convert", "-f", format, "-O", "raw", image, "oracle.raw"]);
        std::fs::read(self.path("oracle.raw")).unwrap()
    }

    /// Fails unless qemu finds nothing wrong with an image and its content equals that of another.
    pub(crate) fn assert_same(&self, image: &str, other: &str, other_format: &str) {
        self.run("qemu-img", &["check", "-f", "qcow2", image]);
        self.run("qemu-img", &["compare", "-f", "qcow2", "-F", other_format, image, other]);
    }
}

/// Bytes that are partly text-like, partly noise, partly zero: all that an export treats differently.
pub(crate) fn mixture(length: usize, mut seed: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length + 4096);
    while bytes.len() < length {
        let mut next = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            seed >> 33
        };
        let run = (next() % 100_000) as usize + 1;
        match next() % 4 {
            0 => bytes.resize(bytes.len() + run, 0),
            1 => {
                let word = next().to_string().repeat(3);
                bytes.extend(word.bytes().cycle().take(run));
            }
            _ => bytes.extend((0..run).map(|_| next() as u8)),
        }
    }
    bytes.truncate(length);
    bytes
}

/// All bytes of a disk, read in pieces of `step`.
pub(crate) fn read_all(disk: &mut dyn super::BlockRead, step: usize) -> Vec<u8> {
    let mut all = vec![0xaa; disk.size() as usize];
    let mut at = 0;
    for piece in all.chunks_mut(step) {
        disk.read_exact_at(piece, at).unwrap();
        at += piece.len() as u64;
    }
    all
}

/// The bytes of a disk, taking the word of `extent` for what is zero.
pub(crate) fn read_extents(disk: &mut dyn super::BlockRead) -> Vec<u8> {
    let mut all = vec![0; disk.size() as usize];
    let mut at = 0;
    while at < disk.size() {
        let extent = disk.extent(at).unwrap();
        assert!(extent.length > 0 && at + extent.length <= disk.size());
        if !extent.zero {
            disk.read_exact_at(&mut all[at as usize..(at + extent.length) as usize], at).unwrap();
        }
        at += extent.length;
    }
    all
}

/// Writes a file.
pub(crate) fn write(path: &Path, bytes: &[u8]) {
    std::fs::write(path, bytes).unwrap();
}
