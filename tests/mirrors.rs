//! Mirrors and credentials from outside: every kind of source comes from where its mirror is, under names whose hosts do not exist.

mod common;

use std::path::PathBuf;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::disks::debian_of_machine;
use common::gpg::sha256sum;
use common::http::{Reply, Request, Server, Site};
use common::registry::Registry;
use common::small::{self, Shape};
use common::{Outcome, outcome, run, scratch, tib};
use fs_err as fs;
use serde_json::Value;

/// x86-64 in the header of a program.
const X86_64: u16 = 62;
/// A password that must not be found anywhere.
const CANARY: &str = "canary-5d0b";

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(scratch())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    /// `tib` with a cache and a home of its own, and a recipe that does next to nothing.
    fn tib(&self, arguments: &[&str]) -> Command {
        self.write("plain.toml", "name = 'plain'\nsummary = 's'\nboots = false\n");
        let mut command = tib();
        command.args(arguments).current_dir(self.0.path());
        command
            .env("TIB_CACHE_DIR", self.path("cache"))
            .env("HOME", self.0.path())
            .env_remove("XDG_CONFIG_HOME");
        command
    }

    fn run(&self, arguments: &[&str]) -> Outcome {
        outcome(&mut self.tib(arguments))
    }

    /// Files of the cache that hold `text`.
    fn holding(&self, text: &str) -> Vec<String> {
        let found = Command::new("grep")
            .args(["-r", "-l", "-a", "-F", text])
            .arg(self.path("cache"))
            .output()
            .unwrap();
        String::from_utf8(found.stdout).unwrap().lines().map(str::to_owned).collect()
    }
}

fn mirror(url: &str, mirror: &str) -> String {
    format!("[[mirror]]\nurl = \"{url}\"\nmirror = \"{mirror}\"\n")
}

fn base_image(place: &Place) -> PathBuf {
    fs::create_dir_all(place.path("base")).unwrap();
    debian_of_machine(&place.path("base"), X86_64)
}

/// By option, by variable, and where settings are by themselves; the option counts most.
#[test]
fn settings_are_read_from_where_they_are_said_to_be() {
    let place = Place::new();
    let base = base_image(&place);
    let site = Site::new();
    site.put_file("/images/base.raw", base.clone()).unwrap();
    let server = Server::http(site.handler());
    let checksum = format!("sha256:{}", sha256sum(&base));
    let good = mirror("https://images.invalid/a/", &server.url("/images/"));
    let plan = ["build", "./plain.toml", "--dry-run", "--json", "--checksum", &checksum];
    let plan = [&plan[..], &["--base", "https://images.invalid/a/base.raw"]].concat();

    let good_file = place.write("good.toml", &good);
    place.write("bad.toml", "[[mirror]]\nurl = \"https://a.example\"\nmiror = \"http://b.example\"\n");
    let good_file = good_file.to_str().unwrap();
    let told = place.run(&[&plan[..], &["--config", good_file, "--verbose"]].concat());
    let expected =
        format!("`{}` in place of `https://images.invalid/a/base.raw`", server.url("/images/base.raw"));
    assert!(told.stderr.contains(&expected), "{}", told.stderr);
    told.expect(0);
    assert!(
        !place.holding("https://images.invalid/a/base.raw").is_empty(),
        "the origin is what was asked for"
    );
    assert_eq!(place.holding(&server.url("/")), Vec::<String>::new());

    let asked = server.requests();
    fs::remove_dir_all(place.path("cache")).unwrap();
    outcome(place.tib(&plan).env("TIB_CONFIG", good_file)).expect(0);
    assert!(server.requests() > asked, "by variable");
    let bad =
        outcome(place.tib(&[&plan[..], &["--config", "bad.toml"]].concat()).env("TIB_CONFIG", good_file));
    assert!(bad.stderr.contains("bad.toml:3: unknown key `miror`; did you mean `mirror`?"), "{}", bad.stderr);
    bad.expect(3);
    place.write(".config/tib/config.toml", &good);
    fs::remove_dir_all(place.path("cache")).unwrap();
    place.run(&plan).expect(0);
    place.write("xdg/tib/config.toml", "mirror = 1\n");
    let bad = outcome(place.tib(&plan).env("XDG_CONFIG_HOME", place.path("xdg")));
    assert!(bad.stderr.contains("xdg/tib/config.toml:1: "), "{}", bad.stderr);
    bad.expect(3);
    let missing = place.run(&[&plan[..], &["--config", "none.toml"]].concat());
    assert!(missing.stderr.contains("cannot read the settings in `none.toml`"), "{}", missing.stderr);
    missing.expect(2);

    // What comes from a mirror is verified as ever.
    fs::remove_dir_all(place.path("cache")).unwrap();
    site.put("/images/base.raw", b"something else".to_vec());
    let wrong = place.run(&plan);
    assert!(
        wrong.stderr.contains(&format!("`{}` delivered", server.url("/images/base.raw"))),
        "{}",
        wrong.stderr
    );
    wrong.expect(5);
}

