//! Agents from git: branches, tags, moved ones, constraints of their releases, servers that refuse.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use fs_err as fs;

use super::git_server::{Repository, serve};
use super::support::{Index, Maker};
use crate::agent::error::AgentError;
use crate::agent::git::Patience;
use crate::agent::pip::HostEnv;
use crate::agent::settle::settle_with;
use crate::agent::{AgentBundle, AgentRequest, Settling, resolve_in};
use crate::cache::{self, Bucket, Cache, Kind, Limits};
use crate::control::Control;
use crate::distro::Arch;
use crate::error::{Diagnose, Exit};
use crate::fetch::testing::http::Reply;
use crate::recipe::{AgentStep, ConstraintsFrom, ConstraintsUrl, Content};

/// For servers that are to fail at once.
const IMPATIENT: Patience = Patience { retries: 2, backoff: Duration::from_millis(1) };

fn step(source: &str) -> AgentStep {
    AgentStep::new(source.parse().unwrap(), "/opt/venv", "trove.cmd", "root")
}

fn trove(version: &str) -> Maker {
    Maker::new("trove", version).file("trove/cmd.py", b"def main():\n    pass\n")
}

/// One user's cache, and an index that has what is looked for.
struct Desk {
    cache: Cache,
    index: Index,
    env: HostEnv,
    home: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let cache = Cache::open(Some(home.path().join("cache"))).unwrap();
        let index = Index::new();
        let env = index.env();
        Self { cache, index, env, home }
    }

    fn path(&self) -> &Path {
        self.home.path()
    }

    fn settle(
        &self,
        step: &mut AgentStep,
        offline: bool,
        target: Option<&str>,
    ) -> Result<Vec<String>, AgentError> {
        let target = target.map(|release| release.parse().unwrap());
        settle_with(step, &Settling { cache: &self.cache, offline, target }, IMPATIENT, &Control::none())
    }

    fn resolve(&self, step: &AgentStep, offline: bool) -> Result<AgentBundle, AgentError> {
        let glibc = Some((2, 36));
        let request =
            AgentRequest { step, python_minor: 11, arch: Arch::X86_64, glibc, cache: &self.cache, offline };
        resolve_in(&request, &self.env, &Control::none())
    }

    /// Commit and version of an agent.
    fn agent(&self, source: &str, offline: bool) -> (String, String) {
        let mut step = step(source);
        self.settle(&mut step, offline, None).unwrap();
        let bundle = self.resolve(&step, offline).unwrap();
        (step.commit.unwrap(), bundle.agent.version)
    }
}

/// The repository and the index are named as what they are; only the bytes come from elsewhere.
#[test]
fn repository_and_index_may_have_mirrors() {
    let desk = Desk::new();
    let repository = Repository::new(&desk.path().join("srv"), "trove");
    let commit = repository.commit_agent(&trove("25.0.0"));
    desk.index.add(&Maker::new("setuptools", "80.0"));
    let server = serve(&desk.path().join("srv"), |_| None);
    let index = desk.env.get("PIP_INDEX_URL").unwrap();
    let index = index.strip_suffix("/simple").unwrap();
    let mirrors = |index: &str| {
        let text = format!(
            "[[mirror]]\nurl = 'https://git.invalid'\nmirror = '{}'\n[[mirror]]\nurl = 'https://pypi.invalid/'\nmirror = '{index}'\n",
            server.url("")
        );
        Control::none().with_mirrors(crate::mirror::Mirrors::parse("c", &text).unwrap())
    };
    let mut env = desk.env.clone();
    env.0.retain(|(name, _)| name != "PIP_INDEX_URL");
    env.0.push(("PIP_INDEX_URL".to_owned(), Some("https://pypi.invalid/simple".to_owned())));

    let mut from_git = step("git:https://git.invalid/trove@master");
    let with = Settling { cache: &desk.cache, offline: false, target: None };
    settle_with(&mut from_git, &with, IMPATIENT, &mirrors(index)).unwrap();
    assert_eq!(from_git.commit.as_ref(), Some(&commit));
    assert_eq!(from_git.source.to_string(), "git:https://git.invalid/trove@master");
    let offline = Settling { offline: true, ..with };
    settle_with(&mut from_git, &offline, IMPATIENT, &Control::none()).unwrap();

    desk.index.add(&trove("24.0.0"));
    let step = step("pypi:24.0.0");
    let request = AgentRequest {
        step: &step,
        python_minor: 11,
        arch: Arch::X86_64,
        glibc: Some((2, 36)),
        cache: &desk.cache,
        offline: false,
    };
    let bundle = resolve_in(&request, &env, &mirrors(index)).unwrap();
    assert_eq!(bundle.agent.version, "24.0.0");
    let again = AgentStep { extra: vec!["six".to_owned()], ..step.clone() };
    let request = AgentRequest { step: &again, ..request };
    let error = resolve_in(&request, &env, &mirrors("http://mirror.invalid")).unwrap_err();
    assert!(matches!(error, AgentError::PlainIndex { .. }), "{error}");
    assert_eq!(error.exit(), Exit::Usage);
}

