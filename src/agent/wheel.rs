//! One wheel: opened with suspicion, checked against its RECORD, unpacked into a virtual environment.

use std::collections::BTreeMap;
use std::io::{BufReader, Read};
use std::path::Path;

use fs_err as fs;
use zip::ZipArchive;
use zip::result::ZipError;

use super::error::AgentError;
use super::metadata::{self, Metadata, WheelName};
use super::venv::{Placed, Venv};
use crate::digest::Digest;
use crate::shown::escape;

/// Files in one wheel.
const MOST_ENTRIES: usize = 50_000;
/// Bytes one file of a wheel may unpack to.
const LARGEST: u64 = 1 << 30;
/// Bytes of a metadata file or script, which are held in memory.
const LARGEST_TEXT: u64 = 64 << 20;
/// From this size on, a wheel that unpacks to more than [`BOMB_RATIO`] times its length is none.
const BOMB_SIZE: u64 = 64 << 20;
/// Real wheels of that size stay below 20.
const BOMB_RATIO: u64 = 100;

/// An open wheel whose directory and metadata have been checked.
pub(crate) struct Wheel {
    file: String,
    archive: ZipArchive<BufReader<fs::File>>,
    /// Index in the archive by name; files only.
    entries: BTreeMap<String, usize>,
    info: String,
    record: BTreeMap<String, Option<Digest>>,
    pub(crate) metadata: Metadata,
}

/// What unpacking put where, for RECORD.
pub(crate) struct Installed {
    pub(crate) file: String,
    pub(crate) info: String,
    pub(crate) files: BTreeMap<String, Placed>,
}

impl Wheel {
    /// Opens the wheel at `path`, whose own name is `file`.
    pub(crate) fn open(path: &Path, file: &str) -> Result<Self, AgentError> {
        let refuse = |problem: String| AgentError::wheel(file, problem);
        let name =
            WheelName::parse(file).ok_or_else(|| refuse("its file name is not a wheel's".to_owned()))?;
        let reader = BufReader::new(fs::File::open(path).map_err(AgentError::io("open", path))?);
        let mut archive = ZipArchive::new(reader).map_err(|error| zip_error(file, &error))?;
        let entries = directory(&mut archive, file)?;
        let info = find_info(&entries, &name).map_err(refuse)?;
        let mut wheel = Self {
            file: file.to_owned(),
            archive,
            entries,
            info,
            record: BTreeMap::new(),
            metadata: Metadata::default(),
        };
        wheel.record = metadata::record(&wheel.info_text("RECORD")?).map_err(refuse)?;
        wheel.check_record()?;
        let text = wheel.info_text("METADATA")?;
        wheel.metadata =
            Metadata::parse(&text).ok_or_else(|| refuse("METADATA has no name or version".to_owned()))?;
        if metadata::canonical(&wheel.metadata.name) != metadata::canonical(&name.name) {
            return Err(refuse(format!("METADATA is of `{}`", wheel.metadata.name)));
        }
        let text = wheel.info_text("WHEEL")?;
        let format = metadata::headers(&text)
            .into_iter()
            .find(|(key, _)| key == "wheel-version")
            .map(|(_, value)| value);
        if !format.as_deref().is_some_and(|format| format.starts_with("1.")) {
            return Err(refuse(format!("wheel format {} is not known", format.unwrap_or_default())));
        }
        Ok(wheel)
    }

