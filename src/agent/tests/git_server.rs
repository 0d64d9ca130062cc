//! Repositories made by git, and a server that hands them out with git's own program for that.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use fs_err as fs;

use super::support::Maker;
use crate::fetch::testing::http::{Reply, Request, Server};

/// A repository on this host that is committed to.
pub(crate) struct Repository {
    pub(crate) path: PathBuf,
}

impl Repository {
    /// A repository `name` whose first branch is `master`.
    pub(crate) fn new(directory: &Path, name: &str) -> Self {
        let path = directory.join(name);
        fs::create_dir_all(&path).unwrap();
        let repository = Self { path };
        repository.git(&["init", "--quiet", "--initial-branch=master"]);
        repository
    }

    /// Runs git in it, apart from whatever this host's user has set.
    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        let mut command = crate::host::git::git(&["file"]);
        for role in ["AUTHOR", "COMMITTER"] {
            command
                .env(format!("GIT_{role}_NAME"), "test")
                .env(format!("GIT_{role}_EMAIL"), "test@example.com");
        }
        let out = command.arg("-C").arg(&self.path).args(arguments).output().unwrap();
        assert!(out.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8_lossy(&out.stdout).trim().to_owned()
    }

    /// Commits files to the branch that is checked out, and returns the commit.
    pub(crate) fn commit(&self, files: &[(&str, &[u8])]) -> String {
        for (path, content) in files {
            let path = self.path.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "-m", "change"]);
        self.git(&["rev-parse", "HEAD"])
    }

    /// Commits the source of an agent.
    pub(crate) fn commit_agent(&self, agent: &Maker) -> String {
        let source = agent.source();
        let mut files: Vec<(&str, &[u8])> =
            source.iter().map(|(path, content)| (path.as_str(), content.as_slice())).collect();
        files.push((".gitreview", b"[gerrit]\nproject=openstack/trove.git\n"));
        self.commit(&files)
    }
}

/// Serves the repositories below `root` by `git http-backend`; `first` may answer instead.
pub(crate) fn serve(
    root: &Path,
    first: impl Fn(&Request) -> Option<Reply> + Send + Sync + 'static,
) -> Server {
    let root = root.to_owned();
    Server::http(move |request| first(request).unwrap_or_else(|| backend(&root, request)))
}

/// Runs git's CGI program for one request.
fn backend(root: &Path, request: &Request) -> Reply {
    let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
    let mut command = Command::new("git");
    command.arg("http-backend").env("GIT_PROJECT_ROOT", root).env("GIT_HTTP_EXPORT_ALL", "1");
    command.env("PATH_INFO", path).env("QUERY_STRING", query).env("REQUEST_METHOD", &request.method);
    for (variable, header) in [
        ("CONTENT_TYPE", "content-type"),
        ("HTTP_CONTENT_ENCODING", "content-encoding"),
        ("GIT_PROTOCOL", "git-protocol"),
    ] {
        command.env(variable, request.header(header).unwrap_or_default());
    }
    command.env("CONTENT_LENGTH", request.body.len().to_string());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let body = request.body.clone();
    let writer = std::thread::spawn(move || drop(stdin.write_all(&body)));
    let out = child.wait_with_output().unwrap().stdout;
    writer.join().unwrap();
    let end = out.windows(4).position(|window| window == b"\r\n\r\n").expect("a header");
    let header = String::from_utf8_lossy(&out[..end]).into_owned();
    let fields: Vec<_> = header.lines().filter_map(|line| line.split_once(": ")).collect();
    let status = fields
        .iter()
        .find(|(name, _)| *name == "Status")
        .map_or(200, |(_, text)| text.split(' ').next().unwrap().parse().unwrap());
    let mut reply = Reply::new(status, out[end + 4..].to_vec());
    reply.headers.extend(
        fields
            .iter()
            .filter(|(name, _)| *name != "Status")
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
    );
    reply
}
