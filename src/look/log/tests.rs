use std::io::Write as _;

use super::*;
use crate::os::journal::testing::{Export, START, TINY_FIRST_ENTRY, journalctl, tiny};
use crate::os::testing::MemTree;

const MACHINE: &str = "/var/log/journal/0123456789abcdef0123456789abcdef";

/// What a system and what its user said, by turns, over two boots.
fn journals() -> [Vec<u8>; 2] {
    let mut exports = [Export::default(), Export::default()];
    for number in 0..120u64 {
        let time = START + number * 700_000;
        let boot = u128::from(number / 50 + 1);
        let message = match number % 10 {
            0 => format!("Failed to do {number}"),
            1 => format!("grüße\tan {number}"),
            _ => format!("message {number}"),
        };
        let pid = (100 + number).to_string();
        let priority = (number % 8).to_string();
        let said = (time - 1_500_000).to_string();
        let unit = ["ssh.service", "mariadb.service", "getty@tty1.service"][number as usize % 3];
        let mut fields: Vec<(&str, &[u8])> =
            vec![("_HOSTNAME", b"guest"), ("PRIORITY", priority.as_bytes()), ("_PID", pid.as_bytes())];
        match number % 7 {
            0 => fields.push(("_COMM", b"kworker")),
            1 => fields.extend([("SYSLOG_IDENTIFIER", &b"systemd"[..]), ("UNIT", unit.as_bytes())]),
            2 => fields.extend([("SYSLOG_IDENTIFIER", &b"sudo"[..]), ("SYSLOG_PID", b"7"), ("_UID", b"0")]),
            _ => fields.extend([("SYSLOG_IDENTIFIER", &b"daemon"[..]), ("_SYSTEMD_UNIT", unit.as_bytes())]),
        }
        match number % 9 {
            0 => fields.push(("_SOURCE_REALTIME_TIMESTAMP", said.as_bytes())),
            1 => fields.push(("OBJECT_SYSTEMD_UNIT", b"ssh.service")),
            2 => fields.extend([("BINARY", &b"\xff\x00"[..]), ("TWICE", b"1"), ("TWICE", b"2")]),
            _ => {}
        }
        if number % 13 != 12 {
            fields.push(("MESSAGE", message.as_bytes()));
        }
        exports[usize::from(number % 4 == 3)].entry(time, boot, &fields);
    }
    exports.map(|export| export.write(true, true))
}

fn tree(files: &[(&str, &[u8])]) -> MemTree {
    files.iter().fold(MemTree::new(), |tree, (name, bytes)| tree.file(&format!("{MACHINE}/{name}"), bytes))
}

fn printed(tree: &mut MemTree, selection: &Selection) -> (String, Vec<String>) {
    let files = journal_files(tree).unwrap();
    let mut out = Vec::new();
    let warnings = print_journal(tree, &files, selection, &mut out).unwrap();
    (String::from_utf8(out).unwrap(), warnings)
}

fn everything(form: Form) -> Selection {
    Selection { filter: Filter::default(), lines: None, form }
}

