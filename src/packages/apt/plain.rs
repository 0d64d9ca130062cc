//! Package files whose content is not compressed: a guest unpacks with one thread, slowly where it is emulated, and the host with
//! as many as it has.
//!
//! A package is an archive of ar(5) that holds `debian-binary`, `control.tar.*` and `data.tar.*`, in this order (deb(5)). dpkg
//! takes a plain `data.tar` since 1.10, in 2004.

use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::HostFile;
use super::error::AptError;
use crate::cancel::Cancel;
use crate::fetch::{FileCompression, decoder};

const MAGIC: &[u8] = b"!<arch>\n";
/// Bytes of a member's header: its name, padded with spaces, what else ar(5) has, its size in decimal digits, an end.
const HEADER: usize = 60;
const NAME: std::ops::Range<usize> = 0..16;
const SIZE: std::ops::Range<usize> = 48..58;
const END: &[u8] = b"`\n";
/// Bytes of the largest content that is taken.
const LARGEST: u64 = 8 << 30;

/// Writes the packages to `directory`, which exists, with their content uncompressed, and says where each is now. What cannot be
/// unpacked stays where it is: dpkg has the words for that.
pub(super) fn write_all(
    mut files: Vec<HostFile>,
    directory: &Path,
    cancel: &Cancel,
) -> Result<Vec<HostFile>, AptError> {
    let next = AtomicUsize::new(0);
    let work = || -> Result<Vec<(usize, PathBuf)>, AptError> {
        let mut written = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(file) = files.get(index) else { return Ok(written) };
            cancel.check()?;
            let to = directory.join(&file.name);
            if write(&file.path, &to)? {
                written.push((index, to));
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(files.len());
    let written: Result<Vec<_>, _> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let join = |thread: std::thread::ScopedJoinHandle<'_, _>| {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        threads.into_iter().map(join).collect()
    });
    for (index, path) in written?.into_iter().flatten() {
        files[index].path = path;
    }
    Ok(files)
}

/// Writes one package. Whether that was possible; if not, there is no file.
fn write(from: &Path, to: &Path) -> Result<bool, AptError> {
    let package = File::open(from).map_err(AptError::io("open", from))?;
    let mut out = BufWriter::with_capacity(1 << 20, File::create(to).map_err(AptError::io("create", to))?);
    let done = match copy(package, &mut out) {
        Ok(()) => true,
        Err(Stop::Form) => false,
        Err(Stop::Write(source)) => return Err(AptError::io("write", to)(source)),
    };
    out.flush().map_err(AptError::io("write", to))?;
    if !done {
        std::fs::remove_file(to).map_err(AptError::io("remove", to))?;
    }
    Ok(done)
}

enum Stop {
    /// This is not what a package looks like, or its content is damaged, or is not compressed.
    Form,
    Write(io::Error),
}

fn copy(mut package: File, out: &mut (impl Write + Seek)) -> Result<(), Stop> {
    let mut magic = [0; MAGIC.len()];
    package.read_exact(&mut magic).map_err(|_| Stop::Form)?;
    if magic != MAGIC {
        return Err(Stop::Form);
    }
    out.write_all(&magic).map_err(Stop::Write)?;
    loop {
        let mut header = [0; HEADER];
        package.read_exact(&mut header).map_err(|_| Stop::Form)?;
        let text = |range| str::from_utf8(&header[range]).map(str::trim_end);
        let (Ok(name), Ok(Ok(size)), true) =
            (text(NAME), text(SIZE).map(str::parse::<u64>), header.ends_with(END))
        else {
            return Err(Stop::Form);
        };
        let name = name.trim_end_matches('/');
        if let Some(extension) = name.strip_prefix("data.tar") {
            let compression = FileCompression::of_name(extension).ok_or(Stop::Form)?;
            return unpack(package, size, compression, header, out);
        }
        // A signature (`_gpgorigin`) would not be one any more.
        if name != "debian-binary" && !name.starts_with("control.tar") {
            return Err(Stop::Form);
        }
        out.write_all(&header).map_err(Stop::Write)?;
        let padded = size.checked_next_multiple_of(2).ok_or(Stop::Form)?;
        move_all((&mut package).take(padded), out, padded)?;
    }
}

/// Writes the last member.
fn unpack(
    mut package: File,
    size: u64,
    compression: FileCompression,
    mut header: [u8; HEADER],
    out: &mut (impl Write + Seek),
) -> Result<(), Stop> {
    let start = package.stream_position().map_err(|_| Stop::Form)?;
    let length = package.metadata().map_err(|_| Stop::Form)?.len();
    // Whatever follows would be left out.
    if start.checked_add(size).and_then(|end| end.checked_next_multiple_of(2)).is_none_or(|end| end < length)
    {
        return Err(Stop::Form);
    }
    let at = out.stream_position().map_err(Stop::Write)?;
    out.write_all(&header).map_err(Stop::Write)?;
    let content = decoder(package.take(size), compression).map_err(|_| Stop::Form)?;
    let unpacked = move_all(content.take(LARGEST + 1), out, 0)?;
    if unpacked > LARGEST {
        return Err(Stop::Form);
    }
    if unpacked % 2 == 1 {
        out.write_all(b"\n").map_err(Stop::Write)?;
    }
    header[NAME].copy_from_slice(b"data.tar        ");
    header[SIZE].copy_from_slice(format!("{unpacked:<10}").as_bytes());
    out.seek(SeekFrom::Start(at)).map_err(Stop::Write)?;
    out.write_all(&header).map_err(Stop::Write)
}