#[test]
fn a_registry_and_a_repository_of_git_may_have_mirrors() {
    let place = Place::new();
    let base = base_image(&place);
    let registry = Registry::start(place.0.path());
    let (bare, work) = (place.path("git/trove.git"), place.path("work"));
    let git = |arguments: &[&dyn AsRef<std::ffi::OsStr>]| run("git", arguments);
    git(&[&"init", &"--quiet", &"--initial-branch=master", &work]);
    fs::write(work.join("README"), "x").unwrap();
    git(&[&"-C", &work, &"add", &"README"]);
    let person = ["-c", "user.name=t", "-c", "user.email=t@example.com"];
    git(&[&"-C", &work, &person[0], &person[1], &person[2], &person[3], &"commit", &"--quiet", &"-m", &"x"]);
    git(&[&"clone", &"--quiet", &"--bare", &work, &bare]);
    git(&[&"-C", &bare, &"update-server-info"]);
    let commit = git(&[&"-C", &bare, &"rev-parse", &"HEAD"]);
    let root = place.path("git");
    // What git calls the dumb protocol: files.
    let server = Server::http(move |request: &Request| {
        let path = request.path.split('?').next().unwrap_or_default().trim_start_matches('/');
        fs::read(root.join(path)).map_or_else(|_| Reply::status(404), |bytes| Reply::new(200, bytes))
    });
    let port = registry.port();
    let mirrors = [
        mirror("https://registry.invalid/own/", &format!("http://127.0.0.1:{port}/")),
        mirror("https://git.invalid", &server.url("")),
    ];
    place.write("config.toml", &mirrors.concat());
    let container = "mariadb:10.11=docker://registry.invalid/own/silent:10.11";
    let common = ["--config", "config.toml", "--dry-run", "--json", "--base", base.to_str().unwrap()];
    let plan = |arguments: &[&str]| -> Value {
        let told = place.run(&[&["build", "trove-guest"], arguments, &common[..]].concat());
        serde_json::from_str(&told.expect(0)).unwrap()
    };
    let planned = plan(&["--agent", "none", "--embed-container", container]).to_string();
    assert!(planned.contains("docker://registry.invalid/own/silent:10.11"), "{planned}");
    assert!(!planned.contains("127.0.0.1"), "{planned}");
    let planned =
        plan(&["--agent", "git:https://git.invalid/trove.git@master", "--constraints", "none"]).to_string();
    assert!(
        planned.contains("https://git.invalid/trove.git") && planned.contains(commit.trim()),
        "{planned}"
    );
    assert!(!planned.contains("127.0.0.1"), "{planned}");
}

