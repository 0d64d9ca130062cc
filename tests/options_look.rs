//! Every option of the commands that look into images does what it says. That what they show is true of real images is
//! the business of `e2e_look.rs`.

mod common;

use std::path::PathBuf;

use common::sample::{JOURNAL, Sample, journal, said};
use common::terminal::on_a_terminal;
use common::{outcome, run, run_tib, tib};
use fs_err as fs;

struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    /// A directory with `db.raw` in it.
    fn new(sample: &Sample) -> Self {
        let directory = tempfile::tempdir().unwrap();
        sample.write(directory.path(), "db");
        Self { directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Runs `tib` in it.
    fn run(&self, arguments: &[&str]) -> common::Outcome {
        outcome(tib().args(arguments).current_dir(self.directory.path()))
    }

    #[track_caller]
    fn tib(&self, arguments: &[&str]) -> String {
        self.run(arguments).expect(0)
    }

    #[track_caller]
    fn json(&self, arguments: &[&str]) -> serde_json::Value {
        serde_json::from_str(&self.tib(arguments)).unwrap()
    }
}

/// The line that ends with a word.
#[track_caller]
fn line<'a>(text: &'a str, last: &str) -> &'a str {
    let found = text.lines().find(|line| line.split_whitespace().next_back() == Some(last));
    found.unwrap_or_else(|| panic!("no {last} in:\n{text}"))
}

