//! Every option of `tib verify`, every kind of check and every key of each, in files of checks and in recipes: each is
//! seen to pass and to fail.

mod common;

use std::path::PathBuf;

use common::sample::Sample;
use common::{Outcome, outcome, run, tib};
use fs_err as fs;

/// Pairs of checks that differ in what the key asks: the first passes on [`image`], the second fails. Where it stands in
/// the table, `SHA256` is the digest of /etc/redis.conf.
const CHECKS: &[(&str, &str, &str)] = &[
    (
        "apparmor.profile",
        "check = 'apparmor'\nprofile = 'usr.sbin.mysqld'",
        "check = 'apparmor'\nprofile = 'usr.sbin.none'",
    ),
    (
        "apparmor.exists",
        "check = 'apparmor'\nprofile = 'none'\nexists = false",
        "check = 'apparmor'\nprofile = '/usr/sbin/mysqld'\nexists = false",
    ),
    (
        "apparmor.local",
        "check = 'apparmor'\nprofile = '/usr/sbin/mysqld'\nlocal = '/tmp/** rwk,'",
        "check = 'apparmor'\nprofile = '/usr/sbin/mysqld'\nlocal = '/srv/** rwk,'",
    ),
    (
        "apparmor.mode",
        "check = 'apparmor'\nprofile = '/usr/sbin/mysqld'\nmode = 'enforce'",
        "check = 'apparmor'\nprofile = 'complain'\nmode = 'enforce'",
    ),
    (
        "apparmor.mode",
        "check = 'apparmor'\nprofile = 'complain'\nmode = 'complain'",
        "check = 'apparmor'\nprofile = '/usr/sbin/mysqld'\nmode = 'complain'",
    ),
    (
        "apparmor.mode",
        "check = 'apparmor'\nprofile = 'kill'\nmode = 'kill'",
        "check = 'apparmor'\nprofile = '/usr/sbin/mysqld'\nmode = 'kill'",
    ),
    (
        "apparmor.mode",
        "check = 'apparmor'\nprofile = 'prompt'\nmode = 'prompt'",
        "check = 'apparmor'\nprofile = '/usr/sbin/mysqld'\nmode = 'prompt'",
    ),
    (
        "apparmor.mode",
        "check = 'apparmor'\nprofile = 'unconfined'\nmode = 'unconfined'",
        "check = 'apparmor'\nprofile = '/usr/sbin/mysqld'\nmode = 'unconfined'",
    ),
    (
        "apparmor.mode",
        "check = 'apparmor'\nprofile = 'disabled'\nmode = 'disabled'",
        "check = 'apparmor'\nprofile = '/usr/sbin/mysqld'\nmode = 'disabled'",
    ),
    ("package.name", "check = 'package'\nname = 'dpkg'", "check = 'package'\nname = 'rpm'"),
    (
        "package.installed",
        "check = 'package'\nname = 'rpm'\ninstalled = false",
        "check = 'package'\nname = 'dpkg'\ninstalled = false",
    ),
    (
        "package.version",
        "check = 'package'\nname = 'redis-server'\nversion = '>=7, <7.1'",
        "check = 'package'\nname = 'redis-server'\nversion = '7.2'",
    ),
    ("path.path", "check = 'path'\npath = '/etc/redis.conf'", "check = 'path'\npath = '/etc/rediz.conf'"),
    (
        "path.exists",
        "check = 'path'\npath = '/etc/none'\nexists = false",
        "check = 'path'\npath = '/etc/redis.conf'\nexists = false",
    ),
    (
        "path.kind",
        "check = 'path'\npath = '/etc/redis.conf'\nkind = 'file'",
        "check = 'path'\npath = '/srv'\nkind = 'file'",
    ),
    (
        "path.kind",
        "check = 'path'\npath = '/srv'\nkind = 'directory'",
        "check = 'path'\npath = '/etc/fstab'\nkind = 'directory'",
    ),
    (
        "path.kind",
        "check = 'path'\npath = '/etc/alias.conf'\nkind = 'symlink'",
        "check = 'path'\npath = '/etc/redis.conf'\nkind = 'symlink'",
    ),
    (
        "path.mode",
        "check = 'path'\npath = '/etc/redis.conf'\nmode = '0640'",
        "check = 'path'\npath = '/etc/redis.conf'\nmode = '0644'",
    ),
    (
        "path.owner",
        "check = 'path'\npath = '/etc/redis.conf'\nowner = 'trove'",
        "check = 'path'\npath = '/etc/redis.conf'\nowner = 'root'",
    ),
    (
        "path.group",
        "check = 'path'\npath = '/etc/redis.conf'\ngroup = 'docker'",
        "check = 'path'\npath = '/etc/redis.conf'\ngroup = 'root'",
    ),
    (
        "path.sha256",
        "check = 'path'\npath = '/etc/redis.conf'\nsha256 = 'SHA256'",
        "check = 'path'\npath = '/etc/hostname'\nsha256 = 'SHA256'",
    ),
    (
        "path.contains",
        "check = 'path'\npath = '/etc/redis.conf'\ncontains = 'port 6379'",
        "check = 'path'\npath = '/etc/redis.conf'\ncontains = 'port 6380'",
    ),
    (
        "path.lacks",
        "check = 'path'\npath = '/etc/redis.conf'\nlacks = 'port 6380'",
        "check = 'path'\npath = '/etc/redis.conf'\nlacks = 'port 6379'",
    ),
    (
        "path.matches",
        "check = 'path'\npath = '/etc/redis.conf'\nmatches = '^port \\d+$'",
        "check = 'path'\npath = '/etc/redis.conf'\nmatches = '^\\d+$'",
    ),
    (
        "path.target",
        "check = 'path'\npath = '/etc/alias.conf'\ntarget = 'redis.conf'",
        "check = 'path'\npath = '/etc/alias.conf'\ntarget = '/etc/redis.conf'",
    ),
    ("unit.name", "check = 'unit'\nname = 'redis.service'", "check = 'unit'\nname = 'rediz.service'"),
    (
        "unit.exists",
        "check = 'unit'\nname = 'rediz.service'\nexists = false",
        "check = 'unit'\nname = 'redis.service'\nexists = false",
    ),
    (
        "unit.state",
        "check = 'unit'\nname = 'redis.service'\nstate = 'enabled'",
        "check = 'unit'\nname = 'off.service'\nstate = 'enabled'",
    ),
    (
        "unit.state",
        "check = 'unit'\nname = 'off.service'\nstate = 'disabled'",
        "check = 'unit'\nname = 'redis.service'\nstate = 'disabled'",
    ),
    (
        "unit.state",
        "check = 'unit'\nname = 'never.service'\nstate = 'masked'",
        "check = 'unit'\nname = 'off.service'\nstate = 'masked'",
    ),
    // The other half of this pair is in a test of its own: a link that leads nowhere fails for all of an image.
    ("unit-links", "check = 'unit-links'", ""),
    ("user.name", "check = 'user'\nname = 'trove'", "check = 'user'\nname = 'ubuntu'"),
    (
        "user.exists",
        "check = 'user'\nname = 'ubuntu'\nexists = false",
        "check = 'user'\nname = 'trove'\nexists = false",
    ),
    ("user.uid", "check = 'user'\nname = 'trove'\nuid = 1000", "check = 'user'\nname = 'trove'\nuid = 1001"),
    (
        "user.groups",
        "check = 'user'\nname = 'trove'\ngroups = ['docker']",
        "check = 'user'\nname = 'trove'\ngroups = ['docker', 'sudo']",
    ),
    (
        "user.home",
        "check = 'user'\nname = 'trove'\nhome = '/home/trove'",
        "check = 'user'\nname = 'trove'\nhome = '/srv'",
    ),
    (
        "user.shell",
        "check = 'user'\nname = 'trove'\nshell = '/bin/bash'",
        "check = 'user'\nname = 'root'\nshell = '/bin/bash'",
    ),
    (
        "user.locked",
        "check = 'user'\nname = 'root'\nlocked = true",
        "check = 'user'\nname = 'root'\nlocked = false",
    ),
    ("group.name", "check = 'group'\nname = 'docker'", "check = 'group'\nname = 'podman'"),
    (
        "group.exists",
        "check = 'group'\nname = 'podman'\nexists = false",
        "check = 'group'\nname = 'docker'\nexists = false",
    ),
    (
        "group.gid",
        "check = 'group'\nname = 'docker'\ngid = 998",
        "check = 'group'\nname = 'docker'\ngid = 999",
    ),
    ("id-free.id", "check = 'id-free'\nid = 1001", "check = 'id-free'\nid = 1000"),
    ("sudo.who", "check = 'sudo'\nwho = 'trove'", "check = 'sudo'\nwho = 'root'"),
    (
        "sudo.allowed",
        "check = 'sudo'\nwho = 'root'\nallowed = false",
        "check = 'sudo'\nwho = 'trove'\nallowed = false",
    ),
    (
        "sudo.password",
        "check = 'sudo'\nwho = '%docker'\npassword = true",
        "check = 'sudo'\nwho = '%docker'\npassword = false",
    ),
    (
        "datasources.names",
        "check = 'datasources'\nnames = ['OpenStack']",
        "check = 'datasources'\nnames = ['OpenStack', 'NoCloud']",
    ),
    (
        "sysctl.key",
        "check = 'sysctl'\nkey = 'vm.swappiness'\nvalue = '1'",
        "check = 'sysctl'\nkey = 'vm.overcommit_memory'\nvalue = '1'",
    ),
    (
        "sysctl.value",
        "check = 'sysctl'\nkey = 'vm.swappiness'\nvalue = '1'",
        "check = 'sysctl'\nkey = 'vm.swappiness'\nvalue = '60'",
    ),
    (
        "config.path",
        "check = 'config'\npath = ['/etc/my.cnf', '/etc/my.cnf.d/*.cnf']\nsection = 'mysqld'\nkey = 'port'\nvalue = '3310'",
        "check = 'config'\npath = '/etc/my.cnf'\nsection = 'mysqld'\nkey = 'port'\nvalue = '3310'",
    ),
    (
        "config.section",
        "check = 'config'\npath = '/etc/my.cnf'\nsection = ['client', 'mysql']\nkey = 'port'\nvalue = '3307'",
        "check = 'config'\npath = '/etc/my.cnf'\nsection = 'mysqld'\nkey = 'port'\nvalue = '3307'",
    ),
    (
        "config.key",
        "check = 'config'\npath = '/etc/my.cnf'\nsection = 'mysqld'\nkey = 'port'",
        "check = 'config'\npath = '/etc/my.cnf'\nsection = 'mysqld'\nkey = 'socket'",
    ),
    (
        "config.value",
        "check = 'config'\npath = '/etc/redis.conf'\nkey = 'bind'\nvalue = '127.0.0.1'",
        "check = 'config'\npath = '/etc/redis.conf'\nkey = 'bind'\nvalue = '0.0.0.0'",
    ),
    (
        "config.set",
        "check = 'config'\npath = '/etc/redis.conf'\nkey = 'requirepass'\nset = false",
        "check = 'config'\npath = '/etc/redis.conf'\nkey = 'port'\nset = false",
    ),
    (
        "config.wins",
        "check = 'config'\npath = '/etc/ssh/sshd_config'\nkey = 'Port'\nvalue = '22'\nwins = 'first'",
        "check = 'config'\npath = '/etc/ssh/sshd_config'\nkey = 'Port'\nvalue = '22'\nwins = 'last'",
    ),
    (
        "world-writable.below",
        "check = 'world-writable'\nbelow = ['/etc', '/usr']",
        "check = 'world-writable'\nbelow = ['/srv']",
    ),
    (
        "world-writable.except",
        "check = 'world-writable'\nexcept = ['/srv/*']",
        "check = 'world-writable'\nexcept = ['/usr/**']",
    ),
    (
        "setuid.allow",
        "check = 'setuid'\nallow = ['/usr/bin/s?']",
        "check = 'setuid'\nallow = ['/usr/bin/sudo']",
    ),
    ("links.below", "check = 'links'\nbelow = ['/etc', '/usr']", "check = 'links'\nbelow = ['/srv']"),
    ("links.except", "check = 'links'\nexcept = ['/srv/*']", "check = 'links'\nexcept = ['/etc/*']"),
];

