use std::process::Command;

use proptest::prelude::*;

use super::*;
use crate::error::{Diagnose as _, Exit};

fn sha256(content: &str) -> Checksum {
    Checksum::of(Algorithm::Sha256, content.as_bytes())
}

fn sha512(content: &str) -> Checksum {
    Checksum::of(Algorithm::Sha512, content.as_bytes())
}

#[test]
fn checksums_are_written_and_read() {
    // The digests of nothing, as FIPS 180 has them.
    let short = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let long = "sha512:cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce\
                47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e";
    for (text, algorithm) in [(short, Algorithm::Sha256), (long, Algorithm::Sha512)] {
        let checksum: Checksum = text.parse().unwrap();
        assert_eq!(checksum, Checksum::of(algorithm, b""));
        assert_eq!(checksum.to_string(), text);
        assert_eq!(serde_json::to_value(checksum).unwrap(), serde_json::json!(text));
        assert_eq!(serde_json::from_value::<Checksum>(serde_json::json!(text)).unwrap(), checksum);
        let (name, digits) = text.split_once(':').unwrap();
        assert_eq!(format!("{name}:{}", digits.to_uppercase()).parse(), Ok(checksum));
    }
    let mut hasher = Hasher::new(Algorithm::Sha512);
    hasher.update(b"in ");
    hasher.update(b"pieces");
    assert_eq!(hasher.finish(), sha512("in pieces"));
}

#[test]
fn what_is_no_checksum_is_refused() {
    let digits = sha256("").hex();
    for text in [
        digits.clone(),
        format!("sha512:{digits}"),
        format!("SHA256:{digits}"),
        format!("md5:{}", &digits[..32]),
        format!("sha256:{}", &digits[1..]),
        format!("sha256: {}", &digits[1..]),
        format!("sha256:+{}", &digits[1..]),
        format!("sha256:{}é", &digits[2..]),
        String::new(),
    ] {
        let error = text.parse::<Checksum>().unwrap_err();
        assert_eq!(error, BadChecksum(text));
        assert_eq!(error.exit(), Exit::Usage);
    }
}