#[test]
fn ls_lists_what_it_is_asked_for() {
    let sample = Sample::debian().file("/srv/.hidden", "").file("/srv/below/large", vec![7; 1536]);
    let place = Place::new(&sample.modified("/srv/below/large", 1_234_567_890));
    assert!(place.tib(&["ls", "db.raw"]).lines().any(|line| line == "srv"), "the root by default");
    assert_eq!(place.tib(&["ls", "db.raw", "/srv"]), ".hidden\nbelow\n");
    assert_eq!(place.tib(&["ls", "--all", "db.raw", "/srv"]), ".\n..\n.hidden\nbelow\n");
    let deep = place.tib(&["ls", "--recursive", "db.raw", "/srv"]);
    assert!(deep.contains("below/large"), "{deep}");

    let long = place.tib(&["ls", "--long", "db.raw", "/srv/below"]);
    assert!(line(&long, "large").starts_with("-rw-r--r-- ") && long.contains(" 1536 "), "{long}");
    for human in ["--human-readable", "--human"] {
        let long = place.tib(&["ls", "--long", human, "db.raw", "/srv/below"]);
        assert!(long.contains(" 1.5K "), "{human}: {long}");
    }
    // The digest of the same bytes, by coreutils; the inode, by debugfs.
    fs::write(place.path("large"), vec![7; 1536]).unwrap();
    let digest = &run("sha256sum", &[&place.path("large")])[..64];
    let debugfs = run("/sbin/debugfs", &[&"-R", &"stat /srv/below/large", &place.path("db.raw")]);
    let inode = debugfs.split_whitespace().nth(1).unwrap();
    let columns = |more: &[&str]| {
        let text = place.tib(&[&["ls", "--long", "--recursive", "db.raw", "/srv/below"], more].concat());
        line(&text, "/srv/below/large").split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    let plain = columns(&[]);
    assert_eq!(plain, ["-", "0644", "1536", "/srv/below/large"]);
    for (column, expected) in [("--times", "2009-02-13"), ("--checksum", digest), ("--extra-stats", inode)] {
        assert!(!plain.iter().any(|field| field == expected), "{column}: {plain:?}");
        let with = columns(&[column]);
        assert!(with.iter().any(|field| field == expected), "{column}: {with:?}");
    }
    let rows = place.tib(&["ls", "--csv", "--recursive", "--uids", "db.raw", "/etc"]);
    assert!(rows.lines().any(|row| row == "-,0640,42,1000,998,/etc/redis.conf"), "{rows}");

    let entries = place.json(&["ls", "--json", "db.raw", "/usr/bin"]);
    let ping = entries.as_array().unwrap().iter().find(|entry| entry["path"] == "/usr/bin/ping").unwrap();
    assert_eq!((ping["mode"].as_str(), ping.get("xattrs")), (Some("0755"), None));
    let entries = place.json(&["ls", "--json", "--xattrs", "db.raw", "/usr/bin"]);
    assert!(entries.to_string().contains("\"security.capability\""), "{entries}");
}

#[test]
fn cat_and_stat_show_what_is_at_a_path() {
    let place = Place::new(&Sample::debian());
    assert_eq!(
        place.tib(&["cat", "db.raw", "/etc/hostname", "/etc/alias.conf"]).lines().next(),
        Some("debian")
    );
    let of = |arguments: &[&str]| {
        place.json(&[&["stat", "--json", "db.raw", "/etc/alias.conf"], arguments].concat())
    };
    assert_eq!((&of(&[])[0]["kind"], &of(&[])[0]["target"]), (&"symlink".into(), &"redis.conf".into()));
    let found = of(&["--dereference"]);
    assert_eq!((&found[0]["kind"], &found[0]["uid"]), (&"file".into(), &1000.into()));
    let text = place.tib(&["stat", "db.raw", "/etc/redis.conf", "/usr/bin/ping"]);
    assert!(text.contains("0640") && text.contains("trove") && text.contains("cap_net_raw"), "{text}");
}

#[test]
fn extract_writes_where_and_what_it_is_told() {
    let place = Place::new(&Sample::debian());
    fs::write(place.path("out"), "precious").unwrap();
    let out = || fs::read_to_string(place.path("out")).unwrap();
    let extract = ["extract", "db.raw", "/etc/redis.conf", "--output", "out"];
    assert_eq!(place.run(&extract).code, Some(2));
    assert_eq!(out(), "precious");
    place.tib(&[&extract[..], &["--force"]].concat());
    assert!(out().contains("port 6379"));
    place.tib(&["extract", "db.raw", "/etc/redis.conf"]);
    assert!(place.path("redis.conf").is_file());
    assert!(place.tib(&["extract", "db.raw", "/etc/redis.conf", "--output", "-"]).contains("port 6379"));
    place.tib(&["extract", "--tar", "db.raw", "/etc", "--output", "etc-as-tar"]);
    let listed = run("tar", &[&"--numeric-owner", &"-tvf", &place.path("etc-as-tar")]);
    assert!(line(&listed, "etc/redis.conf").contains(" 1000/998 "), "{listed}");
}

/// Neither by its name, nor by another one, nor with the directory that it lies in.
#[test]
fn extract_never_replaces_the_image_that_it_reads() {
    let place = Place::new(&Sample::debian());
    fs::create_dir(place.path("etc")).unwrap();
    let before = fs::read(place.path("db.raw")).unwrap();
    fs::hard_link(place.path("db.raw"), place.path("etc/db.raw")).unwrap();
    std::os::unix::fs::symlink("db.raw", place.path("link")).unwrap();
    let file = "/etc/redis.conf";
    for arguments in [
        &["db.raw", file, "--output", "db.raw"][..],
        &["db.raw", file, "--output", "db.raw", "--tar"],
        &["link", file, "--output", "db.raw"],
        &["db.raw", file, "--output", "etc/db.raw"],
        &["etc/db.raw", "/etc"],
    ] {
        let told = place.run(&[&["extract", "--force"], arguments].concat());
        assert_eq!(told.code, Some(2), "{arguments:?}: {}", told.stderr);
        assert!(told.stderr.contains("the image that is read"), "{arguments:?}: {}", told.stderr);
    }
    assert!(fs::read(place.path("etc/db.raw")).unwrap() == before);
}

/// A pipe that nobody writes to is not waited for, and what has no end is not read to it.
#[test]
fn files_that_are_given_are_read_with_a_limit() {
    let place = Place::new(&Sample::debian());
    let fifo = place.path("fifo.toml");
    run("mkfifo", &[&fifo]);
    for (file, reason) in [(fifo.to_str().unwrap(), "is a named pipe"), ("/dev/zero", "is too large")] {
        for arguments in [
            &["verify", "db.raw", "--checks", file][..],
            &["verify", "db.raw", "--goss", file],
            &["verify", "db.raw", "--conf", file],
            &["boot", "db.raw", "--conf", file],
            &["build", "redis", "--dry-run", "--ssh-key", file],
            &["build", "redis", "--dry-run", "--constraints", file],
            &["build", "redis", "--dry-run", "--requirements", file],
            &["build", file, "--dry-run"],
        ] {
            let told = place.run(arguments);
            assert!(matches!(told.code, Some(2 | 3)), "{arguments:?}: {:?} {}", told.code, told.stderr);
            assert!(told.stderr.contains(reason), "{arguments:?}: {}", told.stderr);
        }
    }
}

/// What is no regular file is written to, and named if that fails, however much there is to write.
#[test]
fn extract_names_what_it_cannot_write_to() {
    let place = Place::new(&Sample::debian().file("/srv/large", vec![1; 1 << 20]));
    for path in ["/etc/redis.conf", "/srv/large", "/etc"] {
        let told = place.run(&["extract", "db.raw", path, "--output", "/dev/full"]);
        assert!(told.stderr.contains("cannot write to `/dev/full`"), "{path}: {}", told.stderr);
        assert!(!told.stderr.contains("stdout"), "{path}: {}", told.stderr);
        assert_eq!(told.code, Some(9), "{path}: {}", told.stderr);
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let arguments = ["extract", "db.raw", path, "--output", "-"];
        let mut command = tib();
        command.args(arguments).current_dir(place.directory.path()).stdout(full.into_parts().0);
        let told = command.stderr(std::process::Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&told.stderr);
        assert!(said.contains("cannot write to stdout"), "{path}: {said}");
        assert_eq!(told.status.code(), Some(9), "{path}: {said}");
    }
}

/// `tib extract --force` onto a directory, under strace with these faults.
fn extract_over(place: &Place, faults: &[&str]) -> common::Outcome {
    let mut command = std::process::Command::new("strace");
    command.args(["-f", "-qq", "-o", "trace"]).args(faults.iter().flat_map(|fault| ["-e", fault]));
    command.arg("--").arg(common::tib_path());
    command.args(["extract", "--force", "db.raw", "/srv"]);
    outcome(command.current_dir(place.directory.path()))
}

fn with_old_directory() -> Place {
    let place = Place::new(&Sample::debian().file("/srv/file", "new"));
    fs::create_dir(place.path("srv")).unwrap();
    fs::write(place.path("srv/file"), "precious").unwrap();
    place
}

fn left(place: &Place) -> Vec<PathBuf> {
    let entries = fs::read_dir(place.directory.path()).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.file_name().unwrap().as_encoded_bytes().starts_with(b".tib-")).collect()
}

