//! Everything a person can get wrong, with the message and the exit code that answer it.
//!
//! The messages are in `tests/snapshots/`. Tests without `appliance_` in their name prove, by giving libguestfs
//! no hypervisor to run, that what is wrong is found before an appliance starts.

mod common;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::disks::{debian_of_machine, disk_with_files, elf_header, qcow2};
use common::small::{self, Shape};
use common::{BASE, Outcome, built_image, outcome, scratch, tib, tib_path};
use fs_err as fs;

/// A directory with an output file to be, a base and recipes.
struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let directory = scratch();
        fs::create_dir(directory.path().join("out")).unwrap();
        fs::create_dir(directory.path().join("recipes")).unwrap();
        Self { directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn recipe(&self, name: &str, text: &str) {
        let head = format!("name = \"{name}\"\nsummary = \"A test\"\n");
        fs::write(self.path("recipes").join(format!("{name}.toml")), head + text).unwrap();
    }

    /// `tib build` into this place, with its recipes.
    fn build(&self, arguments: &[&str]) -> Command {
        let mut command = tib();
        // Times and hosts differ; what is left is what went wrong.
        command.args(["--quiet", "build"]).args(arguments).arg("--recipe-dir").arg(self.path("recipes"));
        if !arguments.contains(&"--base") {
            command.args(["--base", BASE]);
        }
        command.arg("-o").arg(self.path("out/image.qcow2")).current_dir(self.directory.path());
        command
    }

    /// The same without a hypervisor.
    fn build_at_rest(&self, arguments: &[&str]) -> Outcome {
        outcome(self.build(arguments).env("LIBGUESTFS_HV", "/nonexistent/hypervisor"))
    }

    /// Checks code and message, and that nothing is left where the image would have been.
    #[track_caller]
    fn refused(&self, name: &str, outcome: Outcome, code: i32) {
        let stderr = outcome.stderr.clone();
        outcome.expect(code);
        let here = regex_escape(self.directory.path());
        insta::with_settings!({
            omit_expression => true,
            filters => vec![
                (here.as_str(), "[DIR]"),
                (r"[^\s`]*/tib-test-cache[^\s/`]*", "[CACHE]"),
                (r"\d+(\.\d+)? s\b", "[TIME]"),
                (r"\b\d+(\.\d+)? [KMG]i?B", "[SIZE]"),
                (r"\b[0-9a-f]{12,64}\b", "[DIGEST]"),
                (r"(?m)^warning: no hardware virtualisation.*\n", ""),
                // What the package index offers changes, and numbers of processes do.
                (r"available: .*", "available: [VERSIONS]"),
                (r"the newest is \S+", "the newest is [VERSION]"),
                (r"/work/\d+-\d+", "/work/[PROCESS]"),
                (r"-\d+-\d+\.log", "-[PROCESS].log"),
            ],
        }, {
            insta::assert_snapshot!(name, stderr);
        });
        let left: Vec<_> =
            fs::read_dir(self.path("out")).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(left, Vec::<PathBuf>::new(), "left behind");
    }
}

fn regex_escape(path: &Path) -> String {
    path.to_str().unwrap().replace('.', r"\.")
}

#[test]
fn recipes() {
    let place = Place::new();
    place.recipe("misspelt", "[[packages]]\ninstal = [\"hello\"]\n");
    place.recipe("hen", "extends = [\"egg\"]\n");
    place.recipe("egg", "extends = [\"hen\"]\n");
    place.recipe("orphan", "extends = [\"no-such-parent\"]\n");
    for (name, recipe) in [
        ("no_such_recipe", "mariadbb"),
        ("unknown_key", "misspelt"),
        ("cycle_in_extends", "hen"),
        ("unknown_parent", "orphan"),
    ] {
        place.refused(name, place.build_at_rest(&[recipe]), 3);
    }
    place.refused("unknown_option", place.build_at_rest(&["mariadb", "--set", "colour=blue"]), 3);
}

