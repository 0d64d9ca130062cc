use super::*;
use crate::os::testing::MemTree;

/// The tree of which virt-ls 1.48 made the listings below.
fn tree() -> MemTree {
    let zeros = |length: usize| vec![0u8; length];
    let mut tree = MemTree::new()
        .program("/bin/tool", zeros(200_000))
        .access("/bin/tool", 0o4755, 0, 0)
        .link("/bin/alias", "tool")
        .file("/etc/hello", "hello\n")
        .access("/etc/hello", 0o644, 1000, 1001)
        .file("/etc/k1", zeros(1023))
        .file("/etc/k2", zeros(1024))
        .file("/etc/k3", zeros(1536))
        .file("/etc/k4", zeros(10_300))
        .file("/etc/m1", zeros(1_048_576))
        .file("/etc/m2", zeros(1_572_864))
        .special("/etc/pipe", FileKind::Fifo)
        .special("/etc/null", FileKind::Character)
        .special("/etc/sock", FileKind::Socket)
        .access("/etc/sock", 0o755, 0, 0)
        .file("/etc/a,b \"c\"", "x")
        .file("/etc/sp ace", "y")
        .dir("/empty")
        .access("/empty", 0o1777, 0, 0)
        .dir("/lost+found")
        .access("/lost+found", 0o700, 0, 0);
    for directory in ["/", "/bin", "/etc", "/empty"] {
        tree = tree.sized(directory, 1024);
    }
    tree.sized("/lost+found", 12288)
}

