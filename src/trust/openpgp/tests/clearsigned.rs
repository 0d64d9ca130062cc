//! Clear-signed messages, against gpgv.

use super::fixture::{DATA, MATERIAL, gpgv, keyring, outcome};
use crate::trust::openpgp::verify_clearsigned;

/// What we say, what gpgv says, and the text that both give.
#[test]
fn our_answers_and_those_of_gpgv() {
    let made = &MATERIAL.clear;
    let good = made["good"].as_str();
    let around = format!("SHA256 (x) = 11\n\n{good}SHA256 (x) = 22\n");
    let other_end = format!("{good}-----END PGP SIGNATURE-----\nSHA256 (x) = 22\n");
    let crlf = good.replace('\n', "\r\n");
    let blanks = good.replace("= 00\n", "= 00 \t\n");
    let changed = good.replace("= 00", "= 01");
    let inserted = good.replacen("\n\n", "\n\nSHA256 (y) = 11\n", 1);
    let two_known = made["unknown and known"].as_str();
    for (case, pinned, message, ours, theirs) in [
        ("good", &["main"][..], good, "main", "GOODSIG VALIDSIG"),
        ("text around it", &["main"], &around, "main", "GOODSIG VALIDSIG"),
        ("an end too many", &["main"], &other_end, "main", "GOODSIG VALIDSIG"),
        ("other line ends", &["main"], &crlf, "main", "GOODSIG VALIDSIG"),
        ("blanks at the end of a line", &["main"], &blanks, "main", "GOODSIG VALIDSIG"),
        ("SHA-512", &["main"], &made["sha512"], "main", "GOODSIG VALIDSIG"),
        ("RSA", &["rsa"], &made["rsa"], "rsa", "GOODSIG VALIDSIG"),
        ("subkey", &["certifier"], &made["subkey"], "certifier", "GOODSIG VALIDSIG"),
        ("SHA-1 in the key", &["old"], &made["sha1 in the key"], "old", "GOODSIG VALIDSIG"),
        ("SHA-1 in the signature", &["main"], &made["sha1 in the signature"], "WeakHash", "GOODSIG VALIDSIG"),
        ("expired since", &["expired"], &made["in its time"], "expired, expired", "EXPKEYSIG VALIDSIG"),
        ("after expiry", &["expired"], &made["after expiry"], "MadeAfterExpiry", "EXPKEYSIG VALIDSIG"),
        ("revoked", &["revoked"], &made["revoked"], "Revoked", "REVKEYSIG VALIDSIG"),
        ("unknown key", &["main"], &made["unknown"], "UnknownSigner", "ERRSIG"),
        ("two signatures, one known", &["main"], two_known, "main", "ERRSIG GOODSIG VALIDSIG"),
        ("two signatures, the other known", &["other"], two_known, "other", "GOODSIG VALIDSIG ERRSIG"),
        ("changed", &["main"], &changed, "Changed", "BADSIG"),
        ("a line put in", &["main"], &inserted, "Changed", "BADSIG"),
    ] {
        let result = verify_clearsigned(&keyring(pinned), message.as_bytes());
        let opinion = gpgv(pinned, message.as_bytes(), None);
        assert_eq!(opinion.statuses.join(" "), theirs, "{case}");
        let result = result.map(|(text, verified)| {
            // The last line end belongs to the armour (RFC 9580, 7.1); gpgv writes it nevertheless.
            let text = String::from_utf8(text).unwrap().replace("\r\n", "\n");
            assert_eq!(
                text,
                String::from_utf8_lossy(&opinion.text).replace("\r\n", "\n").trim_end(),
                "{case}"
            );
            assert_eq!(text, String::from_utf8_lossy(DATA).trim_end(), "{case}");
            let valid = (verified.signer.to_string(), verified.made);
            assert!(opinion.valid.contains(&valid), "{case}: {valid:?} {:?}", opinion.valid);
            verified
        });
        assert_eq!(outcome(&result), ours, "{case}: {result:?}");
    }
}

#[test]
fn what_is_no_single_clear_signed_message_is_refused() {
    let good = MATERIAL.clear["good"].as_str();
    let lines: Vec<_> = good.lines().collect();
    let bare = String::from_utf8_lossy(DATA);
    let begin = good.find("-----BEGIN PGP SIGNATURE").unwrap();
    let (text, signature) = good.split_at(begin);
    let base64 = lines[lines.len() - 3];
    let quoted: String = lines.iter().map(|line| format!("> {line}\n")).collect();
    for (case, message, expected) in [
        ("nothing", "", "Malformed"),
        ("not signed", &bare.replace("-----BEGIN", "x"), "Malformed"),
        ("quoted, as in a mail", &quoted, "Malformed"),
        ("two of them", &format!("{good}{good}"), "Malformed"),
        ("one in another", &format!("{text}{good}"), "Malformed"),
        ("without signature", text, "Malformed"),
        ("signature alone", signature, "Malformed"),
        (
            "an empty signature",
            &format!("{text}-----BEGIN PGP SIGNATURE-----\n\n-----END PGP SIGNATURE-----\n"),
            "NoSignature",
        ),
        ("cut", &good[..good.len() - 40], "Malformed"),
        ("bad armour", &good.replace(base64, "!!!!"), "Malformed"),
        ("an ordinary signed message", &MATERIAL.inline, "Malformed"),
        ("too much", &"x".repeat((4 << 20) + 1), "TooLarge"),
    ] {
        let result =
            verify_clearsigned(&keyring(&["main"]), message.as_bytes()).map(|(_, verified)| verified);
        assert_eq!(outcome(&result), expected, "{case}: {result:?}");
    }
}

/// Lines between the first one and the empty line are not signed, so they neither count nor come back.
#[test]
fn headers_do_not_matter() {
    let good = MATERIAL.clear["good"].as_str();
    for (case, headers) in [
        ("no announced hash (RFC 9580, 7.1: it may be left out)", ""),
        ("another announced hash", "Hash: SHA512\n"),
        ("a comment", "Comment: SHA256 (y) = 11\nHash: SHA256\n"),
    ] {
        let message = good.replacen("Hash: SHA256\n", headers, 1);
        let (text, _) = verify_clearsigned(&keyring(&["main"]), message.as_bytes()).expect(case);
        assert_eq!(String::from_utf8(text).unwrap(), String::from_utf8_lossy(DATA).trim_end(), "{case}");
    }
    // What is no header is text.
    let message = good.replacen("Hash: SHA256\n", "SHA256 (y) = 11\n", 1);
    let result = verify_clearsigned(&keyring(&["main"]), message.as_bytes()).map(|(_, verified)| verified);
    assert_eq!(outcome(&result), "Changed", "{result:?}");
}
