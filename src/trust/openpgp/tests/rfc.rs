//! Without gpg: the key of the standard, and foreign bytes.

use sequoia_openpgp::armor::Kind;

use super::fixture::armour;
use crate::trust::openpgp::*;

/// The version 6 key of RFC 9580, A.3, and the fingerprint given there.
const RFC_KEY: &str = include_str!("rfc9580.asc");
const RFC_FINGERPRINT: &str = "CB186C4F0609A697E4D52DFA6C722B0C1F1E27C18A56708F6525EC27BAD9ACC9";

fn fingerprint() -> Fingerprint {
    RFC_FINGERPRINT.parse().unwrap()
}

#[test]
fn the_key_of_the_standard() {
    let lower: Fingerprint = RFC_FINGERPRINT.to_lowercase().parse().unwrap();
    let bytes = pinned_keys(RFC_KEY, std::slice::from_ref(&lower)).unwrap();
    let wrapped = format!(
        "A vendor's note\n{}\nmore\n",
        RFC_KEY.replace("BLOCK-----\n\n", "BLOCK-----\nVersion: x\n\n")
    );
    assert_eq!(pinned_keys(&wrapped, std::slice::from_ref(&lower)), Ok(bytes.clone()));
    let other: Fingerprint = "A".repeat(40).parse().unwrap();
    assert_eq!(pinned_keys(RFC_KEY, std::slice::from_ref(&other)), Err(KeyProblem::OtherKey(lower.clone())));

    for file in [RFC_KEY.as_bytes().to_vec(), wrapped.into_bytes(), bytes] {
        let files = [("k".to_owned(), file)];
        assert!(Keyring::new(&files, std::slice::from_ref(&lower)).is_ok());
        let error = Keyring::new(&files, std::slice::from_ref(&other)).unwrap_err();
        assert!(matches!(error, OpenPgpError::NoPinnedKey { ref found, .. } if *found == [lower.clone()]));
    }
}

#[test]
fn what_is_not_one_key() {
    let cut = RFC_KEY.split_inclusive('\n').take(5).collect::<String>();
    let two = format!("{RFC_KEY}{RFC_KEY}");
    let short = RFC_KEY.replace("j+VjFM21J0hqWlEg", "");
    let binary = pinned_keys(RFC_KEY, &[fingerprint()]).unwrap();
    // A literal data packet behind the key, in which other programs might look for more.
    let with_text = armour(Kind::PublicKey, &[&binary[..], &[0xcb, 6, b'b', 0, 0, 0, 0, 0]].concat());
    let of_version_9 = armour(Kind::PublicKey, &[&binary[..], &[0xc6, 6, 9, 0, 0, 0, 0, 1]].concat());
    let begin = "-----BEGIN PGP PUBLIC KEY BLOCK-----";
    let end = "-----END PGP PUBLIC KEY BLOCK-----";
    for (text, problem) in [
        ("", "is not ASCII-armoured"),
        (&cut, "is cut off"),
        (&two, "holds more than one block"),
        (&short, "holds a damaged packet"),
        (&format!("{begin}\n\n{end}\n"), "holds no public key"),
        (&format!("{begin}\n\n!!\n{end}\n"), "is armoured wrongly"),
        (&with_text, "holds a packet that does not belong in a key"),
        (&of_version_9, "is of an unknown version"),
    ] {
        match pinned_keys(text, &[fingerprint()]) {
            Err(KeyProblem::Malformed(found)) => assert!(found.starts_with(problem), "{found} / {problem}"),
            other => panic!("{problem}: {other:?}"),
        }
    }
}

/// What of a bundle is no pinned key is left out, and a pinned one that is damaged is not taken for none.
#[test]
fn what_is_taken_out_of_a_bundle() {
    let binary = pinned_keys(RFC_KEY, &[fingerprint()]).unwrap();
    let other: Fingerprint = "A".repeat(40).parse().unwrap();
    let noise =
        "pub 1024D/ABC\n-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n!!\n-----END PGP PUBLIC KEY BLOCK-----\n";
    let bundle = format!("{noise}{RFC_KEY}talk\n");
    assert_eq!(pinned_of_bundle(&bundle, &[other.clone(), fingerprint()]), Ok(binary.clone()));
    assert_eq!(pinned_of_bundle(&bundle, &[other]), Err(KeyProblem::OtherKey(fingerprint())));
    assert!(matches!(pinned_of_bundle(noise, &[fingerprint()]), Err(KeyProblem::Malformed(_))));
    assert!(matches!(pinned_of_bundle("", &[fingerprint()]), Err(KeyProblem::Malformed(_))));
    let (whole, each) = armoured(&binary).unwrap();
    assert_eq!(whole, each, "one key");
    assert_eq!(pinned_keys(&whole, &[fingerprint()]), Ok(binary));
}
