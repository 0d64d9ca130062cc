//! Every option of `tib build`, and every key of a recipe that changes an image, seen in images that were built.

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;

use common::agents::wheel;
use common::disks::debian_of_machine;
use common::gpg::{Gpg, sha256sum};
use common::http::{Request, Server, Site};
use common::look::Look;
use common::oracle::{packages, qemu_img_info};
use common::sample::Sample;
use common::small::{self, Shape};
use common::{BASE, Outcome, outcome, run, tib};
use fs_err as fs;

/// A directory with recipes, what they need, and a cache if it is asked for.
struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let directory = common::scratch();
        fs::create_dir(directory.path().join("recipes")).unwrap();
        Self { directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), content).unwrap();
    }

    /// `tib build` in this directory.
    fn build(&self, arguments: &[&str]) -> Command {
        let mut command = tib();
        command.args(["build", "--recipe-dir", "recipes"]).args(arguments).current_dir(self.directory.path());
        command
    }

    /// The same with a cache of its own, and no hypervisor.
    fn at_rest(&self, arguments: &[&str]) -> Outcome {
        let mut command = self.build(arguments);
        command.env("TIB_CACHE_DIR", self.path("cache")).env("LIBGUESTFS_HV", "/nonexistent/hypervisor");
        outcome(&mut command)
    }

    /// The recipe with every key, an archive for it, an agent, a key to log in with.
    fn everything(&self) -> Archive {
        let archive = Archive::new(self);
        for part in ["everything-system", "everything-datastore", "everything-agent", "everything"] {
            let text = fs::read_to_string(format!("tests/recipes/{part}.toml")).unwrap();
            let text = text.replace("FINGERPRINT", &archive.fingerprint);
            self.write(&format!("recipes/{part}.toml"), text.replace("ARMOURED KEY", &archive.key));
        }
        self.write("recipes/archive.asc", &archive.key);
        self.write("recipes/source.bin", b"\0\xff binary");
        self.write("recipes/profile", "profile tib.source /srv/nothing-else {\n}\n");
        fs::create_dir(self.path("wheels")).unwrap();
        wheel(&self.path("wheels"), "trove", "99.0", "trove/everything.py");
        wheel(&self.path("wheels"), "tib_extra", "1.0", "tib_extra.py");
        wheel(&self.path("wheels"), "tib_extra", "2.0", "tib_extra.py");
        self.write("constraints.txt", "tib-extra<2\n");
        self.write(
            "key.pub",
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIiH3kHqY0JZc1n0Q5t1oX1dVbJ9dI4kM3p2Rr0n8G2V ops@example\n",
        );
        archive
    }
}

/// Two archives with the same packages in other versions, signed by one key.
struct Archive {
    server: Server,
    fingerprint: String,
    key: String,
}

