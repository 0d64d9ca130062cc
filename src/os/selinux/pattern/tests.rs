use super::*;

fn regex(text: &str) -> String {
    match Pattern::parse(text.as_bytes()).unwrap().form {
        Form::Regex(regex) => regex,
        form => panic!("{text}: {form:?}"),
    }
}

#[test]
fn literal_paths_and_trees_need_no_expression() {
    for (text, prefix, form) in [
        ("/etc/passwd", "/etc/passwd", Form::Literal),
        (r"/etc/resolv\.conf", "/etc/resolv.conf", Form::Literal),
        ("/a{b}c]", "/a{b}c]", Form::Literal),
        (r"/usr/lib\.d(/.*)?", "/usr/lib.d", Form::Tree),
        ("(/.*)?", "", Form::Tree),
    ] {
        let pattern = Pattern::parse(text.as_bytes()).unwrap();
        assert_eq!(pattern, Pattern { prefix: prefix.into(), form }, "{text}");
    }
}

#[test]
fn a_quantifier_takes_the_last_byte_of_the_literal_start() {
    for (text, prefix) in [
        ("/ab*", "/a"),
        ("/ab?c", "/a"),
        ("/ab+", "/a"),
        ("/ab{2}", "/a"),
        ("/ab.*", "/ab"),
        ("/ab(c|d)", "/ab"),
        ("/ab|/cd", ""),
        ("/a|/b", ""),
        ("/a[b]", "/a"),
        ("^/a.", ""),
    ] {
        assert_eq!(Pattern::parse(text.as_bytes()).unwrap().prefix, prefix.as_bytes(), "{text}");
    }
}

#[test]
fn what_is_written_anew() {
    for (text, expected) in [
        ("/a.b", r"^/a.b\n?\z"),
        (r"/a\.?-", r"^/a\x2e?\x2d\n?\z"),
        ("/a(b|c)+", r"^/a(?:b|c)+\n?\z"),
        ("/a(?:b)?", r"^/a(?:b)?\n?\z"),
        ("/[^/]*", r"^/[\x00-\x2e\x30-\xff]*\n?\z"),
        (r"/[]a\]-]x", r"^/[\x2d-\x2d\x5d-\x5d\x61-\x61]x\n?\z"),
        ("/[[:digit:]a]", r"^/[\x30-\x39\x61-\x61]\n?\z"),
        ("/[[a]", r"^/[\x5b-\x5b\x61-\x61]\n?\z"),
        (r"/\d{2,}?", r"^/[\x30-\x39]{2,}\n?\z"),
        ("/a{2}", r"^/a{2,2}\n?\z"),
        ("/.{x}", r"^/.\x7bx\x7d\n?\z"),
        ("/.$", r"^/.\n?\z"),
        (r"/\<.", r"^/\x3c.\n?\z"),
    ] {
        assert_eq!(regex(text), expected, "{text}");
    }
}

#[test]
fn what_the_crate_would_take_otherwise_is_refused() {
    for text in [
        "/a++",
        "/a*+",
        "/a?+",
        "/a{2}+",
        "/a**",
        "/a{1}{2}",
        "/(?=a)",
        "/(?i)a",
        "/(?R)",
        "/(?#x)",
        "/(?|a)",
        r"/\1",
        r"/\Qa\E",
        r"/\p{L}",
        r"/\x41",
        r"/\v",
        r"/\bx",
        r"/\z",
        "/a$b",
        "/(a$)",
        "*",
        "/(*UTF)",
        "/(a",
        "/a)",
        "/[a",
        "/[z-a]",
        r"/[a-\d]",
        "/[[:nothing:]]",
        "/[[.a.]]",
        "/a{3,2}",
        "/a{99999}",
        "^*",
        r"/a\",
        "{1}",
        "|+",
    ] {
        assert!(Pattern::parse(text.as_bytes()).is_err(), "{text}");
    }
    assert!(Pattern::parse("(".repeat(1000).as_bytes()).is_err());
}

#[test]
fn literal_in_the_sense_of_libselinux() {
    for (text, meta) in
        [("/a", false), (r"/a\.b", false), ("/a.b", true), (r"/a\\.b", true), ("/a]b}", false)]
    {
        assert_eq!(Pattern::has_meta(text.as_bytes()), meta, "{text}");
    }
}
