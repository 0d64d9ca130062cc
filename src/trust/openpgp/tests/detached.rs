//! Detached signatures, against gpgv.

use sequoia_openpgp::armor::Kind;

use super::fixture::{DATA, MATERIAL, armour, gpgv, keyring, outcome};
use crate::error::{Diagnose as _, Exit};
use crate::trust::openpgp::{OpenPgpError, verify_detached};

fn armoured(signature: &[u8]) -> String {
    armour(Kind::Signature, signature)
}

/// What we say, and what gpgv says. Where they differ we are stricter, but for keys that were retired later:
/// gpgv does not tell them from stolen ones.
#[test]
fn our_answers_and_those_of_gpgv() {
    let made = &MATERIAL.detached;
    let changed = [DATA, b"x"].concat();
    let crlf = String::from_utf8(DATA.to_vec()).unwrap().replace('\n', "\r\n").into_bytes();
    let both_ways = [&made["good"][..], &made["unknown"]].concat();
    let two_known = [&made["in its time"][..], &made["rsa"]].concat();
    let one_bad = [&made["revoked"][..], &made["good"]].concat();
    let two_blocks = armoured(&made["unknown"]) + &armoured(&made["good"]);
    let talk = format!("signed today\n{}bye\n", armoured(&made["good"]));
    for (case, pinned, data, signature, ours, theirs) in [
        ("good", &["main"][..], DATA, &made["good"][..], "main", "GOODSIG VALIDSIG"),
        ("armoured", &["main"], DATA, armoured(&made["good"]).as_bytes(), "main", "GOODSIG VALIDSIG"),
        ("text around the armour", &["main"], DATA, talk.as_bytes(), "main", "GOODSIG VALIDSIG"),
        ("text mode", &["main"], DATA, &made["text mode"], "main", "GOODSIG VALIDSIG"),
        ("text mode, other line ends", &["main"], &crlf, &made["text mode"], "main", "GOODSIG VALIDSIG"),
        ("other line ends", &["main"], &crlf, &made["good"], "Changed", "BADSIG"),
        ("SHA-512", &["main"], DATA, &made["sha512"], "main", "GOODSIG VALIDSIG"),
        ("RSA", &["rsa"], DATA, &made["rsa"], "rsa", "GOODSIG VALIDSIG"),
        ("DSA", &["dsa"], DATA, &made["dsa"], "dsa", "GOODSIG VALIDSIG"),
        ("short RSA", &["short"], DATA, &made["short"], "Unusable", "GOODSIG VALIDSIG"),
        ("subkey", &["certifier"], DATA, &made["subkey"], "certifier", "GOODSIG VALIDSIG"),
        ("SHA-1 in the key", &["old"], DATA, &made["sha1 in the key"], "old", "GOODSIG VALIDSIG"),
        (
            "SHA-1 in the signature",
            &["main"],
            DATA,
            &made["sha1 in the signature"],
            "WeakHash",
            "GOODSIG VALIDSIG",
        ),
        ("changed", &["main"], &changed, &made["good"], "Changed", "BADSIG"),
        ("changed, RSA", &["rsa"], &changed, &made["rsa"], "Changed", "BADSIG"),
        ("changed, DSA", &["dsa"], &changed, &made["dsa"], "Changed", "BADSIG"),
        ("changed and weak", &["main"], &changed, &made["sha1 in the signature"], "Changed", "BADSIG"),
        ("changed and revoked", &["revoked"], &changed, &made["revoked"], "Changed", "BADSIG"),
        ("unknown key", &["main"], DATA, &made["unknown"], "UnknownSigner", "ERRSIG"),
        (
            "unknown, then known",
            &["main"],
            DATA,
            &made["unknown and known"],
            "main",
            "ERRSIG GOODSIG VALIDSIG",
        ),
        ("known, then unknown", &["main"], DATA, &both_ways, "main", "GOODSIG VALIDSIG ERRSIG"),
        ("two blocks", &["main"], DATA, two_blocks.as_bytes(), "main", "ERRSIG GOODSIG VALIDSIG"),
        (
            "unknown, then known, changed",
            &["main"],
            &changed,
            &made["unknown and known"],
            "Changed",
            "ERRSIG BADSIG",
        ),
        (
            "the fresh one of two",
            &["expired", "rsa"],
            DATA,
            &two_known,
            "rsa",
            "EXPKEYSIG VALIDSIG GOODSIG VALIDSIG",
        ),
        (
            "revoked and good",
            &["main", "revoked"],
            DATA,
            &one_bad,
            "main",
            "REVKEYSIG VALIDSIG GOODSIG VALIDSIG",
        ),
        ("expired since", &["expired"], DATA, &made["in its time"], "expired, expired", "EXPKEYSIG VALIDSIG"),
        ("after expiry", &["expired"], DATA, &made["after expiry"], "MadeAfterExpiry", "EXPKEYSIG VALIDSIG"),
        (
            "before the only self-signature",
            &["resigned"],
            DATA,
            &made["before it was signed anew"],
            "resigned",
            "GOODSIG VALIDSIG",
        ),
        ("compromised later", &["revoked"], DATA, &made["revoked"], "Revoked", "REVKEYSIG VALIDSIG"),
        (
            "retired later",
            &["retired"],
            DATA,
            &made["before retirement"],
            "retired, expired",
            "REVKEYSIG VALIDSIG",
        ),
        ("retired before", &["retired"], DATA, &made["after retirement"], "Revoked", "REVKEYSIG VALIDSIG"),
        ("expired signature", &["main"], DATA, &made["short-lived"], "Unusable", "EXPSIG VALIDSIG"),
        ("from the future", &["main"], DATA, &made["from the future"], "Unusable", "GOODSIG VALIDSIG"),
    ] {
        let result = verify_detached(&keyring(pinned), data, signature);
        assert_eq!(outcome(&result), ours, "{case}: {result:?}");
        let opinion = gpgv(pinned, signature, Some(data));
        assert_eq!(opinion.statuses.join(" "), theirs, "{case}");
        match result {
            Ok(verified) => {
                let valid = (verified.signer.to_string(), verified.made);
                assert!(opinion.valid.contains(&valid), "{case}: {valid:?} {:?}", opinion.valid);
                let good = opinion.statuses.iter().any(|status| status == "GOODSIG");
                assert_eq!(verified.expired, !good, "{case}");
            }
            Err(error) => {
                assert_eq!(error.exit(), Exit::Integrity, "{case}");
                assert!(error.hint().is_some(), "{case}");
            }
        }
    }
}