impl Archive {
    fn new(place: &Place) -> Self {
        let (flat, pool) = (place.path("flat"), place.path("pool"));
        fs::create_dir_all(pool.join("dists/stable/main/binary-amd64")).unwrap();
        fs::create_dir(&flat).unwrap();
        package(place, "tib-choice", "1.0", &pool);
        package(place, "tib-companion", "1.0", &pool);
        package(place, "tib-choice", "2.0", &flat);
        package(place, "tib-pinned", "1.0", &flat);
        package(place, "tib-pinned", "2.0", &flat);
        let shell = |directory: &Path, script: &str| {
            run("sh", &[&"-euc", &format!("cd \"$1\"; {script}"), &"sh", &directory]);
        };
        shell(&flat, "apt-ftparchive packages . >Packages; apt-ftparchive release . >../flat.release");
        shell(&pool, "apt-ftparchive packages . >dists/stable/main/binary-amd64/Packages");
        let release = "-o APT::FTPArchive::Release::Suite=stable -o APT::FTPArchive::Release::Codename=stable \
                       -o APT::FTPArchive::Release::Components=main -o APT::FTPArchive::Release::Architectures=amd64";
        shell(&pool, &format!("apt-ftparchive {release} release dists/stable >../pool.release"));
        let gpg = Gpg::new();
        let key = gpg.key("everything", "", "0");
        let site = Site::new();
        for (release, path) in
            [("flat.release", "/flat/InRelease"), ("pool.release", "/pool/dists/stable/InRelease")]
        {
            site.put(path, gpg.clearsigned(&[&key], &fs::read(place.path(release)).unwrap()));
        }
        let indexes =
            [(&flat, "/flat/", "Packages"), (&pool, "/pool/", "dists/stable/main/binary-amd64/Packages")];
        for (directory, prefix, index) in indexes {
            site.put_file(&format!("{prefix}{index}"), directory.join(index)).unwrap();
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.extension().is_some_and(|extension| extension == "deb") {
                    let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                    site.put_file(&format!("{prefix}{name}"), path).unwrap();
                }
            }
        }
        let armoured = String::from_utf8(gpg.public(&key)).unwrap();
        // apt asks for `./InRelease` where an archive has no suites.
        let server = Server::http(move |request: &Request| {
            site.reply(&Request { path: request.path.replace("/./", "/"), ..request.clone() })
        });
        Self { server, fingerprint: key.fingerprint, key: armoured }
    }

    /// Both archives, by their hosts' names: priorities go by them.
    fn settings(&self) -> [String; 2] {
        let url = self.server.url("");
        [format!("archive={url}/flat/"), format!("pool={}/pool/", url.replace("127.0.0.1", "localhost"))]
    }
}