#[test]
fn branches_tags_commits_and_a_branch_that_moves() {
    let desk = Desk::new();
    let repository = Repository::new(&desk.path().join("srv"), "trove");
    let first = repository.commit_agent(&trove("25.0.0"));
    repository.git(&["tag", "-a", "25.0.0", "-m", "x"]);
    repository.git(&["branch", "stable/2026.1"]);
    let second = repository.commit_agent(&trove("26.0.0"));
    let server = serve(&desk.path().join("srv"), |_| None);
    let at = |reference: &str| format!("git:{}{reference}", server.url("/trove"));
    let of = |commit: &String, version: &str| (commit.clone(), version.to_owned());

    assert_eq!(desk.agent(&at(""), false), of(&second, "26.0.0"), "what the repository shows first");
    for reference in ["@stable/2026.1", "@25.0.0", &format!("@{first}"), "@refs/heads/stable/2026.1"] {
        assert_eq!(desk.agent(&at(reference), false), of(&first, "25.0.0"), "{reference}");
    }
    let local = format!("git:{}@25.0.0", repository.path.display());
    assert_eq!(desk.agent(&local, false), of(&first, "25.0.0"));

    // It moves, and not only forward; offline the last that was seen counts.
    repository.git(&["checkout", "--quiet", "stable/2026.1"]);
    let third = repository.commit_agent(&trove("25.1.0"));
    assert_eq!(desk.agent(&at("@stable/2026.1"), true), of(&first, "25.0.0"));
    assert_eq!(desk.agent(&at("@stable/2026.1"), false), of(&third, "25.1.0"));
    repository.git(&["reset", "--quiet", "--hard", &second]);
    assert_eq!(desk.agent(&at("@stable/2026.1"), false), of(&second, "26.0.0"));
    assert_eq!(desk.agent(&at("@stable/2026.1"), true), of(&second, "26.0.0"));

    // A commit that is here cannot change, so nobody is asked.
    let asked = server.requests();
    assert_eq!(desk.agent(&at(&format!("@{first}")), false), of(&first, "25.0.0"));
    assert_eq!(server.requests(), asked);
    // A review, which is neither a branch nor a tag.
    repository.git(&["update-ref", "refs/changes/26/322826/2", &third]);
    assert_eq!(desk.agent(&at("@refs/changes/26/322826/2"), false), of(&third, "25.1.0"));

    let error = desk.settle(&mut step(&at("@stable/2026.2")), false, None).unwrap_err();
    assert_eq!(error.exit(), Exit::Usage);
    let hint = error.hint().unwrap();
    assert!(hint.starts_with("the nearest that it has: stable/2026.1"), "{error}: {hint}");
    let error = desk.settle(&mut step(&at("@refs/changes/1/1/1")), false, None).unwrap_err();
    assert!(matches!(error, AgentError::NoReference { .. }), "{error:?}");
    let error = desk.settle(&mut step(&format!("git:{}", server.url("/other"))), false, None).unwrap_err();
    assert!(matches!(error, AgentError::NoRepository { .. }), "{error:?}");
    let error = desk.settle(&mut step("git:https://h.example/never@x"), true, None).unwrap_err();
    assert_eq!(
        error.to_string(),
        "offline, and the cache does not hold a mirror of the repository `https://h.example/never`"
    );
}

