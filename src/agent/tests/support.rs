//! Wheels and source distributions made by hand, and a package index on the loopback.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Cursor, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use fs_err as fs;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use crate::agent::metadata::record_line;
use crate::agent::pip::HostEnv;
use crate::digest::Digest;

/// A wheel in the making.
#[derive(Clone)]
pub(crate) struct Maker {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) tag: String,
    pub(crate) python: Option<String>,
    pub(crate) files: Vec<(String, Vec<u8>, u32)>,
    /// Entries that RECORD knows nothing of.
    pub(crate) unrecorded: Vec<(String, Vec<u8>, u32)>,
    /// Replaces a text in RECORD.
    pub(crate) forge: Option<(String, String)>,
    requires: Vec<String>,
    extras: Vec<String>,
    entry_points: String,
}

impl Maker {
    pub(crate) fn new(name: &str, version: &str) -> Self {
        Self {
            name: name.to_owned(),
            version: version.to_owned(),
            tag: "py3-none-any".to_owned(),
            python: None,
            files: Vec::new(),
            unrecorded: Vec::new(),
            forge: None,
            requires: Vec::new(),
            extras: Vec::new(),
            entry_points: String::new(),
        }
        .file(&format!("{name}/__init__.py"), format!("VERSION = '{version}'\n").as_bytes())
    }

    pub(crate) fn file(mut self, path: &str, content: &[u8]) -> Self {
        self.files.push((path.to_owned(), content.to_owned(), 0o100_644));
        self
    }

    pub(crate) fn executable(mut self, path: &str, content: &[u8]) -> Self {
        self.files.push((path.to_owned(), content.to_owned(), 0o100_755));
        self
    }

    pub(crate) fn requires(mut self, requirement: &str) -> Self {
        self.requires.push(requirement.to_owned());
        self
    }

    pub(crate) fn provides(mut self, extra: &str) -> Self {
        self.extras.push(extra.to_owned());
        self
    }

    pub(crate) fn python(mut self, needs: &str) -> Self {
        self.python = Some(needs.to_owned());
        self
    }

    pub(crate) fn command(mut self, line: &str) -> Self {
        self.entry_points.push_str(&format!("{line}\n"));
        self
    }

    pub(crate) fn info(&self) -> String {
        format!("{}-{}.dist-info", self.name, self.version)
    }

    pub(crate) fn file_name(&self) -> String {
        format!("{}-{}-{}.whl", self.name, self.version, self.tag)
    }

    fn metadata(&self) -> String {
        let mut text = format!("Metadata-Version: 2.1\nName: {}\nVersion: {}\n", self.name, self.version);
        self.python.iter().for_each(|needs| text.push_str(&format!("Requires-Python: {needs}\n")));
        self.requires.iter().for_each(|requires| text.push_str(&format!("Requires-Dist: {requires}\n")));
        self.extras.iter().for_each(|extra| text.push_str(&format!("Provides-Extra: {extra}\n")));
        text
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let info = self.info();
        let mut files = self.files.clone();
        let mut add = |name: &str, text: &str| {
            files.push((format!("{info}/{name}"), text.as_bytes().to_owned(), 0o100_644));
        };
        add("METADATA", &self.metadata());
        add(
            "WHEEL",
            &format!("Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {}\n", self.tag),
        );
        if !self.entry_points.is_empty() {
            add("entry_points.txt", &format!("[console_scripts]\n{}", self.entry_points));
        }
        let mut record: String = files
            .iter()
            .map(|(path, content, _)| record_line(path, Some((Digest::of(content), content.len() as u64))))
            .collect();
        record.push_str(&record_line(&format!("{info}/RECORD"), None));
        if let Some((from, to)) = &self.forge {
            assert!(record.contains(from), "nothing to forge");
            record = record.replace(from, to);
        }
        files.push((format!("{info}/RECORD"), record.into_bytes(), 0o100_644));
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        for (path, content, mode) in files.iter().chain(&self.unrecorded) {
            let options = SimpleFileOptions::default().unix_permissions(*mode);
            if mode & 0o170_000 == 0o120_000 {
                let target = String::from_utf8_lossy(content).into_owned();
                writer.add_symlink(path, target, options).unwrap();
            } else {
                writer.start_file(path.as_str(), options).unwrap();
                writer.write_all(content).unwrap();
            }
        }
        writer.finish().unwrap().into_inner()
    }

    pub(crate) fn write(&self, directory: &Path) -> PathBuf {
        let path = directory.join(self.file_name());
        fs::write(&path, self.bytes()).unwrap();
        path
    }