    /// Unpacks everything into `venv`. RECORD is written later, when it is known what was compiled.
    pub(crate) fn unpack(mut self, venv: &mut Venv, requested: bool) -> Result<Installed, AgentError> {
        let file = self.file.clone();
        let mut files = BTreeMap::new();
        let entries = std::mem::take(&mut self.entries);
        for (name, index) in &entries {
            if is_record(name, &self.info) {
                continue;
            }
            let (target, script) = self.target(name, venv)?;
            let mut entry = self.archive.by_index(*index).map_err(|error| zip_error(&file, &error))?;
            let executable = script || entry.unix_mode().is_some_and(|mode| mode & 0o111 != 0);
            let (path, placed) = if script {
                let content = read_all(&mut entry, &file, name)?;
                verify(&self.record, &file, name, Digest::of(&content))?;
                let content = with_shebang(content, &venv.shebang());
                (target.clone(), venv.place(&file, &target, true, &mut content.as_slice(), LARGEST)?)
            } else {
                let size = entry.size();
                let placed = venv.place(&file, &target, executable, &mut entry, size)?;
                verify(&self.record, &file, name, placed.sha256)?;
                (target, placed)
            };
            files.insert(path, placed);
        }
        self.entries = entries;
        if self.entries.contains_key(&format!("{}/entry_points.txt", self.info)) {
            let text = self.info_text("entry_points.txt")?;
            let commands = metadata::entry_points(&text).map_err(|line| {
                AgentError::wheel(&file, format!("entry_points.txt has a malformed line `{line}`"))
            })?;
            for entry in &commands {
                let (path, placed) = venv.place_command(&file, entry)?;
                files.insert(path, placed);
            }
        }
        let info = format!("{}/{}", venv.site(), self.info);
        let notes: &[(&str, &str)] =
            if requested { &[("INSTALLER", "tib\n"), ("REQUESTED", "")] } else { &[("INSTALLER", "tib\n")] };
        for (name, text) in notes {
            let path = format!("{info}/{name}");
            let placed = venv.place(&file, &path, false, &mut text.as_bytes(), LARGEST)?;
            files.insert(path, placed);
        }
        Ok(Installed { file, info, files })
    }

    /// Where an entry goes in the environment, and whether it is a script.
    fn target(&self, name: &str, venv: &Venv) -> Result<(String, bool), AgentError> {
        let data = format!("{}.data/", self.info.trim_end_matches(".dist-info"));
        let Some(rest) = name.strip_prefix(&data) else {
            return Ok((format!("{}/{name}", venv.site()), false));
        };
        match rest.split_once('/') {
            Some(("purelib" | "platlib", path)) => Ok((format!("{}/{path}", venv.site()), false)),
            Some(("scripts", path)) => Ok((format!("bin/{path}"), true)),
            Some(("data", path)) => Ok((path.to_owned(), false)),
            Some(("headers", path)) => Ok((format!("{}/{path}", venv.headers(&self.metadata.name)), false)),
            _ => Err(AgentError::wheel(&self.file, format!("`{name}` belongs nowhere"))),
        }
    }

    /// Every file is in RECORD with a hash, and nothing else is.
    fn check_record(&self) -> Result<(), AgentError> {
        for name in self.entries.keys().filter(|name| !is_record(name, &self.info)) {
            match self.record.get(name) {
                Some(Some(_)) => {}
                Some(None) => {
                    return Err(AgentError::wheel(&self.file, format!("RECORD has no hash for `{name}`")));
                }
                None => return Err(AgentError::wheel(&self.file, format!("`{name}` is not in its RECORD"))),
            }
        }
        match self
            .record
            .keys()
            .find(|name| !self.entries.contains_key(*name) && !is_record(name, &self.info))
        {
            Some(name) => Err(AgentError::wheel(&self.file, format!("`{name}` of its RECORD is missing"))),
            None => Ok(()),
        }
    }

    /// Reads a file of the metadata directory; its hash is checked as soon as RECORD is known.
    fn info_text(&mut self, name: &str) -> Result<String, AgentError> {
        let path = format!("{}/{name}", self.info);
        let missing = || AgentError::wheel(&self.file, format!("it has no `{path}`"));
        let index = *self.entries.get(&path).ok_or_else(missing)?;
        let mut entry = self.archive.by_index(index).map_err(|error| zip_error(&self.file, &error))?;
        let content = read_all(&mut entry, &self.file, &path)?;
        drop(entry);
        if !self.record.is_empty() {
            verify(&self.record, &self.file, &path, Digest::of(&content))?;
        }
        // Old distributions have Latin-1 in a description; nothing that is read here lies in those places.
        Ok(String::from_utf8_lossy(&content).into_owned())
    }
}