#[test]
fn bases() {
    const INTEGRITY: i32 = 5;
    let place = Place::new();
    let other = qcow2(&place.path("other.qcow2"), &[], Some("16M"));
    let other = other.to_str().unwrap();

    fs::write(place.path("text.qcow2"), "This is not a disk.\n".repeat(200)).unwrap();
    qcow2(&place.path("backing.qcow2"), &["-b", other, "-F", "qcow2"], None);
    let data_file = format!("data_file={},data_file_raw=on", place.path("data.raw").display());
    qcow2(&place.path("data-file.qcow2"), &["-o", &data_file], Some("16M"));
    // Not LUKS: qemu-img measures its key derivation, and gives up on a busy machine.
    let aes = "encrypt.format=aes,encrypt.key-secret=key";
    qcow2(&place.path("encrypted.qcow2"), &["--object", "secret,id=key,data=secret", "-o", aes], Some("16M"));
    let mut corrupt = fs::read(other).unwrap();
    // The offset of the L1 table: far beyond the end of the file.
    corrupt[40..48].copy_from_slice(&(1u64 << 50).to_be_bytes());
    fs::write(place.path("corrupt.qcow2"), corrupt).unwrap();
    fs::write(place.path("truncated.qcow2"), &fs::read(other).unwrap()[..60]).unwrap();

    for (name, file) in [
        ("base_not_an_image", "text.qcow2"),
        ("base_with_backing_file", "backing.qcow2"),
        ("base_with_data_file", "data-file.qcow2"),
        ("base_encrypted", "encrypted.qcow2"),
        ("base_corrupt", "corrupt.qcow2"),
        ("base_truncated", "truncated.qcow2"),
    ] {
        let file = place.path(file);
        let before = fs::read(&file).unwrap();
        let outcome = place.build_at_rest(&["mariadb", "--base", file.to_str().unwrap()]);
        place.refused(name, outcome, INTEGRITY);
        assert_eq!(fs::read(&file).unwrap(), before, "{name}: a base is never modified");
    }
    place.refused("base_missing", place.build_at_rest(&["mariadb", "--base", "./missing.qcow2"]), 2);
}

#[test]
fn base_without_an_operating_system() {
    let place = Place::new();
    let disk = disk_with_files(place.directory.path(), &[("hello.txt", b"hello\n")]);
    let mut command = place.build(&["mariadb", "--base", disk.to_str().unwrap()]);
    let refused = outcome(command.env("TIB_CACHE_DIR", place.path("cache")));
    place.refused("base_without_system", refused, 5);
    // It is no use to anybody, so no copy of it is kept.
    let bases = fs::read_dir(place.path("cache/v1/bases")).map_or(0, Iterator::count);
    assert_eq!(bases, 0);
}

#[test]
fn base_for_another_architecture() {
    const AARCH64: u16 = 183;
    const X86_64: u16 = 62;
    let machine = if cfg!(target_arch = "aarch64") { X86_64 } else { AARCH64 };
    let place = Place::new();
    let disk = debian_of_machine(place.directory.path(), machine);
    let outcome = place.build_at_rest(&["mariadb", "--base", disk.to_str().unwrap()]);
    place.refused("base_of_other_architecture", outcome, 7);
}

/// What starts the base is a shell, and dpkg has no systemd: nothing would ever start the unit.
#[test]
fn base_without_systemd() {
    let place = Place::new();
    let base = small::base(&Shape::default());
    let service = |state: &str| format!("[[service]]\nunit = \"pebble.service\"\nstate = \"{state}\"\n");
    place.recipe("unit", &service("enabled"));
    let build = |recipe: &str| place.build_at_rest(&[recipe, "--base", base.to_str().unwrap()]);
    place.refused("base_without_systemd", build("unit"), 7);
    // What does not have to start needs nobody to start it, and what a script installs is not known.
    place.recipe("off", &service("disabled"));
    let script = "[[script]]\npurpose = \"a test\"\ntext = 'dpkg -i /srv/systemd.deb'\n";
    place.recipe("script", &format!("{}{script}", service("enabled")));
    for recipe in ["off", "script"] {
        let found = build(recipe);
        assert!(found.stderr.contains("appliance"), "{recipe}: {}", found.stderr);
    }
}

#[test]
fn places_and_arguments() {
    const USAGE: i32 = 2;
    let place = Place::new();
    let build = |output: &Path| {
        let mut command = tib();
        command.env("LIBGUESTFS_HV", "/nonexistent/hypervisor");
        outcome(command.args(["build", "mariadb", "-o"]).arg(output))
    };
    // Nobody can make files there, not even root.
    place.refused("output_not_writable", build(Path::new("/sys/image.qcow2")), USAGE);
    place.refused("output_directory_missing", build(&place.path("nowhere/image.qcow2")), USAGE);

    fs::write(place.path("precious.qcow2"), "precious").unwrap();
    place.refused("output_exists", build(&place.path("precious.qcow2")), USAGE);
    assert_eq!(fs::read_to_string(place.path("precious.qcow2")).unwrap(), "precious");

    for (name, arguments) in [
        ("agent_source_unknown", ["trove-guest", "--agent", "somewhere"]),
        ("size_unreadable", ["mariadb", "--size", "large"]),
        ("ssh_key_missing", ["trove-guest", "--ssh-key", "./missing.pub"]),
    ] {
        place.refused(name, place.build_at_rest(&arguments), USAGE);
    }
}

