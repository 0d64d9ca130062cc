//! A guest in memory, for tests of steps.

use std::collections::BTreeMap;
use std::path::Path;

use crate::disk::{FileKind, Stat, Timestamp};
use crate::guest::{Access, Cause, Guest, GuestError, Script};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Node {
    File(Vec<u8>),
    Directory,
    Link(String),
}

/// Keeps files in a map and records every script instead of running it.
#[derive(Debug, Default)]
pub(crate) struct FakeGuest {
    pub(crate) nodes: BTreeMap<String, (Node, Access)>,
    pub(crate) scripts: Vec<String>,
    /// Everything that was done to it, in order, as text.
    pub(crate) story: String,
    /// A script that contains this text fails.
    pub(crate) fail_on: Option<&'static str>,
}

impl FakeGuest {
    pub(crate) fn new() -> Self {
        let mut guest = Self::default();
        guest.put(
            "/etc/passwd",
            "root:x:0:0::/root:/bin/sh\nubuntu:x:1000:1000::/home/ubuntu:/bin/sh\n",
            0o644,
        );
        guest.put("/etc/group", "root:x:0:\nubuntu:x:1000:\n", 0o644);
        guest
    }

    pub(crate) fn put(&mut self, path: &str, text: &str, mode: u32) {
        self.nodes.insert(path.to_owned(), (Node::File(text.as_bytes().to_vec()), Access::root(mode)));
    }

    pub(crate) fn text(&self, path: &str) -> Option<String> {
        match self.nodes.get(path) {
            Some((Node::File(bytes), _)) => Some(String::from_utf8_lossy(bytes).into_owned()),
            _ => None,
        }
    }

    /// Everything but the scripts, to compare before and after.
    pub(crate) fn listing(&self) -> Vec<String> {
        self.nodes.iter().map(|(path, (node, access))| format!("{path} {:o} {node:?}", access.mode)).collect()
    }

    fn tell(&mut self, what: &str, content: &[u8]) {
        self.story += &format!("== {what}\n{}", String::from_utf8_lossy(content));
        if !self.story.ends_with('\n') {
            self.story += "\n(no newline at the end)\n";
        }
    }

    fn missing(operation: &'static str, path: &str) -> GuestError {
        GuestError::Call {
            operation,
            path: Some(path.to_owned()),
            message: "No such file or directory".to_owned(),
            errno: 2,
        }
    }
}

fn shown(access: Access) -> String {
    format!("{:04o} {}:{}", access.mode, access.uid, access.gid)
}

impl Guest for FakeGuest {
    fn run(&mut self, script: &Script) -> Result<Vec<u8>, GuestError> {
        self.scripts.push(script.text.clone());
        self.tell(&format!("run: {}", script.purpose), script.text.as_bytes());
        match self.fail_on {
            Some(text) if script.text.contains(text) => Err(GuestError::Script {
                purpose: script.purpose.clone(),
                cause: Cause::Unknown,
                tail: vec!["boom".to_owned()],
            }),
            _ => Ok(Vec::new()),
        }
    }

    fn lstat(&mut self, path: &str) -> Result<Option<Stat>, GuestError> {
        Ok(self.nodes.get(path).map(|(node, access)| Stat {
            kind: match node {
                Node::File(_) => FileKind::File,
                Node::Directory => FileKind::Directory,
                Node::Link(_) => FileKind::Symlink,
            },
            mode: access.mode,
            uid: access.uid,
            gid: access.gid,
            size: if let Node::File(bytes) = node { bytes.len() as u64 } else { 0 },
            allocated: 0,
            links: 1,
            inode: 0,
            device: 0,
            special: (0, 0),
            accessed: Timestamp::default(),
            modified: Timestamp::default(),
            changed: Timestamp::default(),
        }))
    }

    fn read(&mut self, path: &str) -> Result<Vec<u8>, GuestError> {
        match self.nodes.get(path) {
            Some((Node::File(bytes), _)) => Ok(bytes.clone()),
            _ => Err(Self::missing("read_file", path)),
        }
    }

    fn write(&mut self, path: &str, content: &[u8], access: Access) -> Result<(), GuestError> {
        self.tell(&format!("write {path} {}", shown(access)), content);
        self.nodes.insert(path.to_owned(), (Node::File(content.to_vec()), access));
        Ok(())
    }

    fn upload(&mut self, host: &Path, path: &str, access: Access) -> Result<(), GuestError> {
        let content = std::fs::read(host).map_err(|_| Self::missing("upload", path))?;
        self.write(path, &content, access)
    }

    fn mkdir_p(&mut self, path: &str, access: Access) -> Result<(), GuestError> {
        self.tell(&format!("mkdir {path} {}", shown(access)), b"");
        self.nodes.insert(path.to_owned(), (Node::Directory, access));
        Ok(())
    }

    fn restore_xattrs(&mut self, list: &Path) -> Result<(), GuestError> {
        let list = std::fs::read(list).map_err(|_| Self::missing("restore_xattrs", "list"))?;
        self.tell("xattrs", &list);
        Ok(())
    }

    fn symlink(&mut self, target: &str, path: &str) -> Result<(), GuestError> {
        self.tell(&format!("link {path} -> {target}"), b"");
        self.nodes.insert(path.to_owned(), (Node::Link(target.to_owned()), Access::root(0o777)));
        Ok(())
    }

    fn read_link(&mut self, path: &str) -> Result<String, GuestError> {
        match self.nodes.get(path) {
            Some((Node::Link(target), _)) => Ok(target.clone()),
            _ => Err(Self::missing("readlink", path)),
        }
    }

    fn remove(&mut self, path: &str) -> Result<(), GuestError> {
        self.tell(&format!("remove {path}"), b"");
        let below = format!("{path}/");
        self.nodes.retain(|name, _| name != path && !name.starts_with(&below));
        Ok(())
    }
}
