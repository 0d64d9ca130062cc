//! What tests of package managers share: a directory as a base image, throw-away keys, and a server on loopback.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use fs_err as fs;
use tempfile::TempDir;

use crate::disk::{DiskError, FileKind, Root, RootPlace, Stat, Timestamp, Tree, Xattr};

/// A directory of the host, looked at as if it were an image.
pub(crate) struct HostTree(pub(crate) PathBuf);

impl HostTree {
    fn host(&mut self, path: &[u8]) -> Result<PathBuf, DiskError> {
        let path = self.canonicalize(path)?;
        Ok(self.0.join(text(&path).trim_start_matches('/')))
    }
}

fn text(path: &[u8]) -> String {
    String::from_utf8(path.to_vec()).unwrap()
}

fn not_found(path: &[u8]) -> impl FnOnce(std::io::Error) -> DiskError {
    let path = text(path);
    move |_| DiskError::NotFound(path)
}

impl Tree for HostTree {
    fn read_dir(&mut self, path: &[u8]) -> Result<Vec<Vec<u8>>, DiskError> {
        let entries = fs::read_dir(self.host(path)?).map_err(not_found(path))?;
        Ok(entries.map(|entry| entry.unwrap().file_name().into_encoded_bytes()).collect())
    }

    fn lstat(&mut self, path: &[u8]) -> Result<Stat, DiskError> {
        let meta =
            fs::symlink_metadata(self.0.join(text(path).trim_start_matches('/'))).map_err(not_found(path))?;
        let kind = match meta.file_type() {
            kind if kind.is_dir() => FileKind::Directory,
            kind if kind.is_symlink() => FileKind::Symlink,
            _ => FileKind::File,
        };
        Ok(Stat {
            kind,
            mode: meta.mode() & 0o7777,
            uid: meta.uid(),
            gid: meta.gid(),
            size: meta.size(),
            allocated: meta.blocks() * 512,
            links: 1,
            inode: meta.ino(),
            device: meta.dev(),
            special: (0, 0),
            accessed: Timestamp::default(),
            modified: Timestamp::default(),
            changed: Timestamp::default(),
        })
    }

    fn read_link(&mut self, path: &[u8]) -> Result<Vec<u8>, DiskError> {
        let path = self.0.join(text(path).trim_start_matches('/'));
        Ok(fs::read_link(path).unwrap().into_os_string().into_encoded_bytes())
    }

    fn canonicalize(&mut self, path: &[u8]) -> Result<Vec<u8>, DiskError> {
        let mut done = String::new();
        let mut todo: Vec<String> = text(path).split('/').rev().map(str::to_owned).collect();
        while let Some(part) = todo.pop() {
            match part.as_str() {
                "" | "." => continue,
                ".." => done.truncate(done.rfind('/').unwrap_or(0)),
                part => {
                    let next = format!("{done}/{part}");
                    if self.lstat(next.as_bytes())?.kind == FileKind::Symlink {
                        let target = text(&self.read_link(next.as_bytes())?);
                        if target.starts_with('/') {
                            done.clear();
                        }
                        todo.extend(target.split('/').rev().map(str::to_owned));
                    } else {
                        done = next;
                    }
                }
            }
        }
        Ok(if done.is_empty() { b"/".to_vec() } else { done.into_bytes() })
    }

    fn xattrs(&mut self, _: &[u8]) -> Result<Vec<Xattr>, DiskError> {
        unreachable!("nobody asks for attributes here")
    }

    fn keeps_xattrs(&mut self, _: &[u8]) -> Result<bool, DiskError> {
        Ok(true)
    }

    fn read_range(
        &mut self,
        path: &[u8],
        offset: u64,
        length: u64,
        sink: &mut dyn std::io::Write,
    ) -> Result<u64, DiskError> {
        assert_eq!((offset, length), (0, u64::MAX), "files are read whole here");
        let content = fs::read(self.host(path)?).map_err(not_found(path))?;
        sink.write_all(&content).unwrap();
        Ok(content.len() as u64)
    }

    fn root(&mut self) -> Result<Root, DiskError> {
        Ok(Root { place: RootPlace::Partition(1), kind: None, room: None, lacks: None })
    }

    fn explain(&self) -> String {
        "a directory of the host".to_owned()
    }
}

/// Runs a program that the tests need; its absence is a failure of the set-up, not a reason to skip.
pub(crate) fn run(command: &mut Command) -> Vec<u8> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| {
        panic!("`{program}` does not start ({error}): `make setup` installs what tests need")
    });
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// A throw-away signing key.
pub(crate) struct Key {
    home: TempDir,
    /// At this time it is used, for expired keys.
    time: Option<&'static str>,
}

impl Key {
    /// A key that is good for ever.
    pub(crate) fn new() -> Self {
        Self::make(None)
    }

    /// A key that was good for a day, years ago.
    pub(crate) fn expired() -> Self {
        Self::make(Some("20240101T000000"))
    }

    fn make(time: Option<&'static str>) -> Self {
        let key = Self { home: TempDir::new().unwrap(), time };
        let expiry = if time.is_some() { "1d" } else { "never" };
        run(key.gpg().args(["--passphrase", "", "--quick-generate-key", "test", "ed25519", "sign", expiry]));
        key
    }

    /// gpg's directory.
    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    /// At which time it is used, if not now.
    pub(crate) fn time(&self) -> Option<&'static str> {
        self.time
    }

    pub(crate) fn gpg(&self) -> Command {
        let mut command = Command::new("gpg");
        command.arg("--homedir").arg(self.home.path()).args([
            "--batch",
            "--quiet",
            "--no-permission-warning",
        ]);
        if let Some(time) = self.time {
            command.args(["--faked-system-time", time]);
        }
        command
    }

    /// ASCII-armoured.
    pub(crate) fn armoured(&self) -> String {
        String::from_utf8(run(self.gpg().args(["--armor", "--export"]))).unwrap()
    }

    /// Of the primary key, as gpg says it.
    pub(crate) fn fingerprint(&self) -> String {
        let listing = String::from_utf8(run(self.gpg().args(["--with-colons", "--list-keys"]))).unwrap();
        listing
            .lines()
            .find_map(|line| line.strip_prefix("fpr:::::::::")?.strip_suffix(':'))
            .unwrap()
            .to_owned()
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        let _ =
            Command::new("gpgconf").arg("--homedir").arg(self.home.path()).args(["--kill", "all"]).output();
    }
}

/// Serves a directory as long as the process lives.
pub(crate) fn serve(
    root: PathBuf,
    cut: Arc<Mutex<Vec<&'static str>>>,
    asked: Arc<Mutex<Vec<String>>>,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().filter_map(Result::ok) {
            let (root, cut, asked) = (root.clone(), Arc::clone(&cut), Arc::clone(&asked));
            std::thread::spawn(move || {
                // A client that goes away is not the server's concern.
                let _ = answer(&stream, &root, &cut, &asked);
            });
        }
    });
    url
}

fn answer(
    mut stream: &TcpStream,
    root: &Path,
    cut: &Mutex<Vec<&'static str>>,
    asked: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let path = first.split(' ').nth(1).unwrap_or_default().replace("%3a", ":");
    asked.lock().unwrap().push(path.clone());
    let Ok(mut content) = std::fs::read(root.join(path.trim_start_matches('/'))) else {
        return stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    };
    if cut.lock().unwrap().iter().any(|end| path.ends_with(end)) {
        content.truncate(content.len() / 2);
    }
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", content.len())?;
    stream.write_all(&content)
}
