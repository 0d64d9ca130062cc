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

/// The entries of a listing.
fn entries(tree: &mut MemTree, path: &[u8], options: &ListOptions) -> Result<Vec<FileEntry>, LookError> {
    let mut all = Vec::new();
    list(tree, path, options, &mut |entry| {
        all.push(entry);
        Ok(())
    })?;
    Ok(all)
}

/// A listing as it is printed.
fn printed(tree: &mut MemTree, path: &str, options: ListOptions, form: Form) -> String {
    let mut out = Vec::new();
    let mut listing = Listing::new(form, &options, &mut out);
    list(tree, path.as_bytes(), &options, &mut |entry| listing.add(entry)).unwrap();
    listing.finish().unwrap();
    String::from_utf8(out).unwrap()
}

fn listed(options: ListOptions) -> String {
    printed(&mut tree(), "/", options, Form::Text)
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
    let labels = ListOptions { labels: true, ..ListOptions::default() };
    let mut told = |options: ListOptions, form| printed(&mut tree, "/d", options, form);
    assert_eq!(told(labels, Form::Text), "u:object_r:etc_t:s0 f\n? g\n");
    let long = told(ListOptions { long: true, ..labels }, Form::Text);
    assert!(long.contains(" u:object_r:etc_t:s0 f\n") && long.ends_with(" ? g\n"), "{long}");
    let table = told(labels, Form::Csv);
    assert_eq!(table, "-,0644,1,u:object_r:etc_t:s0,/d/f\n-,0644,0,?,/d/g\n");
    let objects: serde_json::Value = serde_json::from_str(&told(labels, Form::Json)).unwrap();
    assert_eq!(objects[0]["label"], "u:object_r:etc_t:s0");
    assert!(objects[1]["label"].is_null() && objects[1].get("xattrs").is_none());
    let without = told(ListOptions::default(), Form::Json);
    assert!(!without.contains("label"), "{without}");
}

#[test]
fn a_directory_alone_has_the_same_columns() {
    let options =
        ListOptions { recursive: false, uids: true, times: true, extra: true, checksums: true, ..ALL };
    let listing = printed(&mut tree(), "/etc", options, Form::Text);
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
    assert_eq!(printed(&mut tree(), "/", options, Form::Csv), include_str!("testdata/lR.csv"));
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
    let parsed: serde_json::Value =
        serde_json::from_str(&printed(&mut tree, "/d", options, Form::Json)).unwrap();
    insta::assert_json_snapshot!(parsed);
    let mut empty = MemTree::new().dir("/d");
    assert_eq!(printed(&mut empty, "/d", options, Form::Json), "[]\n");
}

#[test]
fn single_files_links_and_what_is_not_there() {
    let mut tree = MemTree::new().file("/d/f", "x").link("/l", "d").link("/loop", "loop");
    let paths = |tree: &mut MemTree, path: &[u8]| -> Vec<_> {
        entries(tree, path, &ListOptions::default()).unwrap().into_iter().map(|e| e.relative).collect()
    };
    assert_eq!(paths(&mut tree, b"/d/f"), [b"f"]);
    assert_eq!(paths(&mut tree, b"/l"), [b"f"]);
    assert_eq!(paths(&mut tree, b"/l/"), [b"f"]);
    for missing in ["/none", "/loop/", "/none/"] {
        assert!(entries(&mut tree, missing.as_bytes(), &ListOptions::default()).is_err());
    }
}

#[test]
fn names_do_not_play_tricks() {
    let mut tree = MemTree::new().file("/a\n- 4755 0 \u{1b}[1m", "");
    let out = printed(&mut tree, "/", ALL, Form::Text);
    assert_eq!(out.lines().count(), 2);
    assert!(!out.contains('\u{1b}'));
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
        let entries = entries(&mut tree, path.as_bytes(), &ListOptions::default()).unwrap();
        assert_eq!(entries.len(), 1);
        assert_eq!(entries[0].target.as_deref(), Some(target.as_bytes()));
        assert_eq!(entries[0].relative, base_name(path));
    }
    assert!(entries(&mut tree, b"/etc/resolv.conf/", &ListOptions::default()).is_err());
    assert!(entries(&mut tree, b"/none", &ListOptions::default()).is_err());
}

#[test]
fn what_was_found_before_an_error_has_been_told() {
    let mut tree = MemTree::new().file("/a", "").dir("/b").file("/c", "").broken("/b");
    let mut out = Vec::new();
    let options = ListOptions { recursive: true, ..ListOptions::default() };
    let mut listing = Listing::new(Form::Json, &options, &mut out);
    let error = list(&mut tree, b"/", &options, &mut |entry| listing.add(entry)).unwrap_err();
    assert!(matches!(error, LookError::Read(_)), "{error}");
    let told = String::from_utf8(out).unwrap();
    assert!(told.contains("\"/a\"") && !told.contains("\"/c\""), "{told}");
    assert!(
        serde_json::from_str::<serde_json::Value>(&told).is_err(),
        "half a listing counts as none: {told}"
    );
}

#[test]
fn whoever_takes_no_more_ends_the_listing() {
    let options = ListOptions { recursive: true, ..ListOptions::default() };
    let mut count = 0;
    let result = list(&mut tree(), b"/", &options, &mut |_| {
        count += 1;
        Err(LookError::write("the listing")(std::io::ErrorKind::StorageFull.into()))
    });
    assert!(matches!(result, Err(LookError::Write { .. })) && count == 1);
}

fn base_name(path: &str) -> &[u8] {
    crate::os::files::base_name(path.as_bytes())
}
