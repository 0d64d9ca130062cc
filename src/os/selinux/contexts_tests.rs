use proptest::prelude::*;

use super::*;

fn contexts(files: &[&str]) -> FileContexts {
    let contexts =
        files.iter().enumerate().map(|(number, text)| (format!("file {number}"), text.as_bytes().to_vec()));
    let files = ContextFiles { contexts: contexts.collect(), ..ContextFiles::default() };
    FileContexts::parse(&files).unwrap()
}

/// The type in the label, `none` or `?`.
fn lookup(contexts: &FileContexts, path: impl AsRef<[u8]>, kind: FileKind) -> String {
    match contexts.lookup(path.as_ref(), kind) {
        Wanted::Label(label) => label.to_string(),
        Wanted::Nothing => "none".to_owned(),
        Wanted::Unknown(_) => "?".to_owned(),
    }
}

#[test]
fn the_last_line_counts_and_literal_paths_before_all() {
    use FileKind::{Directory, File, Symlink};
    let contexts = contexts(&[
        "/.*  default\n/etc/passwd -- passwd\n/etc(/.*)? etc\n/etc/.*\\.conf -- conf\n# /etc/x x\n\n",
        "/home/[^/]+ -d home\n/home/[^/]*/.+ user\n/etc/shadow\\.d first\n/etc/shadow\\.d second\n",
        "  /etc/local\\.conf\t--\tlocal  trailing words\n/proc -d <<none>>\n/proc/.* <<none>>\n/a.* one\n/ab.* two\n/a.*c three\n",
    ]);
    for (path, kind, expected) in [
        ("/", Directory, "default"),
        ("/etc", Directory, "etc"),
        ("/etc/passwd", File, "passwd"),
        ("/etc/passwd", Symlink, "etc"),
        ("/etc/passwd-", File, "etc"),
        ("/etc/a.conf", File, "conf"),
        ("/etc/a.conf", Directory, "etc"),
        ("/etc/local.conf", File, "local"),
        ("/etc/local.conf", Directory, "etc"),
        ("/etc/localxconf", File, "etc"),
        ("/etc/shadow.d", File, "second"),
        ("/etcetera", File, "default"),
        ("/home/a", Directory, "home"),
        ("/home/a", File, "default"),
        ("/home/a/b/c", File, "user"),
        ("/proc", Directory, "none"),
        ("/proc/1", Directory, "none"),
        ("/proc", File, "default"),
        ("/abc", File, "three"),
        ("/abd", File, "two"),
        ("/axd", File, "one"),
    ] {
        assert_eq!(lookup(&contexts, path, kind), expected, "{path} {kind:?}");
    }
}

#[test]
fn names_are_bytes_and_a_newline_at_the_end_is_none() {
    let contexts = contexts(&["/.* default\n/etc(/.*)? etc\n/etc/x -- x\n/etc/y\\.. y\n/etc/a[^/] a\n"]);
    for (path, expected) in [
        (&b"/etc/\xff\xfe"[..], "etc"),
        (b"/etc\n", "etc"),
        (b"/etc\n/x", "default"),
        (b"/etc/x\n", "x"),
        (b"/etc/x\n\n", "etc"),
        (b"/etc/y.\n", "y"),
        (b"/etc/y.\n\n", "y"),
        (b"/etc/a\xc3", "a"),
        (b"/etc/a\xc3\xa4", "etc"),
    ] {
        assert_eq!(lookup(&contexts, path, FileKind::File), expected, "{path:?}");
    }
}

#[test]
fn a_plain_first_directory_keeps_a_line_to_itself() {
    let contexts = contexts(&["/.* default\n/usr/a|/var/b both\n(/x/c|/y/c) group\n"]);
    for (path, expected) in [
        ("/usr/a", "both"),
        ("/usr/a/more", "both"),
        ("/var/b", "default"),
        ("/x/c", "group"),
        ("/y/c", "group"),
    ] {
        assert_eq!(lookup(&contexts, path, FileKind::File), expected, "{path}");
    }
}

#[test]
fn other_directories_are_labelled_alike() {
    let files = ContextFiles {
        contexts: vec![(
            "f".to_owned(),
            b"/.* default\n/var/lib/mysql(/.*)? db\n/usr/lib(/.*)? lib\n".to_vec(),
        )],
        subs: b"/srv/db /var/db\n".to_vec(),
        subs_dist: b"/var/db /var/lib/mysql\n/lib64 /usr/lib\n/lib /usr/lib\n".to_vec(),
    };
    let contexts = FileContexts::parse(&files).unwrap();
    for (path, expected) in [
        ("/srv/db/x", "db"),
        ("/var/db", "db"),
        ("/lib64/x", "lib"),
        ("/lib", "lib"),
        ("/library", "default"),
    ] {
        assert_eq!(lookup(&contexts, path, FileKind::File), expected, "{path}");
    }
}

