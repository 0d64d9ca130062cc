//! Resolution, against an index on the loopback and this host's pip.

use std::path::Path;

use fs_err as fs;

use super::support::{Index, Maker, env};
use crate::agent::error::AgentError;
use crate::agent::pip::HostEnv;
use crate::agent::{AgentBundle, AgentRequest, resolve_in};
use crate::cache::Cache;
use crate::control::Control;
use crate::distro::Arch;
use crate::error::{Diagnose, Exit};
use crate::recipe::{AgentStep, Content};

fn step(source: &str) -> AgentStep {
    AgentStep {
        source: source.parse().unwrap(),
        venv: "/opt/guest-agent-venv".to_owned(),
        module: "trove.cmd".to_owned(),
        owner: "root".to_owned(),
        extra: Vec::new(),
        constraints: None,
        constraints_from: None,
        requirements: None,
        commit: None,
    }
}

/// A guest: its Python, and whether the build is offline.
#[derive(Clone, Copy)]
struct Guest(u8, bool);

fn ask(step: &AgentStep, cache: &Path, env: &HostEnv, guest: Guest) -> Result<AgentBundle, AgentError> {
    let cache = &Cache::open(Some(cache.to_owned())).unwrap();
    let request = AgentRequest {
        step,
        python_minor: guest.0,
        arch: Arch::X86_64,
        glibc: Some((2, 36)),
        cache,
        offline: guest.1,
    };
    resolve_in(&request, env, &Control::none())
}

fn trove(version: &str) -> Maker {
    Maker::new("trove", version)
        .file("trove/cmd.py", b"def main():\n    print('agent')\n")
        .command("trove-guestagent = trove.cmd:main")
}

fn names(bundle: &AgentBundle) -> Vec<String> {
    bundle.agent.files.iter().map(|file| format!("{}-{}", file.name, file.version)).collect()
}

/// Header and content of every entry, byte code apart.
fn entries(tar: &Path) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut archive = tar::Archive::new(fs::File::open(tar).unwrap());
    let mut found = Vec::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut content = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut content).unwrap();
        if !entry.path_bytes().ends_with(b".pyc") {
            found.push((entry.header().as_bytes().to_vec(), content));
        }
    }
    found
}

#[test]
fn the_newest_that_fits_then_from_the_cache_and_offline() {
    let (index, cache) = (Index::new(), tempfile::tempdir().unwrap());
    index.add(&trove("1.0"));
    index.add(&trove("2.0").requires("dep>=1"));
    index.add(&trove("3.0").python(">=3.99"));
    index.add(&Maker::new("dep", "1.5"));
    let (step, env) = (step("pypi"), index.env());
    let bundle = ask(&step, cache.path(), &env, Guest(11, false)).unwrap();
    assert_eq!((bundle.agent.name.as_str(), bundle.agent.version.as_str()), ("trove", "2.0"));
    assert_eq!(names(&bundle), ["dep-1.5", "trove-2.0"]);
    assert_eq!(fs::metadata(&bundle.tree.path).unwrap().len(), bundle.tree.size);

    let asked = index.asked();
    assert_eq!(ask(&step, cache.path(), &env, Guest(11, false)).unwrap(), bundle);
    assert_eq!(index.asked(), asked, "a fresh resolution is not asked for again");
    // Another index: not fresh, but good enough offline.
    let elsewhere = super::support::env(9);
    assert_eq!(ask(&step, cache.path(), &elsewhere, Guest(11, true)).unwrap(), bundle);
    let error = ask(&step, cache.path(), &elsewhere, Guest(11, false)).unwrap_err();
    assert!(matches!(error, AgentError::Network { .. }), "{error}");

    // The tar is the same when it is made again.
    let first = entries(&bundle.tree.path);
    fs::remove_file(&bundle.tree.path).unwrap();
    let again = ask(&step, cache.path(), &env, Guest(11, true)).unwrap();
    assert_eq!(again.agent, bundle.agent);
    assert!(first.len() > 10);
    assert_eq!(entries(&again.tree.path), first);

    // A wheel that is gone is named.
    fs::remove_dir_all(cache.path().join("v1/agents/wheels")).unwrap();
    let error = ask(&step, cache.path(), &env, Guest(11, true)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "offline, and the cache does not hold dep-1.5-py3-none-any.whl, trove-2.0-py3-none-any.whl"
    );
    let left: Vec<_> =
        fs::read_dir(cache.path().join("v1/agents")).unwrap().flatten().map(|e| e.file_name()).collect();
    assert_eq!(left.len(), 4, "no working directory is left: {left:?}");
}

