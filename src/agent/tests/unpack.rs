//! Unpacking: what a good wheel becomes, and everything that is refused.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use fs_err as fs;

use super::support::Maker;
use crate::agent::error::AgentError;
use crate::agent::venv::Venv;
use crate::agent::wheel::Wheel;

fn good() -> Maker {
    Maker::new("demo", "1.0")
        .file("demo/cmd.py", b"def main():\n    print('main')\n")
        .file("demo/data, with comma.txt", b"x")
        .file("demo-1.0.data/purelib/demo_pure.py", b"")
        .file("demo-1.0.data/platlib/demo_plat.py", b"")
        .executable("demo-1.0.data/scripts/demo-script", b"#!python -E\nprint('script')\n")
        .executable("demo-1.0.data/scripts/demo-sh", b"#!/bin/sh\necho sh\n")
        .file("demo-1.0.data/data/share/demo/readme", b"readme")
        .file("demo-1.0.data/headers/demo.h", b"/* */")
        .command("demo-main = demo.cmd:main")
        .command("demo-extra = demo.cmd:main [extra]")
}

fn unpack(wheels: &[Maker], venv_path: &str, staging: &Path) -> Result<Venv, AgentError> {
    let host = tempfile::tempdir().unwrap();
    let mut venv = Venv::new(staging, venv_path, host_minor()).unwrap();
    for (index, wheel) in wheels.iter().enumerate() {
        let path = wheel.write(host.path());
        let installed = Wheel::open(&path, &wheel.file_name())?.unpack(&mut venv, index == 0)?;
        crate::agent::bundle::write_record(&mut venv, &installed)?;
    }
    Ok(venv)
}

/// Minor version of this host's `python3`, which is the oracle's.
fn host_minor() -> u8 {
    let out = Command::new("/usr/bin/python3")
        .args(["-c", "import sys; print(sys.version_info.minor)"])
        .output()
        .unwrap();
    String::from_utf8(out.stdout).unwrap().trim().parse().unwrap()
}

/// Path → content (or link target) and whether it is executable, for everything that is not compared otherwise.
fn list(root: &Path) -> BTreeMap<String, (String, bool)> {
    use std::os::unix::fs::PermissionsExt as _;
    let mut found = BTreeMap::new();
    let mut queue = vec![root.to_owned()];
    while let Some(directory) = queue.pop() {
        for entry in fs::read_dir(&directory).unwrap().flatten() {
            let (path, kind) = (entry.path(), entry.file_type().unwrap());
            let name = path.strip_prefix(root).unwrap().display().to_string();
            if kind.is_dir() {
                queue.push(path);
            } else if kind.is_symlink() {
                found.insert(name, (fs::read_link(&path).unwrap().display().to_string(), false));
            } else {
                let executable = entry.metadata().unwrap().permissions().mode() & 0o111 != 0;
                let content = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
                found.insert(name, (content, executable));
            }
        }
    }
    found
}

