//! The texts inside a wheel: its file name, METADATA, WHEEL, RECORD, entry_points.txt. Pure parsers of foreign text.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::digest::Digest;

/// The base64 of RECORD: written without padding, and read with or without it, as pip does.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// The parts of a wheel's file name that matter here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WheelName {
    pub(crate) name: String,
    pub(crate) version: String,
    /// `py3-none-any`
    pub(crate) tag: String,
}

impl WheelName {
    /// Reads `NAME-VERSION(-BUILD)?-PYTHON-ABI-PLATFORM.whl`.
    pub(crate) fn parse(file: &str) -> Option<Self> {
        let parts: Vec<_> = file.strip_suffix(".whl")?.split('-').collect();
        let (name, version, tag) = match parts.as_slice() {
            [name, version, tag @ ..] if tag.len() == 3 => (name, version, tag),
            [name, version, _build, tag @ ..] if tag.len() == 3 => (name, version, tag),
            _ => return None,
        };
        let plain = |part: &&str| {
            !part.is_empty()
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'+' | b'!'))
        };
        if !parts.iter().all(plain) {
            return None;
        }
        Some(Self { name: (*name).to_owned(), version: (*version).to_owned(), tag: tag.join("-") })
    }

    /// Runs on any Python 3, whatever the platform.
    pub(crate) fn is_pure(&self) -> bool {
        matches!(self.tag.as_str(), "py3-none-any" | "py2.py3-none-any")
    }
}

/// The name by which distributions are compared: lower case, runs of `-_.` as one `-`.
pub(crate) fn canonical(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for part in name.split(['-', '_', '.']).filter(|part| !part.is_empty()) {
        if !text.is_empty() {
            text.push('-');
        }
        text.push_str(&part.to_ascii_lowercase());
    }
    text
}

/// What METADATA says.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Metadata {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) requires: Vec<String>,
}

impl Metadata {
    /// Reads the header fields; `None` without name or version.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut metadata = Self::default();
        for (key, value) in headers(text) {
            match key.as_str() {
                "name" => metadata.name = value,
                "version" => metadata.version = value,
                "requires-dist" => metadata.requires.push(value),
                _ => {}
            }
        }
        (!metadata.name.is_empty() && !metadata.version.is_empty()).then_some(metadata)
    }
}

/// The fields of an e-mail like header, keys in lower case, folded lines joined.
pub(crate) fn headers(text: &str) -> Vec<(String, String)> {
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in text.lines() {
        if line.trim().is_empty() {
            break;
        }
        if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = fields.last_mut() {
                value.push(' ');
                value.push_str(line.trim());
            }
        } else if let Some((key, value)) = line.split_once(':') {
            fields.push((key.trim().to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    fields
}

/// A command that a distribution brings.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct EntryPoint {
    pub(crate) command: String,
    pub(crate) module: String,
    pub(crate) object: String,
}

impl EntryPoint {
    /// Reads `NAME = MODULE:OBJECT [EXTRAS]`. All three become part of generated code or of a path, so they
    /// are held to what they may be.
    fn parse(line: &str) -> Option<Self> {
        let (command, target) = line.split_once('=')?;
        let target = target.split('[').next()?.trim();
        let (module, object) = target.split_once(':')?;
        let (command, module, object) = (command.trim(), module.trim(), object.trim());
        let name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '+');
        let good = !command.is_empty()
            && command.chars().all(name)
            && !command.chars().all(|c| c == '.')
            && dotted(module)
            && dotted(object);
        good.then(|| Self {
            command: command.to_owned(),
            module: module.to_owned(),
            object: object.to_owned(),
        })
    }
}

fn dotted(text: &str) -> bool {
    text.split('.').all(|part| {
        part.chars().next().is_some_and(|c| c.is_alphabetic() || c == '_')
            && part.chars().all(|c| c.is_alphanumeric() || c == '_')
    })
}

/// The commands of entry_points.txt, or the line that cannot be one.
pub(crate) fn entry_points(text: &str) -> Result<Vec<EntryPoint>, String> {
    let mut section = "";
    let mut commands = BTreeMap::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(['#', ';'])) {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = name.trim();
        } else if matches!(section, "console_scripts" | "gui_scripts") {
            let entry = EntryPoint::parse(line).ok_or_else(|| line.to_owned())?;
            commands.insert(entry.command.clone(), entry);
        }
    }
    Ok(commands.into_values().collect())
}

/// RECORD: path → the SHA-256 it must have. Files without hash (RECORD itself) map to `None`.
pub(crate) fn record(text: &str) -> Result<BTreeMap<String, Option<Digest>>, String> {
    let mut files = BTreeMap::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let fields = csv(line).ok_or_else(|| format!("RECORD has a malformed line `{line}`"))?;
        let [path, hash, ..] = fields.as_slice() else {
            return Err(format!("RECORD has a malformed line `{line}`"));
        };
        let hash = match hash.split_once('=') {
            None if hash.is_empty() => None,
            Some(("sha256", text)) => {
                Some(digest(text).ok_or_else(|| format!("RECORD has a malformed hash for `{path}`"))?)
            }
            _ => return Err(format!("RECORD has no SHA-256 for `{path}`")),
        };
        if files.insert(path.clone(), hash).is_some() {
            return Err(format!("RECORD lists `{path}` twice"));
        }
    }
    Ok(files)
}

/// One line of a RECORD as tib writes it.
pub(crate) fn record_line(path: &str, entry: Option<(Digest, u64)>) -> String {
    let quoted = if path.contains(['"', ',']) {
        format!("\"{}\"", path.replace('"', "\"\""))
    } else {
        path.to_owned()
    };
    match entry {
        Some((hash, size)) => format!("{quoted},sha256={},{size}\n", BASE64.encode(hash.to_bytes())),
        None => format!("{quoted},,\n"),
    }
}

