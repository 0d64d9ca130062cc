//! rpm itself is the oracle, for databases that it has written or, in the form it writes no more, reads.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use proptest::prelude::*;

use super::super::testing::MemTree;
use super::*;

/// How many packages there are.
const COUNT: usize = 240;

/// What rpm is asked for, and [`lines`] tells.
const QUERY: &str = "%{NAME} %{EVR} %{ARCH} %{SIZE}\\n";

fn lines(packages: &[Package]) -> Vec<String> {
    let line = |package: &Package| {
        let Package { name, version, arch, installed_size } = package;
        format!("{name} {version} {arch} {}", installed_size.unwrap())
    };
    let mut lines: Vec<_> = packages.iter().map(line).collect();
    lines.sort();
    lines
}

/// One spec file for all: every fourth package has an epoch, every tenth a header of many pages; one is called as
/// RPM calls a signing key.
fn spec() -> String {
    let mut spec = format!(
        "Name: main\nVersion: 1.0\nRelease: 1\nSummary: s\nLicense: x\nBuildArch: noarch\n%description\nd\n\
         %install\nmkdir -p %{{buildroot}}/opt\n\
         for i in $(seq {COUNT}); do head -c $((i * 7)) /dev/zero > %{{buildroot}}/opt/p$i; done\n"
    );
    for number in 1..=COUNT {
        let epoch = if number % 4 == 0 { format!("Epoch: {}\n", number % 3) } else { String::new() };
        let provides: String =
            (0..if number % 10 == 0 { 1500 } else { 1 }).map(|cap| format!(" p{number}-cap{cap}")).collect();
        let name = if number == 17 { "gpg-pubkey".to_owned() } else { format!("p{number}") };
        write!(
            spec,
            "%package -n {name}\nSummary: s\nVersion: 2.{number}~rc1\n{epoch}Provides:{provides}\n\
             %description -n {name}\nd\n%files -n {name}\n/opt/p{number}\n"
        )
        .unwrap();
    }
    spec
}