/// `python3 -m venv` and `pip install` are the oracle: the same wheel becomes the same environment.
#[test]
fn an_environment_is_what_venv_and_pip_make() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let second = Maker::new("other", "2.0").file("other/mod.py", b"").command("other = other.mod:run");
    let wheels = [good(), second];
    let staging = root.join("staging");
    // The oracle sits where ours claims to be, so that paths in scripts are equal.
    let oracle = root.join("oracle");
    let text = oracle.display().to_string();
    let ours = unpack(&wheels, &text, &staging).unwrap();
    let run = |program: &Path, arguments: &[&str]| {
        let out = Command::new(program)
            .args(arguments)
            .env("PIP_CONFIG_FILE", "/dev/null")
            .env_remove("PIP_FIND_LINKS")
            .output()
            .unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    };
    let python = Path::new("/usr/bin/python3");
    run(python, &["-m", "venv", "--without-pip", &text]);
    let files: Vec<_> = wheels.iter().map(|wheel| wheel.write(root).display().to_string()).collect();
    let mut install =
        vec!["-m", "pip", "--python", &text, "install", "--quiet", "--no-index", "--no-deps", "--no-compile"];
    install.extend(files.iter().map(String::as_str));
    run(python, &install);

    let (mut theirs, mut mine) = (list(&oracle), list(&ours.root()));
    // What is meant to differ: our name, the address pip notes of files, the activation scripts, venv's own notes.
    theirs.retain(|name, _| !name.ends_with("direct_url.json") && !name.to_lowercase().contains("activate"));
    for tree in [&mut theirs, &mut mine] {
        tree.retain(|name, _| {
            !name.ends_with("/INSTALLER") && !name.ends_with("/REQUESTED") && name != "pyvenv.cfg"
        });
    }
    // RECORD: the same files, whatever their order; hashes are compared through the contents.
    let mut records = [Vec::new(), Vec::new()];
    for (tree, record) in [&mut theirs, &mut mine].into_iter().zip(&mut records) {
        for (name, (content, _)) in tree.iter_mut().filter(|(name, _)| name.ends_with("/RECORD")) {
            for line in std::mem::take(content).lines() {
                let skip = ["direct_url.json", "/INSTALLER", "/REQUESTED"];
                if !skip.iter().any(|skip| line.contains(skip)) {
                    record.push(format!("{name}: {line}"));
                }
            }
        }
        record.sort();
    }
    for (name, (content, executable)) in &mine {
        if name.starts_with("bin/") && *executable && content.contains("import re") {
            let first = format!("#!{text}/bin/python3\n");
            assert!(content.starts_with(&first), "{name}: {content}");
        }
    }
    // pip names the interpreter it ran under (`python`, `python3.11`), which is the same file.
    let scripts = |tree: &mut BTreeMap<String, (String, bool)>| {
        for (name, (content, _)) in tree.iter_mut().filter(|(name, _)| name.starts_with("bin/")) {
            if let Some((first, rest)) =
                content.clone().split_once('\n').filter(|(first, _)| first.contains("/bin/python"))
            {
                let arguments = first.split_once(' ').map_or("", |(_, arguments)| arguments);
                *content = format!("#!PYTHON {arguments}\n{rest}");
            } else if name.starts_with("bin/python") {
                content.clear();
            }
        }
    };
    scripts(&mut theirs);
    scripts(&mut mine);
    assert_eq!(mine, theirs);
    // Scripts' hashes follow the interpreter's name, so only their paths can be compared.
    let paths = |record: &[String]| -> Vec<String> {
        record
            .iter()
            .map(|line| {
                if line.contains("../bin/") {
                    line.split(",sha256=").next().unwrap_or_default().to_owned()
                } else {
                    line.clone()
                }
            })
            .collect()
    };
    assert_eq!(paths(&records[1]), paths(&records[0]));
}

#[test]
fn placeholders_become_the_guests_interpreter() {
    let staging = tempfile::tempdir().unwrap();
    let venv = unpack(&[good()], "/opt/guest-agent-venv", staging.path()).unwrap();
    let read = |name: &str| fs::read_to_string(venv.root().join(name)).unwrap();
    assert_eq!(read("bin/demo-script"), "#!/opt/guest-agent-venv/bin/python3\nprint('script')\n");
    assert_eq!(read("bin/demo-sh"), "#!/bin/sh\necho sh\n");
    insta::assert_snapshot!("command", read("bin/demo-main"));
    insta::assert_snapshot!(
        "record",
        read(&format!("{}/demo-1.0.dist-info/RECORD", venv.site()))
            .replace(&format!("python3.{}", host_minor()), "python3.X")
    );
}