#[test]
fn extract_never_loses_the_directory_it_cannot_replace() {
    const NO_EXCHANGE: &str = "inject=renameat2:error=EINVAL";
    for (faults, is_back) in [
        (&["inject=renameat2:error=EIO"][..], true),
        (&[NO_EXCHANGE, "inject=rename:error=EIO:when=1"], true),
        (&[NO_EXCHANGE, "inject=rename:error=EIO:when=2"], true),
        (&[NO_EXCHANGE, "inject=rename:error=EIO:when=2+", "inject=renameat:error=EIO"], false),
    ] {
        let place = with_old_directory();
        let told = extract_over(&place, faults);
        assert_eq!(told.code, Some(2), "{faults:?}: {}", told.stderr);
        let kept = left(&place);
        if is_back {
            assert_eq!(kept, Vec::<PathBuf>::new(), "{faults:?}");
            assert_eq!(fs::read_to_string(place.path("srv/file")).unwrap(), "precious", "{faults:?}");
        } else {
            let [kept] = &kept[..] else { panic!("{faults:?}: {kept:?} {}", told.stderr) };
            assert_eq!(fs::read_to_string(kept.join("old/file")).unwrap(), "precious");
            let name = kept.file_name().unwrap().to_str().unwrap();
            assert!(told.stderr.contains(&format!("{name}/old")), "{}", told.stderr);
        }
        // Without faults it does what it is told.
        extract_over(&place, &[]).expect(0);
        assert_eq!(fs::read_to_string(place.path("srv/file")).unwrap(), "new", "{faults:?}");
    }
}

/// Killed before any change of names: the old directory or the new one has the name.
#[test]
fn extract_replaces_a_directory_in_one_step() {
    let place = with_old_directory();
    extract_over(&place, &["trace=rename,renameat,renameat2"]).expect(0);
    let trace = fs::read_to_string(place.path("trace")).unwrap();
    let calls: Vec<_> = trace.lines().filter(|line| line.contains("rename")).collect();
    assert!(matches!(&calls[..], [one] if one.contains("RENAME_EXCHANGE")), "{trace}");
    assert_eq!(left(&place), Vec::<PathBuf>::new());
    assert_eq!(fs::read_to_string(place.path("srv/file")).unwrap(), "new");
}