/// An image with something for every check to find, and to object to.
fn image() -> Sample {
    Sample::debian()
        .file("/etc/cloud/cloud.cfg", "datasource_list: [ConfigDrive, OpenStack]\n")
        .file("/etc/sysctl.d/60-x.conf", "vm.swappiness = 1\n")
        .file("/etc/my.cnf", "[mysqld]\nport = 3306\n[client]\nport = 3307\n")
        .file("/etc/my.cnf.d/50-a.cnf", "[mysqld]\nport = 3310\n")
        .file("/etc/ssh/sshd_config", "Port 22\nPort 2222\n")
        .file("/srv/anybody", "")
        .mode("/srv/anybody", 0o666)
        .link("/srv/nowhere", "nothing")
        .file("/usr/bin/su", "")
        .mode("/usr/bin/su", 0o4755)
        .file("/usr/sbin/apparmor_parser", "")
        .file(
            "/usr/lib/systemd/system/apparmor.service",
            "[Service]\nExecStart=/usr/bin/test\n[Install]\nWantedBy=sysinit.target\n",
        )
        .link(
            "/etc/systemd/system/sysinit.target.wants/apparmor.service",
            "/usr/lib/systemd/system/apparmor.service",
        )
        .file(
            "/etc/apparmor.d/usr.sbin.mysqld",
            "/usr/sbin/mysqld {\n  include if exists <local/usr.sbin.mysqld>\n}\n",
        )
        .file("/etc/apparmor.d/local/usr.sbin.mysqld", "/tmp/ rw,\n/tmp/** rwk,\n")
        .file(
            "/etc/apparmor.d/others",
            "profile complain flags=(complain) { }\nprofile kill flags=(kill) { }\n\
             profile prompt flags=(prompt) { }\nprofile unconfined flags=(unconfined) { }\n",
        )
        .file("/etc/apparmor.d/off", "profile disabled { }\n")
        .link("/etc/apparmor.d/disable/off", "/etc/apparmor.d/off")
}

