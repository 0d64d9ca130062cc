use std::path::Path;
use std::process::Command;

use proptest::prelude::*;

use super::super::testing::with_host_files;
use super::*;
use crate::os::testing::MemTree;

fn output(program: &Path, arguments: &[&str]) -> Vec<u8> {
    let output =
        Command::new(program).args(arguments).env("PIP_DISABLE_PIP_VERSION_CHECK", "1").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[test]
fn pip_says_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("venv");
    let shown = root.to_str().unwrap();
    output(Path::new("python3"), &["-m", "venv", shown]);
    let version =
        output(&root.join("bin/python"), &["-c", "import platform; print(platform.python_version())"]);
    let version = String::from_utf8(version).unwrap().trim().to_owned();
    let short = version.rsplit_once('.').unwrap().0;
    let site = root.join(format!("lib/python{short}/site-packages"));
    let add = |name: &str, text: &str| {
        let path = site.join(name);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, text).unwrap();
    };
    add(
        "Oslo.Config-9.1.dist-info/METADATA",
        "Metadata-Version: 2.1\nName: Oslo.Config\nVersion: 9.1\n\nName: no\n",
    );
    add("old_one-1.0.egg-info/PKG-INFO", "Metadata-Version: 1.0\nName: old_one\nVersion: 1.0\n");
    add("flat-2.egg-info", "Metadata-Version: 1.0\nName: flat\nVersion: 2\n");
    add("mine-0.1.dist-info/METADATA", "Metadata-Version: 2.1\nName: mine\nVersion: 0.1\n");
    add(
        "mine-0.1.dist-info/direct_url.json",
        r#"{"dir_info": {"editable": true}, "url": "file:///src/mine"}"#,
    );
    add("fixed-0.2.dist-info/METADATA", "Metadata-Version: 2.1\nName: fixed\nVersion: 0.2\n");
    add("fixed-0.2.dist-info/direct_url.json", r#"{"dir_info": {}, "url": "file:///src/fixed"}"#);
    let list = ["-m", "pip", "list", "--format", "json", "--path", site.to_str().unwrap()];
    let expected: serde_json::Value =
        serde_json::from_slice(&output(&root.join("bin/python"), &list)).unwrap();
    let mut expected: Vec<_> = expected
        .as_array()
        .unwrap()
        .iter()
        .map(|package| PythonPackage {
            name: normalized(package["name"].as_str().unwrap()).unwrap(),
            version: package["version"].as_str().unwrap().to_owned(),
            editable: package.get("editable_project_location").is_some(),
        })
        .collect();
    expected.sort();
    assert!(expected.len() >= 6, "{expected:?}");

    let mut tree = with_host_files(MemTree::new(), &root, "/opt/own/venv");
    let found = python(&mut tree).unwrap();
    assert_eq!(found.environments.len(), 1);
    let environment = &found.environments[0];
    assert_eq!(environment.path, "/opt/own/venv");
    assert_eq!(environment.packages, expected);
    let venv = environment.venv.as_ref().unwrap();
    assert_eq!((venv.version.as_str(), venv.system_packages), (version.as_str(), false));
    assert!(!venv.usable, "its interpreter is on the host");
}

#[test]
fn the_distributions_own() {
    let mut tree = MemTree::new()
        .program("/usr/bin/python3.11", "")
        .link("/usr/bin/python3", "python3.11")
        .program("/usr/bin/python3.11-config", "")
        .link("/usr/bin/python2.7", "gone")
        .file("/usr/lib/python3/dist-packages/six-1.16.0.egg-info", "Name: six\nVersion: 1.16.0\n")
        .dir("/usr/lib/python3/dist-packages/broken-1.dist-info")
        .file("/usr/local/lib/python3.11/dist-packages/a-1.dist-info/METADATA", "Name: a\nVersion: 1\n")
        .dir("/usr/lib/python3.11/site-packages");
    let found = python(&mut tree).unwrap();
    assert_eq!(
        found.interpreters,
        [Interpreter { path: "/usr/bin/python3.11".to_owned(), version: "3.11".to_owned() }]
    );
    let short: Vec<_> =
        found.environments.iter().map(|e| (e.path.as_str(), e.packages.len(), e.unreadable.len())).collect();
    assert_eq!(
        short,
        [("/usr/lib/python3/dist-packages", 1, 1), ("/usr/local/lib/python3.11/dist-packages", 1, 0)]
    );
    let expected = "/usr/lib/python3/dist-packages/broken-1.dist-info/METADATA: it does not exist";
    assert_eq!(found.environments[0].unreadable, [expected]);
}

#[test]
fn environments_of_any_age() {
    let site = "/srv/e/lib/python2.7/site-packages";
    let mut tree = MemTree::new()
        .file("/srv/e/pyvenv.cfg", "home = /usr/bin\ninclude-system-site-packages = true\nversion = 2.7.18\n")
        .program("/srv/e/bin/python", "")
        .link("/srv/e/lib64", "lib")
        .file(&format!("{site}/own.egg-link"), "/src/own\n.")
        .file("/src/own/own.egg-info/PKG-INFO", "Name: own\nVersion: 3\n")
        .file(&format!("{site}/gone.egg-link"), "/src/gone\n.")
        .file("/srv/e/inner/pyvenv.cfg", "not looked at");
    let found = python(&mut tree).unwrap();
    assert_eq!(found.environments.len(), 1);
    let environment = &found.environments[0];
    let own = PythonPackage { name: "own".to_owned(), version: "3".to_owned(), editable: true };
    assert_eq!(environment.packages, [own]);
    assert_eq!(environment.unreadable, [format!("{site}/gone.egg-link: it leads to no package")]);
    let venv = environment.venv.as_ref().unwrap();
    assert_eq!((venv.base.as_deref(), venv.system_packages, venv.usable), (Some("/usr/bin"), true, true));
    for bad in [
        tree.clone().file("/srv/e/pyvenv.cfg", "home = /usr/bin\n"),
        tree.clone().file(&format!("{site}/a.dist-info/direct_url.json"), "{"),
        tree.clone().broken("/srv/e/lib"),
    ] {
        assert!(python(&mut bad.clone()).is_err());
    }
}

proptest! {
    #[test]
    fn any_bytes_are_survived(bytes: Vec<u8>) {
        any_text(&bytes);
    }
}