#[test]
fn a_build_sees_the_repository_and_its_hooks_do_nothing() {
    let desk = Desk::new();
    let repository = Repository::new(desk.path(), "trove");
    let mark = desk.path().join("mark");
    for hook in ["post-checkout", "post-merge", "reference-transaction", "fsmonitor-watchman"] {
        let path = repository.path.join(".git/hooks").join(hook);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, format!("#!/bin/sh\necho {hook} >>'{}'\n", mark.display())).unwrap();
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    repository.git(&["config", "core.fsmonitor", "false"]);
    // A backend that makes its version as pbr does: by asking git.
    let agent = trove("25.0.0");
    let mut source = agent.source();
    let backend = source.iter_mut().find(|(path, _)| path == "backend.py").unwrap();
    let asks = "import subprocess\n\
        def git(*words): return subprocess.check_output(['git', *words], text=True).strip()\n\
        assert git('describe', '--tags') == '25.0.0', git('describe', '--tags')\n\
        assert 'trove/data.txt' in git('ls-files').split(), git('ls-files')\n";
    backend.1 = [asks.as_bytes(), &backend.1].concat();
    source.push(("trove/data.txt".to_owned(), b"x".to_vec()));
    let files: Vec<(&str, &[u8])> =
        source.iter().map(|(path, text)| (path.as_str(), text.as_slice())).collect();
    repository.commit(&files);
    repository.git(&["tag", "25.0.0"]);
    let (_, version) = desk.agent(&format!("git:{}", repository.path.display()), false);
    assert_eq!(version, "25.0.0");
    assert!(!mark.exists(), "{}", fs::read_to_string(&mark).unwrap_or_default());
}

#[test]
fn the_constraints_of_a_branch_are_found_and_kept() {
    let desk = Desk::new();
    for version in ["1.0", "2.0", "3.0"] {
        desk.index.add(&Maker::new("dep", version));
    }
    let repository = Repository::new(&desk.path().join("srv"), "trove");
    repository.commit_agent(&trove("25.0.0").requires("dep"));
    for branch in ["stable/2026.1", "stable/2025.2", "stable/2025.1", "my-fix"] {
        repository.git(&["branch", branch]);
    }
    let requirements = Repository::new(&desk.path().join("srv"), "requirements");
    requirements.commit(&[("upper-constraints.txt", b"dep===1.0\n")]);
    requirements.git(&["branch", "-m", "stable/2025.2"]);
    let server = serve(&desk.path().join("srv"), |request| match request.path.as_str() {
        "/upper/2026.1" => Some(Reply::new(200, b"dep===2.0\n".to_vec())),
        "/upper/master" => Some(Reply::new(200, b"dep===3.0\n".to_vec())),
        path if path.starts_with("/upper/") => Some(Reply::new(404, Vec::new())),
        _ => None,
    });
    let settled = |branch: &str, asked: bool, offline: bool| {
        let mut step = step(&format!("git:{}@{branch}", server.url("/trove")));
        step.constraints_from = Some(ConstraintsFrom::Auto { base: server.url("/upper"), asked });
        desk.settle(&mut step, offline, None).map(|_| step)
    };
    let dep = |step: &AgentStep, offline| {
        let bundle = desk.resolve(step, offline).unwrap();
        bundle.agent.files.iter().find(|file| file.name == "dep").unwrap().version.clone()
    };
    // A tree of OpenStack's without a branch of its own in its name is for `master`.
    for (branch, version) in
        [("stable/2026.1", "2.0"), ("master", "3.0"), ("stable/2025.2", "1.0"), ("my-fix", "3.0")]
    {
        for offline in [false, true] {
            let step = settled(branch, false, offline).unwrap();
            assert_eq!(dep(&step, offline), version, "{branch}");
            let Some(ConstraintsFrom::Url(from)) = &step.constraints_from else { panic!("{step:?}") };
            let Some(Content::Host { sha256, .. }) = &step.constraints else { panic!("{step:?}") };
            assert_eq!(from.sha256, Some(*sha256));
            let beside = branch == "stable/2025.2";
            assert!(from.url.contains(if beside { "/requirements@" } else { "/upper/" }), "{}", from.url);
        }
    }
    // Neither there nor beside: nobody guesses.
    let error = settled("stable/2025.1", false, false).unwrap_err();
    assert!(matches!(error, AgentError::Constraints { .. }), "{error:?}");
    // Of another one's agent nothing is known; that is an error for whoever asked.
    let other = Repository::new(&desk.path().join("srv"), "other");
    other.commit(&[("setup.cfg", b"")]);
    let ask = |asked, target| {
        let mut step = step(&format!("git:{}", server.url("/other")));
        step.constraints_from = Some(ConstraintsFrom::Auto { base: server.url("/upper"), asked });
        desk.settle(&mut step, false, target).map(|_| step)
    };
    assert_eq!(ask(false, None).unwrap().constraints, None);
    assert!(matches!(ask(true, None), Err(AgentError::NoSeries { .. })));
    assert!(ask(true, Some("2026.1")).unwrap().constraints.is_some());
}