#[test]
fn journalctl_selects_and_prints_the_same() {
    let [system, user] = journals();
    let mut tree = tree(&[("system.journal", &system), ("user-1000.journal", &user)]);
    let select = |filter: Filter| Selection { filter, ..everything(Form::Text) };
    let units = |names: &[&str]| Filter {
        units: names.iter().map(|name| unit_name(name)).collect(),
        ..Filter::default()
    };
    let time = |text: &str| Some(parse_time(text).unwrap());
    let cases = [
        (vec![], everything(Form::Text)),
        (vec![], Selection { lines: Some(17), ..everything(Form::Text) }),
        (vec!["-u", "ssh"], select(units(&["ssh"]))),
        (vec!["-u", "mariadb", "-u", "getty@*"], select(units(&["mariadb", "getty@*"]))),
        (vec!["-p", "err"], select(Filter { priority: "err".parse().ok(), ..Filter::default() })),
        (vec!["-p", "3..5"], select(Filter { priority: "err..notice".parse().ok(), ..Filter::default() })),
        (vec!["-g", "failed"], select(Filter { text: Some(Text::new("failed")), ..Filter::default() })),
        (
            vec!["--since", "2023-11-14 22:13:40", "--until", "2023-11-14 22:14:02"],
            select(Filter {
                since: time("2023-11-14T22:13:40Z"),
                until: time("2023-11-14 22:14:02"),
                ..Filter::default()
            }),
        ),
        (
            vec!["_BOOT_ID=00000000000000000000000000000003"],
            select(Filter { last_boot: true, ..Filter::default() }),
        ),
        (
            vec!["-u", "ssh", "-p", "warning"],
            Selection {
                lines: Some(3),
                ..select(Filter { priority: "4".parse().ok(), ..units(&["ssh.service"]) })
            },
        ),
    ];
    for (arguments, selection) in cases {
        let arguments = [vec!["-o", "short"], arguments].concat();
        let expected = String::from_utf8(journalctl(&[&system, &user], &arguments)).unwrap();
        let expected: Vec<_> = expected.lines().filter(|line| !line.starts_with("-- Boot ")).collect();
        // journalctl counts entries that it then does not print, because they have no message.
        let expected = &expected[expected.len().saturating_sub(selection.lines.unwrap_or(usize::MAX))..];
        let (found, warnings) = printed(&mut tree, &selection);
        assert_eq!(found.lines().collect::<Vec<_>>(), expected, "{arguments:?}");
        assert!(!expected.is_empty() && warnings.is_empty(), "{arguments:?} {warnings:?}");
    }
}

/// Two files of one boot, the clock set back by an hour in its midst, and a boot before it.
#[test]
fn journalctl_puts_entries_in_the_same_order_when_the_clock_was_set() {
    const HOUR: u64 = 3_600_000_000;
    let mut exports = [Export::default(), Export::default()];
    for number in 0..40u64 {
        let clock = START + 2 * HOUR + number * 1_000_000 - if number < 20 { 0 } else { HOUR };
        let message = format!("message {number}");
        let fields: &[(&str, &[u8])] = &[("MESSAGE", message.as_bytes())];
        exports[usize::from(number % 3 == 0)].entry_at(clock, 1_000_000 * number + 5, 2, fields);
    }
    let mut before = Export::default();
    for number in 0..10 {
        let message = format!("before {number}");
        before.entry_at(START + number * 1_000_000, 5 + number, 1, &[("MESSAGE", message.as_bytes())]);
    }
    let [system, user] = exports.map(|export| export.write(true, true));
    let before = before.write(true, true);
    let mut tree =
        tree(&[("system.journal", &system), ("user-1000.journal", &user), ("old.journal", &before)]);
    let expected = String::from_utf8(journalctl(&[&system, &user, &before], &["-o", "short"])).unwrap();
    let expected: Vec<_> = expected.lines().filter(|line| !line.starts_with("-- Boot ")).collect();
    assert_eq!(expected.len(), 50);
    for lines in [None, Some(0), Some(1), Some(19), Some(20), Some(21), Some(25), Some(45), Some(60)] {
        let (found, warnings) = printed(&mut tree, &Selection { lines, ..everything(Form::Text) });
        let end = &expected[expected.len() - lines.unwrap_or(50).min(50)..];
        assert_eq!(found.lines().collect::<Vec<_>>(), end, "{lines:?} {warnings:?}");
    }
}

#[test]
fn journalctl_says_the_same_as_json() {
    let [system, user] = journals();
    let mut tree = tree(&[("system.journal", &system), ("user-1000.journal", &user)]);
    let parse = |text: &str| -> Vec<serde_json::Value> {
        let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let own = ["__CURSOR", "__SEQNUM", "__SEQNUM_ID"];
        lines
            .map(|mut entry| {
                entry.as_object_mut().unwrap().retain(|name, _| !own.contains(&name.as_str()));
                entry
            })
            .collect()
    };
    let expected = String::from_utf8(journalctl(&[&system, &user], &["-o", "json"])).unwrap();
    let (found, _) = printed(&mut tree, &everything(Form::Json));
    assert_eq!(parse(&found), parse(&expected));
    assert_eq!(found.lines().count(), 120);
}

#[test]
fn messages_cannot_talk_to_the_terminal() {
    let mut tree = tree(&[("system.journal", &tiny(&[(0, b"MESSAGE=a\x1b[2Jb\nc")]))]);
    let (found, _) = printed(&mut tree, &everything(Form::Text));
    assert_eq!(found, "Nov 14 22:13:20 unknown: a\\u{1b}[2Jb\\nc\n");
}