struct Place {
    directory: tempfile::TempDir,
    digest: String,
}

impl Place {
    /// A directory with `image.raw` in it.
    fn new(sample: &Sample) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let image = sample.write(directory.path(), "image");
        let content = directory.path().join("content");
        fs::write(&content, run("/sbin/debugfs", &[&"-R", &"cat /etc/redis.conf", &image])).unwrap();
        let digest = run("sha256sum", &[&content])[..64].to_owned();
        Self { directory, digest }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text.replace("SHA256", &self.digest)).unwrap();
    }

    /// `tib verify image.raw`, in this directory.
    fn verify(&self, arguments: &[&str]) -> Outcome {
        let mut command = tib();
        command.args(["verify", "image.raw"]).args(arguments).current_dir(self.directory.path());
        outcome(&mut command)
    }

    #[track_caller]
    fn report(&self, arguments: &[&str]) -> serde_json::Value {
        let found = self.verify(&[arguments, &["--json"]].concat());
        serde_json::from_str(&found.stdout).unwrap_or_else(|_| panic!("{}", found.stderr))
    }

    /// The outcomes of a group of checks, in their order, with their titles.
    #[track_caller]
    fn outcomes(&self, group: &str, arguments: &[&str]) -> Vec<(String, String)> {
        let report = self.report(arguments);
        let of_group = report["results"].as_array().unwrap().iter().filter(|result| result["group"] == group);
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        of_group.map(|result| (text(&result["outcome"]), text(&result["title"]))).collect()
    }
}