/// Nobody can be asked on this host, whose rpm does not run; the guest's own would have to fetch.
#[test]
fn packages_that_this_host_cannot_resolve_offline() {
    let place = Place::new();
    place.recipe("tools", "[[packages]]\ninstall = [\"hello\"]\n");
    let os_release =
        b"NAME=\"Rocky Linux\"\nID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\nVERSION_ID=\"9.4\"\n";
    let program = elf_header(62);
    let files: [(&str, &[u8]); 3] =
        [("etc/os-release", os_release), ("etc/fstab", b""), ("bin/sh", program.as_slice())];
    let disk = disk_with_files(place.directory.path(), &files);
    let base = disk.to_str().unwrap();
    let programs = place.path("programs");
    fs::create_dir(&programs).unwrap();
    fs::write(programs.join("rpm"), "#!/bin/sh\nexit 1\n").unwrap();
    fs::set_permissions(programs.join("rpm"), PermissionsExt::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    let mut build = place.build(&["tools", "--base", base, "--offline"]);
    let outcome = outcome(build.env("PATH", path).env("LIBGUESTFS_HV", "/nonexistent/hypervisor"));
    place.refused("offline_packages", outcome, 7);
}

/// The number that would be enough is in the message.
#[test]
fn appliance_size_too_small() {
    built_image("mariadb"); // For the base.
    let place = Place::new();
    let outcome = place.build_at_rest(&["mariadb", "--size", "1M"]);
    place.refused("size_too_small", outcome, 9);
}

#[test]
fn appliance_agents_that_cannot_be() {
    built_image("trove-guest"); // For the base.
    let place = Place::new();
    let missing = place.build_at_rest(&["trove-guest", "--agent", "pypi:999.0.0"]);
    place.refused("agent_version_missing", missing, 2);

    let wheel = place.path("trove-99.0-py3-none-any.whl");
    write_wheel(&wheel, ">=3.99");
    let agent = format!("path:{}", wheel.display());
    let too_new = place.build_at_rest(&["trove-guest", "--agent", &agent]);
    place.refused("agent_needs_newer_python", too_new, 2);
}

fn write_wheel(path: &Path, python: &str) {
    let program = "import sys, zipfile\n\
        with zipfile.ZipFile(sys.argv[1], 'w') as wheel:\n\
        \x20   info = 'trove-99.0.dist-info/'\n\
        \x20   wheel.writestr('trove/__init__.py', '')\n\
        \x20   wheel.writestr(info + 'METADATA', 'Metadata-Version: 2.1\\nName: trove\\nVersion: 99.0\\nRequires-Python: ' + sys.argv[2] + '\\n')\n\
        \x20   wheel.writestr(info + 'WHEEL', 'Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')\n\
        \x20   wheel.writestr(info + 'RECORD', '')\n";
    common::run("python3", &[&"-c", &program, &path, &python]);
}

#[test]
fn appliance_failures_in_the_guest() {
    let place = Place::new();
    let below = "extends = [\"redis\"]\nstage = \"site\"\n";
    place.recipe("ghost", &format!("{below}[[packages]]\ninstall = [\"no-such-package-anywhere\"]\n"));
    let script = |text: &str| format!("{below}[[script]]\npurpose = \"a test\"\ntext = '''\n{text}\n'''\n");
    place.recipe("broken", &script("echo this is the reason >&2\nexit 7"));
    place.recipe("glutton", &script("fallocate -l 1T /var/fill"));
    built_image("redis"); // So that only the last stage is left to do.
    for (name, code) in [("ghost", 6), ("broken", 6), ("glutton", 9)] {
        let outcome = outcome(&mut place.build(&[name]));
        place.refused(&format!("guest_{name}"), outcome, code);
    }
}

/// A host's file system runs full in the middle of the work. qemu's own answer would be to pause for ever.
#[test]
fn appliance_no_space_on_the_host() {
    let base = built_image("redis");
    let place = Place::new();
    place.recipe(
        "filler",
        "[[script]]\npurpose = \"a test\"\ntext = 'head -c 800M /dev/urandom >/var/fill'\n",
    );
    let base = base.to_str().unwrap();
    let build = place.build(&["filler", "--base", base]);

    // Too small for the base, and too small for what the build writes.
    for (size, said) in [("16m", "no space left on its file system"), ("800m", "no space left for the build")]
    {
        let mut full_cache = on_small_file_system(&place.path("cache"), size, &build);
        full_cache.env("TIB_CACHE_DIR", place.path("cache"));
        no_space(&outcome(&mut full_cache), said);
    }

    let mut full_output = on_small_file_system(&place.path("out"), "16m", &build);
    no_space(&outcome(&mut full_output), "No space left on device");
    assert_eq!(fs::read_dir(place.path("out")).unwrap().count(), 0);
}

#[track_caller]
fn no_space(outcome: &Outcome, said: &str) {
    let stderr = &outcome.stderr;
    assert_eq!(outcome.code, Some(9), "{stderr}");
    assert!(stderr.contains(said) && stderr.contains("hint: "), "{stderr}");
}

/// Wraps a command so that it sees a small file system at a place. Only root of a user namespace may mount one, and
/// only as itself can the user use the appliance that is there: so there are two namespaces, one in the other.
fn on_small_file_system(place: &Path, size: &str, command: &Command) -> Command {
    fs::create_dir_all(place).unwrap();
    let mut wrapped = Command::new("timeout");
    wrapped
        .args(["900", "unshare", "--user", "--map-root-user", "--mount", "sh", "-c"])
        .arg("mount -t tmpfs -o size=$1 none \"$2\" && shift 2 && exec unshare --user \"$@\"")
        .args(["sh", size])
        .arg(place)
        .args([
            format!("--map-user={}", rustix::process::geteuid().as_raw()),
            format!("--map-group={}", rustix::process::getegid().as_raw()),
        ])
        .arg(tib_path())
        .args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => wrapped.env(name, value),
            None => wrapped.env_remove(name),
        };
    }
    if let Some(directory) = command.get_current_dir() {
        wrapped.current_dir(directory);
    }
    wrapped
}

