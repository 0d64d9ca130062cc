//! A small guest made of this host's own programs: enough to run scripts in.

use std::collections::BTreeSet;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the runner of scripts and the tests' scripts use.
const PROGRAMS: &[&str] =
    &["sh", "cat", "head", "tail", "tee", "wc", "rm", "mkdir", "sleep", "dd", "ls", "stat", "id", "seq"];

/// Makes a tree that holds an operating system of sorts, with this fstab.
pub(crate) fn tree(directory: &Path, fstab: &str) -> PathBuf {
    let tree = directory.join("tree");
    for name in ["dev", "proc", "sys", "etc", "usr/bin", "usr/lib", "root", "tmp", "boot/efi"] {
        fs_err::create_dir_all(tree.join(name)).unwrap();
    }
    for (name, target) in [("bin", "usr/bin"), ("sbin", "usr/bin"), ("lib", "usr/lib"), ("lib64", "usr/lib")]
    {
        symlink(target, tree.join(name)).unwrap();
    }
    fs_err::write(tree.join("etc/os-release"), "ID=debian\nVERSION_ID=12\n").unwrap();
    fs_err::write(tree.join("etc/fstab"), fstab).unwrap();
    fs_err::write(tree.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n").unwrap();
    let mut libraries = BTreeSet::new();
    for program in PROGRAMS {
        let path = which(program);
        fs_err::copy(&path, tree.join("usr/bin").join(program)).unwrap();
        libraries.extend(libraries_of(&path));
    }
    for library in libraries {
        // `/lib64/x`, `/usr/lib/y/x`: what follows the first directory named lib… goes below usr/lib.
        let parts: Vec<&str> = library.to_str().unwrap().split('/').collect();
        let lib = parts.iter().position(|part| part.starts_with("lib")).unwrap();
        let to = tree.join("usr/lib").join(parts[lib + 1..].join("/"));
        fs_err::create_dir_all(to.parent().unwrap()).unwrap();
        fs_err::copy(&library, to).unwrap();
    }
    tree
}

/// Makes a raw disk: an ext4 file system without partitions.
pub(crate) fn disk(directory: &Path, mib: u64) -> PathBuf {
    let tree = tree(directory, "LABEL=testroot / ext4 defaults 0 1\n");
    let image = blank(directory, "guest.raw", mib);
    run(Command::new("mke2fs").args(["-q", "-t", "ext4", "-L", "testroot", "-d"]).arg(&tree).arg(&image));
    image
}

/// Makes a raw disk with a GPT: an EFI system partition numbered 2 in front, the root numbered 1 behind it.
pub(crate) fn partitioned_disk(directory: &Path) -> PathBuf {
    let tree =
        tree(directory, "LABEL=testroot / ext4 defaults 0 1\nPARTLABEL=esp /boot/efi vfat umask=0077\n");
    let (root, esp) = (blank(directory, "root.raw", 64), blank(directory, "esp.raw", 8));
    run(Command::new("mke2fs").args(["-q", "-t", "ext4", "-L", "testroot", "-d"]).arg(&tree).arg(&root));
    run(Command::new("mkfs.vfat").arg(&esp));
    let image = blank(directory, "guest.raw", 75);
    let table =
        "label: gpt\n2: start=2048, size=16384, type=U, name=esp\n1: start=18432, size=131072, type=L\n";
    let script = directory.join("table");
    fs_err::write(&script, table).unwrap();
    run(Command::new("sfdisk")
        .args(["-q", "--no-reread", "--no-tell-kernel"])
        .arg(&image)
        .stdin(std::process::Stdio::from(fs_err::File::open(script).unwrap().into_parts().0)));
    for (part, sector) in [(&esp, 2048_u64), (&root, 18432)] {
        let of = format!("of={}", image.display());
        let seek = format!("seek={}", sector / 2048);
        let from = format!("if={}", part.display());
        run(Command::new("dd").args(["bs=1M", "conv=notrunc,sparse", "status=none", &from, &of, &seek]));
    }
    image
}

/// Makes a file of zeros.
pub(crate) fn blank(directory: &Path, name: &str, mib: u64) -> PathBuf {
    let path = directory.join(name);
    fs_err::File::create(&path).unwrap().set_len(mib << 20).unwrap();
    path
}

/// Runs a program that must succeed; returns its stdout.
pub(crate) fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn which(program: &str) -> PathBuf {
    let places = ["/usr/bin", "/bin"];
    places.iter().map(|place| Path::new(place).join(program)).find(|path| path.exists()).unwrap()
}

fn libraries_of(program: &Path) -> Vec<PathBuf> {
    let text = run(Command::new("ldd").arg(program));
    text.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from).collect()
}