fn tables(checks: impl Iterator<Item = &'static str>, more: &str) -> String {
    checks.map(|check| format!("[[check]]\n{more}{check}\n\n")).collect()
}

fn good() -> impl Iterator<Item = &'static str> {
    CHECKS.iter().map(|(_, good, _)| *good)
}

fn bad() -> impl Iterator<Item = &'static str> {
    CHECKS.iter().map(|(_, _, bad)| *bad).filter(|bad| !bad.is_empty())
}

#[track_caller]
fn all(outcomes: &[(String, String)], expected: &str, count: usize) {
    let wrong: Vec<_> = outcomes.iter().filter(|(outcome, _)| outcome != expected).collect();
    assert!(wrong.is_empty(), "not {expected}: {wrong:#?}");
    assert_eq!(outcomes.len(), count);
}

#[test]
fn every_key_of_every_check_passes_and_fails_in_a_file() {
    let place = Place::new(&image());
    place.write("good.toml", &tables(good(), ""));
    place.write("bad.toml", &tables(bad(), ""));
    all(&place.outcomes("checks", &["--checks", "good.toml"]), "passed", CHECKS.len());
    all(&place.outcomes("checks", &["--checks", "bad.toml"]), "failed", bad().count());
    // Both files count.
    let both = place.outcomes("checks", &["--checks", "good.toml", "--checks", "bad.toml"]);
    assert_eq!(both.len(), CHECKS.len() + bad().count());
    // The key is what both of a pair are about.
    for (key, good, _) in CHECKS.iter().filter(|(key, ..)| key.contains('.')) {
        let key = key.split('.').next_back().unwrap();
        assert!(good.contains(&format!("\n{key} = ")), "{key}: {good}");
    }
}