/// An archive that wants a login, below `/private/` of its server.
fn guarded(archive: &small::Archive) -> Server {
    let from = archive.server.url("");
    let expected = format!("Basic {}", STANDARD.encode(format!("user:{CANARY}")));
    Server::http(move |request: &Request| {
        if request.header("authorization") != Some(expected.as_str()) {
            return Reply::status(401);
        }
        let path = request.path.strip_prefix("/private").unwrap_or("/none");
        let path = if path.starts_with("/./") { path.to_owned() } else { format!("/.{path}") };
        let found = Command::new("curl")
            .args(["--silent", "--fail"])
            .arg(format!("{from}{path}"))
            .arg("--path-as-is")
            .output();
        match found {
            Ok(output) if output.status.success() => Reply::new(200, output.stdout),
            _ => Reply::status(404),
        }
    })
}

fn small_build(archive: &small::Archive, place: &Place, url: &str) -> Command {
    let base = small::base(&Shape::default());
    let mut arguments = archive.build("small-site", &base, &place.path("image.qcow2"));
    for argument in &mut arguments {
        if argument.to_str().is_some_and(|text| text.starts_with("archive=")) {
            *argument = format!("archive={url}").into();
        }
    }
    let mut command = place.tib(&[]);
    command.args(arguments);
    command
}

#[test]
fn a_repository_that_wants_credentials_says_how_to_give_them() {
    let (place, archive) = (Place::new(), small::archive());
    let server = guarded(&archive);
    place.write("config.toml", &mirror("https://vendor.invalid/deb/", &server.url("/private/")));
    let build = |more: &[&str]| {
        let mut command = small_build(&archive, &place, "https://vendor.invalid/deb/");
        // What comes after the packages needs an appliance, and there is none.
        command.args(["--config", "config.toml"]).args(more).env("LIBGUESTFS_HV", "/nonexistent/hypervisor");
        outcome(&mut command)
    };
    let refused = build(&[]);
    let expected = format!("repository `pebble`: `{}` wants credentials", server.url("/private/InRelease"));
    assert!(refused.stderr.contains(&expected), "{}", refused.stderr);
    assert!(refused.stderr.contains("--repository-auth FILE"), "{}", refused.stderr);
    refused.expect(4);

    let login = format!("machine {} login user password {CANARY}\n", server.url("/private/"));
    let file = place.write("auth", &login);
    run("chmod", &[&"0600", &file]);
    let found = build(&["--repository-auth", "auth"]);
    assert!(found.stderr.contains("appliance") && !found.stderr.contains("every user"), "{}", found.stderr);
    assert_ne!(found.code, Some(0));
    assert!(!found.stderr.contains(CANARY), "{}", found.stderr);
    assert_eq!(place.holding(CANARY), Vec::<String>::new());

    run("chmod", &[&"0644", &file]);
    let mut command = small_build(&archive, &place, "https://vendor.invalid/deb/");
    command.args(["--config", "config.toml"]).env("TIB_REPOSITORY_AUTH", &file);
    let open = outcome(command.env("LIBGUESTFS_HV", "/nonexistent/hypervisor"));
    assert!(open.stderr.contains("every user of this host can read the credentials"), "{}", open.stderr);

    for (text, message, code) in [
        (format!("login user password {CANARY}"), "line 1: no `machine` stands before `login`", 2),
        (format!("machine a.example login user password {CANARY} x"), "there is something else than", 2),
    ] {
        place.write("wrong", &text);
        let wrong = build(&["--repository-auth", "wrong"]);
        assert!(wrong.stderr.contains(message) && !wrong.stderr.contains(CANARY), "{}", wrong.stderr);
        wrong.expect(code);
    }
    let missing = build(&["--repository-auth", "none"]);
    assert!(missing.stderr.contains("cannot read the credentials in `none`"), "{}", missing.stderr);
    missing.expect(2);
    let nothing = build(&["--repository-auth", "auth", "--set", "archive=https://vendor.invalid/deb/none/"]);
    assert!(
        nothing.stderr.contains("repository `pebble`: there is no package index at"),
        "{}",
        nothing.stderr
    );
    nothing.expect(3);
}