#[test]
fn what_is_no_signature_is_refused() {
    let good = &MATERIAL.detached["good"];
    let text = armoured(good);
    let key = &MATERIAL.keys["main"].file;
    let long = vec![b'x'; (4 << 20) + 1];
    for (case, data, signature, expected) in [
        ("nothing", DATA, &b""[..], "NoSignature"),
        ("blank", DATA, b" \n", "NoSignature"),
        ("an error page", DATA, b"<html>404</html>", "Malformed"),
        ("random bytes", DATA, &[0xff; 99], "Malformed"),
        ("cut", DATA, &good[..good.len() - 5], "Malformed"),
        ("cut in the head", DATA, &good[..1], "Malformed"),
        ("cut armour", DATA, &text.as_bytes()[..99], "Malformed"),
        ("bad armour", DATA, text.replace("\n\n", "\n\n!!").as_bytes(), "Malformed"),
        ("a key", DATA, key, "Malformed"),
        ("a key armoured as signature", DATA, armoured(key).as_bytes(), "Malformed"),
        ("an ordinary signed message", DATA, MATERIAL.inline.as_bytes(), "Malformed"),
        ("too much data", &long, good, "TooLarge"),
        ("too much signature", DATA, &good.repeat(4000), "TooLarge"),
    ] {
        let result = verify_detached(&keyring(&["main"]), data, signature);
        assert_eq!(outcome(&result), expected, "{case}: {result:?}");
    }
}

#[test]
fn messages_name_who_and_what() {
    let (main, other) = (&MATERIAL.keys["main"].fingerprint, &MATERIAL.keys["other"].fingerprint);
    let error = verify_detached(&keyring(&["main"]), DATA, &MATERIAL.detached["unknown"]).unwrap_err();
    assert_eq!(error.to_string(), format!("signed by {other}, and pinned is {main}"));
    let expired = &MATERIAL.keys["expired"].fingerprint;
    let error =
        verify_detached(&keyring(&["expired"]), DATA, &MATERIAL.detached["after expiry"]).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("signed by {expired} on 2023-01-01, after that key expired on 2022-01-01")
    );
    let revoked = &MATERIAL.keys["revoked"].fingerprint;
    let error = verify_detached(&keyring(&["revoked"]), DATA, &MATERIAL.detached["revoked"]).unwrap_err();
    assert!(
        matches!(error, OpenPgpError::Revoked { ref signer, ref reason } if signer == revoked
            && reason.ends_with("revoked in a test")),
        "{error}"
    );
}
