//! Every command line of the README and of `docs/` runs as it is written there: with these names and sizes, in the order of
//! the page, in one directory for each page. Servers are local; their catalogue and certificate come by environment
//! variables, which leave the command lines as they are.
//!
//! A command that is new in a page is run like all others, so it needs files that are there; otherwise it is added to
//! [`APPLIANCE`], [`STANDS_FOR`] or, with a reason, to [`LEFT_OUT`].

mod common;
#[path = "doc_commands/markdown.rs"]
mod markdown;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Parser;
use common::agents;
use common::gpg::{digest, sha256sum};
use common::http::{Server, Site};
use common::makers::{catalogue_for, lay_out, maker, publish_all};
use common::sample::{JOURNAL, Sample, journal, said};
use common::{Outcome, built_image, cache, outcome, run, tib, tib_path};
use fs_err as fs;
use markdown::{Form, Line};

/// What is not run, and why not.
const LEFT_OUT: [(&str, &str); 34] = [
    (
        "python3 -B tests/rpm_testbed/make.py --cache DIRECTORY --variant rocky-9",
        "takes ten minutes and Debian's whole archive; tests/rpm_testbed.rs runs the tests of its parts",
    ),
    (
        "make demo",
        "`make setup` and `make build` with scripts/demo.sh behind them, which builds what the README builds",
    ),
    (
        "make prove IMAGE=trove-guest.qcow2",
        "makes an instance with a real control plane, which takes minutes",
    ),
    ("tib prove trove.qcow2", "the same"),
    ("tib prove trove-guest.qcow2", "the same"),
    ("tib prove trove-guest.qcow2 --datastore postgresql", "the same with another database"),
    ("tib boot trove-guest.qcow2", "takes minutes, and tests/e2e_boot.rs does it"),
    ("tib boot trove-guest.qcow2 --conf trove-guestagent.conf", "the same"),
    ("tib boot mariadb.qcow2 --goss goss.yaml", "takes minutes, and tests/e2e_boot.rs does it"),
    (
        "tib boot trove-guest.qcow2 --conf trove-guestagent.conf --broker rabbit://trove:secret@controller:5672/",
        "needs an operator's broker",
    ),
    ("tib boot trove.qcow2", "takes minutes, and tests/e2e_boot.rs boots this image in every way"),
    ("make prove", "the same"),
    ("make test", "runs these tests"),
    ("make test-all", "runs these tests, and for longer"),
    ("make test-network", "needs other people's servers"),
    ("make setup", "is what every run of these tests starts with"),
    ("make test-quick", "runs these tests"),
    ("make lint", "compiles tib, and CI runs it"),
    ("make check-generated", "compiles tib, and CI runs it"),
    ("make generate", "writes into the source"),
    ("make bench", "compiles tib, and takes minutes"),
    ("make deny", "needs a program that is not part of the set-up, and the network"),
    ("make deny DENY_CHECKS='bans licenses sources'", "needs a program that is not part of the set-up"),
    ("make fuzz", "needs a compiler that is not part of the set-up, and minutes"),
    (
        "cargo insta test --test-runner nextest --review --lib -- recipe::",
        "needs a program that is not part of the set-up, and a terminal",
    ),
    (
        "tib build mariadb --base rhel-9 --rhsm-org 1234567 --rhsm-activation-key-file key --rhsm-ca redhat-uep.pem",
        "needs a subscription and an image of RHEL; tests/subscription.rs has a server and a base like them",
    ),
    (
        "tib build mariadb --base rhel-9 --rhsm-server satellite.example.org/rhsm --rhsm-baseurl \
         https://satellite.example.org/pulp/content --rhsm-ca katello-server-ca.crt --rhsm-org ACME \
         --rhsm-activation-key-file key",
        "needs a Satellite",
    ),
    (
        "tib cat rhel-9.6-x86_64-kvm.qcow2 /etc/rhsm/ca/redhat-uep.pem > redhat-uep.pem",
        "needs an image of RHEL",
    ),
    (
        "tib build trove-guest --embed-container mariadb:11.4",
        "asks Docker's own registry; tests/containers.rs has one, and tests/e2e_boot.rs builds such an image",
    ),
    (
        "tib build trove-guest --embed-container \
         registry.example:5000/db/mysql:8.4=docker://docker.io/library/mysql:8.4",
        "the same",
    ),
    (
        "tib build trove-guest --embed-container mariadb:11.4=oci:./layout:lts --embed-container \
         postgres:17=docker-archive:postgres.tar",
        "the same with images that nobody has here",
    ),
    ("sudo usermod -aG kvm $USER", "changes the host, as root"),
    (
        "sudo dpkg-statoverride --update --add root root 0644 /boot/vmlinuz-$(uname -r)",
        "changes the host, as root",
    ),
    ("export SUPERMIN_KERNEL=… SUPERMIN_KERNEL_VERSION=… SUPERMIN_MODULES=…", "is what `make setup` prints"),
];