/// A plan drops checks that say the same twice, so the pairs are compared one by one in what is left.
#[test]
fn every_key_of_every_check_passes_and_fails_in_a_recipe() {
    let place = Place::new(&image());
    let head = "name = 'ours'\nsummary = 'A test'\n\n";
    let unique =
        |checks: Vec<&'static str>| checks.into_iter().collect::<std::collections::BTreeSet<_>>().len();
    for (checks, expected) in [(good().collect::<Vec<_>>(), "passed"), (bad().collect(), "failed")] {
        let count = unique(checks.clone());
        // Those whose condition does not hold are not asked for.
        for (when, count) in
            [("", count), ("when = { family = 'debian' }\n", count), ("when = { family = 'rhel' }\n", 0)]
        {
            place.write("ours.toml", &format!("{head}{}", tables(checks.clone().into_iter(), when)));
            all(&place.outcomes("recipe", &["--recipe", "./ours.toml"]), expected, count);
        }
    }
}

#[test]
fn tests_of_goss_are_judged() {
    let place = Place::new(&image());
    place.write("good.yaml", "file:\n  /etc/os-release:\n    exists: true\n    contents: [ID=debian]\nport:\n  tcp:22: {listening: true}\n");
    place.write(
        "bad.yaml",
        "file:\n  /etc/os-release: {exists: false}\nuser:\n  nobody-here: {exists: true}\n",
    );
    place.write("odd.yaml", "file:\n  /etc/os-release: {exists: true, size: 7}\n");
    all(&place.outcomes("checks", &["--goss", "good.yaml"]), "passed", 2);
    all(&place.outcomes("checks", &["--goss", "bad.yaml"]), "failed", 2);
    let odd = place.outcomes("checks", &["--goss", "odd.yaml"]);
    assert_eq!(odd.len(), 2, "what cannot be judged is there, and fails: {odd:?}");
}

/// What listens shows in a running instance: it is named, and judged by nothing here.
#[test]
fn ports_are_left_to_a_running_system() {
    let place = Place::new(&image());
    let udp = "[[check]]\ncheck = 'listens'\nport = 5353\nprotocol = 'udp'\non = 'loopback'\n";
    let check = format!("{udp}[[check]]\ncheck = 'listens'\nport = 53\nprotocol = 'tcp'\n");
    place.write("site.toml", &format!("[[check]]\ncheck = 'path'\npath = '/etc'\n{check}"));
    place.write("ours.toml", &format!("name = 'ours'\nsummary = 'A test'\n{check}"));
    all(&place.outcomes("checks", &["--checks", "site.toml"]), "passed", 1);
    for option in [["--checks", "site.toml"], ["--recipe", "./ours.toml"]] {
        let warnings = place.report(&option)["warnings"].to_string();
        assert!(warnings.contains("UDP port 5353 is listened on, on loopback addresses alone"), "{warnings}");
        assert!(warnings.contains("TCP port 53 is listened on, on all addresses"), "{warnings}");
    }
}

#[test]
fn links_of_units_that_do_not_exist_are_found() {
    let wants = "/etc/systemd/system/multi-user.target.wants/gone.service";
    let place = Place::new(&image().link(wants, "/usr/lib/systemd/system/gone.service"));
    place.write("site.toml", "[[check]]\ncheck = 'unit-links'\n");
    all(&place.outcomes("checks", &["--checks", "site.toml"]), "failed", 1);
    place.write("ours.toml", "name = 'ours'\nsummary = 'A test'\n[[check]]\ncheck = 'unit-links'\n");
    all(&place.outcomes("recipe", &["--recipe", "./ours.toml"]), "failed", 1);
}

