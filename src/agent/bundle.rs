//! Wheels laid out as one virtual environment in a tar.
//!
//! The same wheels give the same tar, but for byte code: what a `.pyc` holds depends a little on the process that
//! made it. So a tar is known by what went into it, and made once.

use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use fs_err as fs;
use serde::{Deserialize, Serialize};

use super::AgentRequest;
use super::error::AgentError;
use super::metadata;
use super::pip::HostEnv;
use super::spec::hash_file;
use super::store::{Lock, Store, write_json};
use super::venv::{Placed, Venv};
use super::wheel::{Installed, Wheel};
use crate::cancel::Cancel;
use crate::control::Control;
use crate::digest::{Digest, HashingWriter};
use crate::event::Events;
use crate::host::process;
use crate::host::process::ProcessError;
use crate::os::python::own;
use crate::recipe::{AgentStep, Content};

/// Changes whenever the same wheels would be laid out differently.
pub(crate) const LAYOUT: u32 = 1;
/// 1980-01-01: the same for every file, and a time that every tool accepts.
const MTIME: u64 = 315_532_800;

/// A virtual environment in an uncompressed tar, with paths from the guest's root (`opt/guest-agent-venv/…`), owner 0:0
/// and one time for all. What is known of it is kept beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentTree {
    /// SHA-256 of the tar.
    pub sha256: Digest,
    /// Length of the tar in bytes.
    pub size: u64,
    /// Bytes it takes on the guest's disk, in blocks of 4 KiB.
    pub size_installed: u64,
    /// Modules are byte-compiled. If not, this host had no Python of the guest's version, and
    /// `python3 -m compileall` is to be run in the guest.
    pub compiled: bool,
    /// The tar.
    #[serde(skip)]
    pub path: PathBuf,
}

/// Returns the tar of `lock`'s wheels, from the cache if it is there.
pub(crate) fn tree(
    request: &AgentRequest<'_>,
    store: &Store,
    lock: &Lock,
    env: &HostEnv,
    control: &Control,
) -> Result<AgentTree, AgentError> {
    let (step, minor) = (request.step, request.python_minor);
    let python = compiler(minor, env, &control.cancel)?;
    let compiler = python.as_ref().map_or("none", |(_, version)| version.as_str());
    let replaced = own_requirements(step, &lock.name)?;
    let key = Digest::of(
        format!(
            "{LAYOUT}\n{}\n{}\n3.{minor}\n{compiler}\n{}{}",
            step.venv,
            step.module,
            lock.digest_text(),
            replaced.as_deref().unwrap_or_default()
        )
        .as_bytes(),
    );
    let (tar, note) = (store.trees.join(format!("{key}.tar")), store.trees.join(format!("{key}.json")));
    if let Some(known) = known(&tar, &note) {
        return Ok(known);
    }
    let work = request.cache.work()?;
    control.events.note(format!(
        "laying out {} {} and {} more",
        lock.name,
        lock.version,
        lock.files.len().saturating_sub(1)
    ));
    let mut venv = Venv::new(work.path(), &step.venv, minor)?;
    let mut installed = Vec::new();
    for (done, file) in lock.files.iter().enumerate() {
        control.cancel.check()?;
        control.events.progress("unpacking wheels", done as u64, Some(lock.files.len() as u64));
        let path = store.wheel(file.sha256);
        if hash_file(&path)?.0 != file.sha256 {
            // The next run fetches it again.
            fs::remove_file(&path).map_err(AgentError::io("remove", &path))?;
            return Err(AgentError::wheel(
                &file.file,
                "its copy in the cache is damaged and has been removed",
            ));
        }
        installed.push(Wheel::open(&path, &file.file)?.unpack(&mut venv, file.requested)?);
    }
    if !venv.has_module(&step.module) {
        let (name, version, module) = (lock.name.clone(), lock.version.clone(), step.module.clone());
        return Err(AgentError::NoModule { name, version, module });
    }
    let compiled = match &python {
        Some((python, _)) => compile(python, &venv, work.path(), env, control)?,
        None => false,
    };
    for dist in &installed {
        write_record(&mut venv, dist)?;
    }
    if let Some(text) = replaced {
        let path = venv.root().join(own::FILE);
        fs::write(&path, text).map_err(AgentError::io("write", &path))?;
    }
    let draft = work.path().join("tree.tar");
    let (sha256, size, size_installed) = pack(work.path(), &venv.root(), &draft, &control.cancel)?;
    let tree = AgentTree { sha256, size, size_installed, compiled, path: tar.clone() };
    fs::rename(&draft, &tar).map_err(AgentError::io("rename", &draft))?;
    write_json(&note, &tree)?;
    Ok(tree)
}