/// What starts an appliance, or needs an image that was made with one.
const APPLIANCE: [&str; 25] = [
    "tib doctor",
    "tib doctor --json",
    "tib build mariadb -o mariadb.qcow2",
    "tib build trove-guest --base bootstrap:debian-12 -o trove.qcow2",
    "tib build postgresql --base ./my-base.qcow2 --size 6G --set guest_user=trove",
    "tib build trove-guest --agent path:./trove --ssh-key ~/.ssh/id_ed25519.pub -o trove-dev.qcow2",
    "tib build redis --dry-run",
    "tib build ./mydb.toml",
    "tib boot mariadb.qcow2",
    "tib ls -lR mariadb.qcow2 /etc/mysql",
    "tib inspect mariadb.qcow2",
    "tib diff yesterday.qcow2 today.qcow2",
    "tib verify mariadb.qcow2 --recipe mariadb --junit report.xml",
    "tib verify any.qcow2 --checks site.toml --html report.html",
    "tib verify mariadb.qcow2 --recipe mariadb --checks site.toml --html report.html",
    "tib verify trove-guest.qcow2",
    "tib verify trove-guest.qcow2 --conf trove-guestagent.conf --trove-conf trove.conf",
    "tib --explain cat mariadb.qcow2 /etc/hostname",
    "tib ls -lR --uids --times mariadb.qcow2 /etc",
    "tib ls -lZ mariadb.qcow2 /var/lib",
    "tib ls -lR --csv --checksum mariadb.qcow2 / > files.csv",
    "tib ls -R --json --xattrs mariadb.qcow2 /usr | jq '.[] | select(.xattrs != [])'",
    "tib stat mariadb.qcow2 /usr/bin/ping",
    "tib extract mariadb.qcow2 /etc -o etc.tar",
    "tib base fetch debian-12 ubuntu-24.04",
];

/// Command lines with words that stand for others.
const STANDS_FOR: [(&str, &str); 13] = [
    ("tib recipe show RECIPE", "tib recipe show mariadb"),
    ("tib recipe show NAME", "tib recipe show mariadb"),
    ("tib recipe check FILE", "tib recipe check ./mariadb-tuned.toml ./mydb.toml"),
    ("tib COMMAND --help", "for command in build cache base log; do tib $command --help; done"),
    ("tib base show ID", "tib base show debian-12"),
    ("tib base check-catalogue ID", "tib --catalogue-dir house base check-catalogue house-debian-12"),
    (
        "tib base import rhel-9.6-x86_64-kvm.qcow2 --as rhel-9 --checksum sha256:…",
        "tib base import rhel-9.6-x86_64-kvm.qcow2 --as rhel-9 --checksum sha256:DIGEST",
    ),
    ("tib inspect IMAGE", "tib inspect db.qcow2"),
    ("tib diff OLD NEW", "tib diff db.qcow2 any.qcow2"),
    ("tib log IMAGE", "tib log db.qcow2"),
    ("tib log IMAGE --list", "tib log db.qcow2 --list"),
    ("tib log IMAGE NAME", "tib log db.qcow2 cloud-init"),
    ("tib tail IMAGE PATH…", "tib tail db.qcow2 /etc/fstab /etc/hosts"),
];

/// How a line is to be run.
enum Way {
    LeftOut,
    /// The program says itself that something is missing: the page only names the command.
    Named(String),
    Run {
        command: String,
        appliance: bool,
    },
}

fn way(line: &Line) -> Way {
    let command = line.without_comment();
    if LEFT_OUT.iter().any(|(left_out, _)| *left_out == command) {
        return Way::LeftOut;
    }
    if line.form == Form::Inline && is_incomplete(command) {
        return Way::Named(command.to_owned());
    }
    let appliance = APPLIANCE.contains(&command);
    let stands_for = STANDS_FOR.iter().find(|(written, _)| *written == command);
    let command = stands_for.map_or(command, |(_, meant)| meant).to_owned();
    Way::Run { command, appliance }
}