/// Lists the files of the archive, refusing whatever an honest wheel does not have.
fn directory(
    archive: &mut ZipArchive<BufReader<fs::File>>,
    file: &str,
) -> Result<BTreeMap<String, usize>, AgentError> {
    let refuse = |problem: String| AgentError::wheel(file, problem);
    if archive.len() > MOST_ENTRIES {
        return Err(refuse(format!("it holds more than {MOST_ENTRIES} files")));
    }
    if archive.has_duplicate_names() {
        return Err(refuse("it holds two files of the same name".to_owned()));
    }
    if archive.has_overlapping_files().map_err(|error| zip_error(file, &error))? {
        return Err(refuse("its files overlap".to_owned()));
    }
    let mut entries = BTreeMap::new();
    let (mut packed, mut unpacked) = (0u64, 0u64);
    for index in 0..archive.len() {
        let entry = archive.by_index_raw(index).map_err(|error| zip_error(file, &error))?;
        let name = entry.name().map_err(|error| zip_error(file, &error))?.into_owned();
        if !is_plain(name.strip_suffix('/').unwrap_or(&name)) {
            return Err(refuse(format!("`{}` is not a path inside it", escape(&name))));
        }
        let kind = entry.unix_mode().unwrap_or(0) & 0o170_000;
        if entry.is_symlink() || !matches!(kind, 0 | 0o100_000 | 0o040_000) {
            return Err(refuse(format!("`{name}` is neither file nor directory")));
        }
        if entry.encrypted() {
            return Err(refuse(format!("`{name}` is encrypted")));
        }
        packed = packed.saturating_add(entry.compressed_size());
        unpacked = unpacked.saturating_add(entry.size());
        if entry.size() > LARGEST || (unpacked > BOMB_SIZE && unpacked / BOMB_RATIO > packed) {
            return Err(refuse(format!("it would unpack from {packed} bytes to {unpacked} or more")));
        }
        if !name.ends_with('/') {
            entries.insert(name, index);
        }
    }
    Ok(entries)
}

/// A relative path without tricks.
fn is_plain(name: &str) -> bool {
    name.len() <= 1024
        && !name.contains(['\\', '\0', '\n', '\r'])
        && name.split('/').all(|part| !part.is_empty() && part != "." && part != ".." && part.len() <= 255)
}

/// The one metadata directory, which must be the file name's.
fn find_info(entries: &BTreeMap<String, usize>, wheel: &WheelName) -> Result<String, String> {
    let mut found: Vec<&str> = entries
        .keys()
        .filter_map(|name| name.split_once('/').map(|(top, _)| top))
        .filter(|top| top.ends_with(".dist-info"))
        .collect();
    found.dedup();
    let [info] = found.as_slice() else {
        return Err(format!("it has {} .dist-info directories instead of one", found.len()));
    };
    let name = info.split_once('-').map_or(*info, |(name, _)| name);
    if metadata::canonical(name) != metadata::canonical(&wheel.name) {
        return Err(format!("its metadata is in `{info}`"));
    }
    Ok((*info).to_owned())
}

fn is_record(name: &str, info: &str) -> bool {
    name.strip_prefix(info).is_some_and(|rest| matches!(rest, "/RECORD" | "/RECORD.jws" | "/RECORD.p7s"))
}

fn read_all(entry: &mut dyn Read, file: &str, name: &str) -> Result<Vec<u8>, AgentError> {
    let mut content = Vec::new();
    let read = entry.take(LARGEST_TEXT + 1).read_to_end(&mut content);
    match read {
        Ok(size) if size as u64 <= LARGEST_TEXT => Ok(content),
        Ok(_) => Err(AgentError::wheel(file, format!("`{name}` is longer than it may be"))),
        Err(error) => Err(AgentError::wheel(file, format!("`{name}` cannot be unpacked: {error}"))),
    }
}

fn verify(
    record: &BTreeMap<String, Option<Digest>>,
    file: &str,
    name: &str,
    hash: Digest,
) -> Result<(), AgentError> {
    if record.get(name) == Some(&Some(hash)) {
        return Ok(());
    }
    Err(AgentError::wheel(file, format!("`{name}` does not match its hash in RECORD")))
}

/// Replaces the first line of a script when it is the placeholder `#!python…`; arguments go with it, as with pip.
fn with_shebang(content: Vec<u8>, shebang: &str) -> Vec<u8> {
    if !content.starts_with(b"#!python") {
        return content;
    }
    let end = content.iter().position(|&byte| byte == b'\n').unwrap_or(content.len());
    [shebang.as_bytes(), &content[end..]].concat()
}

fn zip_error(file: &str, error: &ZipError) -> AgentError {
    AgentError::wheel(file, format!("it cannot be read: {error}"))
}
