//! What tib sees in a real image is what other people's tools see in it: every path, not a sample.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;

use common::oracle::{guestfish, guestfish_in, packages, virt};
use common::{built_image, run, run_tib, scratch};
use fs_err as fs;

/// FAT has no modes: tib takes those that the options in the image's fstab give it, and libguestfs' inspection leaves
/// the options out.
fn is_on_fat(path: &str) -> bool {
    path == "/boot/efi" || path.starts_with("/boot/efi/")
}

/// Kind, mode, size, owner, group, times and target of every path, as virt-ls has them.
#[test]
fn appliance_every_path_is_what_virt_ls_says() {
    let image = built_image("mariadb");
    let path = image.to_str().unwrap();
    let lines = |text: &str| -> BTreeMap<String, String> {
        let lines = text.lines().map(|line| {
            let mut fields: Vec<&str> = line.splitn(9, ',').map(str::trim).collect();
            let name = fields.pop().unwrap().to_owned();
            if is_on_fat(name.split(',').next().unwrap()) {
                fields[1] = "any mode";
            }
            (name, fields.join(","))
        });
        lines.collect()
    };
    let theirs = virt("virt-ls", &["-lR", "--csv", "--uids", "--times", "-a", path, "/"]);
    let ours = run_tib(["ls", "-lR", "--csv", "--uids", "--times", path, "/"]).expect(0);
    let (theirs, ours) = (lines(&theirs), lines(&ours));
    assert!(ours.len() > 10_000, "{}", ours.len());
    for (name, fields) in &theirs {
        assert_eq!(ours.get(name), Some(fields), "{name}");
    }
    assert_eq!(ours.len(), theirs.len());
}

/// The content of every file, and every extended attribute, as the kernel of an appliance reads them.
#[test]
fn appliance_contents_and_attributes_are_what_guestfish_says() {
    let image = built_image("mariadb");
    let scratch = scratch();
    let sums = scratch.path().join("sums");
    let listing =
        run_tib(["ls", "-lR", "--json", "--checksum", "--xattrs", image.to_str().unwrap(), "/"]).expect(0);
    let entries: Vec<serde_json::Value> = serde_json::from_str(&listing).unwrap();

    // One question for many names of a directory; guestfish takes no lines of more than 8 KiB or so.
    let mut directories: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for entry in &entries {
        let path = entry["path"].as_str().unwrap();
        if path != "/" {
            let (directory, name) = path.rsplit_once('/').unwrap();
            directories.entry(directory).or_default().push(name);
        }
    }
    let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    let questions = directories
        .iter()
        .flat_map(|(directory, names)| names.chunks(40).map(move |names| (directory, names)));
    let script: String = questions
        .map(|(directory, names)| {
            let names: Vec<String> = names.iter().map(|name| format!("'{name}'")).collect();
            format!("lxattrlist {} {}\n", quoted(&format!("{directory}/")), quoted(&names.join(" ")))
        })
        .collect();
    let [_, answer] =
        guestfish(&image, [&format!("checksums-out sha256 / {}", sums.display()), script.trim_end()]);

    let theirs: BTreeMap<String, String> = fs::read_to_string(&sums)
        .unwrap()
        .lines()
        .map(|line| {
            // A backslash in front says that those in the name are doubled.
            let (sum, path) = line.trim_start_matches('\\').split_once("  ").unwrap();
            let path = if line.starts_with('\\') { path.replace("\\\\", "\\") } else { path.to_owned() };
            (path.trim_start_matches('.').to_owned(), sum.to_owned())
        })
        .collect();
    let ours: BTreeMap<String, String> = entries
        .iter()
        .filter_map(|entry| Some((entry["path"].as_str()?.to_owned(), entry["sha256"].as_str()?.to_owned())))
        .collect();
    assert!(ours.len() > 5_000, "{}", ours.len());
    for (path, sum) in &theirs {
        assert_eq!(ours.get(path), Some(sum), "{path}");
    }
    assert_eq!(ours.len(), theirs.len());

    // Every name is answered by a structure without a name that counts its attributes, and those behind it.
    let fields = |key: &str| -> Vec<String> {
        let lines = answer.lines().filter_map(|line| line.trim().strip_prefix(key));
        lines.map(|value| value.trim().to_owned()).collect()
    };
    let (names, values) = (fields("attrname:"), fields("attrval:"));
    assert_eq!(names.len(), values.len());
    let mut answers = names.iter().zip(&values).peekable();
    let by_path: BTreeMap<&str, &serde_json::Value> =
        entries.iter().map(|entry| (entry["path"].as_str().unwrap(), entry)).collect();
    let mut attributes = 0;
    for (directory, names) in &directories {
        for name in names {
            let path = format!("{directory}/{name}");
            let (first, _) = answers.next().unwrap_or_else(|| panic!("no answer for {path}"));
            assert_eq!(first, "", "{path}");
            let mut theirs = BTreeSet::new();
            while let Some((name, value)) = answers.next_if(|(name, _)| !name.is_empty()) {
                // It takes bytes above 127 for negative numbers.
                theirs.insert((name.clone(), value.replace("\\xffffff", "\\x")));
            }
            let ours: BTreeSet<(String, String)> = by_path[path.as_str()]["xattrs"]
                .as_array()
                .unwrap()
                .iter()
                .map(|xattr| {
                    let text = |key: &str| xattr[key].as_str().unwrap().to_owned();
                    (text("name"), shown_by_guestfish(&text("value-hex")))
                })
                .collect();
            attributes += ours.len();
            assert_eq!(ours, theirs, "{path}");
        }
    }
    assert!(answers.next().is_none(), "more answers than names");
    assert!(attributes > 0, "ping has a capability");
}

