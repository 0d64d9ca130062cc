//! Journals for tests: real ones, written by systemd's own program, and tiny ones written here byte by byte.

use std::io::Write as _;
use std::process::{Command, Stdio};

/// A moment in November 2023, in microseconds.
pub(crate) const START: u64 = 1_700_000_000_000_000;

/// Entries in the format of `journalctl -o export`.
#[derive(Debug, Default)]
pub(crate) struct Export(Vec<u8>);

impl Export {
    /// Adds an entry of the boot with this number, by a clock that was never set.
    pub(crate) fn entry(&mut self, realtime: u64, boot: u128, fields: &[(&str, &[u8])]) {
        self.entry_at(realtime, realtime - START + 1, boot, fields);
    }

    /// Adds an entry with both its times.
    pub(crate) fn entry_at(&mut self, realtime: u64, monotonic: u64, boot: u128, fields: &[(&str, &[u8])]) {
        let head = format!(
            "__REALTIME_TIMESTAMP={realtime}\n__MONOTONIC_TIMESTAMP={monotonic}\n_BOOT_ID={boot:032x}\n"
        );
        self.0.extend_from_slice(head.as_bytes());
        for (name, value) in fields {
            self.0.extend_from_slice(name.as_bytes());
            self.0.push(b'\n');
            self.0.extend_from_slice(&(value.len() as u64).to_le_bytes());
            self.0.extend_from_slice(value);
            self.0.push(b'\n');
        }
        self.0.push(b'\n');
    }

    /// The journal file that systemd makes of them.
    pub(crate) fn write(&self, compact: bool, compress: bool) -> Vec<u8> {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("test.journal");
        let mut child = Command::new(tool("systemd-journal-remote"))
            .arg(format!("--compress={}", if compress { "yes" } else { "no" }))
            .arg("-o")
            .args([file.as_os_str(), "-".as_ref()])
            .env("SYSTEMD_JOURNAL_COMPACT", if compact { "1" } else { "0" })
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("systemd-journal-remote is there");
        child.stdin.take().unwrap().write_all(&self.0).unwrap();
        assert!(child.wait().unwrap().success());
        fs_err::read(file).unwrap()
    }
}

/// It is in no `PATH`.
fn tool(name: &str) -> std::path::PathBuf {
    let places = ["/usr/lib/systemd", "/lib/systemd"].map(|place| std::path::Path::new(place).join(name));
    places.into_iter().find(|path| path.exists()).unwrap_or_else(|| name.into())
}

/// What journalctl prints of journal files.
pub(crate) fn journalctl(files: &[&[u8]], arguments: &[&str]) -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new("journalctl");
    for (number, bytes) in files.iter().enumerate() {
        let file = directory.path().join(format!("{number}.journal"));
        fs_err::write(&file, bytes).unwrap();
        command.arg("--file").arg(file);
    }
    let command = command.args(["--quiet", "--no-pager", "--utc", "--all"]).args(arguments);
    let output = command.env("LC_ALL", "C.UTF-8").output().expect("journalctl is there");
    // Nothing found is code 1 for `--grep`.
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code().is_some_and(|code| code <= 1) && stderr.is_empty(), "{stderr}");
    output.stdout
}

/// Where things are in the file of [`tiny`].
pub(crate) const TINY_ENTRY_ARRAY: usize = 264;
/// The first entry in it.
pub(crate) const TINY_FIRST_ENTRY: usize = TINY_ENTRY_ARRAY + 32;

/// A journal with one field to an entry, as small as can be: header, two arrays, then data and entry by turns.
/// Entries are numbered from 1 on.
pub(crate) fn tiny(payloads: &[(u8, &[u8])]) -> Vec<u8> {
    /// Every array has that many items.
    const ITEMS: usize = 1;
    let mut file = vec![0; TINY_ENTRY_ARRAY];
    let put =
        |file: &mut Vec<u8>, at: usize, value: u64| file[at..at + 8].copy_from_slice(&value.to_le_bytes());
    let object = |file: &mut Vec<u8>, kind: u8, flags: u8, size: usize| {
        let at = file.len();
        file.resize((at + size).next_multiple_of(8), 0);
        file[at] = kind;
        file[at + 1] = flags;
        file[at + 8..at + 16].copy_from_slice(&(size as u64).to_le_bytes());
        at
    };
    file[..8].copy_from_slice(b"LPKSHHRH");
    file[72..88].copy_from_slice(&[7; 16]);
    put(&mut file, 88, TINY_ENTRY_ARRAY as u64);
    put(&mut file, 152, payloads.len() as u64);
    let mut link = 176;
    for (number, (flags, payload)) in payloads.iter().enumerate() {
        let array = object(&mut file, 6, 0, 24 + 8 * ITEMS);
        put(&mut file, link, array as u64);
        link = array + 16;
        let entry = object(&mut file, 3, 0, 64 + 16);
        put(&mut file, array + 24, entry as u64);
        put(&mut file, entry + 16, number as u64 + 1);
        put(&mut file, entry + 24, START + number as u64);
        put(&mut file, entry + 32, number as u64);
        let data = object(&mut file, 1, *flags, 64 + payload.len());
        file[data + 64..data + 64 + payload.len()].copy_from_slice(payload);
        put(&mut file, entry + 64, data as u64);
    }
    let arena = (file.len() - TINY_ENTRY_ARRAY) as u64;
    put(&mut file, 96, arena);
    file
}