#[test]
fn constraints_of_a_url_are_what_they_were_said_to_be() {
    let desk = Desk::new();
    let good = b"dep===2.0\n";
    let digest = crate::digest::Digest::of(good);
    let server = serve(desk.path(), |_| Some(Reply::new(200, b"dep===2.0\n".to_vec())));
    let settled = |sha256, offline| {
        let mut step = step("pypi:25.0.0");
        step.constraints_from = Some(ConstraintsFrom::Url(ConstraintsUrl { url: server.url("/c"), sha256 }));
        desk.settle(&mut step, offline, None).map(|_| step.constraints)
    };
    assert_eq!(settled(Some(digest), true).unwrap_err().exit(), Exit::Network);
    let wrong = settled(Some(crate::digest::Digest::of(b"x")), false).unwrap_err();
    assert_eq!(wrong.exit(), Exit::Integrity, "{wrong}");
    let found = settled(Some(digest), false).unwrap();
    let asked = server.requests();
    assert_eq!(settled(Some(digest), false).unwrap(), found, "by its digest it is known");
    assert_eq!(server.requests(), asked);
    assert_eq!(settled(None, true).unwrap(), found);
    // What is damaged in the cache is not used.
    let Some(Content::Host { path, .. }) = found else { panic!("a file") };
    fs::write(&path, "dep===9.0\n").unwrap();
    assert!(settled(None, true).is_err());
    let damaged = cache::audit(&desk.cache, &Control::none()).unwrap();
    assert!(
        damaged.iter().any(|one| one.damage.is_some() && one.about.starts_with("constraints ")),
        "{damaged:?}"
    );
    assert!(!path.exists());
}

#[test]
fn releases_that_do_not_fit_are_known_before_anything_is_resolved() {
    let desk = Desk::new();
    let repository = Repository::new(desk.path(), "trove");
    repository.commit_agent(&trove("25.0.0"));
    repository.git(&["branch", "stable/2026.1"]);
    let warnings = |source: &str, target: &str| desk.settle(&mut step(source), false, Some(target)).unwrap();
    let at = |reference: &str| format!("git:{}@{reference}", repository.path.display());
    assert_eq!(warnings(&at("stable/2026.1"), "2026.1"), [""; 0]);
    assert!(
        warnings(&at("stable/2026.1"), "2025.1")[0]
            .contains("is of 2026.1, and the control plane is to be 2025.1")
    );
    assert!(warnings(&at("master"), "2025.1")[0].contains("next release"));
    assert!(warnings("pypi:25.0.0", "2025.1")[0].contains("git:stable/2025.1"));
    assert_eq!(warnings("pypi:25.0.0", "2026.1"), [""; 0]);
}

#[test]
fn servers_that_refuse_or_fail_end_in_words_and_never_in_a_question() {
    let desk = Desk::new();
    let repository = Repository::new(&desk.path().join("srv"), "trove");
    repository.commit_agent(&trove("25.0.0"));
    let locked = serve(&desk.path().join("srv"), |_| {
        let mut reply = Reply::new(401, Vec::new());
        reply.headers.push(("WWW-Authenticate".to_owned(), "Basic realm=\"git\"".to_owned()));
        Some(reply)
    });
    let error = desk.settle(&mut step(&format!("git:{}", locked.url("/trove"))), false, None).unwrap_err();
    assert!(matches!(error, AgentError::GitRefused { .. }), "{error:?}");
    assert!(error.exit() == Exit::Network && error.hint().unwrap().contains(".netrc"));
    assert!(
        error.context().iter().any(|line| line.contains("terminal prompts disabled")),
        "{:?}",
        error.context()
    );

    // A server that is busy is asked again, and only so often.
    let busy = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&busy);
    let server = serve(&desk.path().join("srv"), move |_| {
        (count.fetch_add(1, Ordering::SeqCst) < 2).then(|| Reply::new(503, Vec::new()))
    });
    desk.settle(&mut step(&format!("git:{}", server.url("/trove"))), false, None).unwrap();
    let down = serve(&desk.path().join("srv"), |_| Some(Reply::new(503, Vec::new())));
    let error = desk.settle(&mut step(&format!("git:{}", down.url("/trove"))), false, None).unwrap_err();
    assert!(matches!(error, AgentError::GitNetwork { passing: true, .. }), "{error:?}");
    assert_eq!(down.requests(), 3);
    let error = desk.settle(&mut step("git:http://127.0.0.1:9/trove"), false, None).unwrap_err();
    assert!(matches!(error, AgentError::GitNetwork { passing: true, .. }), "{error:?}");
    assert_eq!(fs::read_dir(desk.cache.directory(Bucket::Git)).unwrap().count(), 1, "half a mirror is none");

    // Nobody is sent to where nobody asked to go.
    let path = repository.path.display().to_string();
    let sent = serve(&desk.path().join("srv"), move |_| {
        let mut reply = Reply::new(302, Vec::new());
        reply
            .headers
            .push(("Location".to_owned(), format!("file://{path}/info/refs?service=git-upload-pack")));
        Some(reply)
    });
    let error = desk.settle(&mut step(&format!("git:{}", sent.url("/trove"))), false, None).unwrap_err();
    assert!(error.context().iter().any(|line| line.contains("file")), "{:?}", error.context());
}

