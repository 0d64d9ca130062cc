use super::*;
use crate::distro::Arch;
use crate::error::{Diagnose, Exit};
use jiff::civil::date;

/// A good entry, which tests spoil.
const GOOD: &str = r#"
[[image]]
id = "toy-1"
aliases = ["one"]
title = "Toy 1"
user = "toy"
end_of_life = "2030-01-01"
[image.os]
id = "toy"
release = "1"
family = "debian"
packages = "apt"
init = "systemd"
mac = "apparmor"
[image.arch]
x86_64 = "amd64"
[image.newest]
directories = ["https://toy.example/latest/"]
file = "toy-{arch}.qcow2"
[image.pinned]
directories = ["https://toy.example/{version}/", "https://archive.example/{version}/"]
file = "toy-{version}-{arch}.qcow2"
[image.checksums]
file = "SHA256SUMS"
[image.signature]
kind = "detached"
file = "{checksums}.gpg"
keys = ["AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"]
[[image.pin]]
version = "20260101"
arch = "x86_64"
checksum = "sha256:0000000000000000000000000000000000000000000000000000000000000000"
[[key]]
fingerprint = "AAAA AAAA AAAA AAAA AAAA  AAAA AAAA AAAA AAAA AAAA"
name = "Toy"
urls = ["https://toy.example/key"]
source = "made up"
"#;

fn without(lines: &[&str]) -> String {
    GOOD.lines().filter(|line| !lines.contains(line)).map(|line| format!("{line}\n")).collect()
}

#[test]
fn every_embedded_entry_is_sound() {
    let catalogue = Catalogue::load(&[]).unwrap();
    assert_eq!(catalogue.check(), []);
    let ids: Vec<_> = catalogue.entries().iter().map(CatalogueEntry::id).collect();
    for id in ["ubuntu-14.04", "ubuntu-26.04", "debian-13", "centos-7", "rocky-10", "fedora-44", "rhel-9"] {
        assert!(ids.contains(&id), "{id} is missing");
    }
    let ubuntus: Vec<_> = ids.iter().filter(|id| id.starts_with("ubuntu")).collect();
    assert!(ubuntus[0] == &"ubuntu-14.04" && ubuntus[6] == &"ubuntu-26.04", "by number: {ubuntus:?}");
    let dir = fs_err::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/base-images")).unwrap();
    let files =
        dir.filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|e| e == "toml")).count();
    assert_eq!(files, embedded::EMBEDDED.len(), "every file is embedded");
}

/// All that would be asked for, for a reader to look over.
#[test]
fn where_everything_is() {
    let catalogue = Catalogue::load(&[]).unwrap();
    let mut text = String::new();
    for entry in catalogue.entries() {
        text.push_str(&format!("{}\n", entry.id));
        for arch in entry.arch.keys() {
            let mut selections = vec![Selection::Default, Selection::Newest];
            selections.extend(entry.pins(*arch).last().map(|pin| Selection::Pinned(pin.version.clone())));
            for selection in selections {
                text.push_str(&format!("  {arch} {selection:?}\n"));
                match entry.image(*arch, &selection) {
                    Ok(image) => {
                        for url in image.urls(&image.file) {
                            text.push_str(&format!("    {url}\n"));
                        }
                        let verified = [&image.checksums, &image.signature].into_iter().flatten();
                        let verified: Vec<_> = verified.map(String::as_str).collect();
                        let pin = image.pin.map_or("", |_| ", pinned");
                        text.push_str(&format!("    {}{pin}\n", verified.join(" ")));
                    }
                    Err(error) => text.push_str(&format!("    {error}\n")),
                }
            }
        }
    }
    insta::assert_snapshot!(text);
}

