//! Labels by a whole policy, judged by libselinux' own `matchpathcon`: Debian's, whose modules its archive has.

use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::Command;

use super::contexts::{ContextFiles, FileContexts, Wanted};
use crate::disk::FileKind;

/// Files of this host that are asked for.
const FILES: usize = 30_000;

/// Takes the lists of contexts out of a directory of modules, as `semodule_unpackage` would, with homes below `/home`.
const UNPACK: &str = r#"
import bz2, pathlib, struct, sys
for path in sorted(pathlib.Path(sys.argv[1]).glob("*.pp.bz2")):
    data = bz2.decompress(path.read_bytes())
    magic, version, count = struct.unpack("<III", data[:12])
    assert magic == 0xF97CFF8F, path
    starts = list(struct.unpack(f"<{count}I", data[12 : 12 + 4 * count])) + [len(data)]
    for start, end in zip(starts, starts[1:]):
        if struct.unpack("<I", data[start : start + 4])[0] != 0xF97CFF90:
            continue
        for line in data[start + 4 : end].decode().splitlines():
            if "%{USER" not in line and "USER:" not in line:
                print(line.replace("HOME_DIR", "/home/[^/]+").replace("HOME_ROOT", "/home"))
"#;

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Paths of this host, with their kinds.
fn files() -> Vec<(FileKind, String)> {
    let mut found = Vec::new();
    let mut todo = vec![Path::new("/").to_owned()];
    while let Some(directory) = todo.pop()
        && found.len() < FILES
    {
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            let (path, kind) = (entry.path(), entry.file_type().unwrap());
            let Some(text) = path.to_str().filter(|text| !text.contains('\n')) else { continue };
            let own = match kind {
                kind if kind.is_dir() => FileKind::Directory,
                kind if kind.is_symlink() => FileKind::Symlink,
                kind if kind.is_file() => FileKind::File,
                _ => continue,
            };
            found.push((own, text.to_owned()));
            if kind.is_dir() && !["/proc", "/sys", "/dev"].contains(&text) {
                todo.push(path);
            }
        }
    }
    found
}

/// Paths made of the patterns: what matches them, or nearly.
fn of_patterns(contexts: &str) -> Vec<(FileKind, String)> {
    let mut found = Vec::new();
    for pattern in contexts.lines().filter_map(|line| line.split_whitespace().next()) {
        for fill in ["", "a/b"] {
            let mut path = pattern.to_owned();
            for expression in ["(/.*)?", "(.*/)?", "[^/]*", "[^/]+", ".*", ".+", "[0-9]+", "[0-9]*", "(-.*)?"]
            {
                let filled = if expression.starts_with("(/") && !fill.is_empty() {
                    format!("/{fill}")
                } else {
                    fill.to_owned()
                };
                path = path.replace(expression, &filled);
            }
            let path: String = path.chars().filter(|c| !"\\()?[]*+^$|".contains(*c)).collect();
            if path.starts_with('/') {
                // As a file of an image is called: libselinux takes superfluous slashes away before it looks, and nobody else does.
                let parts = path.split('/').filter(|part| !part.is_empty());
                let path = format!("/{}", parts.collect::<Vec<_>>().join("/"));
                found.extend([FileKind::File, FileKind::Directory].map(|kind| (kind, path.clone())));
            }
        }
    }
    found
}

/// The labels that libselinux finds.
fn judged(contexts: &Path, kind: FileKind, paths: &[&str]) -> Vec<String> {
    let letter = match kind {
        FileKind::Directory => "d",
        FileKind::Symlink => "l",
        _ => "f",
    };
    let mut labels = Vec::new();
    for paths in paths.chunks(4000) {
        let mut judge = Command::new("/usr/sbin/matchpathcon");
        judge.args(["-n", "-N", "-m", letter, "-f"]).arg(contexts).args(paths);
        labels.extend(run(&mut judge).lines().map(str::to_owned));
    }
    labels
}

#[test]
#[ignore = "needs Debian's archive"]
fn network_labels_are_those_that_libselinux_finds_in_debians_policy() {
    let place = tempfile::tempdir().unwrap();
    run(Command::new("apt-get").args(["-q", "download", "selinux-policy-default"]).current_dir(place.path()));
    let is_package = |path: &std::path::PathBuf| path.as_os_str().as_bytes().ends_with(b".deb");
    let mut entries = std::fs::read_dir(place.path()).unwrap().map(|entry| entry.unwrap().path());
    let package = entries.find(is_package).unwrap();
    let tree = place.path().join("tree");
    run(Command::new("dpkg-deb").arg("-x").arg(package).arg(&tree));
    let modules = tree.join("usr/share/selinux/default");
    let text = run(Command::new("/usr/bin/python3").args(["-I", "-c", UNPACK]).arg(modules));
    assert!(text.lines().count() > 4000, "{}", text.lines().count());
    let subs =
        std::fs::read(tree.join("etc/selinux/default/contexts/files/file_contexts.subs_dist")).unwrap();
    let list = place.path().join("file_contexts");
    std::fs::write(&list, &text).unwrap();
    std::fs::write(place.path().join("file_contexts.subs_dist"), &subs).unwrap();
    let contexts = FileContexts::parse(&ContextFiles {
        contexts: vec![("file_contexts".to_owned(), text.clone().into_bytes())],
        subs: Vec::new(),
        subs_dist: subs,
    })
    .unwrap();

    let (mut count, mut different, mut told) = (0, 0, String::new());
    for (real, paths) in [(true, files()), (false, of_patterns(&text))] {
        for kind in [FileKind::File, FileKind::Directory, FileKind::Symlink] {
            let paths: Vec<&str> =
                paths.iter().filter(|(own, _)| *own == kind).map(|(_, path)| path.as_str()).collect();
            let labels = judged(&list, kind, &paths);
            assert_eq!(labels.len(), paths.len());
            for (path, label) in paths.iter().zip(labels) {
                let own = match contexts.lookup(path.as_bytes(), kind) {
                    Wanted::Label(own) => own.to_string(),
                    Wanted::Nothing => "<<none>>".to_owned(),
                    Wanted::Unknown(reason) => reason,
                };
                count += 1;
                if own != label {
                    // Where PCRE gives up, libselinux finds no label.
                    assert!(!real && label == "<<none>>", "{kind:?} {path}: {own}, and libselinux {label}");
                    different += 1;
                    writeln!(told, "{kind:?} {path}: {own}").unwrap();
                }
            }
        }
    }
    assert!(count > 40_000 && different * 1000 < count, "{different} of {count}: {told}");
}