fn is_incomplete(command: &str) -> bool {
    use clap::error::ErrorKind::{DisplayHelpOnMissingArgumentOrSubcommand, MissingRequiredArgument};
    let missing = [DisplayHelpOnMissingArgumentOrSubcommand, MissingRequiredArgument];
    tib::cli::Args::try_parse_from(command.split(' ')).is_err_and(|error| missing.contains(&error.kind()))
}

/// Where the commands of a page are run.
struct Desk {
    directory: tempfile::TempDir,
    cache: PathBuf,
}

impl Desk {
    /// With the files that pages name, and a cache of its own.
    fn new() -> Self {
        let directory = common::scratch();
        let desk = Self { cache: directory.path().join("cache"), directory };
        for place in ["bin", "home/.ssh", "house"] {
            fs::create_dir_all(desk.path(place)).unwrap();
        }
        fs::os::unix::fs::symlink(tib_path(), desk.path("bin/tib")).unwrap();
        run("ssh-keygen", &[&"-q", &"-t", &"ed25519", &"-N", &"", &"-f", &desk.path("home/.ssh/id_ed25519")]);
        run("qemu-img", &[&"create", &"-q", &"-f", &"qcow2", &desk.path("rhel-9.6-x86_64-kvm.qcow2"), &"1M"]);
        desk.write("site.toml", "[[check]]\ncheck = \"path\"\npath = \"/etc/fstab\"\n");
        // Files that pages show.
        for (page, start, name) in [
            ("README.md", "name = \"mariadb-tuned\"", "mariadb-tuned.toml"),
            ("docs/recipes.md", "# mydb.toml", "mydb.toml"),
            ("docs/base-images.md", "[[image]]\nid = \"house-debian-12\"", "house/house.toml"),
        ] {
            desk.write(name, &markdown::block(page, start));
        }
        // As equal builds at two times leave them.
        for (name, time) in [("a", 1), ("b", 2)] {
            let text = format!("{{ \"version\": 1, \"recorded\": {{ \"origin\": {time} }} }}\n");
            desk.write(&format!("{name}.qcow2.manifest.json"), &text);
        }
        agents::source(&desk.path("trove"));
        desk.image("db.qcow2", &database());
        desk.image("any.qcow2", &Sample::debian());
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), text).unwrap();
    }

    fn image(&self, name: &str, sample: &Sample) {
        let raw = sample.write(self.directory.path(), "sample");
        run("qemu-img", &[&"convert", &"-O", &"qcow2", &raw, &self.path(name)]);
        fs::remove_file(raw).unwrap();
    }

    /// Runs a command line in a shell; what it writes to stderr comes among the rest, as on a terminal.
    fn shell(&self, command: &str) -> Outcome {
        let inside = tib();
        let mut shell = Command::new("bash");
        let command = command.replace("DIGEST", &sha256sum(&self.path("rhel-9.6-x86_64-kvm.qcow2")));
        shell
            .args(["-o", "pipefail", "-ec", &format!("exec 2>&1\n{command}")])
            .current_dir(self.directory.path());
        for (name, value) in inside.get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        let path = std::env::var("PATH").unwrap_or_default();
        shell.env("PATH", format!("{}:{path}", self.path("bin").display()));
        shell.env("HOME", self.path("home")).env("TIB_CACHE_DIR", &self.cache);
        shell.env("TIB_CATALOGUE_DIR", self.path("catalogue"));
        if self.path("authority.pem").exists() {
            shell.env("SSL_CERT_FILE", self.path("authority.pem")).env("no_proxy", "127.0.0.1,localhost");
            shell.env("NO_PROXY", "127.0.0.1,localhost");
        }
        outcome(shell.stdin(std::process::Stdio::null()))
    }

    /// Runs the lines of a page that `wanted` picks, each of which must do well and print what the page shows. A line in
    /// the middle of a sentence is not run again where it is `done` already.
    fn run(&self, page: &str, done: &mut BTreeSet<String>, wanted: impl Fn(bool) -> bool) -> Vec<String> {
        let mut wrong = Vec::new();
        for line in markdown::lines(page) {
            let (command, appliance) = match way(&line) {
                Way::LeftOut => continue,
                Way::Named(command) => (format!("{command} --help"), false),
                Way::Run { command, appliance } => (command, appliance),
            };
            let again = !done.insert(command.clone()) && line.form == Form::Inline;
            if !wanted(appliance) || again {
                continue;
            }
            let found = self.shell(&command);
            let shown: String = line.output.iter().map(|line| format!("{line}\n")).collect();
            let differs = !shown.is_empty() && found.stdout.trim_end() != shown.trim_end();
            if found.code != Some(0) || differs {
                wrong.push(format!(
                    "{}: `{command}` ended with {:?}:\n{}",
                    line.place, found.code, found.stdout
                ));
            }
        }
        wrong
    }

    /// Sites of all makers, and a catalogue that leads to them. If a digest is given, it is that of Debian 12.
    fn makers(&self, debian: Option<&str>) -> Server {
        let scratch = common::scratch();
        let (all, site, maker) = (publish_all(scratch.path()), Site::new(), maker());
        lay_out(&site, &all, &maker);
        let server = Server::https(site.handler());
        let mut catalogue = catalogue_for(&server, &all, &maker.1);
        if let Some(debian) = debian {
            let pinned = |spec: &&common::makers::Published| {
                spec.id == "debian-12" && spec.trust == "pin" && Some(spec.arch) == tib::distro::Arch::host()
            };
            let bytes = &all.iter().find(pinned).unwrap().bytes;
            let checksum = format!("sha512:{}", digest("sha512", bytes));
            assert_eq!(catalogue.matches(&checksum).count(), 1);
            catalogue = catalogue.replace(&checksum, &format!("sha256:{debian}"));
        }
        self.write("catalogue/makers.toml", &catalogue);
        self.write("authority.pem", server.authority());
        server
    }
}