#[test]
fn a_good_entry_and_its_places() {
    let catalogue = Catalogue::from_text("toy.toml", GOOD).unwrap();
    assert_eq!(catalogue.check(), []);
    let entry = catalogue.find("one").unwrap();
    assert_eq!((entry.id(), entry.origin.as_str(), catalogue.keys(entry).len()), ("toy-1", "toy.toml", 1));
    let newest = entry.image(Arch::X86_64, &Selection::Default).unwrap();
    assert_eq!((newest.file.as_str(), newest.pin.is_none()), ("toy-amd64.qcow2", true), "the maker signs");
    assert_eq!(newest.signature.as_deref(), Some("SHA256SUMS.gpg"));
    let pinned = entry.image(Arch::X86_64, &Selection::Pinned("20260101".to_owned())).unwrap();
    let urls: Vec<_> = pinned.urls(&pinned.file).iter().map(ToString::to_string).collect();
    assert_eq!(
        urls,
        [
            "https://toy.example/20260101/toy-20260101-amd64.qcow2",
            "https://archive.example/20260101/toy-20260101-amd64.qcow2"
        ]
    );
    assert!(pinned.pin.is_some());
    let other = entry.image(Arch::X86_64, &Selection::Pinned("20270101".to_owned())).unwrap();
    assert!(
        other.pin.is_none() && other.file == "toy-20270101-amd64.qcow2",
        "one that the catalogue does not know yet"
    );
}

#[test]
fn an_unsigned_image_stands_for_its_pin() {
    let text = without(&[
        "[image.signature]",
        "kind = \"detached\"",
        "file = \"{checksums}.gpg\"",
        "keys = [\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"]",
    ]);
    let catalogue = Catalogue::from_text("toy.toml", &text).unwrap();
    assert_eq!(catalogue.check(), []);
    let entry = &catalogue.entries()[0];
    let version = |selection| entry.image(Arch::X86_64, &selection).unwrap().version;
    assert_eq!(version(Selection::Default).as_deref(), Some("20260101"));
    assert_eq!(version(Selection::Newest), None);
}

#[test]
fn a_name_never_leads_out_of_its_directory() {
    for (name, url) in [
        ("other:x.qcow2", "https://toy.example/latest/other:x.qcow2"),
        ("a?b#c.qcow2", "https://toy.example/latest/a%3Fb%23c.qcow2"),
    ] {
        let catalogue = Catalogue::from_text("toy.toml", &GOOD.replace("toy-{arch}.qcow2", name)).unwrap();
        let image = catalogue.entries()[0].image(Arch::X86_64, &Selection::Newest).unwrap();
        assert_eq!(image.urls(&image.file)[0].as_str(), url);
    }
    let query = GOOD.replace("https://toy.example/latest/", "https://toy.example/latest/?x=/");
    let problems = Catalogue::from_text("toy.toml", &query).unwrap().check();
    assert!(problems.iter().any(|problem| problem.message.contains("has more than a path")), "{problems:?}");
}

#[test]
fn mistakes_are_told_with_their_line() {
    let cases = [
        (GOOD.replace("title =", "titel ="), "toy.toml:5: unknown key `titel`; did you mean `title`?"),
        (GOOD.replace("id = \"toy-1\"\n", ""), "toy.toml:2: missing key `id`"),
        (
            GOOD.replace("\"detached\"", "\"detatched\""),
            "toy.toml:26: unknown value `detatched`; did you mean `detached`?",
        ),
        (GOOD.replace("2030-01-01", "2030-13-01"), "toy.toml:7: "),
        (GOOD.replace("keys = [\"AAAA", "keys = [\""), "toy.toml:28: fingerprint `"),
        (GOOD.replace("sha256:00", "sha256:0"), "toy.toml:32: `sha256:"),
        ("[[image]".to_owned(), "toy.toml:1: "),
    ];
    for (text, expected) in cases {
        let error = Catalogue::from_text("toy.toml", &text).unwrap_err();
        assert!(error.to_string().starts_with(expected), "{error}\nshould start with\n{expected}");
        assert_eq!(error.exit(), Exit::Recipe);
    }
}

