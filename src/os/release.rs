//! What operating system a file tree holds.

use super::files::optional;
use crate::disk::{DiskError, Tree};
use crate::distro::{Arch, Family, OsRelease};
use crate::error::{Diagnose, Exit};

/// os-release files are a few hundred bytes.
const OS_RELEASE_LIMIT: u64 = 64 << 10;

/// Bytes of an ELF file that say what it is for.
const ELF_HEAD: u64 = 20;

/// No operating system that tib knows.
#[derive(Debug, thiserror::Error)]
pub enum DetectError {
    /// Neither of the places for os-release holds one.
    #[error("it has no /etc/os-release")]
    NoOsRelease,
    /// There is no shell.
    #[error("it has no programs: /bin/sh, whose header tells the processor, is not there")]
    NoPrograms,
    /// os-release names a distribution of no known family.
    #[error("its distribution is not supported (os-release says `{0}`)")]
    UnknownDistribution(String),
    /// The shell is not a program for a known processor.
    #[error("its programs are for a processor that tib does not know ({0})")]
    UnknownArchitecture(String),
    /// The image could not be read.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl Diagnose for DetectError {
    fn exit(&self) -> Exit {
        match self {
            Self::Disk(error) => error.exit(),
            _ => Exit::Integrity,
        }
    }
}

/// Reads os-release, the ELF header of the shell, and which Python there is.
///
/// # Errors
/// See [`DetectError`].
pub fn detect_os(tree: &mut dyn Tree) -> Result<OsRelease, DetectError> {
    let text = os_release(tree)?.ok_or(DetectError::NoOsRelease)?;
    let arch = architecture(tree)?;
    OsRelease::parse(&text, arch, python_minor(tree)).ok_or_else(|| {
        let id = text.lines().find(|line| line.starts_with("ID=")).unwrap_or("no ID");
        DetectError::UnknownDistribution(id.to_owned())
    })
}

/// The package world an image belongs to, by os-release alone; `None` if that does not tell.
pub(crate) fn family(tree: &mut dyn Tree) -> Result<Option<Family>, DiskError> {
    Ok(os_release(tree)?.and_then(|text| Family::of(&text)))
}

fn os_release(tree: &mut dyn Tree) -> Result<Option<String>, DiskError> {
    for path in ["/etc/os-release", "/usr/lib/os-release"] {
        if let Some(text) = optional(tree.read(path.as_bytes(), OS_RELEASE_LIMIT))? {
            return Ok(Some(String::from_utf8_lossy(&text).into_owned()));
        }
    }
    Ok(None)
}

pub(crate) fn architecture(tree: &mut dyn Tree) -> Result<Arch, DetectError> {
    let mut head = Vec::new();
    match tree.read_range(b"/bin/sh", 0, ELF_HEAD, &mut head) {
        Err(error) if error.is_missing() => return Err(DetectError::NoPrograms),
        read => read?,
    };
    if head.len() < ELF_HEAD as usize {
        return Err(DetectError::UnknownArchitecture("/bin/sh is empty".to_owned()));
    }
    // ELF header: magic at 0, byte order at 5, machine at 18 (System V ABI, chapter 4).
    let machine = match head[5] {
        2 => u16::from_be_bytes([head[18], head[19]]),
        _ => u16::from_le_bytes([head[18], head[19]]),
    };
    match (&head[..4], machine) {
        (b"\x7fELF", 62) => Ok(Arch::X86_64),
        (b"\x7fELF", 183) => Ok(Arch::Aarch64),
        (b"\x7fELF", other) => Err(DetectError::UnknownArchitecture(format!("ELF machine {other}"))),
        _ => Err(DetectError::UnknownArchitecture("/bin/sh is no ELF program".to_owned())),
    }
}

/// `/usr/bin/python3` is a link to `python3.X` on every supported distribution.
fn python_minor(tree: &mut dyn Tree) -> Option<u8> {
    let real = tree.canonicalize(b"/usr/bin/python3").ok()?;
    let name = real.rsplit(|byte| *byte == b'/').next()?;
    std::str::from_utf8(name).ok()?.strip_prefix("python3.")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::testing::MemTree;

    const RELEASE: &str = "ID=debian\nVERSION_ID=12\n";
    const PROGRAM: &[u8] = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\x3e\0";

    #[test]
    fn what_is_missing_is_said() {
        let release = || MemTree::new().file("/etc/os-release", RELEASE);
        let programs = "it has no programs: /bin/sh, whose header tells the processor, is not there";
        for (tree, expected) in [
            (MemTree::new(), "it has no /etc/os-release"),
            (release(), programs),
            (release().dir("/bin"), programs),
            (release().link("/bin", "usr/bin"), programs),
            (release().link("/bin/sh", "dash"), programs),
            (release().file("/bin/sh", ""), "(/bin/sh is empty)"),
            (release().program("/bin/sh", [b' '; 20]), "(/bin/sh is no ELF program)"),
        ] {
            let error = detect_os(&mut tree.clone()).unwrap_err();
            assert!(error.to_string().ends_with(expected), "{error}");
            assert_eq!(error.exit(), Exit::Integrity);
        }
        assert_eq!(detect_os(&mut release().program("/bin/sh", PROGRAM)).unwrap().arch, Arch::X86_64);
    }
}