fn listed(options: ListOptions) -> String {
    let mut out = Vec::new();
    text(&list(&mut tree(), b"/", &options).unwrap(), &options, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

const ALL: ListOptions = ListOptions {
    recursive: true,
    long: true,
    human: false,
    uids: false,
    times: false,
    extra: false,
    checksums: false,
    xattrs: false,
    labels: false,
    all: false,
};

#[test]
fn text_is_that_of_virt_ls() {
    for (options, expected) in [
        (ListOptions::default(), include_str!("testdata/plain.txt")),
        (ListOptions { recursive: true, ..ListOptions::default() }, include_str!("testdata/R.txt")),
        (ALL, include_str!("testdata/lR.txt")),
        (ListOptions { human: true, ..ALL }, include_str!("testdata/lRh.txt")),
    ] {
        assert_eq!(listed(options), expected, "{options:?}");
    }
}

#[test]
fn labels_are_told_as_ls_tells_them() {
    let mut tree = MemTree::new().file("/d/f", "x").file("/d/g", "").xattr(
        "/d/f",
        "security.selinux",
        "u:object_r:etc_t:s0\0",
    );
    let mut told = |options: ListOptions, write: fn(&[FileEntry], &ListOptions, &mut Vec<u8>)| {
        let mut out = Vec::new();
        write(&list(&mut tree, b"/d", &options).unwrap(), &options, &mut out);
        String::from_utf8(out).unwrap()
    };
    let labels = ListOptions { labels: true, ..ListOptions::default() };
    let as_text = |entries: &[FileEntry], options: &ListOptions, out: &mut Vec<u8>| {
        text(entries, options, out).unwrap();
    };
    assert_eq!(told(labels, as_text), "u:object_r:etc_t:s0 f\n? g\n");
    let long = told(ListOptions { long: true, ..labels }, as_text);
    assert!(long.contains(" u:object_r:etc_t:s0 f\n") && long.ends_with(" ? g\n"), "{long}");
    let table = told(labels, |entries, options, out| csv(entries, options, out).unwrap());
    assert_eq!(table, "-,0644,1,u:object_r:etc_t:s0,/d/f\n-,0644,0,?,/d/g\n");
    let objects = told(labels, |entries, _, out| json(entries, out).unwrap());
    let objects: serde_json::Value = serde_json::from_str(&objects).unwrap();
    assert_eq!(objects[0]["label"], "u:object_r:etc_t:s0");
    assert!(objects[1]["label"].is_null() && objects[1].get("xattrs").is_none());
    let without = told(ListOptions::default(), |entries, _, out| json(entries, out).unwrap());
    assert!(!without.contains("label"), "{without}");
}

#[test]
fn a_directory_alone_has_the_same_columns() {
    let options =
        ListOptions { recursive: false, uids: true, times: true, extra: true, checksums: true, ..ALL };
    let mut out = Vec::new();
    text(&list(&mut tree(), b"/etc", &options).unwrap(), &options, &mut out).unwrap();
    let listing = String::from_utf8(out).unwrap();
    let line = listing.lines().find(|line| line.ends_with(" hello")).unwrap();
    let time = "2023-11-14 22:13:20";
    let (start, rest) = line.split_once(&format!(" 2023-11-14 22:13 {time} {time} {time} ")).unwrap();
    assert!(start.starts_with("-rw-r--r-- 1 1000 1001 ") && start.ends_with(" 6"), "{start}");
    let fields: Vec<_> = rest.split(' ').collect();
    let sum = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";
    assert_eq!(
        (fields[0], fields[2], fields[3], fields[5], fields[6]),
        ("0", "1", "0:0", sum, "hello"),
        "{rest}"
    );
    assert!(listing.lines().any(|line| line.starts_with('p') && line.ends_with(" 0 pipe")), "{listing}");
}

#[test]
fn csv_with_checksums_is_that_of_virt_ls() {
    let options = ListOptions { checksums: true, ..ALL };
    let mut out = Vec::new();
    csv(&list(&mut tree(), b"/", &options).unwrap(), &options, &mut out).unwrap();
    assert_eq!(String::from_utf8(out).unwrap(), include_str!("testdata/lR.csv"));
}

#[test]
fn owners_times_and_checksums_come_before_the_path() {
    let options = ListOptions { uids: true, times: true, checksums: true, ..ALL };
    let listing = listed(options);
    let line = listing.lines().find(|line| line.ends_with("/etc/hello")).unwrap();
    assert_eq!(
        line,
        "- 0644          6 1000 1001 2023-11-14 22:13:20 2023-11-14 22:13:20 2023-11-14 22:13:20 \
         5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03 /etc/hello"
    );
}

#[test]
fn long_listing() {
    insta::assert_snapshot!(listed(ListOptions { long: true, ..ListOptions::default() }));
}

#[test]
fn json_of_a_link_and_a_file() {
    let mut tree = MemTree::new().file("/d/f", "hello\n").link("/d/l", "f");
    let options = ListOptions { checksums: true, ..ListOptions::default() };
    let mut out = Vec::new();
    json(&list(&mut tree, b"/d", &options).unwrap(), &mut out).unwrap();
    let parsed: serde_json::Value = serde_json::from_slice(&out).unwrap();
    insta::assert_json_snapshot!(parsed);
    out.clear();
    json(&[], &mut out).unwrap();
    assert_eq!(out, b"[]\n");
}

#[test]
fn single_files_links_and_what_is_not_there() {
    let mut tree = MemTree::new().file("/d/f", "x").link("/l", "d").link("/loop", "loop");
    let paths = |tree: &mut MemTree, path: &[u8]| -> Vec<_> {
        list(tree, path, &ListOptions::default()).unwrap().into_iter().map(|e| e.relative).collect()
    };
    assert_eq!(paths(&mut tree, b"/d/f"), [b"f"]);
    assert_eq!(paths(&mut tree, b"/l"), [b"f"]);
    assert_eq!(paths(&mut tree, b"/l/"), [b"f"]);
    for missing in ["/none", "/loop/", "/none/"] {
        assert!(list(&mut tree, missing.as_bytes(), &ListOptions::default()).is_err());
    }
}

#[test]
fn names_do_not_play_tricks() {
    let mut tree = MemTree::new().file("/a\n- 4755 0 \u{1b}[1m", "");
    let mut out = Vec::new();
    text(&list(&mut tree, b"/", &ALL).unwrap(), &ALL, &mut out).unwrap();
    assert_eq!(out.iter().filter(|&&byte| byte == b'\n').count(), 2);
    assert!(!out.contains(&0x1b));
}

#[test]
fn cat_writes_the_bytes() {
    let mut out = Vec::new();
    assert_eq!(cat(&mut tree(), b"/etc/hello", &mut out).unwrap(), 6);
    assert_eq!(out, b"hello\n");
    assert!(cat(&mut tree(), b"/etc", &mut out).is_err());
}

#[test]
fn a_link_that_leads_nowhere_is_listed() {
    let mut tree = MemTree::new().link("/etc/resolv.conf", "../run/resolv.conf").link("/loop", "loop");
    for (path, target) in [("/etc/resolv.conf", "../run/resolv.conf"), ("/loop", "loop")] {
        let entries = list(&mut tree, path.as_bytes(), &ListOptions::default()).unwrap();
        assert_eq!(entries.len(), 1);
        assert_eq!(entries[0].target.as_deref(), Some(target.as_bytes()));
        assert_eq!(entries[0].relative, base_name(path));
    }
    assert!(list(&mut tree, b"/etc/resolv.conf/", &ListOptions::default()).is_err());
    assert!(list(&mut tree, b"/none", &ListOptions::default()).is_err());
}

fn base_name(path: &str) -> &[u8] {
    crate::os::files::base_name(path.as_bytes())
}
