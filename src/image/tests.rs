use std::process::Command;

use super::*;
use crate::control::Control;
use crate::error::Exit;

fn sh(directory: &Path, script: &str) {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap());
    let output = Command::new("sh").args(["-euc", script]).env("PATH", path).current_dir(directory).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{script}: {output:?}");
}

fn open(image: &Path) -> Image {
    Image::open(image, &Policy::default(), &Control::none()).unwrap()
}

/// Everything is read from the files that passed the gate, whatever has their names by then.
#[test]
fn an_image_is_opened_once_for_all_that_is_read_of_it() {
    let directory = tempfile::tempdir().unwrap();
    sh(
        directory.path(),
        "mkdir -p root/etc; echo ID=debian >root/etc/os-release; truncate -s 64M disk.raw; \
         printf 'label: gpt\\nstart=2048, size=65536, type=L\\n' | sfdisk -q disk.raw; \
         mke2fs -q -t ext4 -d root -E offset=1048576 disk.raw 32M; \
         qemu-img convert -O qcow2 disk.raw disk.qcow2; rm disk.raw",
    );
    let path = directory.path().join("disk.qcow2");
    let mut image = open(&path);
    std::fs::remove_file(&path).unwrap();
    assert_eq!((image.info().format, image.info().virtual_size), (Format::Qcow2, 64 << 20));
    let layout = image.layout().unwrap().clone();
    assert_eq!(layout.partitions.len(), 1);
    assert_eq!(layout.image, *image.info());
    for _ in 0..2 {
        assert_eq!(image.tree().unwrap().read(b"/etc/os-release", 100).unwrap(), b"ID=debian\n");
    }
    assert!(image.growth().unwrap().grow(1 << 30).unwrap().is_some());
    let name = image.read(|tree| Ok(tree.canonicalize(b"/etc/../etc")?)).unwrap();
    assert_eq!(name, b"/etc");
}

/// A disk of sectors of 4096 bytes with a file system that is not read natively.
#[test]
fn sectors_that_no_appliance_reads_are_told_before_one_starts() {
    let directory = tempfile::tempdir().unwrap();
    sh(
        directory.path(),
        "truncate -s 64M disk.raw; printf 'g\\nn\\n\\n\\n\\nw\\n' | fdisk -b 4096 disk.raw; \
         printf 'hsqs' | dd of=disk.raw bs=1M seek=1 conv=notrunc",
    );
    let mut image = open(&directory.path().join("disk.raw"));
    assert_eq!(image.layout().unwrap().partitions.len(), 1);
    let looked = image.read(|_| Ok(())).unwrap_err();
    assert!(looked.to_string().contains("sectors of 512 bytes only"), "{looked}");
    assert!(looked.to_string().contains("SquashFS"), "{looked}");
    assert_eq!(looked.exit(), Exit::Integrity);
    assert!(looked.hint().unwrap().contains("guestfish --ro --blocksize=4096 "));
}