#[test]
fn the_tar_holds_an_environment_that_runs() {
    let (index, cache) = (Index::new(), tempfile::tempdir().unwrap());
    index.add(&trove("1.0"));
    let root = fs::canonicalize(cache.path()).unwrap().join("venv");
    let mut step = step("pypi:1.0");
    step.venv = root.display().to_string();
    let out = std::process::Command::new("/usr/bin/python3")
        .args(["-c", "import sys; print(sys.version_info.minor)"])
        .output()
        .unwrap();
    let minor = String::from_utf8(out.stdout).unwrap().trim().parse().unwrap();
    let bundle = ask(&step, cache.path(), &index.env(), Guest(minor, false)).unwrap();
    assert!(bundle.tree.compiled);
    let mut archive = tar::Archive::new(fs::File::open(&bundle.tree.path).unwrap());
    for entry in archive.entries().unwrap() {
        let entry = entry.unwrap();
        let header = entry.header();
        assert_eq!(
            (header.uid().unwrap(), header.gid().unwrap(), header.mtime().unwrap()),
            (0, 0, 315_532_800)
        );
    }
    tar::Archive::new(fs::File::open(&bundle.tree.path).unwrap()).unpack("/").unwrap();
    let out = std::process::Command::new(root.join("bin/trove-guestagent")).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&out.stdout), "agent\n", "{}", String::from_utf8_lossy(&out.stderr));
    let site = root.join(format!("lib/python3.{minor}/site-packages"));
    assert!(site.join(format!("trove/__pycache__/cmd.cpython-3{minor}.pyc")).is_file());
    let record = fs::read_to_string(site.join("trove-1.0.dist-info/RECORD")).unwrap();
    assert!(record.contains(&format!("trove/__pycache__/cmd.cpython-3{minor}.pyc,,\n")), "{record}");
}

#[test]
fn what_cannot_be_had_is_explained() {
    let (index, cache) = (Index::new(), tempfile::tempdir().unwrap());
    index.add(&trove("1.0"));
    index.add(&trove("2.0rc1"));
    index.add(&trove("3.0").python(">=3.99"));
    index.add(&trove("4.0").requires("nowhere>1"));
    let cases = [
        ("pypi:99.0", "there is no `trove==99.0`; available: 1.0, 2.0rc1, 4.0", Exit::Usage),
        ("pypi:3.0", "trove 3.0 needs Python >=3.99, and the guest has 3.11", Exit::Usage),
        ("pypi:4.0", "there is no `nowhere>1`; the index has none that the guest could use", Exit::Usage),
    ];
    for (source, message, exit) in cases {
        let error = ask(&step(source), cache.path(), &index.env(), Guest(11, false)).unwrap_err();
        assert_eq!((error.to_string().as_str(), error.exit()), (message, exit));
    }
    let error = ask(&step("pypi:3.0"), cache.path(), &index.env(), Guest(11, false)).unwrap_err();
    let hint = error.hint().unwrap();
    assert!(hint.starts_with("the newest version for this guest is 4.0"), "{hint}");

    let mut wrong = step("pypi:1.0");
    wrong.module = "trove.missing".to_owned();
    let error = ask(&wrong, cache.path(), &index.env(), Guest(11, false)).unwrap_err();
    assert_eq!(error.to_string(), "trove 1.0 has no module `trove.missing`");
    let mut option = step("pypi:1.0");
    option.extra.push("--pre".to_owned());
    let error = ask(&option, cache.path(), &index.env(), Guest(11, false)).unwrap_err();
    assert_eq!(error.exit(), Exit::Usage);

    let error = ask(&step("pypi:1.0"), cache.path(), &env(9), Guest(10, false)).unwrap_err();
    assert!(matches!(error, AgentError::Network { .. }), "{error}");
    assert_eq!(error.exit(), Exit::Network);
    let error = ask(&step("pypi:5"), cache.path(), &env(9), Guest(11, true)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "offline, and the cache does not hold a resolution of agent `pypi:5` for Python 3.11 on x86_64"
    );
}

