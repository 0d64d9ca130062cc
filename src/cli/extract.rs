//! `tib extract`

use std::ffi::OsStr;
use std::fs::Permissions;
use std::io::{BufWriter, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::disk::{FileKind, Tree};
use crate::error::{Exit, Result};
use crate::size::Size;
use crate::verify::VerifyError;
use crate::verify::extract::{Extracted, to_host, to_tar};
use crate::verify::look::show;

use super::args::ExtractArgs;
use super::cat::Patient;
use super::{Context, in_image};

pub(super) fn run(args: &ExtractArgs, context: &Context) -> Result<Exit> {
    context.with_tree(&args.image, |tree| {
        let path = in_image(&args.path);
        let is_stdout = args.output.as_deref() == Some(Path::new("-"));
        let ends_in_tar = |path: &PathBuf| path.extension() == Some(OsStr::new("tar"));
        let as_tar = args.tar || !is_stdout && args.output.as_ref().is_some_and(ends_in_tar);
        if is_stdout {
            return to_stdout(tree, &path, as_tar);
        }
        let target = target(tree, &path, args.output.as_deref(), as_tar)?;
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

fn to_stdout(tree: &mut dyn Tree, path: &[u8], as_tar: bool) -> Result<()> {
    let mut out = Patient(BufWriter::new(std::io::stdout().lock()));
    if as_tar || tree.stat(path)?.kind == FileKind::Directory {
        to_tar(tree, path, &mut out)?;
    } else {
        tree.read_to(path, &mut out)?;
    }
    out.flush().map_err(super::Stdout)?;
    Ok(())
}

/// Where it goes: the name given, the image's own name in a directory given, or that name here.
fn target(tree: &mut dyn Tree, path: &[u8], output: Option<&Path>, as_tar: bool) -> Result<PathBuf> {
    let mut own = || -> Result<PathBuf> {
        let canonical = tree.canonicalize(path)?;
        let given = path.rsplit(|byte| *byte == b'/').find(|part| !matches!(*part, b"" | b"." | b".."));
        let name =
            given.or_else(|| canonical.rsplit(|byte| *byte == b'/').next().filter(|name| !name.is_empty()));
        let mut name = PathBuf::from(OsStr::from_bytes(name.unwrap_or(b"root")));
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

/// A tar file gets its name when it is whole.
fn tar_file(tree: &mut dyn Tree, path: &[u8], target: &Path, replace: bool) -> Result<Extracted> {
    if !replace && target.symlink_metadata().is_ok() {
        return Err(VerifyError::Exists { path: target.to_owned() }.into());
    }
    let parent = target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let host = |source| VerifyError::Host { action: "write", path: target.to_owned(), source };
    let mut file = tempfile::Builder::new()
        .prefix(".tib-extract-")
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(parent)
        .map_err(host)?;
    let done = to_tar(tree, path, &mut BufWriter::new(file.as_file_mut()))?;
    file.persist(target).map_err(|error| host(error.error))?;
    Ok(done)
}

fn tell(context: &Context, done: &Extracted, target: &Path) {
    let Extracted { files, directories, links, bytes, left_out } = done;
    if let Some(first) = left_out.first() {
        let others =
            if left_out.len() > 1 { format!(" and {} more", left_out.len() - 1) } else { String::new() };
        context.events.warning(format!(
            "left out, for it is no file, directory or link: {}{others} (`--tar` keeps devices and pipes)",
            show(first)
        ));
    }
    context.events.note(format!(
        "{}: {files} files, {directories} directories, {links} links, {}",
        target.display(),
        Size(*bytes)
    ));
}