/// What is asked of a recipe changes what it asks of the image.
#[test]
fn a_recipe_is_verified_with_its_options_and_its_agent() {
    let place = Place::new(&Sample::debian());
    place.write(
        "ours.toml",
        "name = 'ours'\nsummary = 'A test'\n[options.account]\ndescription = 'Who'\ndefault = 'trove'\n\
         [agent]\nsource = 'none'\nuser = 'trove'\nvenv = '/opt/venv'\nmodule = 'trove.cmd.guest'\n\
         [[check]]\ncheck = 'user'\nname = '{{ account }}'\n\
         [[check]]\nwhen = { agent = true }\ncheck = 'path'\npath = '/opt/agent'\n",
    );
    let outcomes = |more: &[&str]| place.outcomes("recipe", &[&["--recipe", "./ours.toml"], more].concat());
    all(&outcomes(&[]), "passed", 1);
    let other = outcomes(&["--set", "account=ubuntu"]);
    assert_eq!(other, [("failed".to_owned(), "user ubuntu exists".to_owned())]);
    let agent = outcomes(&["--agent", "pypi:26.0.0"]);
    assert!(
        agent.iter().any(|(outcome, title)| outcome == "failed" && title.contains("/opt/agent")),
        "{agent:?}"
    );
}

#[test]
fn an_image_that_is_given_a_kernel_needs_no_boot_loader() {
    let place = Place::new(&Sample::debian());
    for (name, boots, asked) in [("plain", "", true), ("kernel", "boots = false\n", false)] {
        let head = format!("name = '{name}'\nsummary = 'A test'\n{boots}");
        place.write(&format!("{name}.toml"), &format!("{head}[[check]]\ncheck = 'path'\npath = '/etc'\n"));
        let recipe = format!("./{name}.toml");
        let found = place.outcomes("image", &["--recipe", &recipe]);
        let missing = found.contains(&("failed".to_owned(), "firmware finds a boot loader".to_owned()));
        assert_eq!(missing, asked, "{name}: {found:?}");
    }
}

#[test]
fn reports_are_written_in_every_form() {
    let place = Place::new(&image());
    place.write(
        "site.toml",
        "[[checks]]\ncheck = 'package'\nname = 'rpm'\n[[checks]]\ncheck = 'unit-links'\n",
    );
    let found = place.verify(&["--checks", "site.toml", "--html", "report.html", "--junit", "report.xml"]);
    assert_eq!(found.code, Some(8));
    assert!(found.stdout.contains("package rpm is installed"), "{}", found.stdout);
    let (html, junit) =
        (fs::read_to_string(place.path("report.html")), fs::read_to_string(place.path("report.xml")));
    assert!(html.unwrap().contains("package rpm is installed"));
    let junit = junit.unwrap();
    let suite = junit.lines().find(|line| line.contains("<testsuite name=\"checks\"")).unwrap();
    assert!(suite.contains("tests=\"2\"") && suite.contains("failures=\"1\""), "{suite}");
}

#[test]
fn reports_replace_nothing_that_is_read_nor_each_other() {
    let place = Place::new(&image());
    place.write("site.toml", "[[check]]\ncheck = 'unit-links'\n");
    place.write("mine.toml", "name = 'mine'\nsummary = 'A test'\nstage = 'site'\n");
    fs::os::unix::fs::symlink("image.raw", place.path("link.raw")).unwrap();
    let files = ["image.raw", "site.toml", "mine.toml"];
    let before = files.map(|name| fs::read(place.path(name)).unwrap());
    for arguments in [
        ["--junit", "image.raw", "--json"].as_slice(),
        &["--html", "./image.raw"],
        &["--junit", "link.raw"],
        &["--checks", "site.toml", "--html", "site.toml"],
        &["--recipe", "./mine.toml", "--junit", "mine.toml"],
        &["--junit", "both", "--html", "./both"],
    ] {
        let found = place.verify(arguments);
        assert_eq!(found.code, Some(2), "{arguments:?}: {}", found.stderr);
        assert!(
            found.stderr.contains("would replace") && found.stderr.contains("hint: "),
            "{}",
            found.stderr
        );
    }
    assert!(files.map(|name| fs::read(place.path(name)).unwrap()) == before && !place.path("both").exists());
    // A device is written to, not replaced. The image is not sealed, and that is what the code says.
    place.verify(&["--junit", "/dev/null", "--html", "/dev/null", "--checks", "site.toml"]).expect(8);
}