#[test]
fn sources_are_built_when_they_are_pure() {
    let (index, cache) = (Index::new(), tempfile::tempdir().unwrap());
    index.add(&trove("1.0").requires("pure"));
    index.add_source(&Maker::new("pure", "1.0"));
    let bundle = ask(&step("pypi:1.0"), cache.path(), &index.env(), Guest(11, false)).unwrap();
    assert_eq!(names(&bundle), ["pure-1.0", "trove-1.0"]);

    index.add(&trove("2.0").requires("compiled"));
    let mut compiled = Maker::new("compiled", "1.0");
    compiled.tag = format!("py3-none-linux_{}", std::env::consts::ARCH);
    index.add_source(&compiled);
    let error = ask(&step("pypi:2.0"), cache.path(), &index.env(), Guest(11, false)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`compiled` has no wheel for the guest (Python 3.11, manylinux_2_36_x86_64), and it holds compiled code, \
         which cannot be built for the guest here"
    );
    assert_eq!(error.exit(), Exit::Recipe);
}

#[test]
fn constraints_extras_and_the_guests_markers_count() {
    let (index, cache) = (Index::new(), tempfile::tempdir().unwrap());
    index.add(&trove("1.0").requires("dep").requires("backport; python_version < '3.10'"));
    index.add(&trove("2.0"));
    for version in ["1.0", "1.5", "2.0"] {
        index.add(&Maker::new("dep", version));
    }
    index.add(&Maker::new("backport", "1.0"));
    index.add(&Maker::new("driver", "1.0").provides("fast").requires("codec; extra == 'fast'"));
    index.add(&Maker::new("codec", "1.0"));
    let mut step = step("pypi");
    step.constraints = Some(Content::Text("dep<2\ntrove<2\n".to_owned()));
    step.extra = vec!["driver[fast]".to_owned()];
    let new = ask(&step, cache.path(), &index.env(), Guest(11, false)).unwrap();
    assert_eq!(names(&new), ["codec-1.0", "dep-1.5", "driver-1.0", "trove-1.0"]);
    // Whatever Python runs pip here, the guest's decides.
    let old = ask(&step, cache.path(), &index.env(), Guest(9, false)).unwrap();
    assert_eq!(names(&old), ["backport-1.0", "codec-1.0", "dep-1.5", "driver-1.0", "trove-1.0"]);
    assert_ne!(old.agent, new.agent);

    let file = cache.path().join("constraints.txt");
    fs::write(&file, "dep<1.5\n").unwrap();
    let sha256 = crate::digest::Digest::of(b"dep<1.5\n");
    step.constraints = Some(Content::Host { path: file.clone(), sha256, size: 8 });
    step.source = "pypi:1.0".parse().unwrap();
    let pinned = ask(&step, cache.path(), &index.env(), Guest(11, false)).unwrap();
    assert!(names(&pinned).contains(&"dep-1.0".to_owned()));
    fs::write(&file, "dep<2.0\n").unwrap();
    let error = ask(&step, cache.path(), &index.env(), Guest(12, false)).unwrap_err();
    assert_eq!(error.exit(), Exit::Integrity, "{error}");
}