/// The list that took the place of what the agent requires by its own words, for whoever looks at the image later: its first
/// line names the agent.
fn own_requirements(step: &AgentStep, name: &str) -> Result<Option<String>, AgentError> {
    let list = match &step.requirements {
        None | Some(Content::Url(_)) => return Ok(None),
        Some(Content::Text(text)) => text.clone(),
        Some(Content::Host { path, .. }) => fs::read_to_string(path).map_err(AgentError::io("read", path))?,
    };
    Ok(Some(own::text(name, &list)))
}

/// A tar that was finished earlier: the note is written last, so it vouches for the tar.
fn known(tar: &Path, note: &Path) -> Option<AgentTree> {
    let mut tree: AgentTree = serde_json::from_slice(&fs::read(note).ok()?).ok()?;
    tar.clone_into(&mut tree.path);
    // What goes into an image is looked at again, however long it has lain in the cache.
    let (sha256, _) = hash_file(tar).ok()?;
    (sha256 == tree.sha256).then_some(tree)
}

/// An interpreter of the guest's minor version on this host, and what tells its byte code from others'.
fn compiler(minor: u8, env: &HostEnv, cancel: &Cancel) -> Result<Option<(PathBuf, String)>, AgentError> {
    const ASK: &str = "import sys, importlib.util as u; v = sys.version_info; \
                       print(sys.implementation.name, v.major, v.minor, v.releaselevel, u.MAGIC_NUMBER.hex())";
    let wanted = format!("cpython 3 {minor} final ");
    for python in env.pythons(Some(minor)).into_iter().chain(env.pythons(None)) {
        let mut command = env.command(&python);
        command.current_dir("/").args(["-I", "-c", ASK]);
        match process::run(&mut command, &Control::new(Events::none(), cancel.clone())) {
            Ok(out) => {
                let out = String::from_utf8_lossy(&out);
                if let Some(magic) = out.trim().strip_prefix(&wanted) {
                    return Ok(Some((python, magic.to_owned())));
                }
            }
            Err(ProcessError::Cancelled(cancelled)) => return Err(cancelled.into()),
            // A shim for a version that is not installed, for example.
            Err(_) => {}
        }
    }
    Ok(None)
}

/// Compiles every module. The host's Python reads the code and runs none of it.
///
/// One process, a fixed order and relative paths, as a `.pyc` shows which strings were interned when it was made:
/// parallel workers never made the same files twice. (Now and then a file still differs.)
///
/// `checked-hash` makes the result independent of file times, and still follows an operator who edits a file.
fn compile(
    python: &Path,
    venv: &Venv,
    staging: &Path,
    env: &HostEnv,
    control: &Control,
) -> Result<bool, AgentError> {
    let mut command = env.command(python);
    command.current_dir(staging).env("PYTHONHASHSEED", "0").env_remove("PYTHONPATH").env_remove("PYTHONHOME");
    command.args(["-s", "-m", "compileall", "-q", "-j", "1", "--invalidation-mode", "checked-hash"]);
    let lib = venv.root().join("lib");
    command.args(["-p", "/"]).arg(lib.strip_prefix(staging).unwrap_or(&lib));
    match process::run(&mut command, control) {
        Ok(_) => Ok(true),
        Err(ProcessError::Cancelled(cancelled)) => Err(cancelled.into()),
        // Wheels carry templates and code for other Pythons; pip ignores what does not compile, too.
        Err(error @ ProcessError::Failed { .. }) => Ok(!error.by_signal()),
        Err(error) => Err(error.into()),
    }
}

