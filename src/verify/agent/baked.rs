//! What lies in the agent's configuration before Trove has injected any.

use super::part::{Found, ReportPart, joined};
use super::start::INJECTED;
use crate::disk::{FileKind, Tree};
use crate::os::ReadError;
use crate::os::files::{base_name, glob, optional, read_optional, show};
use crate::oslo::{Config, DEFAULT};

/// What Trove replaces in every instance.
const REPLACED: [&[u8]; 2] = [b"guest_info.conf", b"trove-guestagent.conf"];

/// Options whose value is a password or a key of the control plane's own.
const SECRETS: [(&str, &str); 6] = [
    ("service_credentials", "password"),
    ("keystone_authtoken", "password"),
    (DEFAULT, "instance_rpc_encr_key"),
    (DEFAULT, "inst_rpc_key_encr_key"),
    (DEFAULT, "taskmanager_rpc_encr_key"),
    ("database", "connection"),
];

/// A file, and what it says.
struct Baked {
    path: Vec<u8>,
    config: Config,
}

pub(crate) fn check(tree: &mut dyn Tree) -> ReportPart {
    let mut part = ReportPart::default();
    let (files, unreadable) = match read(tree) {
        Ok(found) => found,
        Err(error) => {
            part.check(
                "the agent's configuration files can be read",
                Err(error),
                "the agent ends at the first file that it cannot read",
                "correct the file, or remove it",
            );
            return part;
        }
    };
    part.check(
        "the agent's configuration files can be read",
        Ok(joined(&unreadable)),
        "the agent ends at the first file that it cannot read",
        "correct the file, or remove it",
    );
    part.check(
        "no identity of another instance is in the agent's configuration",
        identities(&files),
        "the agent takes the id of the last file that has one, and listens for messages of an instance that is not its own",
        "remove guest_id: Trove writes it into guest_info.conf",
    );
    part.check(
        "no password of the control plane is in the image",
        Ok(joined(&secrets(&files))),
        "whoever can download the image or log in to an instance has it, and with it every tenant's databases",
        "remove it, and change it in the cloud; agents since 2026.2 need no service credentials",
    );
    part.warn(
        "the broker's password is in the image",
        Ok(joined(&brokers(&files))),
        "whoever has the image has it, and the image works in one cloud alone",
        "leave transport_url to the trove-guestagent.conf that Trove injects",
    );
    part.warn(
        "the agent's configuration asks for debug output",
        Ok(joined(&debugs(&files))),
        "the agent writes passwords of databases into its log and the journal",
        "remove `debug = True`",
    );
    part
}

/// The files below `/etc/trove`, and those that the agent would read and cannot.
fn read(tree: &mut dyn Tree) -> Result<(Vec<Baked>, Vec<String>), ReadError> {
    let (mut files, mut unreadable) = (Vec::new(), Vec::new());
    for path in glob(tree, b"/etc/trove/**")? {
        let is_file = optional(tree.stat(&path))?.is_some_and(|stat| stat.kind == FileKind::File);
        if !is_file || !path.ends_with(b".conf") {
            continue;
        }
        let text = read_optional(tree, &path)?.unwrap_or_default();
        match Config::parse(&text) {
            Ok(config) => files.push(Baked { path, config }),
            Err(error) if is_read(&path) && !REPLACED.contains(&base_name(&path)) => {
                unreadable.push(format!("{}, {error}", show(&path)));
            }
            Err(_) => {}
        }
    }
    Ok((files, unreadable))
}

/// Whether a file is in the directory whose files the agent reads, all of them.
fn is_read(path: &[u8]) -> bool {
    path.strip_prefix(INJECTED.as_bytes()).is_some_and(|rest| rest.starts_with(b"/"))
}

fn identities(files: &[Baked]) -> Found {
    let read = files.iter().filter(|file| is_read(&file.path) && !REPLACED.contains(&base_name(&file.path)));
    let found = read.filter(|file| file.config.get(DEFAULT, "guest_id").is_some());
    // Files count in the order of their names.
    let found = found.filter(|file| base_name(&file.path) > REPLACED[0]);
    Ok(joined(&found.map(|file| format!("guest_id in {}", show(&file.path))).collect::<Vec<_>>()))
}

fn secrets(files: &[Baked]) -> Vec<String> {
    let mut found = Vec::new();
    for file in files {
        for (section, key) in SECRETS {
            let value = file.config.get(section, key).unwrap_or_default();
            // Of a database's address only one that has a password is a secret.
            let is_secret =
                !value.is_empty() && !value.starts_with('<') && (key != "connection" || has_password(&value));
            if is_secret {
                found.push(format!("[{section}] {key} in {}", show(&file.path)));
            }
        }
    }
    found
}

fn has_password(url: &str) -> bool {
    let login = url.split_once("://").and_then(|(_, rest)| rest.rsplit_once('@'));
    login.is_some_and(|(login, _)| login.contains(':'))
}

fn brokers(files: &[Baked]) -> Vec<String> {
    let has = |config: &Config| match config.transport() {
        Some(Ok(url)) => url.brokers.iter().any(|broker| broker.password.is_some()),
        Some(Err(_)) | None => false,
    };
    files
        .iter()
        .filter(|file| has(&file.config))
        .map(|file| format!("transport_url in {}", show(&file.path)))
        .collect()
}

fn debugs(files: &[Baked]) -> Vec<String> {
    let read = files.iter().filter(|file| is_read(&file.path));
    let on = read.filter(|file| file.config.flag(DEFAULT, "debug") == Ok(Some(true)));
    on.map(|file| format!("debug in {}", show(&file.path))).collect()
}