/// A disk without an operating system: it is described, and everything about a system fails.
#[test]
fn a_disk_without_a_system_is_described() {
    let directory = scratch();
    let path = |name: &str| directory.path().join(name);
    let run = |program: &str, arguments: &[&str]| {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(directory.path());
        command.env("PATH", format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default()));
        assert!(command.output().unwrap().status.success(), "{program}");
    };
    fs::File::create(path("v.fat")).unwrap().set_len(64 << 20).unwrap();
    run("mkfs.fat", &["-n", "STICK", "v.fat"]);
    run("qemu-img", &["create", "-q", "-f", "qcow2", "blank.qcow2", "1G"]);
    let at_rest = |arguments: &[&str]| {
        let mut command = tib();
        command.args(["--quiet"]).args(arguments).current_dir(directory.path());
        outcome(command.env("LIBGUESTFS_HV", "/nonexistent/hypervisor"))
    };
    for image in ["v.fat", "blank.qcow2"] {
        let found = at_rest(&["inspect", image]);
        assert!(!found.stdout.is_empty());
        assert!(found.stderr.contains("no operating system in the image"), "{}", found.stderr);
        found.expect(5);
        at_rest(&["inspect", "--only", "units", image]).expect(5);
        at_rest(&["inspect", "--only", "disk", image]).expect(0);
        let found = at_rest(&["ls", image]);
        assert!(!found.stderr.contains("--base"), "{}", found.stderr);
        found.expect(5);
    }
    assert!(at_rest(&["inspect", "--only", "disk", "v.fat"]).stdout.contains("STICK"));
}

#[test]
fn a_missing_backing_file_is_told_with_its_image() {
    // Only in the cache may an image have one.
    let directory = scratch();
    let layers = directory.path().join("v1/layers");
    fs::create_dir_all(&layers).unwrap();
    let create = ["create", "-q", "-u", "-f", "qcow2", "-F", "raw", "-b", "/nonexist", "child.qcow2", "64M"];
    let made = Command::new("qemu-img").args(create).current_dir(&layers).status().unwrap();
    assert!(made.success());
    let mut ls = tib();
    ls.args(["--quiet", "ls", "child.qcow2"]).current_dir(&layers).env("TIB_CACHE_DIR", directory.path());
    let found = outcome(&mut ls);
    for word in ["child.qcow2", "backing file (`/nonexist`) is not there"] {
        assert!(found.stderr.contains(word), "{}", found.stderr);
    }
    found.expect(5);
}
