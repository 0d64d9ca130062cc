//! Entries of the catalogue, for makers that are a test's own.

use super::gpg::Key;
use super::http::Server;

/// An entry whose maker does what a test tells it to.
pub fn toy(server: &Server, kind: &str, keys: &[&Key]) -> String {
    let directory = server.url("/toy/");
    let signature = match kind {
        "none" => String::new(),
        "detached" => "[image.signature]\nkind = \"detached\"\nfile = \"SUMS.asc\"\n".to_owned(),
        _ => format!("[image.signature]\nkind = \"{kind}\"\n"),
    };
    let fingerprints: Vec<_> = keys.iter().map(|key| format!("\"{}\"", key.fingerprint)).collect();
    let pins = if kind == "none" { String::new() } else { format!("keys = [{}]\n", fingerprints.join(", ")) };
    let keys: String = keys
        .iter()
        .map(|key| {
            format!(
                "[[key]]\nfingerprint = \"{0}\"\nname = \"maker\"\nurls = [\"{directory}{0}\"]\nsource = \"this test\"\n",
                key.fingerprint
            )
        })
        .collect();
    format!(
        "[[image]]\nid = \"toy\"\ntitle = \"Toy\"\nuser = \"toy\"\nend_of_life = \"2999-01-01\"\nno_pin = \"a test\"\n\
         os = {{ id = \"toy\", release = \"1\", family = \"debian\", packages = \"apt\", init = \"systemd\", mac = \"apparmor\" }}\n\
         arch = {{ x86_64 = \"amd64\", aarch64 = \"arm64\" }}\n\
         [image.newest]\ndirectories = [\"{directory}\"]\nfile = \"toy.qcow2\"\n[image.checksums]\nfile = \"SUMS\"\n\
         {signature}{pins}{keys}"
    )
}