#[test]
fn inspect_prints_the_sections_it_is_asked_for() {
    let sample = (0..120).fold(Sample::debian(), |sample, number| {
        let unit = format!("/usr/lib/systemd/system/many-{number:03}.service");
        let file = format!("/srv/{number:03}");
        sample.file(&unit, "[Install]\nWantedBy=x.target\n").file(&file, vec![1; 100 * (number + 1)])
    });
    let place = Place::new(&sample);
    let units = place.tib(&["inspect", "db.raw", "--only", "units"]);
    assert!(units.contains("redis.service") && !units.contains("partition table"), "{units}");
    let all = place.tib(&["inspect", "db.raw", "--only", "units", "--all"]);
    let count = |text: &str| text.matches("many-").count();
    assert!(count(&units) < 120, "{}", count(&units));
    assert!((0..120).all(|number| all.contains(&format!("many-{number:03}.service"))), "{all}");
    for top in [3, 7] {
        let top = top.to_string();
        let sizes = place.json(&["inspect", "db.raw", "--only", "sizes", "--top", &top, "--json"]);
        let files = sizes["sizes"]["files"].as_array().unwrap();
        assert_eq!(files.len().to_string(), top);
        assert_eq!(sizes.get("units"), None);
    }
    let schema = place.json(&["inspect", "--schema"]);
    assert!(schema["properties"]["units"].is_object());
}

#[test]
fn diff_tells_differences_in_every_form() {
    let old = Sample::debian().file("/srv/gone", "");
    let place = Place::new(&old);
    let new = (0..30).fold(old, |sample, number| sample.file(&format!("/srv/new-{number:02}"), ""));
    let new =
        new.without("/srv/gone").file("/etc/redis.conf", "# how redis runs\nport 6380\nbind 127.0.0.1\n");
    new.write(place.directory.path(), "new");
    let text = place.tib(&["diff", "db.raw", "new.raw"]);
    assert!(text.contains("more (--files)") && text.contains("/etc/redis.conf"), "{text}");
    let files = place.tib(&["diff", "--files", "db.raw", "new.raw"]);
    assert!(files.contains("/srv/new-29") && files.contains("- /srv/gone"), "{files}");
    let below = place.tib(&["diff", "--files", "db.raw", "new.raw", "/etc"]);
    assert!(below.contains("/etc/redis.conf") && !below.contains("/srv/"), "{below}");
    let json = place.json(&["diff", "--json", "db.raw", "new.raw"]);
    assert_eq!(json["files"]["changes"].as_array().unwrap().len(), 32, "{json}");
    assert_eq!(place.run(&["diff", "--exit-code", "db.raw", "new.raw"]).code, Some(8));
    assert_eq!(place.run(&["diff", "--exit-code", "db.raw", "db.raw"]).code, Some(0));

    // patch makes one file of the other.
    let patch = place.tib(&["diff", "--patch", "db.raw", "new.raw", "/etc"]);
    fs::write(place.path("changes"), patch).unwrap();
    fs::create_dir(place.path("etc")).unwrap();
    place.tib(&["extract", "db.raw", "/etc/redis.conf", "--output", "etc/redis.conf"]);
    let mut command = std::process::Command::new("patch");
    outcome(command.args(["-p1", "-i", "changes"]).current_dir(place.directory.path())).expect(0);
    assert!(fs::read_to_string(place.path("etc/redis.conf")).unwrap().contains("port 6380"));
}

#[test]
fn tail_prints_the_end_it_is_asked_for() {
    let lines: String = (1..=30).map(|number| format!("line {number}\n")).collect();
    let place = Place::new(&Sample::debian().file("/var/log/a", &lines).file("/var/log/b", "b\n"));
    assert_eq!(place.tib(&["tail", "db.raw", "/var/log/a"]).lines().count(), 10);
    assert_eq!(place.tib(&["tail", "--lines", "2", "db.raw", "/var/log/a"]), "line 29\nline 30\n");
    assert_eq!(place.tib(&["tail", "--lines", "+30", "db.raw", "/var/log/a"]), "line 30\n");
    assert_eq!(place.tib(&["tail", "--bytes", "3", "db.raw", "/var/log/a"]), "30\n");
    let two = place.tib(&["tail", "--lines", "1", "db.raw", "/var/log/a", "/var/log/b"]);
    assert_eq!(two, "==> /var/log/a <==\nline 30\n\n==> /var/log/b <==\nb\n");
    assert_eq!(
        place.tib(&["tail", "--quiet", "--lines", "1", "db.raw", "/var/log/a", "/var/log/b"]),
        "line 30\nb\n"
    );
    assert_eq!(place.tib(&["tail", "--verbose", "db.raw", "/var/log/b"]), "==> /var/log/b <==\nb\n");
}

