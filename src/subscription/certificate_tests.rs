//! Certificates that OpenSSL made, and such as nobody makes.

use proptest::prelude::*;

use super::*;
use crate::subscription::testing::candlepin::{listing, rhel9};

/// A certificate with these extensions, in OpenSSL's words, in PEM.
fn openssl(extensions: &[&str]) -> String {
    let directory = tempfile::tempdir().unwrap();
    let mut command = std::process::Command::new("openssl");
    command.args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "30",
    ]);
    command.args(["-subj", "/CN=a test", "-keyout"]).arg(directory.path().join("key"));
    for extension in extensions {
        command.args(["-addext", &format!("1.3.6.1.4.1.2312.9.{extension}")]);
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn products_of_openssl_are_read() {
    let pem = openssl(&[
        "1.479.1=ASN1:UTF8String:Red Hat Enterprise Linux for x86_64",
        "1.479.2=ASN1:UTF8String:9.4",
        "1.479.3=ASN1:UTF8String:x86_64",
        "1.479.4=ASN1:UTF8String:rhel-9,rhel-9-x86_64",
        "1.68.1=ASN1:PRINTABLESTRING:Desktop",
    ]);
    let mut found = products(format!("some text\n{pem}behind").as_bytes()).unwrap();
    assert_eq!(found.len(), 2);
    let rhel = found.remove(0);
    assert_eq!((rhel.id.as_str(), rhel.name.as_str()), ("479", "Red Hat Enterprise Linux for x86_64"));
    assert_eq!((rhel.version.as_str(), rhel.arch.as_str()), ("9.4", "x86_64"));
    assert_eq!(rhel.tags, ["rhel-9", "rhel-9-x86_64"]);
    assert_eq!((found[0].name.as_str(), found[0].tags.len()), ("Desktop", 0));
}

#[test]
fn entitlements_of_openssl_are_read() {
    let payload = serde_json::json!({ "products": [{ "content": rhel9() }, {}] }).to_string();
    let certificate = |extensions: &[&str]| openssl(extensions);
    let whole =
        certificate(&["6=ASN1:UTF8String:3.4", "8=ASN1:UTF8String:OrgLevel", "7=ASN1:FORMAT:HEX,OCT:0102"]);
    let read = |pem: &str| entitlement(format!("{pem}{}", listing(payload.as_bytes())).as_bytes());
    let found = read(&whole).unwrap();
    assert!(found.organisation_level);
    let month = 30 * 24 * 60 * 60;
    let rest = found.not_after - i64::try_from(crate::clock::now()).unwrap();
    assert!((month - 600..=month).contains(&rest), "{rest}");
    let labels: Vec<_> = found.content.iter().map(|set| (set.label.as_str(), set.enabled)).collect();
    assert_eq!(
        labels,
        [
            ("rhel-9-baseos-rpms", None),
            ("rhel-9-crb-rpms", Some(false)),
            ("rhel-7-server-rpms", None),
            ("rhel-9-isos", None)
        ]
    );
    assert_eq!(found.content[0].required_tags.as_deref(), Some(&["rhel-9-x86_64".to_owned()][..]));
    assert!(!read(&certificate(&["6=ASN1:UTF8String:3"])).unwrap().organisation_level);

    let said = |pem: &str| read(pem).unwrap_err().to_string();
    assert_eq!(said(&certificate(&[])), "it is of version 1.0, and only version 3 is understood");
    assert_eq!(said("no PEM\n"), "it holds no certificate");
    assert_eq!(entitlement(whole.as_bytes()).unwrap_err().to_string(), "it lists no content");
    for payload in [&b"no JSON"[..], b"1", b"{\"products\": [{\"content\": [{\"label\": 1}]}]}"] {
        let error = entitlement(format!("{whole}{}", listing(payload)).as_bytes()).unwrap_err();
        assert!(error.to_string().starts_with("its list of content cannot be read: "), "{error}");
    }
}

/// Zeros compress a thousandfold.
#[test]
fn a_bomb_is_not_unpacked() {
    let whole = openssl(&["6=ASN1:UTF8String:3.4"]);
    let bomb = listing(&vec![b' '; usize::try_from(LARGEST).unwrap() + 2]);
    let error = entitlement(format!("{whole}{bomb}").as_bytes()).unwrap_err();
    assert!(error.to_string().contains("larger than"), "{error}");
}

#[test]
fn flags_are_written_in_many_ways() {
    let ways = [("true", Some(true)), ("false", Some(false)), ("1", Some(true)), ("0", Some(false))];
    let more = [("\"1\"", Some(true)), ("\"0\"", Some(false)), ("null", None), ("[]", None)];
    for (text, expected) in ways.into_iter().chain(more) {
        let json = format!("{{\"type\": \"yum\", \"label\": \"x\", \"name\": \"x\", \"enabled\": {text}}}");
        assert_eq!(serde_json::from_str::<ContentSet>(&json).unwrap().enabled, expected, "{text}");
    }
}

proptest! {
    #[test]
    fn nothing_makes_the_readers_panic(bytes: Vec<u8>) {
        let _ = (entitlement(&bytes), products(&bytes));
    }

    /// The same behind what looks like PEM, so that DER and the list of content are met.
    #[test]
    fn nothing_inside_of_pem_does(der: Vec<u8>, payload: Vec<u8>, at: usize, to: u8) {
        use base64::Engine;
        let text = base64::engine::general_purpose::STANDARD.encode(&der);
        let pem = format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n");
        let _ = (entitlement(pem.as_bytes()), products(pem.as_bytes()));
        // A good one with one byte changed, or with any list.
        static WHOLE: std::sync::OnceLock<String> = std::sync::OnceLock::new();
        let whole = WHOLE.get_or_init(|| openssl(&["6=ASN1:UTF8String:3.4", "1.479.1=ASN1:UTF8String:RHEL"]));
        let _ = entitlement(format!("{whole}{}", listing(&payload)).as_bytes());
        let mut changed = whole.clone().into_bytes();
        let at = at % changed.len();
        changed[at] = to;
        let _ = (entitlement(&changed), products(&changed));
    }
}