/// Copies all there is, at least so many bytes, and says how many they are.
fn move_all(mut from: impl Read, to: &mut impl Write, least: u64) -> Result<u64, Stop> {
    let (mut buffer, mut moved) = (vec![0; 1 << 18], 0);
    loop {
        match from.read(&mut buffer) {
            Ok(0) if moved < least => return Err(Stop::Form),
            Ok(0) => return Ok(moved),
            Ok(length) => {
                to.write_all(&buffer[..length]).map_err(Stop::Write)?;
                moved += length as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return Err(Stop::Form),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn output(program: &str, arguments: &[&str], directory: &Path) -> Vec<u8> {
        let output = Command::new(program).args(arguments).current_dir(directory).output().unwrap();
        assert!(
            output.status.success(),
            "{program} {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        output.stdout
    }

    /// A package by dpkg-deb, compressed as it is told.
    fn package(directory: &Path, compression: &str) -> PathBuf {
        let tree = directory.join("tree");
        fs_err::create_dir_all(tree.join("DEBIAN")).unwrap();
        fs_err::create_dir_all(tree.join("usr/share")).unwrap();
        let control = "Package: db\nVersion: 1\nArchitecture: all\nMaintainer: none\nDescription: none\n";
        fs_err::write(tree.join("DEBIAN/control"), control).unwrap();
        fs_err::write(tree.join("usr/share/zeros"), vec![0; 3 << 20]).unwrap();
        fs_err::write(tree.join("usr/share/text"), "text\n".repeat(1000)).unwrap();
        let name = format!("{compression}.deb");
        output(
            "dpkg-deb",
            &["--root-owner-group", &format!("-Z{compression}"), "-b", "tree", &name],
            directory,
        );
        directory.join(name)
    }

    #[test]
    fn dpkg_sees_the_same_package() {
        let lab = tempfile::tempdir().unwrap();
        let out = lab.path().join("out");
        fs_err::create_dir(&out).unwrap();
        let files: Vec<_> = ["xz", "gzip", "zstd", "none"]
            .into_iter()
            .map(|kind| HostFile { name: format!("{kind}.deb"), path: package(lab.path(), kind) })
            .collect();
        let written = write_all(files.clone(), &out, &Cancel::new()).unwrap();
        for (before, after) in files.iter().zip(&written) {
            assert_eq!(before.name, after.name);
            // One that is not compressed stays where it is.
            assert_eq!(
                after.path.parent() == Some(out.as_path()),
                before.name != "none.deb",
                "{}",
                before.name
            );
            for what in ["--ctrl-tarfile", "--fsys-tarfile", "--contents", "--info"] {
                let said =
                    |file: &HostFile| output("dpkg-deb", &[what, file.path.to_str().unwrap()], lab.path());
                // `--info` begins with the length of the file.
                let from = if what == "--info" { " Package" } else { "" };
                let said = |file| {
                    let text = String::from_utf8_lossy(&said(file)).into_owned();
                    text[text.find(from).unwrap()..].to_owned()
                };
                assert_eq!(said(before), said(after), "{} {what}", before.name);
            }
        }
        assert_eq!(fs_err::read_dir(&out).unwrap().count(), 3);
        let members = output("ar", &["t", out.join("xz.deb").to_str().unwrap()], lab.path());
        assert_eq!(members, b"debian-binary\ncontrol.tar.xz\ndata.tar\n");
    }

    #[test]
    fn what_is_no_whole_package_of_known_form_is_left_to_dpkg() {
        let lab = tempfile::tempdir().unwrap();
        let whole = fs_err::read(package(lab.path(), "xz")).unwrap();
        let (from, to) = (lab.path().join("from"), lab.path().join("to"));
        let is_taken = |bytes: &[u8]| {
            fs_err::write(&from, bytes).unwrap();
            let taken = write(&from, &to).unwrap();
            assert_eq!(to.exists(), taken);
            taken
        };
        assert!(is_taken(&whole));
        for cut in (0..whole.len() - 1).step_by(whole.len() / 100) {
            assert!(!is_taken(&whole[..cut]), "{cut}");
        }
        let replaced = |from: &str, to: &str| {
            let at = whole.windows(from.len()).position(|window| window == from.as_bytes()).unwrap();
            [&whole[..at], to.as_bytes(), &whole[at + from.len()..]].concat()
        };
        assert!(is_taken(&replaced("data.tar.xz     ", "data.tar.xz/    ")));
        for (from, to) in [
            ("data.tar.xz ", "data.tar.bz2"),
            ("data.tar.xz", "data.tar.gz"),
            ("debian-binary", "_gpgorigin   "),
            ("`\n", "` "),
            ("!<arch>", "!<arch?"),
        ] {
            assert!(!is_taken(&replaced(from, to)), "{to}");
        }
        let signed =
            [&whole, b"_gpgorigin      0           0     0     100644  2         `\nxx".as_slice()].concat();
        assert!(!is_taken(&signed));
    }

    #[test]
    fn a_person_can_interrupt_it() {
        let lab = tempfile::tempdir().unwrap();
        let cancel = Cancel::new();
        cancel.raise();
        let files = vec![HostFile { name: "x.deb".to_owned(), path: package(lab.path(), "none") }];
        assert!(matches!(write_all(files, lab.path(), &cancel), Err(AptError::Cancelled(_))));
    }
}