/// A machine that ran MariaDB until it did not.
fn database() -> Sample {
    let mariadb = |message| said(612, "mariadbd", "_SYSTEMD_UNIT=mariadb.service", 3, message);
    let entries = journal(&[
        (0, 1, said(1, "systemd", "UNIT=mariadb.service", 6, "Started mariadb.service.")),
        (500_000, 2, mariadb("InnoDB: Cannot allocate memory for the buffer pool")),
        (600_000, 2, mariadb("Plugin 'InnoDB' registration as a STORAGE ENGINE failed.")),
        (700_000, 2, said(100, "sshd", "_SYSTEMD_UNIT=ssh.service", 6, "Server listening")),
        (
            1_000_000,
            2,
            said(
                1,
                "systemd",
                "UNIT=mariadb.service",
                5,
                "mariadb.service: Main process exited, code=exited, status=1/FAILURE",
            ),
        ),
    ]);
    let packed = tempfile::tempdir().unwrap();
    fs::write(packed.path().join("syslog"), "an old line\n").unwrap();
    run("gzip", &[&packed.path().join("syslog")]);
    Sample::debian()
        .file(JOURNAL, entries)
        .file("/etc/hosts", "127.0.0.1 localhost\n")
        .file("/var/log/cloud-init.log", "all is well\nWARNING: nearly\n")
        .file("/var/log/syslog.2.gz", fs::read(packed.path().join("syslog.gz")).unwrap())
}