#[test]
fn what_is_damaged_or_open_is_said() {
    let sound = tiny(&[(0, b"MESSAGE=one"), (0, b"MESSAGE=two")]);
    let with = |at: usize, value: u8| {
        let mut file = sound.clone();
        file[at] = value;
        file
    };
    let cut = &sound[..sound.len() - 8];
    for (file, expected) in [
        (&sound[..], None),
        (&with(16, 1), Some("system.journal` was not closed: its last entries may be missing")),
        (&with(TINY_FIRST_ENTRY, 9), Some("system.journal` could be read: the object at 0x128 is of kind 9")),
        (cut, Some("bytes instead of")),
    ] {
        let (found, warnings) = printed(&mut tree(&[("system.journal", file)]), &everything(Form::Text));
        match expected {
            Some(expected) => assert!(warnings[0].contains(expected), "{warnings:?}"),
            None => assert_eq!(warnings, Vec::<String>::new()),
        }
        assert!(!found.is_empty());
    }
}

#[test]
fn one_bad_file_is_left_out_and_nothing_but_bad_files_are_an_error() {
    let sound = tiny(&[(0, b"MESSAGE=one")]);
    let mut both = tree(&[("a.journal", &sound), ("b.journal~", b"garbage")]);
    let (found, warnings) = printed(&mut both, &everything(Form::Text));
    assert!(found.ends_with("unknown: one\n"), "{found}");
    assert!(
        warnings[0].ends_with("b.journal~` in the image: it is no journal file: left out"),
        "{warnings:?}"
    );
    let mut bad = tree(&[("b.journal", b"garbage")]);
    let files = journal_files(&mut bad).unwrap();
    let error = print_journal(&mut bad, &files, &everything(Form::Text), &mut Vec::new()).unwrap_err();
    assert!(error.to_string().contains("it is no journal file"), "{error}");
    // Too large to be read, without being so large.
    let mut large = tree(&[("b.journal", &sound)]).sized(&format!("{MACHINE}/b.journal"), FILE_LIMIT + 1);
    assert!(print_journal(&mut large, &files, &everything(Form::Text), &mut Vec::new()).is_err());
}

#[test]
fn journals_of_other_machines_are_not_the_images() {
    let mut tree = MemTree::new()
        .file("/var/log/journal/remote/remote-host.journal", "")
        .file("/var/log/journal/0123456789abcdef0123456789abcdef.ns/system.journal", "")
        .file("/run/log/journal/0123456789abcdef0123456789abcdef/system@1-2.journal~", "")
        .file("/var/log/journal/0123456789abcdef0123456789abcdef/fss", "");
    let files: Vec<_> = journal_files(&mut tree).unwrap().iter().map(|path| show(path)).collect();
    assert_eq!(
        files,
        [
            "/var/log/journal/0123456789abcdef0123456789abcdef.ns/system.journal",
            "/run/log/journal/0123456789abcdef0123456789abcdef/system@1-2.journal~"
        ]
    );
}

fn classic(
    path: &str,
    content: &[u8],
    lines: Option<usize>,
    text: Option<&str>,
) -> Result<String, LookError> {
    let mut tree = MemTree::new().file(path, content);
    let path = find(&mut tree, path).unwrap();
    let mut out = Vec::new();
    let text = text.map(Text::new);
    let result = print(&mut tree, &path, lines, text.as_ref(), &mut out);
    result.map(|()| String::from_utf8(out).unwrap())
}

