//! QEMU's machine protocol, as far as a boot needs it.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

/// Bytes of an answer.
const LONGEST: u64 = 4 << 20;
/// QEMU answers at once; one that is paused for good does not.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection to a running QEMU.
#[derive(Debug)]
pub(crate) struct Qmp {
    stream: BufReader<UnixStream>,
}

impl Qmp {
    /// Connects, if QEMU listens already.
    pub(crate) fn connect(socket: &Path) -> std::io::Result<Self> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut qmp = Self { stream: BufReader::new(stream) };
        qmp.read()?;
        qmp.ask("qmp_capabilities")?;
        Ok(qmp)
    }

    /// Sends a command without arguments and returns what it returns. Events in between are skipped.
    pub(crate) fn ask(&mut self, command: &str) -> std::io::Result<Value> {
        let line = json!({ "execute": command }).to_string() + "\n";
        self.stream.get_mut().write_all(line.as_bytes())?;
        loop {
            let mut answer = self.read()?;
            if let Some(error) = answer.get("error") {
                return Err(std::io::Error::other(error.to_string()));
            }
            if let Some(value) = answer.get_mut("return") {
                return Ok(value.take());
            }
        }
    }

    fn read(&mut self) -> std::io::Result<Value> {
        let mut line = Vec::new();
        Read::take(&mut self.stream, LONGEST).read_until(b'\n', &mut line)?;
        Ok(serde_json::from_slice(&line)?)
    }

    /// Whether the guest, or its firmware, has read anything from a disk yet.
    pub(crate) fn has_read_disk(&mut self) -> std::io::Result<bool> {
        let stats = self.ask("query-blockstats")?;
        let devices = stats.as_array().map_or(&[][..], Vec::as_slice);
        Ok(devices.iter().any(|device| device["stats"]["rd_operations"].as_u64().is_some_and(|n| n > 0)))
    }
}
