//! Key files with foreign things in them.

use proptest::prelude::*;

use super::fixture::{DATA, MATERIAL, outcome};
use crate::trust::openpgp::*;

/// A certificate of a version or algorithm that nobody knows yet, as those of post-quantum keys once were.
fn unknown(version: u8, algorithm: u8) -> Vec<u8> {
    let mut body = vec![version, 0x60, 0, 0, 0, algorithm];
    body.extend([0x5a; 90]);
    [&[0x98, 96][..], &body, &[0xb4, 1, b'x']].concat()
}

fn named(files: &[&[u8]]) -> Vec<(String, Vec<u8>)> {
    files.iter().enumerate().map(|(index, file)| (format!("{index}.gpg"), file.to_vec())).collect()
}

fn verify(files: &[&[u8]], name: &str, signature: &str) -> Result<Verified, OpenPgpError> {
    let pins = [MATERIAL.keys[name].fingerprint.clone()];
    verify_detached(&Keyring::new(&named(files), &pins)?, DATA, &MATERIAL.detached[signature])
}

#[test]
fn a_pinned_key_is_found_whatever_is_beside_it() {
    let (main, other) = (&MATERIAL.keys["main"].file, &MATERIAL.keys["other"].file);
    let cut = &other[..other.len() / 2];
    for (case, files) in [
        ("among others", &[&[&other[..], main, other].concat()[..]][..]),
        ("after an unknown algorithm", &[&[&unknown(4, 105)[..], main].concat()]),
        ("after an unknown version", &[&[&unknown(99, 1)[..], main].concat()]),
        ("before an unknown version", &[&[&main[..], &unknown(99, 1)].concat()]),
        ("before a damaged one", &[&[&main[..], cut].concat()]),
        ("twice", &[&[&main[..], main].concat()]),
        ("in another file than a broken one", &[b"<html>", &main[..]]),
    ] {
        assert_eq!(outcome(&verify(files, "main", "good")), "main", "{case}");
    }
}

#[test]
fn a_revocation_in_any_copy_counts() {
    let (before, after) = (&MATERIAL.before["revoked"][..], &MATERIAL.keys["revoked"].file[..]);
    assert_eq!(outcome(&verify(&[before], "revoked", "revoked")), "revoked");
    for files in [[before, after], [after, before]] {
        assert_eq!(outcome(&verify(&files, "revoked", "revoked")), "Revoked");
    }
}

#[test]
fn without_a_pinned_key_there_is_no_keyring() {
    let main = &MATERIAL.keys["main"];
    let pins = std::slice::from_ref(&main.fingerprint);
    let other = &MATERIAL.keys["other"];
    for (case, files, pins, expected) in [
        ("another key", &[&other.file[..]][..], pins, "NoPinnedKey"),
        ("no file", &[], pins, "NoPinnedKey"),
        ("no pin", &[&main.file], &[], "NoPinnedKey"),
        ("an error page", &[b"<html>"], pins, "BadKeyFile"),
        ("an empty file", &[b""], pins, "BadKeyFile"),
        ("half a packet", &[&main.file[..9]], pins, "BadKeyFile"),
        ("too large", &[&vec![0; (4 << 20) + 1]], pins, "TooLarge"),
    ] {
        let result = Keyring::new(&named(files), pins).map(|_| unreachable!());
        assert_eq!(outcome(&result), expected, "{case}: {result:?}");
    }
    let error = Keyring::new(&named(&[&other.file]), pins).unwrap_err().to_string();
    let (pinned, found) = (&main.fingerprint, &other.fingerprint);
    assert_eq!(
        error,
        format!("none of the pinned keys ({pinned}) is among those in the key files ({found})")
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..400), text in "\\PC{0,200}") {
        let keyring = super::fixture::keyring(&["main"]);
        let pin = MATERIAL.keys["main"].fingerprint.clone();
        let marked = |begin: &str, end: &str| format!("-----BEGIN PGP {begin}-----\n{text}\n-----END PGP {end}-----");
        prop_assert!(verify_detached(&keyring, DATA, &bytes).is_err());
        prop_assert!(verify_detached(&keyring, DATA, marked("SIGNATURE", "SIGNATURE").as_bytes()).is_err());
        prop_assert!(verify_clearsigned(&keyring, marked("SIGNED MESSAGE", "SIGNATURE").as_bytes()).is_err());
        prop_assert!(Keyring::new(&[("k".to_owned(), bytes)], std::slice::from_ref(&pin)).is_err());
        let marked = marked("PUBLIC KEY BLOCK", "PUBLIC KEY BLOCK");
        prop_assert!(pinned_keys(&marked, std::slice::from_ref(&pin)).is_err());
        prop_assert!(pinned_of_bundle(&marked, &[pin]).is_err());
    }

    /// One byte changed anywhere: never another text than the signed one.
    #[test]
    fn a_changed_message_is_the_same_or_refused(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut message = MATERIAL.clear["good"].clone().into_bytes();
        *at.get_mut(&mut message) = byte;
        if let Ok((text, _)) = verify_clearsigned(&super::fixture::keyring(&["main"]), &message) {
            let text = String::from_utf8(text).unwrap();
            let lines = |text: &str| text.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>();
            prop_assert_eq!(lines(&text), lines(std::str::from_utf8(DATA).unwrap()));
        }
    }
}