/// A package that asks debconf for an answer.
fn package(place: &Place, name: &str, version: &str, to: &Path) {
    let tree = place.path(&format!("package-{name}-{version}"));
    let file = |path: &str, text: &str| {
        let path = tree.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    let recommends = if name == "tib-choice" { "Recommends: tib-companion\n" } else { "" };
    file(
        "DEBIAN/control",
        &format!(
            "Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: tib <tib@example.org>\n\
             Depends: debconf\n{recommends}Description: what a test installs\n"
        ),
    );
    file(
        "DEBIAN/templates",
        &format!("Template: {name}/answer\nType: string\nDefault: none\nDescription: What is the answer?\n"),
    );
    file(
        "DEBIAN/postinst",
        &format!(
            "#!/bin/sh\nset -e\n. /usr/share/debconf/confmodule\ndb_get {name}/answer\necho \"$RET\" >/etc/{name}.answer\n\
             echo \"$TIB_VARIABLE\" >/etc/{name}.variable\n"
        ),
    );
    run("chmod", &[&"-R", &"u=rwX,go=rX", &tree]);
    run("chmod", &[&"0755", &tree.join("DEBIAN/postinst")]);
    run("dpkg-deb", &[&"--root-owner-group", &"--build", &tree, &to]);
}

/// All steps in one build, and what each has left.
#[test]
fn appliance_every_key_of_a_recipe_leaves_its_mark() {
    let place = Place::new();
    let archive = place.everything();
    let [flat, pool] = archive.settings();
    let arguments = [
        "everything",
        "--base",
        BASE,
        "--set",
        &flat,
        "--set",
        &pool,
        "--set",
        "given=with an option",
        "--ssh-key",
        "key.pub",
        "--constraints",
        "constraints.txt",
        "--target-release",
        "2025.1",
        "--size",
        "5G",
        "--compat",
        "--output",
        "image.qcow2",
    ];
    let mut build = place.build(&arguments);
    build.args(["--json", "--verbose"]).env("PIP_NO_INDEX", "1").env("PIP_FIND_LINKS", place.path("wheels"));
    let built = outcome(&mut build);
    assert_eq!(built.code, Some(0), "{}", built.stderr);
    let result: serde_json::Value = serde_json::from_str(&built.stdout).unwrap();
    assert_eq!(
        (&result["datastore"], &result["agent"]),
        (&"nothing".into(), &"trove 99.0".into()),
        "{result}"
    );
    assert_eq!(result["sha256"], sha256sum(&place.path("image.qcow2")).as_str());
    let info = qemu_img_info(&place.path("image.qcow2"));
    assert_eq!(
        (&info["virtual-size"], &info["format-specific"]["data"]["compression-type"]),
        (&(5u64 << 30).into(), &"zlib".into())
    );
    for said in [
        "Everything is in /srv/on-debian.",
        "The agent is written for Python 3.99 or newer",
        "Setting up tib-choice (1.0)",
        "the agent is Trove 99.0, and the control plane is to be 2025.1",
    ] {
        assert!(built.stderr.contains(said), "{said}: {}", built.stderr);
    }
    assert!(!built.stderr.contains("This is said to nobody."));

    let image = Look::into(&place.path("image.qcow2"));
    let owners = |path: &str| (image.mode(path), image.uid(path), image.at(path)["gid"].as_u64().unwrap());
    let (passwd, group) = (image.read("/etc/passwd"), image.read("/etc/group"));
    let field = |file: &str, name: &str, field: usize| -> String {
        let line = file
            .lines()
            .find(|line| line.split(':').next() == Some(name))
            .unwrap_or_else(|| panic!("no {name}: {file}"));
        line.split(':').nth(field).unwrap().to_owned()
    };
    // Stages, scripts, options and inheritance.
    assert_eq!(image.read("/srv/stages"), "system\ndatastore\nagent\nsite\n");
    assert_eq!(
        image.read("/srv/interfaces").split_whitespace().filter(|name| *name != "lo").count(),
        1,
        "a network"
    );
    assert_eq!(image.read("/srv/on-debian/text"), "given: with an option\n");
    assert_eq!(image.read("/srv/overridden"), "by the site\n");
    // Accounts.
    let low = field(&group, "low", 2).parse::<u64>().unwrap();
    assert!(low < 1000 && field(&group, "low", 3) == "keeper", "{group}");
    assert_eq!(field(&group, "fixed", 2), "1234");
    assert_eq!(
        [2, 3, 5, 6].map(|at| field(&passwd, "keeper", at)),
        ["4321", "1234", "/srv/keeper", "/bin/sh"]
    );
    assert!(field(&passwd, "servant", 2).parse::<u32>().unwrap() < 1000, "{passwd}");
    let shadow = image.read("/etc/shadow");
    assert!(field(&shadow, "keeper", 1).starts_with("$6$saltstring$svn8"), "{shadow}");
    assert!(!passwd.contains("nobody-else") && !group.contains("never:"));
    let sudo = "[[check]]\ncheck = 'sudo'\nwho = 'keeper'\npassword = false\n\
                [[check]]\ncheck = 'sudo'\nwho = 'servant'\nallowed = false\n";
    place.write("sudo.toml", sudo);
    common::run_tib([
        Path::new("verify"),
        &place.path("image.qcow2"),
        Path::new("--checks"),
        &place.path("sudo.toml"),
    ])
    .expect(0);
    let keys = image.read("/srv/keeper/.ssh/authorized_keys");
    assert!(
        keys.contains("ops@example") && image.mode("/srv/keeper/.ssh/authorized_keys") == 0o600,
        "{keys}"
    );
    // Packages and repositories.
    let installed = packages(&image.read("/var/lib/dpkg/status"));
    assert_eq!([&installed["tib-choice"], &installed["tib-pinned"]], ["1.0", "1.0"]);
    assert!(installed.contains_key("tib-companion"), "recommended by tib-choice");
    assert!(!installed.contains_key("rsync") && !image.is("file", "/etc/default/rsync"));
    assert_eq!(image.read("/etc/tib-choice.answer"), "forty-two\n");
    assert_eq!(image.read("/etc/tib-choice.variable"), "seen by scripts\n");
    let source = image.read("/etc/apt/sources.list.d/everything-pool.sources");
    assert!(source.contains("Suites: stable\n") && source.contains("Components: main\n"), "{source}");
    assert!(image.is("file", "/etc/apt/keyrings/everything-flat.asc"));
    assert!(!image.is("file", "/etc/apt/sources.list.d/everything-never.sources"));
    // Files, directories, links.
    assert_eq!(owners("/srv/on-debian"), (0o1770, 4321, low));
    assert_eq!(owners("/srv/on-debian/text"), (0o640, 4321, 1234));
    assert_eq!((owners("/srv/source"), &image.at("/srv/source")["size"]), ((0o644, 0, 0), &9.into()));
    assert_eq!(image.at("/srv/link")["target"], "source");
    for never in ["directory", "file", "link", "script"] {
        assert_eq!(image.glob(&format!("/srv/never-{never}")), [""; 0]);
    }
    assert_eq!(
        image.glob("/srv/identity/*"),
        ["/srv/identity/stays"],
        "sealing takes out what is one instance's"
    );
    // Services, settings.
    assert!(!image.glob("/etc/systemd/system/*.wants/tib-on.service").is_empty());
    assert_eq!(image.glob("/etc/systemd/system/*.wants/cron.service"), [""; 0]);
    assert_eq!(image.at("/etc/systemd/system/apt-daily.timer")["target"], "/dev/null");
    assert!(!image.is("symlink", "/etc/systemd/system/apt-daily-upgrade.timer"));
    let sysctl = image.read("/etc/sysctl.d/60-tib-everything.conf");
    assert!(sysctl.contains("vm.swappiness = 7") && !sysctl.contains("laptop_mode"), "{sysctl}");
    let datasources = image.read("/etc/cloud/cloud.cfg.d/95-tib-datasources.cfg");
    assert!(datasources.contains("[ConfigDrive, OpenStack, None]"), "{datasources}");
    // Profiles.
    assert!(image.is("file", "/etc/apparmor.d/lsb_release"), "of the package");
    assert_eq!(image.read("/etc/apparmor.d/local/tib.text"), "/tmp/ rw,\n/tmp/** rwk,\n");
    assert_eq!(image.at("/etc/apparmor.d/force-complain/tib.text")["target"], "/etc/apparmor.d/tib.text");
    assert_eq!(image.read("/etc/apparmor.d/tib.source"), "profile tib.source /srv/nothing-else {\n}\n");
    assert_eq!(image.at("/etc/apparmor.d/disable/tib.source")["target"], "/etc/apparmor.d/tib.source");
    for never in ["tib.never", "disable/tib.text", "disable/lsb_release", "force-complain/lsb_release"] {
        assert_eq!(image.glob(&format!("/etc/apparmor.d/{never}")), [""; 0]);
    }
    // The agent.
    assert!(!image.glob("/opt/everything/lib/*/site-packages/trove/everything.py").is_empty());
    assert!(
        !image.glob("/opt/everything/lib/*/site-packages/tib_extra-1.0.dist-info").is_empty(),
        "as constrained"
    );
    assert_eq!(image.uid("/opt/everything"), 4321);
}

/// A base that is believed without proof is recorded as such, and without the cache everything is done again.
#[test]
fn appliance_stages_run_again_without_the_cache() {
    let place = Place::new();
    let head = |name: &str| format!("name = '{name}'\nsummary = 'A test'\n");
    let below = "stage = 'system'\nboots = false\n[[file]]\npath = '/srv/below'\ntext = 'below'\n";
    place.write("recipes/below.toml", head("below") + below);
    let above = "extends = ['below']\nstage = 'site'\n[options.text]\ndescription = 'What'\ndefault = 'one'\n\
                 [[file]]\npath = '/srv/above'\ntext = '{{ text }}'\n";
    place.write("recipes/above.toml", head("above") + above);
    let site = Site::new();
    site.put_file("/base.qcow2", small::base(&Shape::default())).unwrap();
    let server = Server::http(site.handler());
    let url = server.url("/base.qcow2");
    let build = |more: &[&str]| {
        let base = ["above", "--base", &url, "--insecure-skip-verify"];
        let output = ["--output", "image.qcow2", "--force", "--progress", "json"];
        let mut command = place.build(&[&base, &output[..], more].concat());
        let found = outcome(command.env("TIB_CACHE_DIR", place.path("cache")));
        assert_eq!(found.code, Some(0), "{}", found.stderr);
        let events =
            found.stderr.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let finished = events.filter(|event| event["event"] == "stage-finished");
        let stages =
            finished.map(|event| (event["stage"].as_str().unwrap().to_owned(), event["cached"] == true));
        let stages: Vec<_> = stages.filter(|(stage, _)| STAGES.contains(&stage.as_str())).collect();
        let layers = fs::read_dir(place.path("cache/v1/layers")).unwrap();
        let mut layers: Vec<_> = layers.map(|entry| entry.unwrap().file_name()).collect();
        layers.sort();
        (stages, layers)
    };
    let all_anew = STAGES.map(|stage| (stage.to_owned(), false)).to_vec();
    let (stages, layers) = build(&[]);
    assert_eq!((&stages, layers.len()), (&all_anew, STAGES.len()));
    let manifest = fs::read(place.path("image.qcow2.manifest.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    assert_eq!(manifest["recorded"]["origin"]["trust"]["by"], "nothing", "{manifest}");
    // The first stage is in the cache, and the second one would be kept.
    let (stages, kept) = build(&["--no-cache", "--set", "text=two"]);
    assert_eq!((stages, kept), (all_anew, layers));
    assert_eq!(Look::into(&place.path("image.qcow2")).read("/srv/above"), "two");
}

/// What a build of the recipe `above` goes through.
const STAGES: [&str; 3] = ["system", "site", "seal"];

/// What needs no appliance to be seen.
#[test]
fn plans_are_made_of_what_is_asked_for() {
    let place = Place::new();
    Sample::debian().write(place.directory.path(), "base");
    place.write(
        "ours.toml",
        "name = 'ours'\nsummary = 'A test'\nneeds = '10 GiB'\nmin_disk = '5 GiB'\nmin_ram = '1536 MiB'\n[options.text]\ndescription = 'What'\n\
         [agent]\nsource = 'none'\nuser = 'trove'\nvenv = '/opt/venv'\nmodule = 'trove.cmd.guest'\n\
         [[file]]\npath = '/etc/ours'\ntext = '{{ text }}'\n",
    );
    let dry =
        ["./ours.toml", "--base", "base.raw", "--dry-run", "--set", "text=hello", "--output", "image.qcow2"];
    let text = place.at_rest(&dry).expect(0);
    assert!(text.contains("ours on debian-12") && text.contains("/etc/ours"), "{text}");
    let json: serde_json::Value =
        serde_json::from_str(&place.at_rest(&[&dry[..], &["--json"]].concat()).expect(0)).unwrap();
    assert_eq!((&json["recipe"], &json["needs"]), (&"ours".into(), &(10u64 << 30).into()));
    assert_eq!((&json["min_disk"], &json["min_ram"]), (&(5u64 << 30).into(), &(1536u64 << 20).into()));
    assert!(!place.path("image.qcow2").exists(), "only shown");

    let build = ["./ours.toml", "--base", "base.raw", "--set", "text=hello", "--output", "image.qcow2"];
    let small = place.at_rest(&[&build[..], &["--size", "5G"]].concat());
    assert_eq!(small.code, Some(9), "{}", small.stderr);
    // An agent needs a Python, which this base does not have; without one, the hypervisor is what is missing.
    for (agent, said) in [("none", "hypervisor"), ("pypi:26.0.0", "has no python3")] {
        let found = place.at_rest(&[&build[..], &["--agent", agent]].concat());
        assert!(found.code == Some(7) && found.stderr.contains(said), "{agent}: {}", found.stderr);
    }
    // The base is what it is said to be, or nothing happens.
    let good = format!("sha256:{}", sha256sum(&place.path("base.raw")));
    let wrong = place.at_rest(&[&build[..], &["--checksum", &format!("sha256:{}", "0".repeat(64))]].concat());
    assert_eq!(wrong.code, Some(5), "{}", wrong.stderr);
    place.at_rest(&[&dry[..], &["--checksum", &good]].concat()).expect(0);
    fs::write(place.path("image.qcow2"), "precious").unwrap();
    assert_eq!(place.at_rest(&build).code, Some(2));
    assert_eq!(
        place.at_rest(&[&build[..], &["--force"]].concat()).code,
        Some(7),
        "past that, and to the hypervisor"
    );
    assert_eq!(fs::read_to_string(place.path("image.qcow2")).unwrap(), "precious");
}

#[test]
fn agents_from_git_are_planned_with_their_commit() {
    let place = Place::new();
    Sample::debian().write(place.directory.path(), "base");
    let repository = place.path("trove");
    let git = |arguments: &[&str]| {
        let identity = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-C"];
        let mut command = std::process::Command::new("git");
        let out = command.args(identity).arg(&repository).args(arguments).output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap().trim().to_owned()
    };
    fs::create_dir(&repository).unwrap();
    git(&["init", "--quiet", "--initial-branch=stable/2026.1"]);
    fs::write(repository.join(".gitreview"), "[gerrit]\n").unwrap();
    git(&["add", "."]);
    git(&["commit", "--quiet", "-m", "x"]);
    let commit = git(&["rev-parse", "HEAD"]);
    place.write("list.txt", "oslo.log\n");
    place.write("bad.txt", "--index-url http://x.example\n");
    place.write(
        "ours.toml",
        "name = 'ours'\nsummary = 'A test'\n[agent]\nsource = 'none'\nuser = 'trove'\nvenv = '/opt/venv'\n\
         module = 'trove.cmd.guest'\nrepository = 'ext://x'\nconstraints = 'auto'\nconstraints_url = 'http://127.0.0.1:9/upper'\n",
    );
    let agent = format!("git:{}@stable/2026.1", repository.display());
    let dry = ["./ours.toml", "--base", "base.raw", "--dry-run", "--agent", &agent];
    let run = |more: &[&str]| place.at_rest(&[&dry[..], more].concat());
    let json: serde_json::Value = serde_json::from_str(
        &run(&["--constraints", "none", "--requirements", "list.txt", "--json"]).expect(0),
    )
    .unwrap();
    let step = json["stages"].as_array().unwrap().iter().flat_map(|stage| stage["steps"].as_array().unwrap());
    let step = step.into_iter().find(|step| step["step"] == "agent").unwrap();
    assert_eq!(step["commit"], commit.as_str());
    assert!(step["requirements"]["host"]["sha256"].is_string(), "{step}");
    assert_eq!(run(&["--constraints", "none", "--requirements", "bad.txt"]).code, Some(2));
    let auto = run(&["--offline"]);
    assert!(auto.code == Some(4) && auto.stderr.contains("127.0.0.1:9/upper/2026.1"), "{}", auto.stderr);
    let other = ["--constraints", "none", "--target-release", "2025.1"];
    assert!(run(&other).expect(0).contains("warning: the agent `git:"));
    assert_eq!(run(&[&other[..], &["--strict"]].concat()).code, Some(3));
    let shorthand =
        place.at_rest(&["./ours.toml", "--base", "base.raw", "--dry-run", "--agent", "git:master"]);
    assert!(
        shorthand.code == Some(3) && shorthand.stderr.contains("agent.repository"),
        "{}",
        shorthand.stderr
    );
}

#[test]
fn a_base_is_not_replaced_by_its_image() {
    let place = Place::new();
    Sample::debian().write(place.directory.path(), "base");
    fs::os::unix::fs::symlink("base.raw", place.path("link.qcow2")).unwrap();
    place.write("ours.toml", "name = 'ours'\nsummary = 'A test'\n");
    let before = fs::read(place.path("base.raw")).unwrap();
    for output in ["base.raw", "link.qcow2"] {
        let refused = place.at_rest(&["./ours.toml", "--base", "./base.raw", "--force", "--output", output]);
        assert!(
            refused.code == Some(2) && refused.stderr.contains("base of this build"),
            "{}",
            refused.stderr
        );
    }
    assert!(fs::read(place.path("base.raw")).unwrap() == before);
}

/// A limit on the size of files (`ulimit -f`) is told like a full disk, and does not end the process in silence.
#[test]
fn a_limit_on_the_size_of_files_is_an_error() {
    let place = Place::new();
    let image = Sample::debian().file("/srv/large", vec![7; 3 << 20]).write(place.directory.path(), "image");
    let mut limited = Command::new("bash");
    limited.args(["-c", "ulimit -f 1000; exec \"$@\"", "bash"]).arg(common::tib_path());
    limited.args(["extract".as_ref(), image.as_os_str(), "/srv/large".as_ref(), "-o".as_ref()]);
    let found = outcome(limited.arg(place.path("large")));
    assert_eq!(found.code, Some(9), "{}", found.stderr);
    let entries = fs::read_dir(place.directory.path()).unwrap();
    let names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert!(!names.iter().any(|name| name.starts_with(".tib-") || name == "large"), "{names:?}");
}

/// Neither is a limit of open files that is too low: a library would crash, or an image be taken for a damaged one.
#[test]
fn a_limit_of_open_files_is_an_error() {
    let place = Place::new();
    let image = Sample::debian().write(place.directory.path(), "image");
    let limited = |limit: u64, arguments: &[&str]| {
        let mut limited = Command::new("bash");
        limited.args(["-c", &format!("ulimit -n {limit}; exec \"$@\""), "bash"]).arg(common::tib_path());
        outcome(limited.args(arguments).arg(&image).current_dir(place.directory.path()))
    };
    for limit in [4, 6, 7, 20, 127] {
        for arguments in
            [&["ls"][..], &["inspect"], &["verify"], &["build", "common", "-o", "x.qcow2", "--base"]]
        {
            let found = limited(limit, arguments);
            let expected = format!(
                "error: the limit of open files is {limit}, and tib may need 128 at once\n\
                 hint: raise the limit of open files: `ulimit -n 4096`\n"
            );
            assert_eq!((found.code, found.stderr), (Some(7), expected), "{arguments:?}");
        }
    }
    limited(128, &["ls"]).expect(0);
    assert!(!place.path("x.qcow2").exists());
}

/// Offline, what is missing is told, and what needs a network is refused before anything starts.
#[test]
fn offline_nobody_is_asked() {
    let place = Place::new();
    debian_of_machine(place.directory.path(), 62);
    let server = Server::http(Site::new().handler());
    place.write(
        "net.toml",
        "name = 'net'\nsummary = 'A test'\n[[script]]\npurpose = 'a test'\ntext = 'true'\nnetwork = true\n",
    );
    let refused = place.at_rest(&["./net.toml", "--base", "disk.raw", "--offline"]);
    assert!(refused.code == Some(4) && refused.stderr.contains("network"), "{refused:?}");
    let (url, checksum) = (server.url("/base.qcow2"), format!("sha256:{}", "0".repeat(64)));
    let base = ["./net.toml", "--base", &url, "--checksum", &checksum, "--dry-run"];
    let missing = place.at_rest(&[&base[..], &["--offline"]].concat());
    assert!(missing.code == Some(4) && server.requests() == 0, "{missing:?}");
    assert_eq!(place.at_rest(&base).code, Some(4));
    assert!(server.requests() > 0);
}