#[test]
fn entries_that_make_no_sense_are_found() {
    let twice = format!("{GOOD}{}", GOOD.replace("toy-1", "toy-2"));
    let cases = [
        (
            GOOD.replace("https://toy.example/latest/", "http://toy.example/latest/"),
            "`http://toy.example/latest/` is not https",
        ),
        (GOOD.replace("https://toy.example/latest/", "https://toy.example/latest"), "does not end in `/`"),
        (GOOD.replace("https://toy.example/latest/", "ftp://toy.example/latest/"), "has the scheme `ftp`"),
        (GOOD.replace("toy-{arch}", "toy-{architecture}"), "has the unknown `{architecture}`"),
        (GOOD.replace("toy-{arch}", "toy-{version}"), "needs a version, and there is none here"),
        (GOOD.replace("toy-{arch}", "../toy-{arch}"), "is not the name of a file"),
        (GOOD.replace("toy-{arch}", "toy-{arch"), "has a `{` without its `}`"),
        (without(&["[image.checksums]", "file = \"SHA256SUMS\""]), "it has no `checksums`"),
        (
            GOOD.replace("fingerprint = \"AAAA", "fingerprint = \"BBBB"),
            "there is no `[[key]]` with the fingerprint",
        ),
        (GOOD.replace("[\"https://toy.example/key\"]", "[]"), "has no `urls`"),
        (GOOD.replace("\"one\"", "\"One\""), "`One` is no good name"),
        (twice, "`one` also stands for `toy-1`"),
    ];
    for (text, expected) in cases {
        let problems = Catalogue::from_text("toy.toml", &text).unwrap().check();
        assert!(
            problems.iter().any(|problem| problem.message.contains(expected)),
            "{expected}: {problems:?}"
        );
    }
}

#[test]
fn a_users_directory_comes_first() {
    let dir = tempfile::tempdir().unwrap();
    fs_err::write(dir.path().join("mine.toml"), GOOD.replace("toy-1", "debian-12")).unwrap();
    fs_err::write(dir.path().join("notes.txt"), "no entry").unwrap();
    let catalogue = Catalogue::load(&[dir.path().to_owned()]).unwrap();
    assert_eq!(catalogue.find("debian-12").unwrap().title, "Toy 1");
    assert_eq!(catalogue.find("debian-13").unwrap().user, "debian");
    let missing = Catalogue::load(&[dir.path().join("no")]).unwrap_err();
    assert_eq!(missing.to_string(), "cannot read the catalogue");
}

#[test]
fn what_is_not_there_is_told_with_what_is() {
    let catalogue = Catalogue::load(&[]).unwrap();
    let error = catalogue.find("ubunut-24.04").unwrap_err();
    assert_eq!(error.to_string(), "the catalogue has no image `ubunut-24.04`; did you mean `ubuntu-24.04`?");
    assert_eq!(error.exit(), Exit::Usage);
    let rhel = catalogue.find("rhel-9").unwrap().image(Arch::X86_64, &Selection::Default).unwrap_err();
    assert!(rhel.to_string().contains("logged-in customers"), "{rhel}");
    assert!(rhel.hint().unwrap().contains("tib base import FILE --as rhel-9"));
    let trusty = catalogue.find("trusty").unwrap();
    let arm = trusty.image(Arch::Aarch64, &Selection::Default).unwrap_err();
    assert_eq!(arm.to_string(), "`ubuntu-14.04` is not published for aarch64");
    let frozen =
        catalogue.find("centos-stream-8").unwrap().image(Arch::X86_64, &Selection::Newest).unwrap_err();
    assert_eq!(frozen.to_string(), "`centos-stream-8` has no build `newest`");
}

#[test]
fn the_end_of_life_is_said() {
    let catalogue = Catalogue::load(&[]).unwrap();
    let note = |id: &str| catalogue.find(id).unwrap().end_of_life_note(date(2026, 11, 24));
    assert_eq!(note("ubuntu-24.04"), None);
    assert_eq!(
        note("ubuntu-20.04").unwrap(),
        "Ubuntu 20.04 LTS (Focal Fossa) got its last security updates on 2025-05-31; \
         extended support, for those who have it, ends on 2030-04-30"
    );
    assert_eq!(note("centos-7").unwrap(), "CentOS Linux 7 got its last security updates on 2024-06-30");
}

proptest::proptest! {
    #[test]
    fn any_text_is_refused_or_means_one_thing(text in "(\\[\\[image\\]\\]\n)?([a-z_]{1,10} = (\"[^\"]{0,20}\"|\\[\\]|1)\n){0,6}") {
        let outcome = || Catalogue::from_text("x", &text).map(|catalogue| catalogue.check()).map_err(|e| e.to_string());
        proptest::prop_assert_eq!(outcome(), outcome());
    }
}