#[test]
fn hostile_and_damaged_wheels_are_refused() {
    let forged = |mut wheel: Maker, from: &str, to: &str| {
        wheel.forge = Some((from.to_owned(), to.to_owned()));
        wheel
    };
    let unrecorded = |path: &str, content: &[u8], mode| {
        let mut wheel = Maker::new("demo", "1.0");
        wheel.unrecorded.push((path.to_owned(), content.to_owned(), mode));
        wheel
    };
    let plain = || Maker::new("demo", "1.0");
    let other = {
        let mut wheel = plain();
        wheel.name = "demo".to_owned();
        wheel.file("second-1.0.dist-info/METADATA", b"")
    };
    let cases = [
        (
            forged(plain().file("demo/a.py", b"1"), "sha256=a4", "sha256=b4"),
            "`demo/a.py` does not match its hash in RECORD",
        ),
        (
            forged(plain().file("demo/a.py", b"1"), "demo/a.py,sha256", "demo/a.py,md5"),
            "RECORD has no SHA-256 for `demo/a.py`",
        ),
        (forged(plain(), "demo/__init__.py", "demo/gone.py"), "`demo/__init__.py` is not in its RECORD"),
        (unrecorded("demo/b.py", b"", 0o100_644), "`demo/b.py` is not in its RECORD"),
        (unrecorded("../evil.py", b"", 0o100_644), "`../evil.py` is not a path inside it"),
        (unrecorded("demo/../../evil.py", b"", 0o100_644), "`demo/../../evil.py` is not a path inside it"),
        (unrecorded("/etc/evil", b"", 0o100_644), "`/etc/evil` is not a path inside it"),
        (unrecorded("demo\\evil", b"", 0o100_644), "`demo\\evil` is not a path inside it"),
        (unrecorded("demo/link", b"/etc/passwd", 0o120_777), "`demo/link` is neither file nor directory"),
        (unrecorded("demo/zeros", &vec![0; 70 << 20], 0o100_644), "it would unpack from "),
        (other, "it has 2 .dist-info directories instead of one"),
        (plain().file("demo-1.0.data/odd/x", b""), "`demo-1.0.data/odd/x` belongs nowhere"),
        (
            plain().command("x = demo:main; import os"),
            "entry_points.txt has a malformed line `x = demo:main; import os`",
        ),
    ];
    for (wheel, expected) in cases {
        let staging = tempfile::tempdir().unwrap();
        let error = unpack(&[wheel], "/opt/venv", staging.path()).unwrap_err();
        let text = error.to_string();
        assert!(
            text.starts_with(&format!("wheel `demo-1.0-py3-none-any.whl` is refused: {expected}")),
            "{text}"
        );
        assert!(!staging.path().join("opt/evil.py").exists() && !staging.path().join("evil.py").exists());
    }
}

#[test]
fn a_length_that_lies_is_found_out() {
    let directory = tempfile::tempdir().unwrap();
    let wheel = Maker::new("demo", "1.0").file("demo/zeros", &[0; 5000]);
    let mut bytes = wheel.bytes();
    // Both headers claim 16 bytes instead of 5000.
    let (truth, lie) = (5000u32.to_le_bytes(), 16u32.to_le_bytes());
    let places: Vec<_> =
        bytes.windows(4).enumerate().filter(|(_, w)| *w == truth).map(|(at, _)| at).collect();
    assert!(places.len() >= 2);
    for at in places {
        bytes[at..at + 4].copy_from_slice(&lie);
    }
    let path = directory.path().join(wheel.file_name());
    fs::write(&path, bytes).unwrap();
    let mut venv = Venv::new(&directory.path().join("staging"), "/opt/venv", 11).unwrap();
    let result = Wheel::open(&path, &wheel.file_name()).and_then(|wheel| wheel.unpack(&mut venv, true));
    assert!(matches!(result, Err(AgentError::Wheel { .. })));
}

#[test]
fn any_damage_is_refused_or_harmless() {
    let directory = tempfile::tempdir().unwrap();
    let wheel = good();
    let bytes = wheel.bytes();
    let path = directory.path().join(wheel.file_name());
    for at in (0..bytes.len()).step_by(7) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0xff;
        fs::write(&path, &damaged).unwrap();
        let staging = directory.path().join(format!("staging-{at}"));
        let mut venv = Venv::new(&staging, "/opt/venv", 11).unwrap();
        if let Ok(installed) =
            Wheel::open(&path, &wheel.file_name()).and_then(|wheel| wheel.unpack(&mut venv, false))
        {
            // Times and modes may be damaged without notice; contents may not.
            let module = fs::read(venv.root().join(venv.site()).join("demo/cmd.py")).unwrap();
            assert_eq!(module, b"def main():\n    print('main')\n");
            assert!(!installed.files.is_empty());
        }
    }
}

#[test]
fn two_wheels_with_one_file() {
    let staging = tempfile::tempdir().unwrap();
    let first = Maker::new("a", "1").file("shared/__init__.py", b"");
    let same = Maker::new("b", "1").file("shared/__init__.py", b"");
    let different = Maker::new("c", "1").file("shared/__init__.py", b"x");
    unpack(&[first.clone(), same], "/opt/venv", staging.path()).unwrap();
    let staging = tempfile::tempdir().unwrap();
    let error = unpack(&[first, different], "/opt/venv", staging.path()).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("shared/__init__.py` comes with a-1-py3-none-any.whl and, different, with c-1"),
        "{text}"
    );
}
