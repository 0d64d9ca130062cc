//! What can lie on a disk of the image, by the type of a file system or the name of a device.

/// Kinds that lie on no disk: the kernel's own (`nodev` in `/proc/filesystems`, some of old or of other machines), those
/// of servers and of hosts of virtual machines, and those that a program makes (FUSE).
const ELSEWHERE: &[&str] = &[
    "9p",
    "acfs",
    "afs",
    "anon_inodefs",
    "aufs",
    "autofs",
    "bdev",
    "beegfs",
    "binder",
    "binfmt_misc",
    "bindfs",
    "blobfuse",
    "blobfuse2",
    "bpf",
    "ceph",
    "cephfs",
    "cgroup",
    "cgroup2",
    "cifs",
    "coda",
    "configfs",
    "cpuset",
    "curlftpfs",
    "cvmfs",
    "davfs",
    "davfs2",
    "dax",
    "debugfs",
    "devfs",
    "devpts",
    "devtmpfs",
    "dlmfs",
    "ecryptfs",
    "efivarfs",
    // Amazon's; SGI's of that name is no Linux' root.
    "efs",
    "encfs",
    "fhgfs",
    "functionfs",
    "fuse",
    "fusectl",
    "gadgetfs",
    "gcsfuse",
    "glusterfs",
    "gocryptfs",
    "goofys",
    "gpfs",
    "hostfs",
    "httpdirfs",
    "hugetlbfs",
    "ignore",
    "ipathfs",
    "juicefs",
    "lizardfs",
    "lustre",
    "mergerfs",
    "mfs",
    "mhddfs",
    "moosefs",
    "mqueue",
    "ncp",
    "ncpfs",
    "nfs",
    "nfs3",
    "nfs4",
    "nfsd",
    "nsfs",
    "nullfs",
    "ocfs2_dlmfs",
    "openpromfs",
    "orangefs",
    "overlay",
    "overlayfs",
    "panfs",
    "pipefs",
    "prl_fs",
    "proc",
    "pstore",
    "pvfs2",
    "quobyte",
    "ramfs",
    "rclone",
    "resctrl",
    "rootfs",
    "rpc_pipefs",
    "s3fs",
    "securityfs",
    "selinuxfs",
    "smackfs",
    "smb3",
    "smbfs",
    "sockfs",
    "spufs",
    "sshfs",
    "swap",
    "sysfs",
    "tmpfs",
    "tracefs",
    "unionfs",
    "usbdevfs",
    "usbfs",
    "vboxsf",
    "virtiofs",
    "vmhgfs",
    "wekafs",
    "xenfs",
    "xtreemfs",
];
/// Drives for media that come and go.
const DRIVES: &[&str] = &["cdrom", "cdrw", "dvd", "dvdrw", "fd", "floppy", "scd", "sr"];
/// Names of devices that lie on no other device, in front of what tells them apart: disks, and what a server, a file or the
/// memory offers as one.
const DISKS: &[&str] = &[
    "sd", "vd", "xvd", "hd", "nvme", "mmcblk", "dasd", "pmem", "rbd", "nbd", "drbd", "loop", "ram", "zram",
    "mtd", "mtdblock", "ubi", "ubiblock", "sheepdog", "fio", "skd", "aoe",
];
/// Directories of links to disks, named by what the machine has and where, or by what a server offers.
const DIRECTORIES: &[&str] = &[
    "disk/by-id/",
    "disk/by-path/",
    "disk/by-diskseq/",
    "disk/by-loop-ref/",
    "disk/by-loop-inode/",
    "disk/by-dname/",
    "rbd/",
    "drbd/",
    "etherd/",
    "oracleoci/",
    "mmc/",
    "xvd/",
];
/// Such names that mean what lies on disks: volumes of LVM, members of RAID.
const STACKED: &[&str] = &["disk/by-id/dm-", "disk/by-id/md-", "disk/by-id/lvm-", "disk/by-id/bcache-"];

/// Whether a type of fstab's, or each of a list of them, is one that lies on no disk.
pub(super) fn is_elsewhere(kind: &str) -> bool {
    kind.split(',').all(|kind| {
        // Programs have types of their own behind a dot: `fuse.sshfs`.
        ELSEWHERE.contains(&kind) || ["fuse.", "nfs."].iter().any(|family| kind.starts_with(family))
    })
}

/// Whether a name is that of a drive for media.
pub(super) fn is_drive(name: &str) -> bool {
    let rest = |drive: &&str| name.strip_prefix("/dev/")?.strip_prefix(*drive);
    DRIVES.iter().filter_map(rest).any(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Whether a name is that of a file, which is mounted by way of a loop device.
pub(super) fn is_file(name: &str) -> bool {
    name.starts_with('/') && !name.starts_with("//") && !name.starts_with("/dev/")
}

/// Whether a name means a disk or a partition, by its number or its place, and nothing that lies on one.
pub(super) fn names_a_disk(name: &str) -> bool {
    let Some(path) = name.strip_prefix("/dev/") else { return false };
    let is_numbered = |rest: &str| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_alphanumeric());
    DISKS.iter().filter_map(|disk| path.strip_prefix(disk)).any(is_numbered)
        || DIRECTORIES.iter().any(|directory| path.starts_with(directory))
            && !STACKED.iter().any(|prefix| path.starts_with(prefix))
}

/// Whether whole disks of this name end in a number, so that a `p` stands in front of that of a partition.
pub(super) fn ends_in_a_number(name: &str) -> bool {
    ["nvme", "mmcblk", "pmem", "nbd", "loop", "rbd", "drbd"]
        .iter()
        .any(|disk| name.strip_prefix("/dev/").is_some_and(|path| path.starts_with(disk)))
}
