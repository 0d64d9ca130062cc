//! Passes on what a guest sends to one address: QEMU starts this for every connection, with the connection as stdin and
//! stdout, so that the guest needs no way to the host's network.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::str::FromStr;

/// Where a relay leads: `tcp:127.0.0.1:5672`, `unix:metadata.sock`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RelayTarget {
    /// A TCP address.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

impl FromStr for RelayTarget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("tcp", address)) => {
                address.parse().map(Self::Tcp).map_err(|error| format!("`{address}`: {error}"))
            }
            Some(("unix", path)) if !path.is_empty() => Ok(Self::Unix(path.into())),
            _ => Err("write it like tcp:127.0.0.1:5672 or unix:socket".to_owned()),
        }
    }
}

impl fmt::Display for RelayTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "tcp:{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Passes bytes between stdin and stdout and the target, until both sides have ended.
///
/// # Errors
/// When the target cannot be reached, or a connection breaks.
#[expect(clippy::disallowed_methods, reason = "stdout is the guest's connection here, and nobody reads it")]
pub fn relay(target: &RelayTarget) -> io::Result<()> {
    let (stdin, stdout) = (io::stdin(), io::stdout());
    match target {
        RelayTarget::Tcp(address) => {
            let stream = TcpStream::connect(address)?;
            stream.set_nodelay(true)?;
            let back = stream.try_clone()?;
            let end = stream.try_clone()?;
            both(stdin, stdout, stream, back, move || end.shutdown(Shutdown::Write))
        }
        RelayTarget::Unix(path) => {
            let stream = UnixStream::connect(path)?;
            let back = stream.try_clone()?;
            let end = stream.try_clone()?;
            both(stdin, stdout, stream, back, move || end.shutdown(Shutdown::Write))
        }
    }
}

/// The guest's half is copied on a thread of its own. Who ends it is the target's side: a guest that has said all may still
/// wait for its answer.
fn both(
    from_guest: impl Read + Send + 'static,
    to_guest: impl Write,
    to_target: impl Write + Send + 'static,
    from_target: impl Read,
    said_all: impl FnOnce() -> io::Result<()> + Send + 'static,
) -> io::Result<()> {
    std::thread::spawn(move || {
        let _ = copy(from_guest, to_target);
        // The target may have closed first.
        let _ = said_all();
    });
    copy(from_target, to_guest)
}

/// Unlike [`io::copy`] hands every piece on at once.
fn copy(mut from: impl Read, mut to: impl Write) -> io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(length) => {
                to.write_all(&buffer[..length])?;
                to.flush()?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets() {
        for text in ["tcp:127.0.0.1:5672", "tcp:[::1]:80", "unix:a/b.sock"] {
            assert_eq!(text.parse::<RelayTarget>().unwrap().to_string(), text);
        }
        for bad in ["", "tcp", "tcp:host:1", "tcp:127.0.0.1", "unix:", "udp:127.0.0.1:1"] {
            assert!(bad.parse::<RelayTarget>().is_err(), "{bad}");
        }
    }
}