    /// The files of a source tree whose build makes this wheel without any tool but Python.
    pub(crate) fn source(&self) -> Vec<(String, Vec<u8>)> {
        let mut backend = String::from(
            "import base64, os, zipfile\n\ndef build_wheel(directory, config=None, metadata=None):\n",
        );
        // Like pbr, it leaves something in the tree it builds from.
        backend.push_str("    open('AUTHORS', 'w').close()\n");
        backend.push_str(&format!("    name = '{}'\n", self.file_name()));
        let bytes: Vec<String> = self.bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        backend.push_str(&format!("    data = bytes.fromhex('{}')\n", bytes.concat()));
        backend.push_str("    open(os.path.join(directory, name), 'wb').write(data)\n    return name\n");
        let project = format!(
            "[project]\nname = '{}'\nversion = '{}'\n[build-system]\nrequires = []\nbuild-backend = 'backend'\nbackend-path = ['.']\n",
            self.name, self.version
        );
        vec![
            ("PKG-INFO".to_owned(), self.metadata().into_bytes()),
            ("pyproject.toml".to_owned(), project.into_bytes()),
            ("backend.py".to_owned(), backend.into_bytes()),
        ]
    }

    pub(crate) fn sdist(&self) -> (String, Vec<u8>) {
        let top = format!("{}-{}", self.name, self.version);
        let gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        let mut builder = tar::Builder::new(gzip);
        for (path, content) in self.source() {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            builder.append_data(&mut header, format!("{top}/{path}"), content.as_slice()).unwrap();
        }
        (format!("{top}.tar.gz"), builder.into_inner().unwrap().finish().unwrap())
    }
}

/// What the index holds: project → (file, content, Requires-Python).
type Projects = BTreeMap<String, Vec<(String, Vec<u8>, Option<String>)>>;

/// A package index (PEP 503) on the loopback, until the process ends.
pub(crate) struct Index {
    projects: Arc<Mutex<Projects>>,
    asked: Arc<Mutex<usize>>,
    port: u16,
}

impl Index {
    pub(crate) fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (projects, asked) = (Arc::<Mutex<Projects>>::default(), Arc::<Mutex<usize>>::default());
        let (shared, count) = (Arc::clone(&projects), Arc::clone(&asked));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                *count.lock().unwrap() += 1;
                // A client that goes away is its own business.
                let _ = answer(stream, &shared.lock().unwrap());
            }
        });
        Self { projects, asked, port }
    }

    pub(crate) fn add(&self, wheel: &Maker) {
        self.put(&wheel.name, wheel.file_name(), wheel.bytes(), wheel.python.clone());
    }

    pub(crate) fn add_source(&self, wheel: &Maker) {
        let (file, bytes) = wheel.sdist();
        self.put(&wheel.name, file, bytes, wheel.python.clone());
    }

    fn put(&self, project: &str, file: String, bytes: Vec<u8>, python: Option<String>) {
        self.projects.lock().unwrap().entry(project.to_owned()).or_default().push((file, bytes, python));
    }

    /// Requests so far.
    pub(crate) fn asked(&self) -> usize {
        *self.asked.lock().unwrap()
    }

    pub(crate) fn env(&self) -> HostEnv {
        env(self.port)
    }
}

/// An environment whose pip knows one index, and nothing of this host's settings.
pub(crate) fn env(port: u16) -> HostEnv {
    let mut env: Vec<(String, Option<String>)> = std::env::vars()
        .map(|(key, _)| key)
        .filter(|key| key.starts_with("PIP_") || key.to_lowercase().ends_with("_proxy"))
        .map(|key| (key, None))
        .collect();
    env.retain(|(key, _)| !matches!(key.as_str(), "PIP_INDEX_URL" | "PIP_CONFIG_FILE" | "PIP_RETRIES"));
    let mut set = |key: &str, value: String| env.push((key.to_owned(), Some(value)));
    set("PIP_INDEX_URL", format!("http://127.0.0.1:{port}/simple"));
    set("PIP_CONFIG_FILE", "/dev/null".to_owned());
    set("PIP_RETRIES", "0".to_owned());
    HostEnv(env)
}

fn answer(mut stream: TcpStream, projects: &Projects) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let path = request.split(' ').nth(1).unwrap_or_default();
    let body = match path.trim_matches('/').split('/').collect::<Vec<_>>().as_slice() {
        ["simple", project] => projects.get(*project).map(|files| page(files)),
        ["files", name] => {
            projects.values().flatten().find(|(file, ..)| file == name).map(|(_, bytes, _)| bytes.clone())
        }
        _ => None,
    };
    let status = if body.is_some() { "200 OK" } else { "404 Not Found" };
    let kind = if path.starts_with("/simple") { "text/html" } else { "application/octet-stream" };
    let body = body.unwrap_or_default();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    )?;
    stream.write_all(&body)
}

fn page(files: &[(String, Vec<u8>, Option<String>)]) -> Vec<u8> {
    let mut page = String::from("<!DOCTYPE html><html><body>\n");
    for (file, bytes, python) in files {
        let hash = crate::digest::Digest::of(bytes);
        let python =
            python.as_ref().map(|needs| format!(" data-requires-python=\"{}\"", needs.replace('>', "&gt;")));
        page.push_str(&format!(
            "<a href=\"/files/{file}#sha256={hash}\"{}>{file}</a>\n",
            python.unwrap_or_default()
        ));
    }
    page.push_str("</body></html>");
    page.into_bytes()
}