#[test]
fn a_persons_own_code() {
    let (index, cache) = (Index::new(), tempfile::tempdir().unwrap());
    index.add(&Maker::new("dep", "1.0"));
    let home = tempfile::tempdir().unwrap();
    let own = trove("7.0").requires("dep");
    let tree = home.path().join("tree");
    fs::create_dir(&tree).unwrap();
    let source = own.source();
    for (path, content) in &source {
        fs::write(tree.join(path), content).unwrap();
    }
    let (sdist, bytes) = own.sdist();
    fs::write(home.path().join(&sdist), bytes).unwrap();
    own.write(home.path());
    for path in ["tree", &sdist, &own.file_name()] {
        let step = step(&format!("path:{}", home.path().join(path).display()));
        let bundle = ask(&step, cache.path(), &index.env(), Guest(11, false)).unwrap();
        assert_eq!(names(&bundle), ["dep-1.0", "trove-7.0"], "{path}");
        assert_eq!(ask(&step, cache.path(), &index.env(), Guest(11, true)).unwrap(), bundle);
    }
    assert_eq!(fs::read_dir(&tree).unwrap().count(), source.len(), "the person's directory is as it was");

    // Another place and another cache give the same; other content does not.
    let elsewhere = tempfile::tempdir().unwrap();
    let copy = elsewhere.path().join("copy");
    fs::create_dir(&copy).unwrap();
    for (path, content) in &source {
        fs::write(copy.join(path), content).unwrap();
    }
    let resolved = |path: &Path, cache: &Path| {
        let step = step(&format!("path:{}", path.display()));
        ask(&step, cache, &index.env(), Guest(11, false)).unwrap().agent
    };
    let first = resolved(&tree, cache.path());
    assert_eq!(first, resolved(&copy, elsewhere.path()));
    for (path, content) in trove("7.0").requires("dep").file("trove/more.py", b"x = 1\n").source() {
        fs::write(copy.join(path), content).unwrap();
    }
    assert_ne!(first, resolved(&copy, elsewhere.path()));

    let new = trove("8.0").python(">=3.99");
    let step = step(&format!("path:{}", new.write(home.path()).display()));
    let error = ask(&step, cache.path(), &index.env(), Guest(11, false)).unwrap_err();
    assert_eq!(error.to_string(), "trove 8.0 needs Python >=3.99, and the guest has 3.11");
}

#[test]
fn an_old_pip_is_passed_over() {
    let cache = tempfile::tempdir().unwrap();
    let bin = cache.path().join("bin");
    fs::create_dir(&bin).unwrap();
    let fake = bin.join("python3");
    fs::write(&fake, "#!/bin/sh\necho pip 9.0.1 from x\n").unwrap();
    let mode = <std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o755);
    fs::set_permissions(&fake, mode).unwrap();
    let index = Index::new();
    index.add(&trove("1.0"));
    let mut env = index.env();
    env.0.push(("PATH".to_owned(), Some(format!("{}:/usr/bin:/bin", bin.display()))));
    let bundle = ask(&step("pypi"), cache.path(), &env, Guest(11, false)).unwrap();
    assert_eq!(bundle.agent.version, "1.0");
}

/// Real interpreters, with another pip in front of the one they have: an old one, and one that does not start.
#[test]
fn a_host_without_a_usable_pip_is_refused() {
    let scratch = tempfile::tempdir().unwrap();
    fs::create_dir(scratch.path().join("pip")).unwrap();
    fs::write(scratch.path().join("pip/__init__.py"), "").unwrap();
    let mut env = Index::new().env();
    env.0.push(("PYTHONPATH".to_owned(), Some(scratch.path().display().to_string())));
    for (program, said) in [
        ("print('pip 20.3.4 from /usr/lib (python 3.9)')", ": pip 20.3.4"),
        ("import sys; sys.exit('No module named pip')", ": No module named pip"),
    ] {
        fs::write(scratch.path().join("pip/__main__.py"), program).unwrap();
        let cache = tempfile::tempdir().unwrap();
        let error = ask(&step("pypi"), cache.path(), &env, Guest(11, false)).unwrap_err();
        assert_eq!(error.exit(), Exit::Host);
        let message = error.to_string();
        assert!(message.starts_with("no python3 on this host has pip 22 or newer"), "{message}");
        assert!(message.contains("/python3") && message.contains(said), "{message}");
        assert!(error.hint().unwrap().contains("python3-pip"));
    }
}
