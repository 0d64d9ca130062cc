//! Any bytes are read or refused, without a panic: as a signed message, as a signature, and as a file of keys.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tib::trust::openpgp::{Fingerprint, Keyring, verify_clearsigned, verify_detached};

const KEY: &[u8] = include_bytes!("../../src/trust/openpgp/tests/rfc9580.asc");

static PIN: LazyLock<[Fingerprint; 1]> = LazyLock::new(|| {
    ["CB186C4F0609A697E4D52DFA6C722B0C1F1E27C18A56708F6525EC27BAD9ACC9".parse().expect("a fingerprint")]
});
static KEYRING: LazyLock<Keyring> = LazyLock::new(|| {
    Keyring::new(&[("rfc9580.asc".to_owned(), KEY.to_vec())], &*PIN).expect("the key of the standard")
});

fuzz_target!(|bytes: &[u8]| {
    if let Ok((text, verified)) = verify_clearsigned(&KEYRING, bytes) {
        assert_eq!(verified.signer, PIN[0]);
        assert!(text.len() <= bytes.len());
    }
    let _ = verify_detached(&KEYRING, b"data", bytes);
    let _ = Keyring::new(&[("fuzz".to_owned(), bytes.to_vec())], &*PIN);
});
