//! A whole Debian, unpacked by Linux onto XFS and Btrfs, is to tib what it is to Linux.

mod common;

use std::path::PathBuf;
use std::process::Command;

use common::linux::{TELL, is_what_linux_said, tell};
use common::oracle::guestfish_in;
use common::{outcome, run, scratch};
use fs_err as fs;

/// Unpacks the system that lies on the last disk into the file system at `/sysroot`.
const UNPACK: &str = "mkdir out && tar --xattrs --xattrs-include='*' --acls -xpf /dev/sdd";

/// A system of 30 000 files and more, as a tar file: made once per cache.
fn system() -> PathBuf {
    let path = common::cache().join("debian-12.tar");
    if !path.exists() {
        let place = scratch();
        let new = place.path().join("new.tar");
        let mut command = Command::new("mmdebstrap");
        command.args(["--quiet", "--variant=important", "--include=linux-headers-amd64,perl,python3,vim"]);
        let made = outcome(command.arg("bookworm").arg(&new));
        assert_eq!(made.code, Some(0), "{}", made.stderr);
        fs::rename(new, &path).unwrap();
    }
    path
}

/// On Btrfs with compression, and with a snapshot of before something was changed. Takes minutes without KVM.
#[test]
fn appliance_a_whole_debian_is_what_linux_says() {
    if !common::all_combinations() {
        return;
    }
    let scratch = scratch();
    let directory = scratch.path();
    let system = system();
    for disk in ["xfs.raw", "btrfs.raw", "scrap.raw"] {
        fs::File::create(directory.join(disk)).unwrap().set_len(4 << 30).unwrap();
    }
    // The appliance of some distributions cannot make XFS, but every kernel mounts it.
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap());
    let mut mkfs = Command::new("mkfs.xfs");
    let made = outcome(mkfs.args(["-q", "-m", "reflink=1"]).arg(directory.join("xfs.raw")).env("PATH", path));
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    fs::write(directory.join("tell"), TELL).unwrap();
    let script = format!(
        "run\nmkfs ext4 /dev/sdc\n\
         mount /dev/sda /\ndebug sh \"cd /sysroot && {UNPACK}\"\numount /\n\
         mkfs btrfs /dev/sdb\nmount-options compress=zstd:1 /dev/sdb /\ndebug sh \"cd /sysroot && {UNPACK}\"\n\
         debug sh \"cd /sysroot && btrfs subvolume snapshot -r . before && rm -r usr/share/doc && cp -a etc srv/copy && \
         find usr/bin -type f -exec truncate -s +5000 {{}} +\"\numount /\n{}{}",
        tell("mount-ro /dev/sda", "/dev/sdc", "xfs"),
        tell("mount-ro /dev/sdb", "/dev/sdc", "btrfs"),
    );
    guestfish_in(directory, &["xfs.raw", "btrfs.raw", "scrap.raw", system.to_str().unwrap()], &script);

    let named = run("tar", &[&"-tf", &system]).lines().count();
    for (kind, why, least, before) in
        [("xfs", "/ is XFS", named, ""), ("btrfs", "/ is Btrfs", named * 3 / 2, "/before")]
    {
        let image = directory.join(format!("{kind}.raw"));
        let found = is_what_linux_said(&image, &format!("read by tib itself: {why}"), directory, kind);
        assert!(found.len() > 30_000 && found.len() >= least - 1, "{kind}: {} of {least}", found.len());
        // A change takes it away.
        let capability = &found[&format!("{before}/usr/bin/ping")]["xattrs"][0]["name"];
        assert_eq!(capability, "security.capability", "{kind}");
    }
}
