//! Keys and signatures by gpg, made once, and gpgv's opinion of them.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;

use fs_err as fs;
use sequoia_openpgp::armor::{Kind, Writer};
use tempfile::TempDir;

use crate::trust::openpgp::{Fingerprint, Keyring, OpenPgpError, Verified};

/// What is signed. Lines that begin with dashes are escaped in clear-signed messages.
pub(crate) const DATA: &[u8] = b"- a dash\n-----BEGIN PGP SIGNED MESSAGE-----\nSHA256 (x) = 00\n";

/// A key, as its owner publishes it.
pub(crate) struct Key {
    pub(crate) fingerprint: Fingerprint,
    pub(crate) file: Vec<u8>,
}

pub(crate) struct Material {
    pub(crate) keys: BTreeMap<&'static str, Key>,
    /// The keys' files before something happened to them.
    pub(crate) before: BTreeMap<&'static str, Vec<u8>>,
    /// Detached signatures of [`DATA`], binary.
    pub(crate) detached: BTreeMap<&'static str, Vec<u8>>,
    /// [`DATA`], clear-signed.
    pub(crate) clear: BTreeMap<&'static str, String>,
    /// [`DATA`] in a signed and armoured message of the ordinary kind.
    pub(crate) inline: String,
}

pub(crate) static MATERIAL: LazyLock<Material> = LazyLock::new(make);

/// A home directory of gpg. Its agent ends with it.
struct Home(TempDir);

impl Drop for Home {
    fn drop(&mut self) {
        let _ = Command::new("gpgconf").arg("--homedir").arg(self.0.path()).args(["--kill", "all"]).output();
    }
}

