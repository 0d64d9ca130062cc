//! What tib reads of XFS by itself is what Linux reads: every path, attribute, hole and digest of file systems that a kernel
//! filled, with all that `mkfs.xfs` cannot make.

mod common;

use std::path::Path;

use common::linux::{TELL, attributes, is_what_linux_said, tell};
use common::oracle::guestfish_in;
use common::{outcome, run_tib, scratch};
use fs_err as fs;
use serde_json::Value;

/// Fills the file system in the working directory. The argument says which version it is.
const FILL: &str = r##"
set -eu
mkdir etc out many odd attributes tree
cp -a /etc/. etc/
rm -f etc/os-release etc/fstab
echo ID=debian >etc/os-release
mkdir usr; cp -a /usr/bin usr/
seq -f 'a-name-of-an-entry-%06g' 100000 | (cd many && xargs touch)
for directory in $(seq 30); do mkdir tree/$directory; seq 1000 | (cd tree/$directory && xargs touch); done
cd odd
# Islands in a sea of nothing: a tree of extents.
seq 0 2 6000 | sed 's/.*/pwrite -q -S & &k 1k/' | xfs_io -f islands >/dev/null
xfs_io -f -c 'falloc 0 1m' -c 'pwrite -q -S 7 100k 10k' -c 'falloc -k 2m 1m' unwritten
xfs_io -f -c 'pwrite -q -S 9 5m 1' -c 'truncate 1g' hole
head -c 3000000 /dev/urandom >large
# Pieces of two files in turn, so that neither lies in one stretch.
for piece in $(seq 100); do head -c 5000 /dev/urandom >>one; sync one; head -c 5000 /dev/urandom >>two; sync two; done
if [ $1 = 5 ]; then
    cp --reflink=always large clone
    xfs_io -c 'pwrite -q -S 3 8k 8k' clone
    xfs_io -c 'reflink large 0 3m 64k' -c 'reflink large 0 4m 64k' clone
    touch -d '2100-01-01 00:00:00.123456789 UTC' late
fi
touch -d '1950-01-01 UTC' early
for length in 1 60 200 400 900 1023; do ln -s "$(printf "%${length}s" | tr ' ' t)" link-$length; done
mknod block b 8 300; mknod character c 204 70000; mkfifo pipe
ln large second; chown 70000:4000000000 one; chmod 6751 two
cd ../attributes
touch few some many large lists; mkdir default
setfattr -n user.note -v hello few
setfattr -n security.selinux -v system_u:object_r:etc_t:s0 few
setfattr -n trusted.overlay -v y few
setfacl -m u:1000:rw,g:5:r,m::rw lists
setfacl -d -m u:1000:rwx default
restore() {
    (echo "# file: $1"; for index in $(seq $2); do
        printf 'user.attribute-%s="%s%*s"\n' $index $index $((index * 37 % $3)) end
    done) | setfattr --restore=-
}
restore some 30 80
restore many 1500 90
restore large 250 5000
# In turn with another's, so that neither lie in one stretch.
touch other
for index in $(seq 60); do
    value=$(head -c 3000 /dev/urandom | od -An -v -tx1 | tr -d ' \n')
    for file in large other; do setfattr -n user.piece-$index -v 0x$value $file; done
done
# As long as an argument can be.
for index in 1 2 3; do
    setfattr -n trusted.largest-$index -v 0x$(head -c 60000 /dev/urandom | od -An -v -tx1 | tr -d ' \n') large
done
"##;

/// Where tools for file systems lie, too.
fn path() -> String {
    format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap())
}

/// What xfs_db says about a field of an inode.
fn field(image: &Path, entry: &Value, field: &str) -> String {
    let inode = format!("inode {}", entry["inode"]);
    let print = format!("print {field}");
    let mut judge = std::process::Command::new("xfs_db");
    judge.args(["-r", "-c", &inode, "-c", &print]).arg(image).env("PATH", path());
    let said = outcome(&mut judge);
    said.stdout.split(['(', ')']).nth(1).unwrap().to_owned()
}