#[test]
fn what_is_not_understood_is_told_where_it_could_decide() {
    let contexts = contexts(&[
        "/.* default\n/opt/(?!x).* odd\n/opt/b/.* plain\n/srv/a{9}{9} twice\n/srv/deep/.* deep\n/var/a++b possessive\n",
    ]);
    for (path, expected) in [
        ("/opt/a", "?"),
        // A later line decides.
        ("/opt/b/c", "plain"),
        ("/usr", "default"),
        ("/srv/a", "?"),
        ("/srv/deep/x", "deep"),
        ("/srv/b", "?"),
        ("/var/ab", "?"),
        ("/var/b", "default"),
    ] {
        assert_eq!(lookup(&contexts, path, FileKind::File), expected, "{path}");
    }
    let Wanted::Unknown(reason) = contexts.lookup(b"/opt/a", FileKind::File) else { panic!() };
    assert_eq!(reason, "the pattern `/opt/(?!x).*` is not understood: it has a group that begins with `(?`");
    let large = super::FileContexts::parse(&ContextFiles {
        contexts: vec![("f".to_owned(), b"/x(a{1,1000}){1,1000} l\n".to_vec())],
        ..ContextFiles::default()
    });
    assert_eq!(lookup(&large.unwrap(), "/xa", FileKind::File), "?");
}

#[test]
fn lines_that_libselinux_refuses() {
    for (text, reason) in [
        ("/a\n", "line 1: it has no label"),
        ("/a l\n/b -x l\n", "line 2: `-x` is no kind of file"),
        ("/\u{e4} l\n", "line 1: it has characters that are not ASCII"),
    ] {
        let files = ContextFiles { contexts: vec![("f".to_owned(), text.into())], ..ContextFiles::default() };
        let expected = ("f".to_owned(), reason.to_owned());
        assert_eq!(FileContexts::parse(&files).unwrap_err(), expected, "{text}");
    }
}

/// Tries every line from the last to the first, with nothing that would save work.
fn slow(contexts: &FileContexts, path: &[u8], kind: FileKind) -> Wanted {
    let path = contexts.substituted(path);
    let stem = path.iter().skip(1).position(|byte| *byte == b'/').map(|length| &path[..=length]);
    for line in contexts.lines.iter().rev().filter(|line| line.is_for(kind, stem)) {
        match contexts.matches(line, &path) {
            Ok(false) => {}
            Ok(true) => return line.label.clone().map_or(Wanted::Nothing, Wanted::Label),
            Err(reason) => {
                let text = escape(&String::from_utf8_lossy(&line.text));
                return Wanted::Unknown(format!("the pattern `{text}` is not understood: {reason}"));
            }
        }
    }
    Wanted::Nothing
}

proptest! {
    #[test]
    fn the_index_changes_nothing(
        lines in prop::collection::vec(("(/(a|b|ab|\\.\\*|\\[ab\\]|a\\?|b\\+|\\(a\\|b\\)|a\\|b)){1,3}", 0..3), 1..12),
        path in "(/(a|b|ab|aab|c)){1,4}\n?",
    ) {
        let text: String = lines.iter().enumerate().map(|(number, (pattern, kind))| {
            let kind = ["", "--", "-d"][usize::try_from(*kind).unwrap()];
            format!("{pattern} {kind} label{number}\n")
        }).collect();
        let contexts = contexts(&[&text]);
        for kind in [FileKind::File, FileKind::Directory] {
            prop_assert_eq!(contexts.lookup(path.as_bytes(), kind), slow(&contexts, path.as_bytes(), kind), "{}", text);
        }
    }

    #[test]
    fn any_bytes_are_survived(text: Vec<u8>, path: Vec<u8>) {
        let files = ContextFiles {
            contexts: vec![("f".to_owned(), text.clone())],
            subs: text.clone(),
            subs_dist: text,
        };
        if let Ok(contexts) = FileContexts::parse(&files) {
            contexts.lookup(&path, FileKind::File);
        }
    }

    #[test]
    fn any_pattern_is_survived(pattern in "/[a\\[\\](){}|*+?.^$:\\\\,0-9-]{0,12}", path in "/[a0-9\\[\\]{}-]{0,6}") {
        let contexts = contexts(&[&format!("{pattern} l\n")]);
        contexts.lookup(path.as_bytes(), FileKind::File);
    }
}
