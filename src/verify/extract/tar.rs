//! Into a tar file, in the POSIX form with the records that GNU tar knows: nothing is lost but sockets, which tar
//! does not know.

use std::io::{self, Write};

use tar::{Builder, EntryType, Header};

use super::{Extracted, FirstNames, entries};
use crate::disk::{FileKind, Stat, Tree, Xattr};
use crate::verify::VerifyError;
use crate::verify::look::{base_name, write_error};

const BLOCK: u64 = 512;

/// Writes a file, or a directory with all below it, as a tar file. Names begin with that of `path`; with `./` for the
/// root.
///
/// # Errors
/// [`VerifyError::Disk`], [`VerifyError::Write`].
pub fn to_tar(tree: &mut dyn Tree, path: &[u8], out: &mut dyn Write) -> Result<Extracted, VerifyError> {
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
        let size = if kind == EntryType::Regular { stat.size } else { 0 };
        append_header(&mut tar, kind, &name, link.as_deref(), size, &stat, &xattrs)
            .map_err(write_error("the tar file"))?;
        if kind == EntryType::Regular {
            done.bytes += tree.read_to(&path, tar.get_mut())?;
            let padding = [0; BLOCK as usize];
            let missing = size.next_multiple_of(BLOCK) - size;
            tar.get_mut().write_all(&padding[..missing as usize]).map_err(write_error("the tar file"))?;
            names.remember(&stat, name);
        }
    }
    tar.finish().map_err(write_error("the tar file"))?;
    tar.get_mut().flush().map_err(write_error("the tar file"))?;
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

fn append_header(
    tar: &mut Builder<&mut dyn Write>,
    kind: EntryType,
    name: &[u8],
    link: Option<&[u8]>,
    size: u64,
    stat: &Stat,
    xattrs: &[Xattr],
) -> io::Result<()> {
    // What does not fit into the old header goes into records before it; so do attributes, and always the time,
    // for its nanoseconds.
    let time = format!("{}.{:09}", stat.modified.seconds, stat.modified.nanoseconds);
    let mut records: Vec<(String, Vec<u8>)> = Vec::new();
    if stat.modified.seconds >= 0 {
        records.push(("mtime".to_owned(), time.into_bytes()));
    }
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
    let fields = header.as_ustar_mut().ok_or_else(|| io::Error::other("no ustar header"))?;
    for (record, text, field) in
        [("path", Some(name), &mut fields.name), ("linkpath", link, &mut fields.linkname)]
    {
        let Some(text) = text else { continue };
        let length = text.len().min(field.len());
        field[..length].copy_from_slice(&text[..length]);
        if text.len() > field.len() {
            records.push((record.to_owned(), text.to_vec()));
        }
    }
    records.extend(xattrs.iter().filter_map(|xattr| {
        let name = std::str::from_utf8(&xattr.name).ok()?;
        Some((format!("SCHILY.xattr.{name}"), xattr.value.clone()))
    }));
    tar.append_pax_extensions(records.iter().map(|(key, value)| (key.as_str(), value.as_slice())))?;
    header.set_cksum();
    tar.get_mut().write_all(header.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::verify::testing::MemTree;

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
}
