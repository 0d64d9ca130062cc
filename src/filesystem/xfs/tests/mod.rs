//! File systems that `mkfs.xfs` makes, with xfs_db and xfs_logprint as judges; some are changed by hand afterwards.

mod craft;
mod forms;
mod hostile;
mod odd;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Mutex;

use super::*;
use crate::disk::testing::{Lab, mixture, write};
use crate::disk::{Policy, open};

/// What `mkfs.xfs` is asked for.
const VARIANTS: &[&str] = &[
    "-m reflink=1",
    "-b size=1024 -m rmapbt=1",
    "-b size=1024 -n size=65536 -i nrext64=1",
    "-s size=4096 -n size=16384 -i size=2048",
    "-m bigtime=0,inobtcount=0,reflink=0 -i sparse=0 -d agcount=2",
    "-m crc=0 -n ftype=0 -b size=512 -i size=256",
    "-m crc=0 -n ftype=1 -b size=2048 -n size=8192",
    "-m crc=0 -l version=1 -i size=512",
];
/// Blocks of this size are only for larger disks.
const LARGE_BLOCKS: &str = "-b size=65536 -i size=2048 -n size=65536";

/// Entries of directories of each form, where blocks of directories have 4096 bytes.
const DIRECTORIES: [(&str, usize); 4] = [("short", 4), ("block", 40), ("leaf", 200), ("node", 1500)];

/// Files that a directory on the host has, too.
fn fill(lab: &Lab) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::from([("/etc/os-release".to_owned(), b"ID=debian\n".to_vec())]);
    for length in [0, 1, 511, 512, 4096, 70_000, 700_001] {
        files.insert(format!("/file-{length}"), mixture(length, length as u64));
    }
    for (path, content) in &files {
        let path = lab.path(&format!("root{path}"));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        write(&path, content);
    }
    files
}

/// Describes the files, and many more, to `mkfs.xfs`. It writes targets of links that do not fit into their inodes as in
/// version 4, and Linux refuses these in version 5.
fn proto(lab: &Lab, files: &BTreeMap<String, Vec<u8>>, long_links: bool) -> String {
    let mut text = "/dev/null\n0 0\nd--755 0 0\netc d--755 0 0\n".to_owned();
    let source = |name: &str| lab.path("root").join(name).display().to_string();
    writeln!(text, "os-release ---644 0 0 {}\n$", source("etc/os-release")).unwrap();
    for path in files.keys().filter_map(|path| path.strip_prefix("/file")) {
        writeln!(text, "file{path} -ug751 70000 4000000000 {}", source(&format!("file{path}"))).unwrap();
    }
    text.push_str("device b--640 0 6 8 300\ncharacter c--620 0 5 204 70000\npipe p--600 7 8\n");
    for length in [1, 40, 80, if long_links { 700 } else { 81 }] {
        writeln!(text, "link-{length} l--777 0 0 {}", "t".repeat(length)).unwrap();
    }
    for (name, entries) in DIRECTORIES {
        writeln!(text, "{name} d--755 3 4").unwrap();
        for index in 0..entries {
            writeln!(text, "entry-with-a-name-{index} p--644 {index} 0").unwrap();
        }
        text.push_str("$\n");
    }
    text + "$\n"
}

/// Makes `disk.img`. The variables let `mkfs.xfs` make smaller file systems than it recommends.
fn make(lab: &Lab, options: &str, size: &str, proto: &str) {
    write(&lab.path("proto"), proto.as_bytes());
    let script = format!(
        "rm -f disk.img; truncate -s {size} disk.img; \
         TEST_DIR=x TEST_DEV=x QA_CHECK_FS=x mkfs.xfs -q {options} -p proto disk.img 2>mkfs.log || {{ cat mkfs.log >&2; exit 1; }}"
    );
    lab.run("sh", &["-euc", &script]);
}

/// Runs commands of xfs_db on `disk.img`, and gives what it says.
fn xfs_db(lab: &Lab, script: &str) -> String {
    write(&lab.path("script"), script.as_bytes());
    lab.run("sh", &["-c", "xfs_db -x disk.img <script"])
}

fn open_xfs(path: &Path) -> Result<Xfs, DiskError> {
    let disk = open(path, &Policy::default())?;
    let length = disk.size();
    Xfs::open(&Arc::new(Mutex::new(disk)), 0, length)
}

/// Everything below a directory: path to inode.
fn walk(xfs: &mut Xfs, inode: u64, path: &str, found: &mut BTreeMap<String, u64>) {
    let directory = xfs.directory(inode).unwrap();
    for name in directory.names() {
        let child = directory.get(name).unwrap();
        let path = format!("{path}/{}", str::from_utf8(name).unwrap());
        found.insert(path.clone(), child);
        if xfs.stat(child).unwrap().kind == FileKind::Directory {
            walk(xfs, child, &path, found);
        }
    }
}

fn paths(xfs: &mut Xfs) -> BTreeMap<String, u64> {
    let mut found = BTreeMap::new();
    walk(xfs, xfs.root(), "", &mut found);
    found
}

fn content(xfs: &mut Xfs, inode: u64) -> Vec<u8> {
    let mut content = Vec::new();
    xfs.read_to(inode, 0, u64::MAX, &mut content).unwrap();
    content
}