#[test]
fn a_mirror_is_listed_checked_and_removed_like_the_rest() {
    let desk = Desk::new();
    let repository = Repository::new(desk.path(), "trove");
    repository.commit_agent(&trove("25.0.0"));
    let source = format!("git:{}", repository.path.display());
    desk.agent(&source, false);
    let mirrors = || -> Vec<_> {
        cache::inventory(&desk.cache).unwrap().into_iter().filter(|item| item.kind == Kind::Mirror).collect()
    };
    let [mirror] = mirrors().try_into().unwrap();
    assert_eq!(mirror.about, fs::canonicalize(&repository.path).unwrap().display().to_string());
    assert!(!mirror.unusable && mirror.bytes > 0);
    let audit = || cache::audit(&desk.cache, &Control::none()).unwrap();
    let of_mirror =
        |found: Vec<cache::Audited>| found.into_iter().find(|one| one.kind == Kind::Mirror).unwrap();
    assert_eq!(of_mirror(audit()).damage, None);

    // One byte of a pack, or of an object.
    let objects = mirror.path.join("repository.git/objects");
    let mut queue = vec![objects];
    let mut largest = (0, std::path::PathBuf::new());
    while let Some(directory) = queue.pop() {
        for entry in fs::read_dir(directory).unwrap().flatten() {
            let meta = entry.metadata().unwrap();
            match meta.is_dir() {
                true => queue.push(entry.path()),
                false if meta.len() > largest.0 => largest = (meta.len(), entry.path()),
                false => {}
            }
        }
    }
    let mut bytes = fs::read(&largest.1).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(&largest.1, std::fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(&largest.1, bytes).unwrap();
    let found = of_mirror(audit());
    assert!(found.damage.is_some() && found.set_aside.is_some(), "{found:?}");
    assert!(mirrors().is_empty());
    // It is made again, and goes when it is not used.
    desk.agent(&source, false);
    assert_eq!(mirrors().len(), 1);
    let all = Limits { unused_for: Duration::ZERO, max_size: None };
    cache::collect(&desk.cache, &all, false, &Control::none()).unwrap();
    assert!(mirrors().is_empty());
}

#[test]
fn requirements_of_ones_own_take_the_place_of_the_agents() {
    let desk = Desk::new();
    desk.index.add(&trove("25.0.0").requires("sqlalchemy").requires("dep>=9"));
    desk.index.add(&Maker::new("dep", "1.0").requires("deeper"));
    desk.index.add(&Maker::new("deeper", "1.0"));
    let mut step = step("pypi:25.0.0");
    assert!(desk.resolve(&step, false).is_err(), "the index has no sqlalchemy");
    step.requirements = Some(Content::Text("# what it needs\ndep<2 # old\n".to_owned()));
    let bundle = desk.resolve(&step, false).unwrap();
    let names: Vec<_> = bundle.agent.files.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(names, ["deeper", "dep", "trove"]);
    assert_eq!(desk.resolve(&step, true).unwrap(), bundle);
    let mut tar = tar::Archive::new(fs::File::open(&bundle.tree.path).unwrap());
    let paths: Vec<_> =
        tar.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().display().to_string()).collect();
    assert!(paths.contains(&"opt/venv/tib-requirements.txt".to_owned()), "{paths:?}");
    step.requirements = Some(Content::Text("absent\n".to_owned()));
    assert!(matches!(desk.resolve(&step, false), Err(AgentError::NoSuchVersion { .. })));
}
