//! A small base: a Debian 12 of some 60 MB that runs dpkg, laid onto disks of many shapes, and an archive with one package.
//!
//! The tree, the archive and each disk are made once per cache (`TIB_TEST_CACHE`), in seconds and without an appliance,
//! except for Btrfs with subvolumes. `tests/recipes/` holds recipes for it: `small` (stages `system` and `datastore`),
//! `small-site`, `small-large`, which needs more room than a small disk has, and `small-agent`, which needs Python if it is
//! given an agent.
//!
//! ```ignore
//! let archive = small::archive();
//! let base = small::base(&Shape { root: Root::Xfs, ..Shape::default() });
//! run_tib(archive.build("small-site", &base, &output)).expect(0);
//! ```

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use fs_err as fs;

use super::gpg::Gpg;
use super::http::{Server, Site};
use super::small_disk::lay;
use super::{cache, run};

/// Partition table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Table {
    Gpt,
    Mbr,
    /// The file system takes the whole disk.
    None,
}

/// Where the root lies among its neighbours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// Last by number and on the disk. On GPT behind an EFI system partition.
    Last,
    /// Partition 1, behind BIOS boot partition 14 and EFI system partition 15, as Debian and Ubuntu have it.
    First,
    /// Behind an ext4 `/boot`, as Enterprise Linux and Fedora have it.
    BehindBoot,
    /// In front of a swap partition.
    Followed,
    /// MBR: partition 5, in an extended partition.
    Logical,
}

/// What the root file system is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Root {
    Ext4,
    Xfs,
    /// The root is the top of the file system.
    Btrfs,
    /// Subvolumes `root` and `home`, as Fedora has it. Takes an appliance to make.
    BtrfsSubvolumes,
    /// ext4 on the logical volume `vg/root`, which takes all of its group.
    Lvm,
}

/// A disk to make.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Shape {
    pub table: Table,
    pub place: Place,
    pub root: Root,
    /// Size of the disk in sectors of 512 bytes.
    pub sectors: u64,
    /// Bytes of a sector, as the partition table counts them. 4096 goes with GPT.
    pub sector_size: u64,
    /// Bytes at the end of the disk that no partition uses, beside the backup of a GPT.
    pub unused: u64,
    /// With Python, which an agent needs: some 30 MB more.
    pub python: bool,
}

impl Default for Shape {
    /// GPT, root last, ext4, 512 MiB: recipes for it need no more.
    fn default() -> Self {
        Self {
            table: Table::Gpt,
            place: Place::Last,
            root: Root::Ext4,
            sectors: 512 << 11,
            sector_size: 512,
            unused: 0,
            python: false,
        }
    }
}

impl Shape {
    /// The same on a disk of `mib` MiB.
    pub fn mib(self, mib: u64) -> Self {
        Self { sectors: mib << 11, ..self }
    }

    fn name(&self) -> String {
        let Self { table, place, root, sectors, sector_size, unused, python } = self;
        let python = if *python { "-python" } else { "" };
        format!("{table:?}-{place:?}-{root:?}-{sectors}x{sector_size}-{unused}{python}").to_lowercase()
    }
}

/// Holds what the tests make for themselves; another directory for every version of this file.
fn directory() -> PathBuf {
    let source = concat!(include_str!("small.rs"), include_str!("small_disk.rs"));
    let version = source
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    let directory = cache().join(format!("small-{version:016x}"));
    fs::create_dir_all(&directory).unwrap();
    directory
}

/// Makes `name` with `make`, unless an earlier test has. `make` gets the path to write to.
fn once(name: &str, make: impl FnOnce(&Path)) -> PathBuf {
    let path = directory().join(name);
    // Held until the end of this function: another test waits, and then finds it.
    let lock = std::fs::File::create(path.with_added_extension("lock")).unwrap();
    lock.lock().unwrap();
    if !path.exists() {
        let new = path.with_added_extension("new");
        if new.is_dir() {
            fs::remove_dir_all(&new).unwrap();
        }
        make(&new);
        fs::rename(&new, &path).unwrap();
    }
    path
}

/// The tree as a tar file.
fn tree(python: bool) -> PathBuf {
    const LEFT_OUT: [&str; 4] =
        ["/usr/share/doc/*", "/usr/share/man/*", "/usr/share/info/*", "/usr/share/locale/*"];
    once(if python { "tree-python.tar" } else { "tree.tar" }, |path| {
        let options: Vec<String> =
            LEFT_OUT.iter().map(|paths| format!("--dpkgopt=path-exclude={paths}")).collect();
        let unpacked = path.with_added_extension("tar");
        let mut command = Command::new("mmdebstrap");
        command.args(["--quiet", "--variant=essential"]).args(&options);
        if python {
            command.arg("--include=python3-minimal");
        }
        command.arg("bookworm").arg(&unpacked);
        let outcome = super::outcome(&mut command);
        assert_eq!(outcome.code, Some(0), "{command:?}: {}", outcome.stderr);
        fs::rename(unpacked, path).unwrap();
    })
}

