//! `tib extract`

use std::ffi::OsStr;
use std::fs::Permissions;
use std::io::BufWriter;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::disk::{FileKind, Tree};
use crate::error::{Diagnose, Exit, Result, without_path};
use crate::look::LookError;
use crate::look::extract::{Extracted, to_host, to_tar};
use crate::rename::same_file;
use crate::shown::show;
use crate::size::Size;

use super::args::ExtractArgs;
use super::stdout::Content;
use super::{Context, in_image, is_stream};

/// The output is the image, or a directory that it lies in.
#[derive(Debug, thiserror::Error)]
#[error("extracting would replace `{0}`, which is or holds the image that is read")]
struct IsImage(String);

impl Diagnose for IsImage {
    fn exit(&self) -> Exit {
        Exit::Usage
    }

    fn hint(&self) -> Option<String> {
        Some("give another name with `-o`".to_owned())
    }
}

pub(super) fn run(args: &ExtractArgs, context: &Context) -> Result<Exit> {
    context.with_tree(&args.image, |tree| {
        let path = in_image(&args.path);
        let output = args.output.as_deref();
        let as_tar = args.tar || output.is_some_and(|path| path.extension() == Some(OsStr::new("tar")));
        match output {
            Some(to) if to == Path::new("-") => {
                return to_stream(tree, &path, as_tar, Content::to_stdout(args.raw));
            }
            Some(to) if is_stream(to) => {
                return to_stream(tree, &path, as_tar, Content::to_stream(to, args.raw)?);
            }
            _ => {}
        }
        let target = target(tree, &path, args.output.as_deref(), as_tar)?;
        never_of_image(&args.image, &target)?;
        let done = if as_tar {
            tar_file(tree, &path, &target, args.force)?
        } else {
            to_host(tree, &path, &target, args.force)?
        };
        tell(context, &done, &target);
        Ok(())
    })?;
    Ok(Exit::Done)
}

fn to_stream(tree: &mut dyn Tree, path: &[u8], as_tar: bool, out: Content) -> Result<()> {
    out.fill(|out| {
        if as_tar || tree.stat(path)?.kind == FileKind::Directory {
            to_tar(tree, path, out)?;
        } else {
            tree.read_to(path, out)?;
        }
        Ok(())
    })
}

/// Where it goes: the name given, the image's own name in a directory given, or that name here.
fn target(tree: &mut dyn Tree, path: &[u8], output: Option<&Path>, as_tar: bool) -> Result<PathBuf> {
    let mut own = || -> Result<PathBuf> {
        let canonical = tree.canonicalize(path)?;
        let last = |path: &[u8]| {
            path.rsplit(|byte| *byte == b'/').find(|part| !matches!(*part, b"" | b".")).map(<[u8]>::to_vec)
        };
        // What it is called; where that says nothing, what it is.
        let name = last(path).filter(|name| name != b"..").or_else(|| last(&canonical));
        let mut name = PathBuf::from(OsStr::from_bytes(name.as_deref().unwrap_or(b"root")));
        if as_tar {
            name.as_mut_os_string().push(".tar");
        }
        Ok(name)
    };
    Ok(match output {
        None => own()?,
        Some(output) if output.is_dir() => output.join(own()?),
        Some(output) => output.to_owned(),
    })
}

/// What is replaced is never the image itself, nor a directory above it.
fn never_of_image(image: &Path, target: &Path) -> Result<()> {
    let holds = |image: &Path| image.ancestors().any(|place| same_file(place, target));
    match image.canonicalize().is_ok_and(|image| holds(&image)) || same_file(image, target) {
        true => Err(IsImage(target.display().to_string()).into()),
        false => Ok(()),
    }
}

/// A tar file gets its name when it is whole.
fn tar_file(tree: &mut dyn Tree, path: &[u8], target: &Path, replace: bool) -> Result<Extracted> {
    if !replace && target.symlink_metadata().is_ok() {
        return Err(LookError::Exists { path: target.to_owned() }.into());
    }
    let parent = target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let host = |source| LookError::Host { action: "write", path: target.to_owned(), source };
    let mut file = tempfile::Builder::new()
        .prefix(".tib-extract-")
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(parent)
        .map_err(|error| host(without_path(error)))?;
    let done = to_tar(tree, path, &mut BufWriter::new(file.as_file_mut()))?;
    // Somebody may have made it while we were copying.
    let named = if replace { file.persist(target) } else { file.persist_noclobber(target) };
    named.map_err(|error| match error.error.kind() {
        std::io::ErrorKind::AlreadyExists => LookError::Exists { path: target.to_owned() },
        _ => host(error.error),
    })?;
    Ok(done)
}

fn tell(context: &Context, done: &Extracted, target: &Path) {
    let Extracted { files, directories, links, bytes, left_out } = done;
    if let Some(first) = left_out.first() {
        let others =
            if left_out.len() > 1 { format!(" and {} more", left_out.len() - 1) } else { String::new() };
        context.control.events.warning(format!(
            "left out, for it is no file, directory or link: {}{others} (`--tar` keeps devices and pipes)",
            show(first)
        ));
    }
    context.control.events.note(format!(
        "{}: {files} files, {directories} directories, {links} links, {}",
        target.display(),
        Size(*bytes)
    ));
}