#[test]
fn files_are_unpacked_cut_and_searched() {
    let log = b"one\r\ntwo\x1b[1m\nThree\tt\n\xff four";
    let whole = "one\ntwo\\u{1b}[1m\nThree\tt\n\u{fffd} four\n";
    let gz = || {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(log).unwrap();
        encoder.finish().unwrap()
    };
    let xz = || {
        let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
        encoder.write_all(log).unwrap();
        encoder.finish().unwrap()
    };
    let zst = zstd::encode_all(&log[..], 1).unwrap();
    for (path, content) in [
        ("/var/log/syslog", log.to_vec()),
        ("/var/log/syslog.2.gz", gz()),
        ("/var/log/syslog.3.xz", xz()),
        ("/var/log/syslog.4.zst", zst),
    ] {
        for (lines, text, expected) in [
            (None, None, whole),
            (Some(2), None, "Three\tt\n\u{fffd} four\n"),
            (Some(0), None, ""),
            (None, Some("t"), "two\\u{1b}[1m\nThree\tt\n"),
            (Some(1), Some("T"), "Three\tt\n"),
        ] {
            assert_eq!(classic(path, &content, lines, text).unwrap(), expected, "{path} {lines:?} {text:?}");
        }
        if path.ends_with('g') {
            continue;
        }
        let cut = &content[..content.len() - 9];
        let error = classic(path, cut, None, None).unwrap_err().to_string();
        assert!(error.starts_with(&format!("cannot make sense of `{path}` in the image")), "{error}");
        let error = classic(path, b"garbage", None, None).unwrap_err().to_string();
        assert!(error.starts_with(&format!("cannot make sense of `{path}` in the image")), "{error}");
    }
    for (path, name) in [("/var/log/a.bz2", "bzip2"), ("/var/log/a.lz4", "lz4")] {
        let error = classic(path, b"x", None, None).unwrap_err();
        assert!(matches!(error, LookError::Read(ReadError::Unsupported { .. })), "{error:?}");
        let expected =
            format!("cannot read the log: `{path}` is compressed with {name}, which tib does not unpack");
        assert_eq!(error.to_string(), expected);
    }
    for path in ["/var/log/a", "/var/log/a.gz", "/var/log/a.xz", "/var/log/a.zst", "/var/log/a.bz2"] {
        assert_eq!(classic(path, b"", None, None).unwrap(), "", "{path}");
    }
}

#[test]
fn a_damaged_log_is_damage_of_the_image() {
    use crate::error::{Diagnose, Exit};
    let error = classic("/var/log/syslog.2.gz", b"no gzip at all, but text", None, None).unwrap_err();
    assert_eq!(error.exit(), Exit::Integrity);
    assert_eq!(
        error.hint().unwrap(),
        "copy it with `tib extract IMAGE /var/log/syslog.2.gz` for a closer look"
    );
}

#[test]
fn a_line_without_an_end_is_printed_in_pieces() {
    let line = vec![b'x'; 5 << 20];
    let found = classic("/var/log/syslog", &line, None, None).unwrap();
    assert_eq!(found.bytes().filter(|&byte| byte == b'x').count(), line.len());
}

#[test]
fn logs_are_found_by_name_and_listed() {
    let mut tree = MemTree::new()
        .file("/var/log/cloud-init.log", "")
        .file("/var/log/syslog", "12345")
        .file("/var/log/mysql/error.log", "")
        .file("/opt/app/log", "")
        .file("/var/log/wtmp", "")
        .file(&format!("{MACHINE}/system.journal"), "123");
    for (name, expected) in [
        ("cloud-init", "/var/log/cloud-init.log"),
        ("cloud-init.log", "/var/log/cloud-init.log"),
        ("syslog", "/var/log/syslog"),
        ("mysql/error", "/var/log/mysql/error.log"),
        ("/opt/app/log", "/opt/app/log"),
    ] {
        assert_eq!(show(&find(&mut tree, name).unwrap()), expected);
    }
    for name in ["mysql", "nothing", "/opt/app", ""] {
        let error = find(&mut tree, name).unwrap_err();
        let hint = crate::error::Diagnose::hint(&error).unwrap();
        assert_eq!(
            hint, "it has /var/log/cloud-init.log, /var/log/mysql/error.log, /var/log/syslog",
            "{name}"
        );
    }
    let listed: Vec<_> =
        list(&mut tree).unwrap().into_iter().map(|log| (log.kind, log.path, log.size)).collect();
    assert_eq!(
        listed,
        [
            (LogKind::Journal, format!("{MACHINE}/system.journal"), 3),
            (LogKind::File, "/var/log/cloud-init.log".to_owned(), 0),
            (LogKind::File, "/var/log/mysql/error.log".to_owned(), 0),
            (LogKind::File, "/var/log/syslog".to_owned(), 5),
        ]
    );
}
