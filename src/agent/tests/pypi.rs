//! The real thing: today's Trove from this host's package index, run by this host's Python.

use std::path::Path;
use std::process::Command;

use fs_err as fs;

use super::git_server::Repository;
use crate::agent::{AgentRequest, Settling, resolve, settle};
use crate::cache::Cache;
use crate::control::Control;
use crate::distro::Arch;
use crate::recipe::AgentStep;

/// `TIB_TEST_AGENT` chooses the version.
#[test]
#[ignore = "downloads 126 wheels (42 MB) from the package index: run by `make test-network`"]
fn network_troves_agent_starts_from_the_tar() {
    let directory = tempfile::tempdir().unwrap();
    let cache = Cache::open(Some(directory.path().join("cache"))).unwrap();
    let venv = directory.path().join("venv");
    let step = AgentStep {
        source: std::env::var("TIB_TEST_AGENT").unwrap_or("pypi".to_owned()).parse().unwrap(),
        venv: venv.display().to_string(),
        module: "trove.cmd.guest".to_owned(),
        owner: "root".to_owned(),
        extra: Vec::new(),
        constraints: None,
        constraints_from: None,
        requirements: None,
        commit: None,
    };
    let python = Path::new("/usr/bin/python3");
    let ask =
        Command::new(python).args(["-c", "import sys; print(sys.version_info.minor)"]).output().unwrap();
    let request = |offline| AgentRequest {
        step: &step,
        python_minor: String::from_utf8_lossy(&ask.stdout).trim().parse().unwrap(),
        arch: Arch::host().unwrap(),
        glibc: Some((2, 36)),
        cache: &cache,
        offline,
    };
    let bundle = resolve(&request(false), &Control::none()).unwrap();
    assert!(bundle.agent.files.len() > 50);
    fs::remove_file(&bundle.tree.path).unwrap();
    assert_eq!(resolve(&request(true), &Control::none()).unwrap(), bundle, "laid out again, the same");
    assert_eq!(resolve(&request(true), &Control::none()).unwrap(), bundle);
    tar::Archive::new(fs::File::open(&bundle.tree.path).unwrap()).unpack("/").unwrap();
    let out = Command::new(venv.join("bin/trove-guestagent")).arg("--help").output().unwrap();
    let text = String::from_utf8_lossy(&out.stdout);
    assert!(text.contains("--config-dir"), "{text}{}", String::from_utf8_lossy(&out.stderr));
    let out = Command::new(venv.join("bin/python")).args(["-c", "import trove.cmd.guest"]).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}

/// OpenStack's projects take their version and the list of their files from git.
#[test]
#[ignore = "downloads pbr and setuptools from the package index: run by `make test-network`"]
fn network_pbr_makes_version_and_files_of_the_repository() {
    let directory = tempfile::tempdir().unwrap();
    let cache = Cache::open(Some(directory.path().join("cache"))).unwrap();
    let repository = Repository::new(directory.path(), "trove");
    repository.commit(&[
        ("setup.py", b"import setuptools\nsetuptools.setup(setup_requires=['pbr>=2'], pbr=True)\n"),
        ("setup.cfg", b"[metadata]\nname = trove\nsummary = x\n[files]\npackages =\n    trove\n"),
        (
            "pyproject.toml",
            b"[build-system]\nrequires = ['pbr>=6.1', 'setuptools>=64']\nbuild-backend = 'pbr.build'\n",
        ),
        ("trove/__init__.py", b""),
        ("trove/cmd.py", b""),
        ("trove/templates/mysql/config.template", b"x"),
    ]);
    repository.git(&["tag", "25.0.0"]);
    repository.commit(&[("trove/more.py", b"")]);
    let source = format!("git:{}@master", repository.path.display());
    let mut step = AgentStep::new(source.parse().unwrap(), "/opt/venv", "trove.cmd", "root");
    let with = Settling { cache: &cache, offline: false, target: None };
    settle(&mut step, &with, &Control::none()).unwrap();
    let glibc = Some((2, 36));
    let request = AgentRequest {
        step: &step,
        python_minor: 11,
        arch: Arch::X86_64,
        glibc,
        cache: &cache,
        offline: false,
    };
    let bundle = resolve(&request, &Control::none()).unwrap();
    assert_eq!(bundle.agent.version, "25.0.1.dev1");
    let mut tar = tar::Archive::new(fs::File::open(&bundle.tree.path).unwrap());
    let has = |entry: tar::Entry<'_, fs::File>| {
        entry.path().unwrap().ends_with("trove/templates/mysql/config.template")
    };
    assert!(tar.entries().unwrap().any(|entry| has(entry.unwrap())));
}