fn run(command: &mut Command) -> String {
    let output = command.env("LC_ALL", "C.UTF-8").output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn rpm(database: &Path, backend: &str) -> Command {
    let mut command = Command::new("rpm");
    command.arg("--dbpath").arg(database).arg("--define").arg(format!("_db_backend {backend}"));
    command
}

/// All packages, by rpm.
fn oracle(database: &Path, backend: &str) -> Vec<String> {
    let listed = run(rpm(database, backend).args(["-qa", "--qf", QUERY]));
    let mut lines: Vec<_> =
        listed.lines().filter(|line| !line.starts_with("gpg-pubkey ")).map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn rpm_says_the_same() {
    let lab = tempfile::tempdir().unwrap();
    let spec_file = lab.path().join("many.spec");
    fs_err::write(&spec_file, spec()).unwrap();
    let top = lab.path().join("top");
    let definitions = [format!("_topdir {}", top.display()), "_binary_payload w0.gzdio".to_owned()];
    let definitions = definitions.iter().flat_map(|definition| ["--define", definition]);
    run(Command::new("rpmbuild").args(["-bb", "--quiet"]).args(definitions).arg(&spec_file));
    let built = fs_err::read_dir(top.join("RPMS/noarch")).unwrap().map(|entry| entry.unwrap().path());

    let sqlite = lab.path().join("sqlite");
    run(rpm(&sqlite, "sqlite").args(["--justdb", "--nodeps", "-i"]).args(built));
    // What is removed leaves free pages.
    run(rpm(&sqlite, "sqlite").args(["--justdb", "--nodeps", "-e", "p20", "p21", "p22"]));
    let bytes = fs_err::read(sqlite.join("rpmdb.sqlite")).unwrap();
    let expected = oracle(&sqlite, "sqlite");
    assert_eq!(expected.len(), COUNT - 4);
    assert_eq!(lines(&read(Form::Sqlite, &bytes).unwrap()), expected);

    // Berkeley DB's own program writes the old form, in either order of bytes.
    for order in ["1234", "4321"] {
        let bdb = lab.path().join(format!("bdb-{order}"));
        fs_err::create_dir(&bdb).unwrap();
        let native = order == "1234";
        let key = |number: u32| hex(&if native { number.to_le_bytes() } else { number.to_be_bytes() });
        let mut dump = format!(
            "VERSION=3\nformat=bytevalue\ntype=hash\ndb_pagesize=4096\ndb_lorder={order}\nHEADER=END\n {}\n {}\n",
            key(0),
            hex(&[0; 4])
        );
        let mut number = 0;
        blobs(Form::Sqlite, &bytes, &mut |blob| {
            number += 1;
            writeln!(dump, " {}\n {}", key(number), hex(blob)).map_err(|error| error.to_string())
        })
        .unwrap();
        dump.push_str("DATA=END\n");
        let dump_file = lab.path().join("dump");
        fs_err::write(&dump_file, dump).unwrap();
        run(Command::new("db5.3_load").arg("-f").args([&dump_file, &bdb.join("Packages")]));
        if native {
            assert_eq!(oracle(&bdb, "bdb_ro"), expected);
        }
        let packages = read(Form::Bdb, &fs_err::read(bdb.join("Packages")).unwrap()).unwrap();
        assert_eq!(lines(&packages), expected, "{order}");
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// Written by rpm 4.16.1.3, because Debian's cannot: packages like those of [`spec`], some removed again; and what
/// `rpm -qa` of that version says of it.
fn ndb() -> (Vec<u8>, Vec<String>) {
    let file = zstd::decode_all(&include_bytes!("testdata/Packages.db.zst")[..]).unwrap();
    let expected = include_str!("testdata/Packages.db.txt").lines().map(str::to_owned).collect();
    (file, expected)
}

#[test]
fn rpm_of_suse_says_the_same() {
    let (file, expected) = ndb();
    assert_eq!(lines(&read(Form::Ndb, &file).unwrap()), expected);
}

#[test]
fn databases_are_found_where_they_lie() {
    let (file, expected) = ndb();
    for path in ["/usr/lib/sysimage/rpm/Packages.db", "/var/lib/rpm/Packages.db"] {
        let mut tree = MemTree::new().file(path, &file);
        assert_eq!(lines(&super::super::packages(&mut tree).unwrap()), expected);
    }
    let path = "/var/lib/rpm/rpmdb.sqlite";
    for (tree, reason) in [
        (MemTree::new().file(path, "").file("/var/lib/rpm/Packages.db", &file), "this RPM database is empty"),
        (MemTree::new().file(path, "x"), "it is no SQLite database"),
        (MemTree::new().file(path, "x").file(&format!("{path}-wal"), [0; 40]), "its log is none of SQLite's"),
        (MemTree::new().file(path, "x").file(&format!("{path}-journal"), "x"), "ended halfway"),
        (MemTree::new().file("/var/lib/rpm/Packages", "x"), "it is no hash of Berkeley DB"),
        (MemTree::new().file("/var/lib/rpm/Packages.db", "x"), "it is no database of RPM's own form"),
        (MemTree::new().file("/var/lib/rpm/Packages.db", &file[..5000]), "is not where its slot says"),
        (MemTree::new().file(path, "x").broken("/var/lib/rpm"), "bad block"),
    ] {
        let error = packages(&mut tree.clone()).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
    assert_eq!(packages(&mut MemTree::new()).unwrap(), None);
}

/// A database with one table in one page, whose only row has `row` as content.
fn tiny_sqlite(row: &[u8]) -> Vec<u8> {
    let mut file = vec![0; 1024];
    file[..16].copy_from_slice(b"SQLite format 3\0");
    file[16..18].copy_from_slice(&512u16.to_be_bytes());
    file[18..20].copy_from_slice(&[1, 1]);
    let leaf = |page: &mut [u8], head: usize, row: &[u8]| {
        let at = 512 - row.len() - 2;
        page[head] = 13;
        page[head + 4] = 1;
        page[head + 8..head + 10].copy_from_slice(&(at as u16).to_be_bytes());
        page[at..at + 2].copy_from_slice(&[row.len() as u8, 1]);
        page[at + 2..512].copy_from_slice(row);
    };
    let schema = b"\x06\x17\x1d\x1d\x01\x0dtablePackagesPackages\x02";
    let (first, second) = file.split_at_mut(512);
    leaf(first, 100, schema);
    leaf(second, 0, row);
    file
}

/// A header with these tags, all of them text.
fn tiny_header(tags: &[(u32, &str)]) -> Vec<u8> {
    let mut store = Vec::new();
    let mut index = Vec::new();
    for (tag, value) in tags {
        for number in [*tag, 6, store.len() as u32, 1] {
            index.extend_from_slice(&number.to_be_bytes());
        }
        store.extend_from_slice(value.as_bytes());
        store.push(0);
    }
    let lengths = [(tags.len() as u32).to_be_bytes(), (store.len() as u32).to_be_bytes()].concat();
    [lengths, index, store].concat()
}

fn tiny() -> Vec<u8> {
    let header = tiny_header(&[(1000, "a"), (1001, "1"), (1002, "2"), (1022, "noarch")]);
    let row = [&[3, 0][..], &[(header.len() * 2 + 12 - 128) as u8 & 0x7f], &header].concat();
    // The length of the header takes two bytes.
    let row = [&[4, 0, 0x81][..], &row[2..]].concat();
    tiny_sqlite(&row)
}

#[test]
fn what_contradicts_itself_is_refused() {
    let sound = tiny();
    assert_eq!(read(Form::Sqlite, &sound).map(|found| found.len()), Ok(1));
    let mut interior = vec![0; 512];
    interior[0] = 5;
    interior[8..12].copy_from_slice(&2u32.to_be_bytes());
    let row = 512 - tiny_row_length();
    for (what, at, bytes, expected) in [
        ("a page that is its own child", 512, &interior[..], "page 2 is part of the table twice"),
        ("a page of an index", 512, &[10], "page 2 is not part of a table"),
        ("a cell outside", 520, &[0xff, 0xff], "a row is cut off"),
        ("more cells than there are", 515, &[0xff, 0xff], "holds no header"),
        ("a row of a gigabyte", 512 + row, &[0x84, 0x80, 0x80, 0x80, 0x00], "larger than the file"),
        ("a row without a header", 512 + row + 2, &[2, 0], "holds no header"),
        ("impossible pages", 16, &[3, 0], "size of its pages is impossible"),
        ("reserved pages", 20, &[255], "too much of its pages is reserved"),
        ("another table", 512 - 17, b"x", "no table `Packages`"),
    ] {
        let mut file = sound.clone();
        file[at..at + bytes.len()].copy_from_slice(bytes);
        let error = read(Form::Sqlite, &file).expect_err(what);
        assert!(error.contains(expected), "{what}: {error}");
    }
}

/// With the two bytes in front of it.
fn tiny_row_length() -> usize {
    let file = tiny();
    512 - usize::from(u16::from_be_bytes([file[520], file[521]]))
}

#[test]
fn headers_that_lack_something() {
    for (tags, expected) in [
        (&[(1001, "1"), (1002, "2")][..], "a package has no name"),
        (&[(1000, "a"), (1002, "2")], "package a has no version"),
        (&[(1000, "a"), (1001, "1")], "package a has no release"),
    ] {
        assert_eq!(header::package(&tiny_header(tags)), Err(expected.to_owned()));
    }
    let sound = tiny_header(&[(1000, "a"), (1001, "1"), (1002, "2")]);
    for cut in 0..sound.len() {
        assert_eq!(header::package(&sound[..cut]), Err("a package's header is cut off".to_owned()));
    }
    assert_eq!(header::package(&tiny_header(&[(1000, "gpg-pubkey")])), Ok(None));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn any_damage_is_survived(changes in prop::collection::vec((any::<usize>(), any::<u8>()), 0..8)) {
        let (ndb, _) = ndb();
        for (form, sound) in [(Form::Sqlite, tiny()), (Form::Ndb, ndb)] {
            let mut file = sound;
            for (at, value) in &changes {
                // Where most of what matters is.
                let at = at % file.len().min(6000);
                file[at] = *value;
            }
            let _ = read(form, &file);
        }
    }

    #[test]
    fn any_hash_is_survived(page in prop::collection::vec(any::<u8>(), 512), count in 0u16..40) {
        let mut file = vec![0; 512];
        file[12..16].copy_from_slice(&0x0006_1561u32.to_le_bytes());
        file[20..24].copy_from_slice(&512u32.to_le_bytes());
        file[25] = 8;
        file[32] = 1;
        file.extend_from_slice(&page);
        file[512 + 25] = 13;
        file[512 + 20..512 + 22].copy_from_slice(&count.to_le_bytes());
        let _ = read(Form::Bdb, &file);
    }
}