/// Lines as distributions publish them, with all their oddities.
#[test]
fn every_line_is_read_by_its_own_form() {
    let (a, b, long) = (sha256("a"), sha256("b"), sha512("a"));
    let (ha, hb, hl) = (a.hex(), b.hex(), long.hex());
    type Expected<'a> = &'a [(&'a str, Checksum, Option<u64>)];
    let cases: &[(&str, String, Expected<'_>)] = &[
        (
            "GNU text",
            format!("{ha}  x.qcow2\n{hb}  y.qcow2\n"),
            &[("x.qcow2", a, None), ("y.qcow2", b, None)],
        ),
        ("GNU binary", format!("{ha} *x.img\n"), &[("x.img", a, None)]),
        ("SHA-512", format!("{hl}  x.qcow2\n"), &[("x.qcow2", long, None)]),
        (
            "BSD with a size",
            format!("# x.qcow2: 645988352 bytes\nSHA256 (x.qcow2) = {ha}\n"),
            &[("x.qcow2", a, Some(645_988_352))],
        ),
        ("openssl", format!("SHA2-256(x)= {ha}\nSHA512(y)= {hl}\n"), &[("x", a, None), ("y", long, None)]),
        (
            "CRLF",
            format!("# x: 5 bytes\r\n{ha}  x\r\nSHA256 (y) = {hb}\r\n"),
            &[("x", a, Some(5)), ("y", b, None)],
        ),
        ("upper case", format!("{}  x\n", ha.to_uppercase()), &[("x", a, None)]),
        ("no end of line", format!("{ha}  x"), &[("x", a, None)]),
        ("one blank, a tab", format!("{ha} x\n{hb}\ty\n"), &[("x", a, None), ("y", b, None)]),
        ("leading ./", format!("{ha}  ./x\n{hb} *./y\n"), &[("x", a, None), ("y", b, None)]),
        (
            "comments, blank lines, talk",
            format!("# made today\n\nHash: SHA256\n{ha}  x\n-- \n"),
            &[("x", a, None)],
        ),
        (
            "a file under two names",
            format!("{ha}  x-latest\n{ha}  x-1\n"),
            &[("x-1", a, None), ("x-latest", a, None)],
        ),
        ("a line twice", format!("{ha}  x\n{ha} *x\n"), &[("x", a, None)]),
        ("the stronger of two digests", format!("{hl}  x\n{ha}  x\n"), &[("x", long, None)]),
        (
            "blanks and brackets",
            format!("{ha}  a b).img\nSHA256 (c) = (d) = {hb}\n"),
            &[("a b).img", a, None), ("c) = (d", b, None)],
        ),
        ("a star in the name", format!("{ha}  *x\n"), &[("*x", a, None)]),
        ("weak beside good", format!("MD5 (x) = {}\n{ha}  x\n", &hb[..32]), &[("x", a, None)]),
        (
            "SHA-384 beside good",
            format!("{}  x\nSHA384 (x) = {}\n{ha}  x\n", &hl[..96], &hl[..96]),
            &[("x", a, None)],
        ),
        ("tag and length disagree", format!("SHA512 (x) = {hb}\n{ha}  y\n"), &[("y", a, None)]),
        ("digits run on", format!("{ha}0  x\n{ha}g\n{hb}  y\n"), &[("y", b, None)]),
        ("size of another file", format!("# z: 5 bytes\n# y: many bytes\n{ha}  x\n"), &[("x", a, None)]),
        (
            "names elsewhere",
            format!(
                "{hb}  ../x\n{hb}  /x\n{hb}  images/x\n{hb}  ..\n{hb}  ././x\n{hb}  a\\x\n\\{hb}  x\n{ha}  x\n"
            ),
            &[("x", a, None)],
        ),
        ("names that nothing has", format!("{hb}  x\u{7}\nSHA256 ( ) = {hb}\n{ha}  x\n"), &[("x", a, None)]),
    ];
    for (case, text, expected) in cases {
        let listing = Listing::parse(text.as_bytes()).unwrap();
        let found: Vec<_> = listing.names().map(|name| (name, listing.get(name).unwrap().clone())).collect();
        let expected: Vec<_> =
            expected.iter().map(|&(name, checksum, size)| (name, Listed { checksum, size })).collect();
        assert_eq!(found, expected, "{case}");
        assert_eq!(listing.bare(), None, "{case}");
    }
    let not_text = [b"\xff\xfe  x\n".as_slice(), ha.as_bytes(), b"  x\n"].concat();
    assert_eq!(Listing::parse(&not_text).unwrap().get("x").unwrap().checksum, a);
}

#[test]
fn a_digest_without_a_name_is_kept_apart() {
    let digits = sha256("a").hex();
    for text in [digits.clone(), format!("{digits}\n"), format!("\n{digits} \r\n{digits}\n")] {
        let listing = Listing::parse(text.as_bytes()).unwrap();
        assert_eq!(listing.bare().unwrap().checksum, sha256("a"));
        assert_eq!(listing.names().count(), 0);
    }
    let listing = Listing::parse(format!("{digits}\n{}  x\n", sha256("b").hex()).as_bytes()).unwrap();
    assert_eq!(listing.bare().unwrap().checksum, sha256("a"));
    assert_eq!(listing.get("x").unwrap().checksum, sha256("b"));
}

#[test]
fn files_that_are_refused() {
    let (a, b) = (sha256("a").hex(), sha256("b").hex());
    let two =
        |name: &str| ChecksumFileError::TwoDigests { name: name.to_owned(), algorithm: Algorithm::Sha256 };
    let nothing = ChecksumFileError::NothingUsable;
    let cases: &[(&str, String, ChecksumFileError)] = &[
        ("empty", String::new(), ChecksumFileError::Empty),
        ("blank", " \r\n\n".to_owned(), ChecksumFileError::Empty),
        ("an error page", "<html><body>404</body></html>\n".to_owned(), nothing.clone()),
        ("only sizes", "# x: 5 bytes\n".to_owned(), nothing.clone()),
        ("only elsewhere", format!("{a}  ../x\n{a}  /etc/x\n"), nothing.clone()),
        ("a cut digest", format!("{}  x\n", &a[..63]), nothing),
        ("MD5", format!("{}  x\n", &a[..32]), ChecksumFileError::OnlyWeak),
        ("SHA-1 by tag", format!("SHA1 (x) = {}\n", &a[..40]), ChecksumFileError::OnlyWeak),
        ("two digests", format!("{a}  x\n{b}  x\n"), two("x")),
        ("two digests in two styles", format!("{a} *./x\nSHA256 (x) = {b}\n"), two("x")),
        ("two digests, then the first again", format!("{a}  x\n{b}  x\n{a}  x\n"), two("x")),
        ("two bare digests", format!("{a}\n{b}\n"), two("")),
        (
            "two sizes",
            format!("# x: 5 bytes\n# x: 6 bytes\n{a}  x\n"),
            ChecksumFileError::TwoSizes { name: "x".to_owned() },
        ),
        ("too large", format!("{a}  x\n").repeat(16_000), ChecksumFileError::TooLarge { limit: 1 << 20 }),
    ];
    for (case, text, expected) in cases {
        let error = Listing::parse(text.as_bytes()).unwrap_err();
        assert_eq!(&error, expected, "{case}");
        assert_eq!(error.exit(), Exit::Integrity);
        assert!(error.hint().is_some(), "{case}");
    }
}

#[test]
fn a_file_that_is_about_one_build() {
    let line = |name: &str| format!("{}  {name}\n", "1".repeat(64));
    let file = "openSUSE-Leap-15.6-Minimal-VM.x86_64-Cloud.qcow2";
    let build = "openSUSE-Leap-15.6-Minimal-VM.x86_64-15.6.0-Cloud-Build16.33.qcow2";
    for (text, found) in [
        (line(build), true),
        (line("openSUSE-Leap-15.5-Minimal-VM.x86_64-15.5.0-Cloud-Build1.1.qcow2"), false),
        (line("openSUSE-Leap-15.6-Minimal-VM.aarch64-15.6.0-Cloud-Build16.33.qcow2"), false),
        (line("openSUSE-Leap-15.6-Minimal-VM.x86_64-15.6.0-kvm-and-xen-Build16.33.qcow2"), false),
        (line("openSUSE-Leap-15.6-Minimal-VM.x86_64-15.6.0-Cloud-Build16.33.vmdk"), false),
        ([line(build), line("another.qcow2")].concat(), false),
    ] {
        let listing = Listing::parse(text.as_bytes()).unwrap();
        assert_eq!(listing.build_of(file).is_some(), found, "{text}");
    }
}

/// What coreutils write is what we read, odd names included.
#[test]
fn coreutils_agree() {
    let dir = tempfile::tempdir().unwrap();
    let names =
        ["plain.img", "with blank.img", "round (bracket).img", "x) = y", " leading", "*star", "ü.img"];
    for name in names {
        fs_err::write(dir.path().join(name), name).unwrap();
    }
    for (program, arguments) in [
        ("sha256sum", &["--text"][..]),
        ("sha256sum", &["--binary"]),
        ("sha256sum", &["--tag"]),
        ("sha512sum", &[]),
        ("sha512sum", &["--tag"]),
    ] {
        let output =
            Command::new(program).args(arguments).arg("--").args(names).current_dir(dir.path()).output();
        let listing = Listing::parse(&output.unwrap().stdout).unwrap();
        assert_eq!(listing.names().count(), names.len(), "{program} {arguments:?}");
        for name in names {
            let expected = if program == "sha256sum" { sha256(name) } else { sha512(name) };
            assert_eq!(listing.get(name).unwrap().checksum, expected, "{program} {arguments:?} {name}");
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = Listing::parse(&bytes);
    }

    /// Close to what a parser takes for good, so that its corners are met.
    #[test]
    fn any_lines_are_read_or_refused(text in r"((SHA256|MD5)? ?\(?[0-9a-f]{64}?[ *]{0,2}\.{0,2}/?[a-z)= ]{0,9}\n?){0,9}") {
        if let Ok(listing) = Listing::parse(text.as_bytes()) {
            for name in listing.names() {
                prop_assert!(!name.contains('/') && !name.is_empty() && name != "..");
            }
        }
    }

    #[test]
    fn what_is_written_reads_back(
        files in proptest::collection::btree_map(r"[^\p{C}/\\]{0,20}[a-z)]", (any::<[u8; 8]>(), any::<bool>()), 1..8),
        style in proptest::sample::select(&[Style::Gnu, Style::GnuBinary, Style::Bsd][..]),
        ending in proptest::sample::select(&["\n", "\r\n"][..]),
    ) {
        let files: Vec<_> = files.into_iter().map(|(name, (content, long))| {
            (name, Checksum::of(if long { Algorithm::Sha512 } else { Algorithm::Sha256 }, &content))
        }).collect();
        let text: String =
            files.iter().map(|(name, checksum)| style.line(name, checksum) + ending).collect();
        let listing = Listing::parse(text.as_bytes()).unwrap();
        let read: Vec<_> = listing.names().map(|name| (name.to_owned(), listing.get(name).unwrap().checksum)).collect();
        prop_assert_eq!(read, files);
    }
}
