//! Into a tar file, in the POSIX form with the records that GNU tar knows: nothing is lost but sockets, which tar
//! does not know. Holes stay holes.

use std::io::{self, Write};

use tar::{Builder, EntryType, Header};

use super::holes::Map;
use super::pax::Records;
use super::{Extracted, FirstNames, entries};
use crate::disk::{FileKind, Stat, Tree, Xattr};
use crate::look::LookError;
use crate::os::files::base_name;

const BLOCK: u64 = 512;

/// Writes a file, or a directory with all below it, as a tar file. Names begin with that of `path`; with `./` for the
/// root.
///
/// # Errors
/// [`LookError::Read`], [`LookError::Write`].
pub fn to_tar(tree: &mut dyn Tree, path: &[u8], out: &mut dyn Write) -> Result<Extracted, LookError> {
    let entries = entries(tree, path)?;
    let top = entries[0].0.clone();
    let mut tar = Builder::new(out);
    let mut done = Extracted::default();
    let mut names: FirstNames<Vec<u8>> = FirstNames::default();
    for (path, stat) in entries {
        let name = name_in_tar(&top, &path);
        let xattrs = tree.xattrs(&path)?;
        let (kind, link) = match stat.kind {
            FileKind::File => match names.of(&stat) {
                Some(first) => (EntryType::Link, Some(first.clone())),
                None => (EntryType::Regular, None),
            },
            FileKind::Directory => (EntryType::Directory, None),
            FileKind::Symlink => (EntryType::Symlink, Some(tree.read_link(&path)?)),
            FileKind::Block => (EntryType::Block, None),
            FileKind::Character => (EntryType::Char, None),
            FileKind::Fifo => (EntryType::Fifo, None),
            FileKind::Socket => {
                done.left_out.push(path);
                continue;
            }
        };
        match stat.kind {
            FileKind::File => done.files += 1,
            FileKind::Directory => done.directories += 1,
            FileKind::Symlink => done.links += 1,
            _ => {}
        }
        let entry = Entry { kind, name: &name, link: link.as_deref(), stat: &stat, xattrs: &xattrs };
        if kind == EntryType::Regular {
            done.bytes += match Map::of(tree, &path, &stat)? {
                Some(map) => append_pieces(tree, &path, &mut tar, &entry, &map)?,
                None => append_whole(tree, &path, &mut tar, &entry)?,
            };
            names.remember(&stat, name);
        } else {
            entry.append(&mut tar, 0, None).map_err(LookError::write("the tar file"))?;
        }
    }
    tar.finish().map_err(LookError::write("the tar file"))?;
    tar.get_mut().flush().map_err(LookError::write("the tar file"))?;
    Ok(done)
}

/// `etc/passwd` for `/etc/passwd` below `/etc`.
fn name_in_tar(top: &[u8], path: &[u8]) -> Vec<u8> {
    if top == b"/" {
        return [b".".as_slice(), path].concat();
    }
    let parent = top.len() - base_name(top).len();
    path[parent..].to_vec()
}

/// A file as it is. Returns its length.
fn append_whole(
    tree: &mut dyn Tree,
    path: &[u8],
    tar: &mut Builder<&mut dyn Write>,
    entry: &Entry<'_>,
) -> Result<u64, LookError> {
    let size = entry.stat.size;
    entry.append(tar, size, None).map_err(LookError::write("the tar file"))?;
    let length = tree.read_to(path, tar.get_mut())?;
    pad(tar, size).map_err(LookError::write("the tar file"))?;
    Ok(length)
}

/// A file without its holes: a map, and the pieces one after the other. Returns the length with the holes.
fn append_pieces(
    tree: &mut dyn Tree,
    path: &[u8],
    tar: &mut Builder<&mut dyn Write>,
    entry: &Entry<'_>,
    map: &Map,
) -> Result<u64, LookError> {
    let text = map.text();
    let size = (text.len() as u64).next_multiple_of(BLOCK) + map.length();
    entry
        .append(tar, size, Some(map.size()))
        .and_then(|()| tar.get_mut().write_all(text.as_bytes()))
        .and_then(|()| pad(tar, text.len() as u64))
        .map_err(LookError::write("the tar file"))?;
    for &(start, length) in &map.pieces {
        tree.read_range(path, start, length, tar.get_mut())?;
    }
    pad(tar, size).map_err(LookError::write("the tar file"))?;
    Ok(map.size())
}

