//! Against real archives, with the guest's own apt as the oracle.

use std::path::{Path, PathBuf};
use std::time::Instant;

use fs_err as fs;

use super::fixture::HostTree;
use super::install;
use crate::cancel::Cancel;
use crate::event::Events;
use crate::os::Arch;
use crate::source::apt::{AptRequest, install_script, resolve};

/// Resolves against the sources of a real Debian root and compares with the apt in there.
///
/// `TIB_TEST_TREE` is the root; for each name in `TIB_TEST_PACKAGES`, the file of that name in
/// `TIB_TEST_ORACLE` holds the sorted `name version` lines of the guest's own simulation. Payload,
/// script and times are left in `TIB_TEST_OUT`.
#[test]
#[ignore = "needs a Debian root and the network"]
fn real_archive() {
    let variable = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set"));
    let out = PathBuf::from(variable("TIB_TEST_OUT"));
    for name in variable("TIB_TEST_PACKAGES").split_whitespace() {
        let stages = [install(&[name])];
        let mut sets = Vec::new();
        for offline in [false, false, true] {
            let started = Instant::now();
            let mut tree = HostTree(variable("TIB_TEST_TREE").into());
            let cache_dir = &out.join("cache");
            let request = AptRequest {
                tree: &mut tree,
                arch: Arch::X86_64,
                stages: &stages,
                needed: &[],
                cache_dir,
                offline,
            };
            sets = resolve(request, &Events::none(), &Cancel::new()).unwrap().sets;
            let path = out.join("times");
            let before = fs::read_to_string(&path).unwrap_or_default();
            fs::write(
                path,
                format!(
                    "{before}{name} offline={offline} {:?} {} bytes\n",
                    started.elapsed(),
                    sets[0].size()
                ),
            )
            .unwrap();
        }
        let mut lines: Vec<_> =
            sets[0].files.iter().map(|file| format!("{} {}\n", file.name, file.version)).collect();
        lines.sort();
        let oracle = fs::read_to_string(Path::new(&variable("TIB_TEST_ORACLE")).join(name)).unwrap();
        assert_eq!(lines.concat(), oracle);
        let directory = out.join(name);
        fs::create_dir_all(&directory).unwrap();
        for file in &sets[0].files {
            fs::hard_link(&file.path, directory.join(file.file_name())).unwrap();
        }
        fs::write(directory.join("install.sh"), install_script(&sets[0], "/mnt", &[])).unwrap();
    }
}