/// The image names what it is told to name, what is recorded names the source, and the password is nowhere.
#[test]
fn appliance_image_names_mirrors_only_if_it_is_told_to() {
    let (place, archive) = (Place::new(), small::archive());
    let server = guarded(&archive);
    let pair = mirror("https://vendor.invalid/deb/", &server.url("/private/"));
    place.write("config.toml", &format!("{pair}in-image = true\n"));
    place.write("auth", &format!("machine {} login user password {CANARY}\n", server.url("/private")));
    place.write(
        "named.toml",
        "name = 'named'\nsummary = 's'\nextends = ['small-site']\nstage = 'site'\n[[file]]\n\
         path = '/etc/apt/sources.list.d/own.list'\ntext = \"deb https://vendor.invalid/deb/own x main\\n\"\n",
    );
    let build = || {
        let mut command = small_build(&archive, &place, "https://vendor.invalid/deb/");
        let arguments: Vec<_> = command.get_args().map(std::ffi::OsStr::to_owned).collect();
        command = place.tib(&[]);
        command.args(
            arguments
                .iter()
                .map(|text| if text == "small-site" { "./named.toml".as_ref() } else { text.as_os_str() }),
        );
        command.args(["--config", "config.toml", "--repository-auth", "auth"]);
        command
    };
    let built = outcome(build().arg("--verbose"));
    assert!(!built.stderr.contains(CANARY) && !built.stdout.contains(CANARY));
    built.expect(0);
    let image = place.path("image.qcow2");
    let cat = |path: &str| {
        let mut command = place.tib(&["cat"]);
        outcome(command.arg(&image).arg(path)).expect(0)
    };
    let private = server.url("/private");
    let source = cat("/etc/apt/sources.list.d/pebble.sources");
    assert!(source.contains(&format!("URIs: {private}/\n")), "{source}");
    assert_eq!(cat("/etc/apt/sources.list.d/own.list"), format!("deb {private}/own x main\n"));
    let manifest = fs::read_to_string(place.path("image.qcow2.manifest.json")).unwrap();
    for text in [&manifest, &source] {
        assert!(!text.contains(CANARY));
    }
    let raw = place.path("image.raw");
    run("qemu-img", &[&"convert", &"-O", &"raw", &image, &raw]);
    let in_image = Command::new("grep").args(["-a", "-c", "-F", CANARY]).arg(&raw).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&in_image.stdout).trim(), "0");
    assert_eq!(place.holding(CANARY), Vec::<String>::new(), "no layer, log or note holds it");

    // Without that the image has what the recipe says.
    place.write("config.toml", &pair);
    let plan = outcome(build().args(["--dry-run", "--json"])).expect(0);
    assert!(plan.contains("https://vendor.invalid/deb/") && !plan.contains(&private), "{plan}");
}

#[test]
fn a_plan_tells_which_mirror_an_image_names() {
    let (place, archive) = (Place::new(), small::archive());
    let pair = mirror("https://vendor.invalid/deb/", "http://mirror.invalid/deb");
    let plan = |config: &str, more: &[&str]| {
        place.write("config.toml", config);
        let mut command = small_build(&archive, &place, "https://vendor.invalid/deb/");
        outcome(command.args(["--config", "config.toml", "--dry-run"]).args(more)).expect(0)
    };
    let plain = plan(&pair, &[]);
    assert!(plain.contains("add repository pebble (https://vendor.invalid/deb/)"), "{plain}");
    let named = plan(&format!("{pair}in-image = true\n"), &[]);
    assert!(
        named.contains(
            "add repository pebble (https://vendor.invalid/deb/, in the image http://mirror.invalid/deb/)"
        ),
        "{named}"
    );
    assert!(named.contains("naming mirrors in the package sources"), "{named}");
    let json: Value = serde_json::from_str(&plan(&format!("{pair}in-image = true\n"), &["--json"])).unwrap();
    let steps =
        json["stages"].as_array().unwrap().iter().flat_map(|stage| stage["steps"].as_array().unwrap());
    let repository = steps.clone().find(|step| step["step"] == "repository").unwrap();
    assert_eq!(repository["url"], "https://vendor.invalid/deb/");
    assert_eq!(repository["in_image"], "http://mirror.invalid/deb/");
}