/// Unpacks the tree into a directory, as the caller's own: who made it does not matter for what is tested. What it needed to
/// configure itself stays out, and so does what takes privileges to make.
pub(super) fn unpack(directory: &Path, fstab: &str, python: bool) {
    const LEFT_OUT: [&str; 6] = [
        "./dev/*",
        "./usr/share/perl",
        "./usr/lib/x86_64-linux-gnu/perl",
        "./usr/lib/x86_64-linux-gnu/libperl*",
        "./usr/lib/x86_64-linux-gnu/gconv",
        "./var/cache/debconf/*-old",
    ];
    fs::create_dir_all(directory).unwrap();
    let mut command = Command::new("tar");
    command.arg("-xpf").arg(tree(python)).arg("--no-same-owner").arg("-C").arg(directory);
    let outcome = super::outcome(command.args(LEFT_OUT.map(|path| format!("--exclude={path}"))));
    assert_eq!(outcome.code, Some(0), "{command:?}: {}", outcome.stderr);
    fs::write(directory.join("etc/fstab"), fstab).unwrap();
    fs::write(directory.join("etc/machine-id"), "").unwrap();
    // A first process, as tib asks of every system.
    fs::os::unix::fs::symlink("/bin/sh", directory.join("usr/sbin/init")).unwrap();
    fs::write(directory.join("etc/apt/sources.list"), "").unwrap();
}

/// A qcow2 image of a disk of this shape. Not to be changed.
pub fn base(shape: &Shape) -> PathBuf {
    once(&format!("{}.qcow2", shape.name()), |path| {
        let work = tempfile::Builder::new().prefix("small-").tempdir_in(cache()).unwrap();
        let disk = lay(shape, work.path());
        run("qemu-img", &[&"convert", &"-f", &"raw", &"-O", &"qcow2", &disk, &path]);
    })
}

/// The archive, served over loopback while this value lives.
pub struct Archive {
    pub server: Server,
    /// Fingerprint of the key that signs it.
    pub key: String,
    /// Where the recipes are, with the key beside them.
    pub recipes: PathBuf,
}

/// Serves an archive with the package `pebble`, on a port of its own.
pub fn archive() -> Archive {
    let files = once("archive", make_archive);
    let site = Site::new();
    for entry in fs::read_dir(&files).unwrap() {
        let entry = entry.unwrap();
        // apt asks with a dot for what lies directly in the archive.
        site.put_file(&format!("/./{}", entry.file_name().to_str().unwrap()), entry.path()).unwrap();
    }
    let key = fs::read_to_string(files.join("fingerprint")).unwrap();
    let recipes = once("recipes", |directory| {
        fs::create_dir(directory).unwrap();
        fs::copy(files.join("archive.asc"), directory.join("archive.asc")).unwrap();
    });
    for (name, text) in [
        ("small-system", include_str!("../recipes/small-system.toml")),
        ("small", include_str!("../recipes/small.toml")),
        ("small-site", include_str!("../recipes/small-site.toml")),
        ("small-large", include_str!("../recipes/small-large.toml")),
        ("small-agent", include_str!("../recipes/small-agent.toml")),
    ] {
        let new = tempfile::NamedTempFile::new_in(&recipes).unwrap();
        fs::write(new.path(), text).unwrap();
        new.persist(recipes.join(format!("{name}.toml"))).unwrap();
    }
    Archive { server: Server::http(site.handler()), key, recipes }
}

impl Archive {
    /// The arguments of a `tib build` of one of the recipes.
    pub fn build(&self, recipe: &str, base: &Path, output: &Path) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = vec!["build".into(), recipe.into()];
        let mut option = |name: &str, value: OsString| arguments.extend([name.into(), value]);
        option("--recipe-dir", self.recipes.clone().into());
        option("--set", format!("archive={}", self.server.url("/")).into());
        option("--set", format!("archive_key={}", self.key).into());
        option("--base", base.into());
        option("--output", output.into());
        arguments
    }
}

fn make_archive(directory: &Path) {
    fs::create_dir(directory).unwrap();
    let package = tempfile::tempdir_in(cache()).unwrap();
    let control = "Package: pebble\nVersion: 1.0\nArchitecture: all\nMaintainer: tib <tib@example.org>\n\
                   Installed-Size: 64\nDescription: what the tests install\n";
    let postinst =
        "#!/bin/sh\nset -e\nmkdir -p /var/lib/pebble\necho \"configured $1\" >/var/lib/pebble/configured\n";
    for (path, text) in [
        ("DEBIAN/control", control),
        ("DEBIAN/conffiles", "/etc/pebble/package.conf\n"),
        ("DEBIAN/postinst", postinst),
        ("etc/pebble/package.conf", "# settings of the package\n"),
        ("usr/share/pebble/data", &"sixteen bytes...".repeat(4096)),
    ] {
        let path = package.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    // dpkg-deb refuses directories of mode 0700 and scripts that cannot be run.
    run("chmod", &[&"-R", &"u=rwX,go=rX", &package.path()]);
    run("chmod", &[&"0755", &package.path().join("DEBIAN/postinst")]);
    run("dpkg-deb", &[&"--root-owner-group", &"--build", &package.path(), &directory]);
    let in_directory = |script: &str| {
        run("sh", &[&"-euc", &format!("cd \"$1\"; {script}"), &"sh", &directory]);
    };
    in_directory(
        "apt-ftparchive packages . >Packages; apt-ftparchive release . >../release.new; mv ../release.new Release",
    );
    let gpg = Gpg::new();
    let key = gpg.key("tests of tib", "", "0");
    let signed = gpg.clearsigned(&[&key], &fs::read(directory.join("Release")).unwrap());
    fs::write(directory.join("InRelease"), signed).unwrap();
    fs::write(directory.join("archive.asc"), gpg.public(&key)).unwrap();
    fs::write(directory.join("fingerprint"), &key.fingerprint).unwrap();
}