#[test]
fn log_prints_the_entries_it_is_asked_for() {
    const SECOND: u64 = 1_000_000;
    let entry = |time, boot, unit: &str, priority, message| {
        let identifier = unit.split('.').next().unwrap();
        (time, boot, said(612, identifier, &format!("_SYSTEMD_UNIT={unit}"), priority, message))
    };
    let journal = journal(&[
        entry(0, 1, "redis.service", 6, "first boot"),
        entry(SECOND, 1, "ssh.service", 3, "refused"),
        entry(60 * SECOND, 2, "redis.service", 4, "Memory is low"),
        entry(120 * SECOND, 2, "ssh.service", 6, "listening"),
        entry(180 * SECOND, 2, "redis.service", 2, "crashed"),
    ]);
    let sample = Sample::debian().file(JOURNAL, journal).file("/var/log/dpkg.log", "one\ntwo\nthree\n");
    let place = Place::new(&sample);
    let messages = |arguments: &[&str]| -> Vec<String> {
        let text = place.tib(&[&["log", "db.raw"], arguments].concat());
        text.lines().map(|line| line.split_once("]: ").unwrap().1.to_owned()).collect()
    };
    for (arguments, expected) in [
        (&[][..], &["first boot", "refused", "Memory is low", "listening", "crashed"][..]),
        (&["--lines", "2"], &["listening", "crashed"]),
        (&["--grep", "memory"], &["Memory is low"]),
        (&["--unit", "redis"], &["first boot", "Memory is low", "crashed"]),
        (&["--unit", "ssh", "--unit", "redis", "--lines", "1"], &["crashed"]),
        (&["--priority", "err"], &["refused", "crashed"]),
        (&["--priority", "err..warning"], &["refused", "Memory is low"]),
        (&["--since", "2023-11-14 22:15:00"], &["listening", "crashed"]),
        (&["--until", "2023-11-14 22:13:30"], &["first boot", "refused"]),
        (&["--boot"], &["Memory is low", "listening", "crashed"]),
    ] {
        assert_eq!(messages(arguments), expected, "{arguments:?}");
    }
    let json = place.tib(&["log", "db.raw", "--json", "--lines", "1"]);
    let entry: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&entry["MESSAGE"], &entry["PRIORITY"]), (&"crashed".into(), &"2".into()));

    assert_eq!(place.tib(&["log", "db.raw", "dpkg", "--lines", "1"]), "three\n");
    assert!(line(&place.tib(&["log", "db.raw", "--list"]), "/var/log/dpkg.log").contains("14 B"));
    let list = place.json(&["log", "db.raw", "--list", "--json"]);
    assert!(list.as_array().unwrap().iter().any(|log| log["path"] == "/var/log/dpkg.log"), "{list}");
}

/// What is read is said on request, on stderr.
#[test]
fn explain_says_how_an_image_is_read() {
    let place = Place::new(&Sample::debian());
    let told = place.run(&["--explain", "cat", "db.raw", "/etc/hostname"]);
    assert!(told.stderr.contains("db.raw: read by tib itself: / is ext4"), "{}", told.stderr);
    assert_eq!(told.expect(0), "debian\n");
    assert_eq!(place.run(&["cat", "db.raw", "/etc/hostname"]).stderr, "");
    assert_eq!(run_tib(["--version"]).expect(0), concat!("tib ", env!("CARGO_PKG_VERSION"), "\n"));
}

/// Bytes that command a terminal reach it only on request; elsewhere they are what they are.
#[test]
fn raw_bytes_reach_a_terminal_on_request() {
    const COMMANDING: &str = "\x1b[2Jgone\n";
    let old = Sample::debian().file("/srv/text", "old\n");
    let place = Place::new(&old);
    old.file("/srv/text", COMMANDING).write(place.directory.path(), "new");
    for command in [
        &["cat", "new.raw", "/srv/text"][..],
        &["tail", "new.raw", "/srv/text"],
        &["extract", "new.raw", "/srv/text", "--output", "-"],
    ] {
        let shown = |more: &[&str]| {
            let mut tib = tib();
            on_a_terminal(tib.args(command).args(more).current_dir(place.directory.path()))
        };
        assert!(shown(&["--raw"]).contains("\x1b[2J") && !shown(&[]).contains('\x1b'), "{command:?}");
        assert_eq!(place.tib(command), COMMANDING, "{command:?}");
    }
    let patch = ["diff", "--patch", "db.raw", "new.raw", "/srv"];
    assert!(place.tib(&[&patch[..], &["--raw"]].concat()).contains("+\x1b[2Jgone\n"));
    assert!(!place.tib(&patch).contains('\x1b'));
}
