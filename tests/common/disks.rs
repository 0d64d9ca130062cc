//! Disks that tib must refuse, or that are too small to be an operating system, made with other people's tools.

use std::path::{Path, PathBuf};

use fs_err as fs;

use super::run;

/// A raw disk: GPT, one ext4 partition that holds `files` (path, content).
pub fn disk_with_files(directory: &Path, files: &[(&str, &[u8])]) -> PathBuf {
    let tree = directory.join("tree");
    fs::create_dir_all(&tree).unwrap();
    for (path, content) in files {
        let path = tree.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    let disk = directory.join("disk.raw");
    disk_of_tree(&disk, &tree, "", "");
    disk
}

/// Makes a raw disk: GPT, one ext4 partition that holds what is in the directory `tree`: files, links and attributes
/// with the names they have there. The labels are the partition's and the file system's.
pub fn disk_of_tree(disk: &Path, tree: &Path, partition_label: &str, label: &str) {
    const MIB: u64 = 1 << 20;
    fs_err::File::create(disk).unwrap().set_len(66 * MIB).unwrap();
    let name = format!("1:{partition_label}");
    run("/sbin/sgdisk", &[&"-n", &"1:2048:+64M", &"-t", &"1:8300", &"-c", &name, &disk]);
    let offset = format!("offset={MIB}");
    let options = ["-q", "-t", "ext4", "-L", label, "-E", &offset, "-d"];
    let mut arguments: Vec<&dyn AsRef<std::ffi::OsStr>> = Vec::new();
    arguments.extend(options.iter().map(|option| option as &dyn AsRef<std::ffi::OsStr>));
    arguments.extend([&tree as &dyn AsRef<std::ffi::OsStr>, &disk, &"64M"]);
    run("/sbin/mke2fs", &arguments);
}

/// The smallest thing that passes for a Debian 12 of a processor architecture (an ELF machine number).
pub fn debian_of_machine(directory: &Path, machine: u16) -> PathBuf {
    let os_release = b"PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nID=debian\nVERSION_ID=\"12\"\nVERSION_CODENAME=bookworm\n";
    let status = b"Package: dpkg\nStatus: install ok installed\nVersion: 1.21.22\nArchitecture: arm64\n\n";
    let program = elf_header(machine);
    disk_with_files(
        directory,
        &[
            ("etc/os-release", os_release),
            ("usr/lib/os-release", os_release),
            ("etc/fstab", b""),
            ("bin/sh", &program),
            ("bin/dash", &program),
            ("usr/bin/dpkg", &program),
            ("usr/bin/python3", &program),
            ("var/lib/dpkg/status", status),
        ],
    )
}

pub fn elf_header(machine: u16) -> Vec<u8> {
    let mut header = vec![0; 64];
    // 64-bit, little-endian, version 1.
    header[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    header[16..18].copy_from_slice(&3u16.to_le_bytes());
    header[18..20].copy_from_slice(&machine.to_le_bytes());
    header[20..24].copy_from_slice(&1u32.to_le_bytes());
    header[52..54].copy_from_slice(&64u16.to_le_bytes());
    header
}

/// A qcow2 made by `qemu-img create` with these arguments, which must end in what comes after the options.
pub fn qcow2(path: &Path, options: &[&str], size: Option<&str>) -> PathBuf {
    let mut arguments: Vec<&dyn AsRef<std::ffi::OsStr>> = vec![&"create", &"-q", &"-f", &"qcow2"];
    arguments.extend(options.iter().map(|option| option as &dyn AsRef<std::ffi::OsStr>));
    arguments.push(&path);
    if let Some(size) = &size {
        arguments.push(size);
    }
    run("qemu-img", &arguments);
    path.to_owned()
}