/// Fills up the last block of content of this length.
fn pad(tar: &mut Builder<&mut dyn Write>, length: u64) -> io::Result<()> {
    let padding = [0; BLOCK as usize];
    let missing = length.next_multiple_of(BLOCK) - length;
    tar.get_mut().write_all(&padding[..missing as usize])
}

/// What is known of an entry before its content.
struct Entry<'a> {
    kind: EntryType,
    name: &'a [u8],
    link: Option<&'a [u8]>,
    stat: &'a Stat,
    xattrs: &'a [Xattr],
}

impl Entry<'_> {
    /// Writes the header, and records before it. `size` is that of the content in the tar file; `sparse` the real one
    /// of a file that comes without its holes.
    fn append(&self, tar: &mut Builder<&mut dyn Write>, size: u64, sparse: Option<u64>) -> io::Result<()> {
        let Self { kind, name, link, stat, xattrs } = *self;
        // What does not fit into the old header goes into records before it; so do attributes, and always the time,
        // for its nanoseconds.
        let mut records = Records::default();
        records.add_mtime(stat.modified);
        let mut header = Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(stat.mode);
        header.set_uid(stat.uid.into());
        header.set_gid(stat.gid.into());
        header.set_size(size);
        header.set_mtime(stat.modified.seconds.max(0).unsigned_abs());
        if matches!(kind, EntryType::Block | EntryType::Char) {
            header.set_device_major(stat.special.0)?;
            header.set_device_minor(stat.special.1)?;
        }
        let mut shown = name.to_vec();
        if let Some(size) = sparse {
            records.add(b"GNU.sparse.major", b"1");
            records.add(b"GNU.sparse.minor", b"0");
            records.add(b"GNU.sparse.name", name);
            records.add(b"GNU.sparse.realsize", size.to_string().as_bytes());
            // Who does not know of holes gets a file that does not look like the real one.
            let (directory, base) = name.split_at(name.len() - base_name(name).len());
            shown = [directory, b"GNUSparseFile.0/", base].concat();
        }
        let fields = header.as_ustar_mut().ok_or_else(|| io::Error::other("no ustar header"))?;
        for (record, text, field) in
            [("path", Some(shown.as_slice()), &mut fields.name), ("linkpath", link, &mut fields.linkname)]
        {
            let Some(text) = text else { continue };
            let length = text.len().min(field.len());
            field[..length].copy_from_slice(&text[..length]);
            if text.len() > field.len() {
                records.add(record.as_bytes(), text);
            }
        }
        for xattr in xattrs {
            records.add_xattr(&xattr.name, &xattr.value);
        }
        header.set_cksum();
        let mut before = Header::new_ustar();
        before.set_entry_type(EntryType::XHeader);
        before.set_size(records.as_bytes().len() as u64);
        before.set_cksum();
        tar.append(&before, records.as_bytes())?;
        tar.get_mut().write_all(header.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::os::testing::MemTree;

    /// GNU tar is the judge.
    #[test]
    fn gnu_tar_finds_everything_in_it() {
        let long = format!("/etc/{}/{}", "d".repeat(120), "f".repeat(120));
        let mut tree = MemTree::new()
            .file("/etc/passwd", "root\n")
            .access("/etc/passwd", 0o4640, 70_000, 3_000_000)
            .hard_link("/etc/passwd", "/etc/second")
            .xattr("/etc/passwd", "user.note", "a=b\nc")
            .file(&long, vec![7; 1000])
            .link("/etc/link", &"t".repeat(150))
            .special("/etc/pipe", FileKind::Fifo)
            .special("/etc/sock", FileKind::Socket);
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("out.tar");
        let run = |arguments: &[&str]| {
            let output = Command::new("tar").args(arguments).env("TZ", "UTC").output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).unwrap()
        };
        for (path, first) in [(b"/etc".as_slice(), "etc"), (b"/", "./")] {
            let done = to_tar(&mut tree, path, &mut fs_err::File::create(&file).unwrap()).unwrap();
            assert_eq!(done.left_out, [b"/etc/sock"]);
            let name = file.to_str().unwrap();
            let list = run(&["--numeric-owner", "--xattrs", "-tvvf", name]);
            assert_eq!(
                list.lines().next().unwrap().split(' ').next_back().unwrap().trim_end_matches('/'),
                first.trim_end_matches('/')
            );
            for expected in [
                "-rwSr-----* 70000/3000000".to_owned(),
                "x: 5 user.note".to_owned(),
                long[1..].to_owned(),
                format!("-> {}", "t".repeat(150)),
                "prw-r--r--".to_owned(),
                "etc/second link to ".to_owned(),
            ] {
                assert!(list.contains(&expected), "{expected}\n{list}");
            }
            let content = run(&["-xOf", name, "--wildcards", "*passwd"]);
            assert_eq!(content, "root\n");
        }
    }

    fn run_tar(arguments: &[&str]) -> String {
        let output = Command::new("tar").args(arguments).env("TZ", "UTC").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// GNU tar 1.34 writes parts of seconds before 1970 so, but adds them instead when it reads: Python knows better.
    #[test]
    fn others_find_odd_times_and_names() {
        let mut tree = MemTree::new()
            .file("/d/half", "x")
            .modified("/d/half", -1, 500_000_000)
            .file("/d/day", "x")
            .modified("/d/day", -86_400, 0)
            .file("/d/attributes", "x")
            .xattr("/d/attributes", "user.a=b%c", "v");
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("out.tar");
        to_tar(&mut tree, b"/d", &mut fs_err::File::create(&file).unwrap()).unwrap();
        let list = run_tar(&["--full-time", "--xattrs", "-tvvf", file.to_str().unwrap()]);
        for expected in ["1969-12-31 00:00:00 d/day\n", "x: 1 user.a=b%c\n"] {
            assert!(list.contains(expected), "{expected}\n{list}");
        }
        // As GNU tar itself writes it.
        let bytes = fs_err::read(&file).unwrap();
        let written = b"SCHILY.xattr.user.a%3Db%25c=v\n";
        assert!(bytes.windows(written.len()).any(|window| window == written));
        let script = "import sys, tarfile; print(*(m.mtime for m in tarfile.open(sys.argv[1])))";
        let output = Command::new("python3").args(["-c", script]).arg(&file).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "1700000000.0 1700000000.0 -86400.0 -0.5\n");
    }

    #[test]
    fn gnu_tar_makes_the_same_holes() {
        use std::os::unix::fs::MetadataExt;
        const LENGTH: usize = 4 << 20;
        let long = format!("/d/{}", "n".repeat(120));
        let mut tree = MemTree::new();
        for (name, pieces) in [
            ("/d/none", &[][..]),
            ("/d/start", &[(0, 1)]),
            ("/d/middle", &[(1_000_000, 1000)]),
            ("/d/end", &[(LENGTH - 1, 1)]),
            (&long, &[(5, 1), (100_000, 70_000), (2_000_000, 1), (LENGTH - 5000, 1)]),
        ] {
            let mut content = vec![0; LENGTH];
            pieces.iter().for_each(|&(start, length)| content[start..start + length].fill(7));
            tree = tree.file(name, content).allocated(name, 100_000).xattr(name, "user.x", "y");
        }
        tree = tree.file("/d/dense", vec![1; LENGTH]).hard_link("/d/middle", "/d/second");
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("out.tar");
        let done = to_tar(&mut tree, b"/d", &mut fs_err::File::create(&file).unwrap()).unwrap();
        assert_eq!(done.bytes, 6 * LENGTH as u64);
        assert!(fs_err::metadata(&file).unwrap().len() < LENGTH as u64 + 300_000);
        let name = file.to_str().unwrap();
        let list = run_tar(&["--numeric-owner", "-tvf", name]);
        assert!(list.contains(&format!("{LENGTH} 2023-11-14 22:13 {}\n", &long[1..])), "{list}");
        run_tar(&["-xf", name, "-C", directory.path().to_str().unwrap()]);
        for path in ["/d/none", "/d/start", "/d/middle", "/d/end", "/d/second", "/d/dense", &long] {
            let extracted = directory.path().join(&path[1..]);
            assert!(
                fs_err::read(&extracted).unwrap() == tree.read(path.as_bytes(), 1 << 30).unwrap(),
                "{path}"
            );
            let taken = extracted.metadata().unwrap().blocks() * 512;
            assert!(taken < 200_000 || path == "/d/dense", "{path}: {taken}");
        }
    }
}
