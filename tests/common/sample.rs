//! A small Debian that is good for looking into: accounts, packages, units, logs, a journal. It is not one that boots.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use fs_err as fs;

use super::outcome;

/// A file system to be. Everything belongs to root unless told.
#[derive(Debug, Clone, Default)]
pub struct Sample {
    nodes: BTreeMap<String, Node>,
    /// For `debugfs`, when all is there.
    commands: String,
}

#[derive(Debug, Clone)]
enum Node {
    Directory,
    File(Vec<u8>, u32),
    Link(String),
}

impl Sample {
    /// What every test can build upon. Nothing in it breaks a check of the whole image.
    pub fn debian() -> Self {
        let os_release = "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nID=debian\nVERSION_ID=\"12\"\n\
                          VERSION_CODENAME=bookworm\n";
        let unit = "[Unit]\nDescription=A test\n[Service]\nExecStart=/usr/bin/test\n[Install]\nWantedBy=multi-user.target\n";
        Self::default()
            .file("/usr/lib/os-release", os_release)
            .link("/etc/os-release", "../usr/lib/os-release")
            .file("/etc/fstab", "")
            .file("/etc/hostname", "debian\n")
            .file("/etc/passwd", "root:x:0:0::/root:/bin/sh\ntrove:x:1000:1000::/home/trove:/bin/bash\n")
            .file("/etc/group", "root:x:0:\ntrove:x:1000:\nsudo:x:27:\ndocker:x:998:trove\n")
            .file("/etc/shadow", "root:*:1::::::\ntrove:!:1::::::\n")
            .mode("/etc/shadow", 0o640)
            .file("/etc/sudoers", "trove ALL=(ALL:ALL) NOPASSWD: ALL\n%docker ALL=(ALL:ALL) ALL\n")
            .mode("/etc/sudoers", 0o440)
            .file("/bin/sh", program())
            .mode("/bin/sh", 0o755)
            .file("/usr/bin/ping", program())
            .mode("/usr/bin/ping", 0o755)
            .xattr("/usr/bin/ping", "security.capability", b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0")
            .file(
                "/var/lib/dpkg/status",
                "Package: dpkg\nStatus: install ok installed\nVersion: 1.21.22\nArchitecture: amd64\n\n\
                 Package: redis-server\nStatus: install ok installed\nVersion: 5:7.0.15-1\nArchitecture: amd64\n\n",
            )
            .file("/usr/lib/systemd/system/redis.service", unit)
            .link(
                "/etc/systemd/system/multi-user.target.wants/redis.service",
                "/usr/lib/systemd/system/redis.service",
            )
            .file("/usr/lib/systemd/system/off.service", unit)
            .link("/etc/systemd/system/never.service", "/dev/null")
            .file("/etc/redis.conf", "# how redis runs\nport 6379\nbind 127.0.0.1\n")
            .owner("/etc/redis.conf", 1000, 998)
            .mode("/etc/redis.conf", 0o640)
            .link("/etc/alias.conf", "redis.conf")
            .directory("/srv")
            .directory("/tmp")
    }

    pub fn directory(self, path: &str) -> Self {
        self.node(path, Node::Directory)
    }

    pub fn file(self, path: &str, content: impl AsRef<[u8]>) -> Self {
        self.node(path, Node::File(content.as_ref().to_vec(), 0o644))
    }

    pub fn link(self, path: &str, target: &str) -> Self {
        self.node(path, Node::Link(target.to_owned()))
    }

    fn node(mut self, path: &str, node: Node) -> Self {
        self.nodes.insert(path.to_owned(), node);
        self
    }

    pub fn without(mut self, path: &str) -> Self {
        self.nodes.remove(path).unwrap_or_else(|| panic!("no {path}"));
        self
    }

    /// A second file of the same content and mode.
    pub fn copy(mut self, path: &str, other: &str) -> Self {
        let node = self.nodes.get(path).unwrap_or_else(|| panic!("no {path}")).clone();
        self.nodes.insert(other.to_owned(), node);
        self
    }

    /// Replaces a part of a file, which must be there.
    pub fn changed(mut self, path: &str, from: &str, to: &str) -> Self {
        match self.nodes.get_mut(path) {
            Some(Node::File(content, _)) => {
                let text = String::from_utf8(content.clone()).unwrap();
                assert!(text.contains(from), "{path} has no {from:?}:\n{text}");
                *content = text.replace(from, to).into_bytes();
            }
            other => panic!("{path} is no file: {other:?}"),
        }
        self
    }

    /// Permissions of whatever is at a path, a directory of parents only among them.
    pub fn debugfs_mode(self, path: &str, mode: u32) -> Self {
        let kind = if matches!(self.nodes.get(path), Some(Node::File(..))) { 0o100_000 } else { 0o040_000 };
        self.debugfs(&format!("sif {path} mode 0{:o}", kind | mode))
    }

    /// Permissions of a file, set-id bits among them.
    pub fn mode(mut self, path: &str, mode: u32) -> Self {
        match self.nodes.get_mut(path) {
            Some(Node::File(_, of_file)) => *of_file = mode,
            other => panic!("{path} is no file: {other:?}"),
        }
        self
    }

    pub fn owner(self, path: &str, uid: u32, gid: u32) -> Self {
        self.debugfs(&format!("sif {path} uid {uid}\nsif {path} gid {gid}"))
    }

    /// Seconds since 1970.
    pub fn modified(self, path: &str, time: u64) -> Self {
        self.debugfs(&format!("sif {path} mtime @{time}"))
    }

    pub fn xattr(self, path: &str, name: &str, value: &[u8]) -> Self {
        let value: String = value.iter().fold(String::new(), |mut text, byte| {
            write!(text, "\\{byte:03o}").unwrap();
            text
        });
        self.debugfs(&format!("ea_set {path} {name} \"{value}\""))
    }

    /// A command of debugfs, run when the file system is there.
    pub fn debugfs(mut self, command: &str) -> Self {
        self.commands.push_str(command);
        self.commands.push('\n');
        self
    }

    /// Makes `NAME.raw` in a directory.
    pub fn write(&self, directory: &Path, name: &str) -> PathBuf {
        let tree = tempfile::tempdir_in(directory).unwrap();
        let mut commands = String::new();
        let mut owned = Vec::new();
        for (path, node) in &self.nodes {
            let place = tree.path().join(path.trim_start_matches('/'));
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            match node {
                Node::Directory => fs::create_dir_all(&place).unwrap(),
                Node::Link(target) => symlink(target, &place).unwrap(),
                Node::File(content, mode) => {
                    fs::write(&place, content).unwrap();
                    fs::set_permissions(&place, PermissionsExt::from_mode(*mode)).unwrap();
                }
            }
            let parents = path.match_indices('/').filter(|(at, _)| *at > 0).map(|(at, _)| &path[..at]);
            owned.extend(parents.chain([path.as_str()]));
        }
        owned.sort_unstable();
        owned.dedup();
        for path in owned {
            writeln!(commands, "sif {path} uid 0\nsif {path} gid 0").unwrap();
        }
        commands.push_str(&self.commands);
        let image = directory.join(format!("{name}.raw"));
        let _ = fs::remove_file(&image);
        let script = tree.path().with_extension("debugfs");
        fs::write(&script, commands).unwrap();
        let size = "24M";
        tool(
            Command::new("mke2fs")
                .args(["-q", "-t", "ext4", "-m", "0", "-d"])
                .arg(tree.path())
                .arg(&image)
                .arg(size),
        );
        // It ends with 0 whatever happens, and says on stderr what went wrong.
        let told = tool(Command::new("debugfs").args(["-w", "-f"]).arg(&script).arg(&image));
        assert!(told.lines().all(|line| line.starts_with("debugfs ")), "{told}");
        image
    }
}

/// Runs a program of e2fsprogs, which may be in no `PATH`, and returns what it says on stderr.
fn tool(command: &mut Command) -> String {
    command.env("PATH", format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default()));
    let outcome = outcome(command);
    let stderr = outcome.stderr.clone();
    outcome.expect(0);
    stderr
}