pub(crate) fn write_record(venv: &mut Venv, dist: &Installed) -> Result<(), AgentError> {
    let mut lines: Vec<String> = Vec::new();
    for (path, placed) in &dist.files {
        lines.push(metadata::record_line(&venv.in_record(path), Some((placed.sha256, placed.size))));
        if let Some(cached) = cached_name(venv, path) {
            lines.push(metadata::record_line(&venv.in_record(&cached), None));
        }
    }
    let record = format!("{}/RECORD", dist.info);
    lines.push(metadata::record_line(&venv.in_record(&record), None));
    lines.sort();
    let _: Placed = venv.place(&dist.file, &record, false, &mut lines.concat().as_bytes(), u64::MAX)?;
    Ok(())
}

/// Where the byte code of a module is, if it was compiled.
fn cached_name(venv: &Venv, path: &str) -> Option<String> {
    let (directory, file) = path.rsplit_once('/')?;
    let cached =
        format!("{directory}/__pycache__/{}.cpython-3{}.pyc", file.strip_suffix(".py")?, venv.minor());
    venv.root().join(&cached).is_file().then_some(cached)
}

/// Packs everything below `root` with its path from `staging`: sorted, owned by root, one time for all.
fn pack(staging: &Path, root: &Path, tar: &Path, cancel: &Cancel) -> Result<(Digest, u64, u64), AgentError> {
    let file = fs::File::create(tar).map_err(AgentError::io("create", tar))?;
    let mut builder = tar::Builder::new(HashingWriter::new(BufWriter::with_capacity(1 << 20, file)));
    let mut installed = 0;
    // Depth first with names sorted, so that a directory comes before what is in it.
    let mut queue = vec![root.to_owned()];
    while let Some(path) = queue.pop() {
        cancel.check()?;
        let status = fs::symlink_metadata(&path).map_err(AgentError::io("read", &path))?;
        let name = path.strip_prefix(staging).unwrap_or(&path);
        let mut header = tar::Header::new_gnu();
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(MTIME);
        header.set_size(0);
        let write = AgentError::io("write", tar);
        if status.is_symlink() {
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_mode(0o777);
            let target = fs::read_link(&path).map_err(AgentError::io("read", &path))?;
            builder.append_link(&mut header, name, target).map_err(write)?;
        } else if status.is_dir() {
            header.set_entry_type(tar::EntryType::Directory);
            header.set_mode(0o755);
            builder.append_data(&mut header, name, std::io::empty()).map_err(write)?;
            let mut children: Vec<PathBuf> = Vec::new();
            for entry in fs::read_dir(&path).map_err(AgentError::io("read", &path))? {
                children.push(entry.map_err(AgentError::io("read", &path))?.path());
            }
            children.sort_unstable_by(|a, b| b.cmp(a));
            queue.append(&mut children);
        } else {
            use std::os::unix::fs::PermissionsExt as _;
            let executable = status.permissions().mode() & 0o100 != 0;
            header.set_mode(if executable { 0o755 } else { 0o644 });
            header.set_size(status.len());
            let content = fs::File::open(&path).map_err(AgentError::io("open", &path))?;
            builder.append_data(&mut header, name, content.take(status.len())).map_err(write)?;
        }
        // Counted in blocks of the usual size, as it will be on the guest's disk.
        installed += status.len().div_ceil(4096).max(u64::from(status.is_dir())) * 4096;
    }
    let synced = builder.into_inner().and_then(|writer| {
        let (mut file, sha256, size) = writer.finish();
        file.flush()?;
        file.get_ref().sync_all()?;
        Ok((sha256, size))
    });
    let (sha256, size) = synced.map_err(AgentError::io("write", tar))?;
    Ok((sha256, size, installed))
}