fn digest(text: &str) -> Option<Digest> {
    BASE64.decode(text).ok()?.try_into().ok().map(Digest::from_bytes)
}

fn csv(line: &str) -> Option<Vec<String>> {
    let mut fields = vec![String::new()];
    let mut chars = line.chars().peekable();
    let mut quoted = false;
    while let Some(c) = chars.next() {
        let field = fields.last_mut()?;
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                field.push('"');
            }
            '"' if quoted => quoted = false,
            '"' if field.is_empty() => quoted = true,
            ',' if !quoted => fields.push(String::new()),
            c => field.push(c),
        }
    }
    (!quoted).then_some(fields)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn wheel_names() {
        let parse = |file: &str| WheelName::parse(file).map(|w| (w.name, w.version, w.tag));
        let some = |a: &str, b: &str, c: &str| Some((a.to_owned(), b.to_owned(), c.to_owned()));
        assert_eq!(parse("trove-26.0.0-py3-none-any.whl"), some("trove", "26.0.0", "py3-none-any"));
        assert_eq!(
            parse("a_b-1-2-cp311-cp311-linux_x86_64.whl"),
            some("a_b", "1", "cp311-cp311-linux_x86_64")
        );
        for bad in [
            "trove.whl",
            "a-1-py3-none.whl",
            "a-1-b-c-d-e-f.whl",
            "a/b-1-py3-none-any.whl",
            "-1-py3-none-any.whl",
            "a-1-py3-none-any.zip",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
        assert!(WheelName::parse("a-1-py2.py3-none-any.whl").unwrap().is_pure());
        assert!(!WheelName::parse("a-1-cp311-none-any.whl").unwrap().is_pure());
        assert_eq!(canonical("Oslo.Config__x"), "oslo-config-x");
    }

    #[test]
    fn metadata_ends_at_the_first_empty_line() {
        let text = "Metadata-Version: 2.1\nName: a\nVersion: 1\nSummary: x\n  y\nRequires-Dist: b (>=1) ;\n python_version < '3'\n\nName: body\n";
        let metadata = Metadata::parse(text).unwrap();
        assert_eq!(metadata.name, "a");
        assert_eq!(metadata.requires, ["b (>=1) ; python_version < '3'"]);
        assert_eq!(Metadata::parse("Name: a\n"), None);
    }

    #[test]
    fn entry_points_are_held_to_identifiers() {
        let text = "# c\n[other]\nx = not checked\n[console_scripts]\ntrove-guestagent = trove.cmd.guest:main\n  b=m:o.p [extra]\n";
        let commands: Vec<_> =
            entry_points(text).unwrap().into_iter().map(|e| (e.command, e.module, e.object)).collect();
        let expected = [("b", "m", "o.p"), ("trove-guestagent", "trove.cmd.guest", "main")];
        assert_eq!(commands, expected.map(|(a, b, c)| (a.to_owned(), b.to_owned(), c.to_owned())));
        for bad in [
            "../x = a:b",
            "x = a:b\u{20}c",
            "x = a;import os:b",
            "x = a",
            ".. = a:b",
            "x/y = a:b",
            "x = 1a:b",
            "no equals",
        ] {
            assert_eq!(entry_points(&format!("[console_scripts]\n{bad}\n")), Err(bad.to_owned()));
        }
    }

    #[test]
    fn record_lines_and_hashes() {
        let empty = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU";
        let files =
            record(&format!("a/b.py,sha256={empty},0\n\"c,\"\"d\",sha256={empty}=,0\nx/RECORD,,\n")).unwrap();
        assert_eq!(files["a/b.py"], files["c,\"d"]);
        assert_eq!(files["x/RECORD"], None);
        for bad in ["a", "a,md5=xx,1", "a,sha256=xx,1", "a,,\na,,", "\"a,,"] {
            assert!(record(bad).is_err(), "{bad}");
        }
        assert_eq!(
            record_line("c,\"d", Some((files["a/b.py"].unwrap(), 0))),
            format!("\"c,\"\"d\",sha256={empty},0\n")
        );
    }

    proptest! {
        #[test]
        fn hashes_round_trip(bytes: [u8; 32]) {
            prop_assert_eq!(digest(&BASE64.encode(bytes)), Some(Digest::from_bytes(bytes)));
        }

        #[test]
        fn record_lines_round_trip(path in "[a-z ,\"/.]{1,20}[a-z]", hash: [u8; 32]) {
            let hash = Digest::from_bytes(hash);
            let files = record(&record_line(&path, Some((hash, 1)))).unwrap();
            prop_assert_eq!(files.get(&path), Some(&Some(hash)));
        }

        #[test]
        fn any_text_is_parsed_or_refused(text: String) {
            let _ = Metadata::parse(&text);
            let _ = record(&text);
            let _ = WheelName::parse(&text);
        }

        #[test]
        fn no_entry_point_can_carry_code_or_a_path(line in "\\PC{0,40}") {
            for entry in entry_points(&format!("[console_scripts]\n{line}")).unwrap_or_default() {
                prop_assert!(!entry.command.contains('/') && entry.command != "..");
                let code = format!("{}{}", entry.module, entry.object);
                prop_assert!(code.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '.')));
            }
        }

        #[test]
        fn good_entry_points_survive(command in "[a-z][a-z0-9-]{0,10}", module in "[a-z_]{1,5}(\\.[a-z]{1,5}){0,2}") {
            let entries = entry_points(&format!("[console_scripts]\n{command} = {module}:main\n")).unwrap();
            prop_assert_eq!(&entries[0].command, &command);
            prop_assert_eq!(&entries[0].module, &module);
        }
    }
}