/// The head of an x86-64 program.
fn program() -> Vec<u8> {
    let mut header = vec![0; 64];
    header[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    header[16..18].copy_from_slice(&3u16.to_le_bytes());
    header[18..20].copy_from_slice(&62u16.to_le_bytes());
    header[20..24].copy_from_slice(&1u32.to_le_bytes());
    header[52..54].copy_from_slice(&64u16.to_le_bytes());
    header
}

/// Where a system keeps its journal.
pub const JOURNAL: &str = "/var/log/journal/0123456789abcdef0123456789abcdef/system.journal";

/// What a journal entry says: process, identifier, `FIELD=unit`, priority, message.
pub fn said(pid: u32, identifier: &str, unit: &str, priority: u8, message: &str) -> String {
    format!("_PID={pid}\nSYSLOG_IDENTIFIER={identifier}\n{unit}\nPRIORITY={priority}\nMESSAGE={message}\n")
}

/// A journal as systemd itself writes it, of entries with microseconds after 2023-11-14 22:13:20 UTC, boot, and fields.
pub fn journal(entries: &[(u64, u32, String)]) -> Vec<u8> {
    const START: u64 = 1_700_000_000_000_000;
    let mut export = String::new();
    for (time, boot, fields) in entries {
        writeln!(
            export,
            "__REALTIME_TIMESTAMP={}\n__MONOTONIC_TIMESTAMP={}\n_BOOT_ID={boot:032x}\n_HOSTNAME=db\n{fields}",
            START + time,
            time + 1,
        )
        .unwrap();
    }
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("test.journal");
    // It is in no `PATH`.
    let places =
        ["/usr/lib/systemd", "/lib/systemd"].map(|place| Path::new(place).join("systemd-journal-remote"));
    let program = places.into_iter().find(|path| path.exists()).expect("systemd-journal-remote is there");
    let mut child = Command::new(program)
        .arg("-o")
        .args([file.as_os_str(), "-".as_ref()])
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), export.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
    fs::read(file).unwrap()
}