#[track_caller]
fn nothing(wrong: &[String]) {
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn lists_name_only_commands_that_are_there() {
    let lines: Vec<_> = markdown::pages().iter().flat_map(|page| markdown::lines(page)).collect();
    let there_is = |command: &str| lines.iter().any(|line| line.without_comment() == command);
    let listed = LEFT_OUT.iter().map(|(command, _)| *command).chain(APPLIANCE);
    let gone: Vec<_> =
        listed.chain(STANDS_FOR.iter().map(|(written, _)| *written)).filter(|line| !there_is(line)).collect();
    assert_eq!(gone, [""; 0], "in no page any longer");
    // Targets of make that are left out are there all the same.
    let makefile = fs::read_to_string("Makefile").unwrap();
    for line in lines.iter().filter(|line| line.command.starts_with("make ")) {
        let target = line.command.split(' ').nth(1).unwrap();
        assert!(makefile.contains(&format!("\n{target}:")), "{}: {}", line.place, line.command);
    }
}

#[test]
fn command_lines_run_as_they_are_written() {
    let desk = Desk::new();
    let _server = desk.makers(None);
    let (mut done, pages) = (BTreeSet::new(), markdown::pages());
    nothing(
        &pages.iter().flat_map(|page| desk.run(page, &mut done, |appliance| !appliance)).collect::<Vec<_>>(),
    );
}

/// The examples that `--help` gives are command lines of the program.
#[test]
fn examples_of_help_texts_are_command_lines() {
    use clap::CommandFactory;
    let mut wrong = Vec::new();
    let mut count = 0;
    let program = tib::cli::Args::command();
    for command in program.get_subcommands().chain([&program]) {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        for line in help.lines().filter_map(|line| line.strip_prefix("  tib ")) {
            // An explanation stands two columns to the right.
            let example =
                line.split("  ").next().unwrap().split(" | ").next().unwrap().split(" > ").next().unwrap();
            let words = example.replace("sha256:…", &format!("sha256:{}", "0".repeat(64)));
            count += 1;
            if let Err(error) = tib::cli::Args::try_parse_from(format!("tib {words}").split_whitespace()) {
                wrong.push(format!("tib {example}: {error}"));
            }
        }
    }
    nothing(&wrong);
    assert!(count > 20, "{count}");
}

/// A desk with images, on which builds find what the images' own builds have left in the cache.
fn with_images(recipes: &[&str]) -> (Desk, Server) {
    for recipe in recipes {
        built_image(recipe);
    }
    let manifest = fs::read(format!("{}.manifest.json", built_image("mariadb").display())).unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    let digest = manifest["base"]["digest"].as_str().unwrap();
    let desk = Desk::new();
    // Second names of the same files: names of the catalogue mean other things on this desk.
    fs::create_dir_all(desk.cache.join("v1")).unwrap();
    for shelf in ["agents", "apt", "bases", "bootstrap", "index", "layers", "pip"] {
        run("cp", &[&"-al", &cache().join("tib/v1").join(shelf), &desk.cache.join("v1")]);
    }
    let disk = desk.cache.join("v1/bases").join(digest).join("disk.qcow2");
    fs::hard_link(disk, desk.path("my-base.qcow2")).unwrap();
    let server = desk.makers(Some(digest));
    (desk, server)
}

/// The README from its top to its end, as somebody does who reads it.
#[test]
fn appliance_the_readme_runs_as_it_is_written() {
    let (desk, _server) = with_images(&["mariadb", "postgresql", "trove-guest"]);
    // One that boots.
    fs::remove_file(desk.path("any.qcow2")).unwrap();
    for image in ["yesterday.qcow2", "today.qcow2", "any.qcow2"] {
        fs::hard_link(built_image("postgresql"), desk.path(image)).unwrap();
    }
    nothing(&desk.run("README.md", &mut BTreeSet::new(), |_| true));
    // What came of it.
    let size =
        |image: &str| common::oracle::qemu_img_info(&desk.path(image))["virtual-size"].as_u64().unwrap();
    assert_eq!(size("postgresql.qcow2"), 6 << 30);
    let read = |image: &str, path: &str| tib_in(&desk, &["cat", image, path]);
    assert!(read("postgresql.qcow2", "/etc/passwd").contains("\ntrove:"));
    let key = fs::read_to_string(desk.path("home/.ssh/id_ed25519.pub")).unwrap();
    assert!(read("trove-dev.qcow2", "/home/ubuntu/.ssh/authorized_keys").contains(key.trim()));
    assert!(
        read("trove-dev.qcow2", "/opt/guest-agent-venv/lib/python3.11/site-packages/trove/cmd/guest.py")
            .contains("pass")
    );
    for file in ["mariadb.qcow2.manifest.json", "mariadb.qcow2.sha256", "report.xml", "report.html"] {
        assert!(desk.path(file).is_file(), "{file}");
    }
    assert!(!desk.path("redis.qcow2").exists(), "only shown");
}

/// All other pages, with the images they are about.
#[test]
fn appliance_the_pages_run_as_they_are_written() {
    let (desk, _server) = with_images(&["mariadb"]);
    fs::hard_link(built_image("mariadb"), desk.path("mariadb.qcow2")).unwrap();
    fs::hard_link(built_image("trove-guest"), desk.path("trove-guest.qcow2")).unwrap();
    let broker = "[DEFAULT]\ntransport_url = rabbit://trove:s3cr3t@192.0.2.1/\ncontrol_exchange = trove\n";
    for file in ["trove-guestagent.conf", "trove.conf"] {
        desk.write(file, broker);
    }
    let pages = markdown::pages().into_iter().filter(|page| page != "README.md");
    // What the README has in its session is run there.
    let mut done: BTreeSet<String> =
        markdown::lines("README.md").iter().map(|line| line.without_comment().to_owned()).collect();
    nothing(&pages.flat_map(|page| desk.run(&page, &mut done, |appliance| appliance)).collect::<Vec<_>>());
    assert!(Path::exists(&desk.path("mydb.qcow2")));
    assert!(
        tib_in(&desk, &["cat", "mydb.qcow2", "/etc/mysql/mariadb.conf.d/60-site.cnf"]).contains("= 512M")
    );
}

#[track_caller]
fn tib_in(desk: &Desk, arguments: &[&str]) -> String {
    outcome(tib().args(arguments).current_dir(desk.directory.path())).expect(0)
}
