//! The real thing: today's Trove from this host's package index, run by this host's Python.

use std::path::Path;
use std::process::Command;

use fs_err as fs;

use crate::agent::{AgentRequest, resolve};
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