/// Conditions decide on what an image is, seen by the checks that are left.
#[test]
fn conditions_hold_where_they_should() {
    let debian = Place::new(&Sample::debian());
    let rocky = Sample::debian()
        .file("/usr/lib/os-release", "ID=\"rocky\"\nID_LIKE=\"rhel centos\"\nVERSION_ID=\"9.4\"\n");
    let arm = {
        // The machine in the head of a program.
        let mut program = vec![0; 64];
        program[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
        program[16..20].copy_from_slice(&[3, 0, 183, 0]);
        program[20] = 1;
        program[52] = 64;
        program
    };
    let rocky = Place::new(&rocky.file("/bin/sh", arm.clone()).file("/usr/bin/ping", arm));
    let suse = "ID=\"opensuse-leap\"\nID_LIKE=\"suse opensuse\"\nVERSION_ID=\"15.6\"\n";
    let suse = Place::new(&Sample::debian().file("/usr/lib/os-release", suse));
    let head = "name = 'ours'\nsummary = 'A test'\ncontract = 'classic'\n\
                [agent]\nsource = 'none'\nuser = 'trove'\nvenv = '/opt/venv'\nmodule = 'trove.cmd.guest'\n";
    for (when, on_debian, on_rocky, on_suse) in [
        ("distro = 'debian'", true, false, false),
        ("distro = ['rocky', 'debian']", true, true, false),
        ("family = 'debian'", true, false, false),
        ("family = 'rhel'", false, true, false),
        ("family = 'suse'", false, false, true),
        ("release = '12'", true, false, false),
        ("release = '>=9'", true, true, true),
        ("release = '<12'", false, true, false),
        ("arch = 'x86_64'", true, false, true),
        ("arch = 'aarch64'", false, true, false),
        ("agent = false", true, true, true),
        ("agent = true", false, false, false),
        ("contract = 'classic'", true, true, true),
        ("contract = 'container'", false, false, false),
        ("distro = 'debian', release = '<12'", false, false, false),
    ] {
        let check = format!("{head}[[check]]\nwhen = {{ {when} }}\ncheck = 'path'\npath = '/etc/passwd'\n");
        for (place, holds) in [(&debian, on_debian), (&rocky, on_rocky), (&suse, on_suse)] {
            place.write("ours.toml", &check);
            let found = place.outcomes("recipe", &["--recipe", "./ours.toml"]);
            assert_eq!(found.len(), usize::from(holds), "{when}: {found:?}");
        }
    }
    for (agent, when, on_debian, on_rocky) in [
        ("pypi", "agent = 'code'", true, true),
        ("pypi", "agent = 'package'", false, false),
        ("package", "agent = 'package'", true, true),
        ("package", "agent = 'rdo'", false, false),
        ("package:rdo@caracal", "agent = 'rdo'", false, true),
        ("package:rdo@caracal", "agent = 'code'", false, false),
    ] {
        let check = format!("{head}[[check]]\nwhen = {{ {when} }}\ncheck = 'path'\npath = '/etc/passwd'\n");
        for (place, holds) in [(&debian, on_debian), (&rocky, on_rocky)] {
            place.write("ours.toml", &check);
            // A package that this system does not have is refused before anything is looked at.
            let told = place.verify(&["--json", "--recipe", "./ours.toml", "--agent", agent]);
            assert_eq!(
                told.stdout.contains("/etc/passwd"),
                holds,
                "{agent}, {when}: {}{}",
                told.stdout,
                told.stderr
            );
        }
    }
    // Of a whole recipe: it is refused elsewhere. Where it is not, the image is looked at, and this one does not boot.
    let file = format!("{head}[when]\nfamily = 'rhel'\n");
    for (place, code) in [(&debian, 3), (&rocky, 8)] {
        place.write("ours.toml", &file);
        let found = place.verify(&["--recipe", "./ours.toml"]);
        assert_eq!(found.code, Some(code), "{}{}", found.stdout, found.stderr);
    }
}