impl Home {
    fn gpg(&self, when: &str, arguments: &[&str], input: &[u8]) -> Vec<u8> {
        let mut command = Command::new("gpg");
        command.arg("--homedir").arg(self.0.path());
        command.args([
            "--quiet",
            "--no-permission-warning",
            "--pinentry-mode",
            "loopback",
            "--passphrase",
            "",
        ]);
        command.args(["--faked-system-time", when]).args(arguments);
        let output = pipe(&mut command, input);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    /// A key made in 2020, with further arguments, and its fingerprint.
    fn generate(&self, name: &str, algorithm: &str, usage: &str, further: &[&str]) -> Fingerprint {
        let arguments = ["--batch", "--quick-generate-key", name, algorithm, usage, "never"];
        self.gpg(Y2020, &[further, &arguments].concat(), b"");
        let listing = self.gpg(Y2020, &["--with-colons", "--list-keys", name], b"");
        let listing = String::from_utf8(listing).unwrap();
        let line = listing.lines().find_map(|line| line.strip_prefix("fpr:::::::::")?.strip_suffix(':'));
        line.unwrap().parse().unwrap()
    }

    /// A detached signature of [`DATA`] by keys with these names.
    fn sign(&self, when: &str, names: &[&str], further: &[&str]) -> Vec<u8> {
        let users = names.iter().flat_map(|name| ["-u", name]).collect::<Vec<_>>();
        self.gpg(when, &[&["--batch"], further, &users[..], &["--detach-sign"]].concat(), DATA)
    }

    fn clear(&self, when: &str, names: &[&str], further: &[&str]) -> String {
        let users = names.iter().flat_map(|name| ["-u", name]).collect::<Vec<_>>();
        let arguments = [&["--batch"], further, &users[..], &["--clear-sign"]].concat();
        String::from_utf8(self.gpg(when, &arguments, DATA)).unwrap()
    }

    fn export(&self, name: &str) -> Vec<u8> {
        self.gpg(Y2020, &["--export-options", "export-minimal", "--export", name], b"")
    }
}

const Y2020: &str = "20200101T000000";
const Y2021: &str = "20210101T000000";
const Y2022: &str = "20220101T000000";
const Y2023: &str = "20230101T000000";
const Y2035: &str = "20350101T000000";

fn make() -> Material {
    let home = Home(TempDir::new().unwrap());
    let mut fingerprints = BTreeMap::new();
    for (name, algorithm, usage, further) in [
        ("main", "ed25519", "sign", &[][..]),
        ("other", "ed25519", "sign", &[]),
        ("rsa", "rsa4096", "sign", &[]),
        ("dsa", "dsa2048", "sign", &[]),
        ("short", "rsa1024", "sign", &[]),
        ("certifier", "ed25519", "cert", &[]),
        ("old", "ed25519", "sign", &["--cert-digest-algo", "SHA1"]),
        ("expired", "ed25519", "sign", &[]),
        ("resigned", "ed25519", "sign", &[]),
        ("revoked", "ed25519", "sign", &[]),
        ("retired", "ed25519", "sign", &[]),
    ] {
        fingerprints.insert(name, home.generate(name, algorithm, usage, further));
    }
    home.gpg(
        Y2020,
        &["--batch", "--quick-add-key", fingerprints["certifier"].as_str(), "ed25519", "sign"],
        b"",
    );

    let mut detached = BTreeMap::new();
    let mut clear = BTreeMap::new();
    for (case, when, names, further) in [
        ("good", Y2021, &["main"][..], &[][..]),
        ("text mode", Y2021, &["main"], &["--textmode"]),
        ("rsa", Y2021, &["rsa"], &[]),
        ("dsa", Y2021, &["dsa"], &[]),
        ("short", Y2021, &["short"], &[]),
        ("subkey", Y2021, &["certifier"], &[]),
        ("sha1 in the key", Y2021, &["old"], &[]),
        ("sha1 in the signature", Y2021, &["main"], &["--digest-algo", "SHA1"]),
        ("sha512", Y2021, &["main"], &["--digest-algo", "SHA512"]),
        ("unknown", Y2021, &["other"], &[]),
        ("unknown and known", Y2021, &["other", "main"], &[]),
        ("in its time", Y2021, &["expired"], &[]),
        ("after expiry", Y2023, &["expired"], &[]),
        ("before it was signed anew", Y2021, &["resigned"], &[]),
        ("revoked", Y2021, &["revoked"], &[]),
        ("before retirement", Y2021, &["retired"], &[]),
        ("after retirement", Y2023, &["retired"], &[]),
        ("short-lived", Y2021, &["main"], &["--default-sig-expire", "1d"]),
        ("from the future", Y2035, &["main"], &[]),
    ] {
        detached.insert(case, home.sign(when, names, further));
        if further != ["--textmode"] {
            clear.insert(case, home.clear(when, names, further));
        }
    }
    let inline = home.gpg(Y2021, &["--batch", "--armor", "-u", "main", "--sign"], DATA);

    let before = ["revoked"].map(|name| (name, home.export(name)));
    // What happens to the keys afterwards. gpg would not sign any more.
    home.gpg(Y2020, &["--quick-set-expire", fingerprints["expired"].as_str(), "20220101T000000"], b"");
    home.gpg(Y2022, &["--quick-set-expire", fingerprints["resigned"].as_str(), "never"], b"");
    for (name, when, reason) in [("revoked", Y2022, 1), ("retired", Y2022, 3)] {
        let answers = format!("y\n{reason}\n{name} in a test\n\ny\n");
        let arguments = ["--no-tty", "--command-fd", "0", "--gen-revoke", fingerprints[name].as_str()];
        let revocation = home.gpg(when, &arguments, answers.as_bytes());
        home.gpg(when, &["--batch", "--import"], &revocation);
    }
    let keys = fingerprints
        .into_iter()
        .map(|(name, fingerprint)| (name, Key { file: home.export(name), fingerprint }))
        .collect();
    Material { keys, before: before.into(), detached, clear, inline: String::from_utf8(inline).unwrap() }
}

/// A keyring that pins these keys, out of a file that holds all of them.
pub(crate) fn keyring(pinned: &[&str]) -> Keyring {
    let all: Vec<u8> = MATERIAL.keys.values().flat_map(|key| key.file.clone()).collect();
    let pins: Vec<_> = pinned.iter().map(|name| MATERIAL.keys[name].fingerprint.clone()).collect();
    Keyring::new(&[("all.gpg".to_owned(), all)], &pins).unwrap()
}

/// What gpgv says, with these keys only.
pub(crate) struct Opinion {
    /// The status lines that tell good from bad, in order.
    pub(crate) statuses: Vec<String>,
    /// Of each valid signature: the primary fingerprint, and the time.
    pub(crate) valid: Vec<(String, u64)>,
    /// The text under a clear signature.
    pub(crate) text: Vec<u8>,
}

/// Asks gpgv about a detached signature of `data`, or about a clear-signed message.
pub(crate) fn gpgv(pinned: &[&str], signed: &[u8], data: Option<&[u8]>) -> Opinion {
    const TELLING: [&str; 8] =
        ["GOODSIG", "EXPSIG", "EXPKEYSIG", "REVKEYSIG", "BADSIG", "ERRSIG", "VALIDSIG", "NODATA"];
    let dir = TempDir::new().unwrap();
    let path = |name: &str| dir.path().join(name);
    let keys: Vec<u8> = pinned.iter().flat_map(|name| MATERIAL.keys[name].file.clone()).collect();
    fs::write(path("keys.gpg"), keys).unwrap();
    fs::write(path("signed"), signed).unwrap();
    let mut command = Command::new("gpgv");
    command.arg("--homedir").arg(dir.path()).arg("--keyring").arg(path("keys.gpg"));
    command.args(["--status-fd", "1", "--output"]).arg(path("text")).arg(path("signed"));
    if let Some(data) = data {
        fs::write(path("data"), data).unwrap();
        command.arg(path("data"));
    }
    let output = String::from_utf8_lossy(&pipe(&mut command, b"").stdout).into_owned();
    let lines = output.lines().filter_map(|line| line.strip_prefix("[GNUPG:] "));
    let words: Vec<Vec<&str>> = lines.map(|line| line.split(' ').collect()).collect();
    let statuses = words.iter().filter(|words| TELLING.contains(&words[0])).map(|words| words[0].to_owned());
    let valid = words.iter().filter(|words| words[0] == "VALIDSIG");
    Opinion {
        statuses: statuses.collect(),
        valid: valid.map(|words| (words[10].to_owned(), words[3].parse().unwrap())).collect(),
        text: read(&path("text")),
    }
}

/// Puts packets into armour.
pub(crate) fn armour(kind: Kind, packets: &[u8]) -> String {
    let mut writer = Writer::new(Vec::new(), kind).unwrap();
    writer.write_all(packets).unwrap();
    String::from_utf8(writer.finalize().unwrap()).unwrap() + "\n"
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_default()
}

/// `main`, `expired, expired`, or the name of the error.
pub(crate) fn outcome(result: &Result<Verified, OpenPgpError>) -> String {
    match result {
        Ok(verified) => {
            let known = MATERIAL.keys.iter().find(|(_, key)| key.fingerprint == verified.signer);
            let name = known.map_or("nobody", |(name, _)| name);
            if verified.expired { format!("{name}, expired") } else { name.to_owned() }
        }
        Err(error) => {
            format!("{error:?}").split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().to_owned()
        }
    }
}

fn pipe(command: &mut Command, input: &[u8]) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("gnupg is installed by the set-up of this project");
    // It may end without having read all of it; its status tells then.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}