#[test]
fn appliance_xfs_is_what_linux_says() {
    let scratch = scratch();
    let directory = scratch.path();
    let image = |name: &str| directory.join(name);
    for (name, size, options) in [
        ("v5.raw", 1500u64 << 20, &["-m", "reflink=1,rmapbt=1", "-b", "size=1024"][..]),
        ("v4.raw", 1500 << 20, &["-m", "crc=0", "-n", "ftype=0", "-b", "size=512", "-i", "size=256"]),
        ("clean.raw", 320 << 20, &[]),
        ("out.raw", 320 << 20, &[]),
    ] {
        fs::File::create(image(name)).unwrap().set_len(size).unwrap();
        if name != "out.raw" {
            let mut mkfs = std::process::Command::new("mkfs.xfs");
            let made = outcome(mkfs.args(options).arg(image(name)).env("PATH", path()));
            assert_eq!(made.code, Some(0), "{}", made.stderr);
        }
    }
    fs::write(image("fill"), FILL).unwrap();
    fs::write(image("tell"), TELL).unwrap();
    let mut script = "run\nmkfs ext4 /dev/sdd\n".to_owned();
    for (device, version) in [("sda", "5"), ("sdb", "4")] {
        script += &format!(
            "mount /dev/{device} /\nupload fill /fill\n\
             debug sh \"cd /sysroot && mv fill /tmp && bash /tmp/fill {version}\"\numount /\n"
        );
        script += &tell(&format!("mount-ro /dev/{device}"), "/dev/sdd", version);
    }
    // A copy that is made while the file system is in use has a log with what is not in its place.
    script += "mount /dev/sdc /\ntouch /late\nsync\ncopy-device-to-device /dev/sdc /dev/sdd\numount /\n";
    guestfish_in(directory, &["v5.raw", "v4.raw", "clean.raw", "out.raw"], &script);

    let expected = attributes(&fs::read_to_string(image("attributes-5")).unwrap());
    assert!(expected.len() >= 7 && expected["/attributes/many"].len() >= 1500, "{}", expected.len());
    // The forms that only large things have were among it.
    let mut forms = std::collections::BTreeSet::new();
    for version in ["5", "4"] {
        let image = image(&format!("v{version}.raw"));
        let found = is_what_linux_said(&image, "read by tib itself: / is XFS", directory, version);
        assert!(found.len() > 130_000, "{}", found.len());
        for path in ["/odd/islands", "/odd/link-1", "/odd/link-900", "/many"] {
            forms.insert(format!("{path} {}", field(&image, &found[path], "core.format")));
        }
        for path in ["/attributes/few", "/attributes/many", "/attributes/large"] {
            forms.insert(format!("{path} {}", field(&image, &found[path], "core.aformat")));
        }
    }
    for form in [
        "/odd/islands btree",
        "/odd/link-1 local",
        "/odd/link-900 extents",
        "/many btree",
        "/attributes/few local",
        "/attributes/many extents",
        "/attributes/large btree",
    ] {
        assert!(forms.contains(form), "{form}: {forms:?}");
    }

    for (name, judgement, state) in
        [("clean.raw", "<CLEAN>", "\"clean\""), ("out.raw", "<DIRTY>", "\"needs-recovery\"")]
    {
        let mut judge = std::process::Command::new("xfs_logprint");
        let said = outcome(judge.arg("-t").arg(image(name)).env("PATH", path()));
        assert!(said.stdout.contains(judgement), "{name}: {}{}", said.stdout, said.stderr);
        let layout =
            run_tib(["inspect", "--only", "disk", "--json", image(name).to_str().unwrap()]).expect(0);
        assert!(layout.contains(&format!("\"state\": {state}")), "{name}: {layout}");
    }
}