/// Bytes as guestfish prints them: what is printable as it is, everything else as `\x..`.
fn shown_by_guestfish(hex: &str) -> String {
    let bytes = (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap());
    bytes
        .map(|byte| match byte {
            b' '..=b'~' => char::from(byte).to_string(),
            byte => format!("\\x{byte:02x}"),
        })
        .collect()
}

/// Packages as virt-inspector and dpkg read them, units as systemctl resolves them.
#[test]
fn appliance_an_inspection_is_what_others_say() {
    let image = built_image("mariadb");
    let path = image.to_str().unwrap();
    let inspection: serde_json::Value =
        serde_json::from_str(&run_tib(["inspect", "--json", path]).expect(0)).unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let ours: BTreeMap<String, String> = inspection["packages"]["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|package| (text(&package["name"]), text(&package["version"])))
        .collect();
    assert_eq!(ours, packages(&run_tib(["cat", path, "/var/lib/dpkg/status"]).expect(0)));

    let xml = virt("virt-inspector", &["-a", path]);
    let element = |within: &str, name: &str| -> Option<String> {
        let rest = within.split_once(&format!("<{name}>"))?.1;
        Some(rest.split_once(&format!("</{name}>"))?.0.to_owned())
    };
    let theirs: BTreeMap<String, String> = xml
        .split("<application>")
        .skip(1)
        .map(|application| {
            let epoch = element(application, "epoch").map(|epoch| format!("{epoch}:")).unwrap_or_default();
            let release =
                element(application, "release").map(|release| format!("-{release}")).unwrap_or_default();
            let version = element(application, "version").unwrap();
            (element(application, "name").unwrap(), format!("{epoch}{version}{release}"))
        })
        .collect();
    assert_eq!(ours, theirs);
    assert_eq!(element(&xml, "distro").as_deref(), inspection["system"]["id"].as_str());
    assert_eq!(element(&xml, "arch").as_deref(), inspection["system"]["architecture"].as_str());
    assert_eq!(element(&xml, "package_format").as_deref(), Some("deb"));
    assert_eq!(inspection["packages"]["database"], "dpkg");

    let scratch = scratch();
    let root = scratch.path().join("root");
    for directory in ["etc", "usr/lib/systemd"] {
        let to = root.join(directory);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        run_tib(["extract", path, &format!("/{directory}"), "-o", to.to_str().unwrap()]).expect(0);
    }
    fs::os::unix::fs::symlink("usr/lib", root.join("lib")).unwrap();
    let listed = run(
        "systemctl",
        &[
            &format!("--root={}", root.display()),
            &"list-unit-files",
            &"--no-legend",
            &"--no-pager",
            &"--plain",
        ],
    );
    let theirs: BTreeMap<String, String> = listed
        .lines()
        .map(|line| {
            let mut words = line.split_whitespace();
            (words.next().unwrap().to_owned(), words.next().unwrap().to_owned())
        })
        .collect();
    let units = inspection["units"]["units"].as_array().unwrap();
    let ours: BTreeMap<String, String> =
        units.iter().map(|unit| (text(&unit["name"]), text(&unit["state"]))).collect();
    assert!(ours.len() > 100, "{}", ours.len());
    assert_eq!(ours, theirs);
}

/// What other disks of an instance bring, and servers: not in the image, and no reason not to read it.
const ELSEWHERE: &str = "/dev/disk/by-id/virtio-5a9e2c70-1b1f-4d0c-a /var/lib/postgresql ext4 defaults 0 2\n\
    /dev/vdb\t/var/lib/mysql\text3\tdefaults,noatime\t0\t0\n/dev/rbd0 /srv xfs _netdev 0 0\n\
    server:/export /home nfs defaults 0 0\nrpc_pipefs /var/lib/nfs/rpc_pipefs rpc_pipefs defaults 0 0\n";
/// Where most of that is mounted.
const MISSED: [&str; 3] = ["/var/lib/postgresql", "/var/lib/mysql", "/srv"];

/// A small system in a clean ext4 file system, `clean.raw`, with something of every kind.
fn small_system(directory: &Path) {
    let root = directory.join("root");
    for directory in ["etc", "usr/lib", "bin"] {
        fs::create_dir_all(root.join(directory)).unwrap();
    }
    fs::write(root.join("usr/lib/os-release"), "ID=debian\nVERSION_ID=12\n").unwrap();
    fs::os::unix::fs::symlink("../usr/lib/os-release", root.join("etc/os-release")).unwrap();
    fs::copy("/bin/true", root.join("bin/sh")).unwrap();
    fs::write(root.join("etc/caf\u{e9} \"x\""), vec![7; 70_000]).unwrap();
    fs::write(root.join("etc/empty"), "").unwrap();
    // By these libguestfs knows a system where tib has to ask it: in a subvolume of Btrfs.
    fs::write(root.join("etc/hosts"), "127.0.0.1 localhost\n").unwrap();
    fs::write(root.join("etc/fstab"), ELSEWHERE).unwrap();
    fs::write(root.join(OsStr::from_bytes(b"etc/no \xff text")), "x").unwrap();
    run_in(directory, "mke2fs", &["-q", "-t", "ext4", "-d", "root", "clean.raw", "96M"]);
    fs::write(
        directory.join("changes"),
        "cd /etc\nmknod disk b 8 300\nmknod pipe p\nea_set empty security.selinux system_u:object_r:etc_t:s0\n\
         ea_set empty user.note hello\nsif empty uid 70000\nsif empty mtime @1234567890\n\
         ln empty another-name\nsif empty links_count 2\n",
    )
    .unwrap();
    run_in(directory, "debugfs", &["-w", "-f", "changes", "clean.raw"]);
}

#[track_caller]
fn run_in(directory: &Path, program: &str, arguments: &[&str]) {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap());
    let output =
        Command::new(program).args(arguments).current_dir(directory).env("PATH", path).output().unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Everything tib knows of an image, and the way it took.
#[track_caller]
fn everything(image: &Path) -> (Vec<serde_json::Value>, String) {
    let command = ["--explain", "ls", "-R", "--json", "--checksum", "--xattrs", image.to_str().unwrap(), "/"];
    let found = run_tib(command);
    assert_eq!(found.code, Some(0), "{}", found.stderr);
    for point in MISSED {
        let told = format!("which /etc/fstab mounts at {point}, is not on the image's disk");
        assert!(found.stderr.contains(&told), "{told}: {}", found.stderr);
    }
    (serde_json::from_str(&found.stdout).unwrap(), found.stderr)
}

/// An image that tib leaves to an appliance gives the answers of one it reads itself.
#[test]
fn appliance_and_native_answers_are_the_same() {
    let scratch = scratch();
    let directory = scratch.path();
    small_system(directory);
    fs::copy(directory.join("clean.raw"), directory.join("dirty.raw")).unwrap();
    // A block that nothing uses is in the journal, so that a kernel has something to put in its place.
    fs::write(directory.join("block"), [7; 4096]).unwrap();
    fs::write(directory.join("journal"), "jo\njw -b 20000 block\njc\n").unwrap();
    run_in(directory, "debugfs", &["-w", "-f", "journal", "dirty.raw"]);

    let (native, why) = everything(&directory.join("clean.raw"));
    assert!(why.contains("read by tib itself: / is ext4"), "{why}");
    let (appliance, why) = everything(&directory.join("dirty.raw"));
    assert!(why.contains("through an appliance: ") && why.contains("was not written back"), "{why}");
    assert!(native.len() > 10);
    assert_eq!(native, appliance);

    let range = |image: &str| {
        let image: &Path = &directory.join(image);
        run_tib(["tail", "-c", "10", image.to_str().unwrap(), "/etc/caf\u{e9} \"x\""]).expect(0)
    };
    assert_eq!(range("dirty.raw"), "\u{7}".repeat(10));
}

/// Of a length that is prime: wherever a piece of 4 MiB lies, another would go on differently.
fn pattern() -> String {
    (0..4093u64).map(|n| char::from(b'a' + (n * n * 7919 % 26) as u8)).collect()
}

/// Bytes of a file that is longer than the parts of the logical volume it lies on.
const LARGE: usize = 130 << 20;

/// The same files on XFS and Btrfs, on what only an appliance reads (a thin logical volume), and on a linear volume in four pieces on
/// two physical volumes of a group that has got another name. A locked disk is refused.
#[test]
fn appliance_every_file_system_gives_the_same_answers() {
    let scratch = scratch();
    let directory = scratch.path();
    small_system(directory);
    let clean = directory.join("clean.raw");
    let tar = directory.join("all.tar");
    run_tib(["extract", clean.to_str().unwrap(), "/", "-o", tar.to_str().unwrap()]).expect(0);
    for image in ["xfs.raw", "btrfs.raw", "lvm.raw", "luks.raw", "thin.raw"] {
        fs::File::create(directory.join(image)).unwrap().set_len(320 << 20).unwrap();
    }
    // The appliance of some distributions cannot make XFS, but every kernel mounts it.
    run_in(directory, "mkfs.xfs", &["-q", "xfs.raw"]);
    let unpack = "tar-in all.tar / xattrs:true selinux:true acls:true\numount /\n";
    let script = format!(
        "run\nmount /dev/sda /\n{unpack}\
         mkfs btrfs /dev/sdb\nmount /dev/sdb /\nbtrfs-subvolume-create /root\numount /\n\
         mount btrfsvol:/dev/sdb/root /\n{unpack}\
         part-init /dev/sdc gpt\npart-add /dev/sdc p 2048 307199\npart-add /dev/sdc p 307200 614399\n\
         pvcreate /dev/sdc1\npvcreate /dev/sdc2\nvgcreate old \"/dev/sdc1 /dev/sdc2\"\n\
         lvcreate root old 60\nlvcreate data-x old 20\nlvresize /dev/old/root 90\nlvcreate more old 8\n\
         lvresize /dev/old/root 200\nvgrename old my-vg\nmkfs ext4 /dev/my-vg/root\n\
         debug sh \"lvs --segments --noheadings -o devices my-vg/root\"\n\
         mount /dev/my-vg/root /\nfill-pattern {} {LARGE} /large\n{unpack}\
         luks-format /dev/sdd 0\nsecret\n\
         pvcreate /dev/sde\nvgcreate vg /dev/sde\n\
         debug sh \"lvcreate -y --type thin-pool -L 240M -n pool vg\"\n\
         debug sh \"lvcreate -y --type thin -V 200M --thinpool pool -n root vg\"\n\
         mkfs ext4 /dev/vg/root\nmount /dev/vg/root /\n{unpack}",
        pattern()
    );
    let images = ["xfs.raw", "btrfs.raw", "lvm.raw", "luks.raw", "thin.raw"];
    let said = guestfish_in(directory, &images, &script);
    // The kernel may have found the disks in another order.
    let pieces: Vec<(&str, &str)> = said
        .split_ascii_whitespace()
        .filter_map(|word| word.strip_prefix("/dev/sd")?.split_once('('))
        .collect();
    let physical: BTreeSet<&str> = pieces.iter().map(|(physical, _)| *physical).collect();
    assert!(pieces.len() > 2 && physical.len() == 2, "{said}");

    // What the files are, without what each file system decides for itself.
    let files = |entries: Vec<serde_json::Value>| -> Vec<serde_json::Value> {
        let kept = entries.into_iter().filter(|entry| entry["path"] != "/lost+found");
        let kept = kept.map(|mut entry| {
            let is_directory = entry["kind"] == "directory";
            let fields = entry.as_object_mut().unwrap();
            for field in ["inode", "allocated", "atime", "ctime"] {
                assert!(fields.remove(field).is_some(), "no {field}");
            }
            fields.remove("atime-nanoseconds");
            fields.remove("ctime-nanoseconds");
            if is_directory {
                fields.remove("size");
                fields.remove("links");
            }
            entry
        });
        kept.collect()
    };
    let expected = files(everything(&clean).0);
    assert!(expected.len() > 10);
    let appliance = "read through an appliance: ";
    let native = "read by tib itself: ";
    for (image, way, reason) in [
        ("xfs.raw", native, "/ is XFS"),
        ("btrfs.raw", native, "(subvolume `root`)"),
        ("thin.raw", appliance, "thin"),
    ] {
        let (found, why) = everything(&directory.join(image));
        assert!(why.contains(way) && why.contains(reason), "{image}: {why}");
        assert_eq!(files(found), expected, "{image}");
    }
    let (mut found, why) = everything(&directory.join("lvm.raw"));
    assert!(why.contains("read by tib itself: / is ext4 in the logical volume my-vg/root"), "{why}");
    let at = found.iter().position(|entry| entry["path"] == "/large").unwrap();
    let large = found.remove(at);
    fs::write(directory.join("large"), pattern().bytes().cycle().take(LARGE).collect::<Vec<u8>>()).unwrap();
    let sum = run("sha256sum", &[&directory.join("large")]);
    assert_eq!(large["sha256"], sum.split(' ').next().unwrap());
    assert_eq!(files(found), expected, "lvm.raw");
    let locked = run_tib(["ls", directory.join("luks.raw").to_str().unwrap(), "/"]);
    assert_eq!(locked.code, Some(5), "{}", locked.stderr);
    assert!(locked.stderr.contains("LUKS"), "{}", locked.stderr);
}
