//! No text of an image, a recipe, a catalogue, a server or a program commands the terminal: every subcommand is run over
//! sources that are full of such text, and all it prints is judged.

mod common;

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

use common::catalogue::toy;
use common::hostile::{EVIL, assert_harmless, evil_bytes, evil_lines, evil_name, harm, image, toml};
use common::http::{Reply, Server};
use common::{run_tib, tib};
use fs_err as fs;
use rustix::pty::OpenptFlags;

/// Ways to be told, all of which are tried with every command.
const MANNERS: [&[&str]; 5] = [
    &[],
    &["-v", "--explain"],
    &["--progress", "json"],
    &["--color", "always", "--progress", "plain"],
    &["-q"],
];

/// Subcommands by the test that runs them. What `tib --help` lists and is not here fails a test.
const IMAGES: &[&str] =
    &["boot", "cat", "diff", "extract", "inspect", "log", "ls", "prove", "stat", "tail", "verify"];
const RECIPES: &[&str] = &["recipe check", "recipe list", "recipe schema", "recipe show"];
const BASES: &[&str] = &[
    "base check-catalogue",
    "base fetch",
    "base import",
    "base list",
    "base remove",
    "base schema",
    "base show",
    "base verify",
    "build",
    "cache gc",
    "cache path",
    "cache status",
    "cache verify",
];
const HOST: &[&str] = &["doctor"];

/// What says nothing that comes from elsewhere.
const NOTHING_HOSTILE: &[&str] = &["base schema", "recipe schema", "cache path"];

/// A user's machine with hostile files.
struct Machine {
    scratch: tempfile::TempDir,
    ran: Mutex<BTreeSet<String>>,
    /// Those that printed something hostile, escaped.
    escaped: Mutex<BTreeSet<String>>,
    /// What was wrong with what they printed.
    wrong: Mutex<Vec<String>>,
    path: Option<OsString>,
}

impl Machine {
    fn new() -> Self {
        let machine = Self {
            scratch: common::scratch(),
            ran: Mutex::default(),
            escaped: Mutex::default(),
            wrong: Mutex::default(),
            path: None,
        };
        for directory in ["recipes", "catalogue", "cache", "out"] {
            fs::create_dir(machine.at(directory)).unwrap();
        }
        machine
    }

    fn at(&self, name: impl AsRef<Path>) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// A directory whose name is hostile.
    fn evil_directory(&self) -> PathBuf {
        let directory = self.at(evil_name());
        fs::create_dir_all(&directory).unwrap();
        directory
    }

    fn command(&self, words: &[&str], paths: &[&dyn AsRef<OsStr>]) -> Command {
        let mut command = tib();
        command
            .args(words)
            .args(paths.iter().map(|path| (*path).as_ref()))
            .env("TIB_CACHE_DIR", self.at("cache"))
            .env("TIB_RECIPE_DIR", self.at("recipes"))
            .env("TIB_CATALOGUE_DIR", self.at("catalogue"))
            // There is no appliance at such a place: what would need one fails at once.
            .env("LIBGUESTFS_PATH", "/nonexistent")
            .current_dir(self.at("out"));
        for proxy in ["http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
            command.env_remove(proxy);
        }
        if let Some(path) = &self.path {
            command.env("PATH", path);
        }
        let hypervisor = self.at("hypervisor");
        if hypervisor.exists() {
            command.env("LIBGUESTFS_HV", hypervisor).env("TIB_ACCEL", "tcg");
        }
        command
    }

    /// A hypervisor whose guest says hostile things wherever a guest can speak, and ends.
    fn evil_guest(&self) {
        let said = evil_lines();
        let probe = [
            serde_json::json!({ "key": "probe", "value": { "clock": 1.0 } }),
            serde_json::json!({ "key": "failed", "value": [said] }),
            serde_json::json!({ "key": "cloud", "value": { "datasource": said, "errors": [said], "log": [said] } }),
            serde_json::json!({ "key": "journal", "value": [said] }),
        ];
        fs::write(self.at("said"), &said).unwrap();
        fs::write(self.at("probe"), probe.map(|line| format!("{line}\n")).concat()).unwrap();
        let script = format!(
            "#!/bin/sh\ncat '{0}/said' >console.log\ncat '{0}/probe' >probe.jsonl\ncat '{0}/said' >&2\nsleep 1\n",
            self.scratch.path().display()
        );
        fs::write(self.at("hypervisor"), script).unwrap();
        fs::set_permissions(self.at("hypervisor"), std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .unwrap();
    }

    /// Runs a command in all manners, and judges both its streams.
    #[track_caller]
    fn look(&self, words: &[&str], paths: &[&dyn AsRef<OsStr>]) {
        self.judge(words, paths, false, true);
    }

    /// The same for a command that prints the content of files, in which tabs may stand.
    #[track_caller]
    fn look_at_content(&self, words: &[&str], paths: &[&dyn AsRef<OsStr>]) {
        self.judge(words, paths, true, true);
    }

    /// The same for a command that was asked for bytes: only stderr is judged.
    #[track_caller]
    fn look_beside(&self, words: &[&str], paths: &[&dyn AsRef<OsStr>]) {
        self.judge(words, paths, true, false);
    }

    #[track_caller]
    fn judge(&self, words: &[&str], paths: &[&dyn AsRef<OsStr>], tabs: bool, with_stdout: bool) {
        let name = words.iter().take_while(|word| !word.starts_with('-')).copied().collect::<Vec<_>>();
        let commands = (1..=name.len().min(2)).map(|length| name[..length].join(" "));
        let commands: Vec<_> = commands.collect();
        self.ran.lock().unwrap().extend(commands.clone());
        for manner in MANNERS {
            let output = self.command(words, paths).args(manner).output().unwrap();
            let what = format!("{} {}", words.join(" "), manner.join(" "));
            let colour = manner.contains(&"always");
            let code = output.status.code();
            assert!(code.is_some_and(|code| code != 1 && code != 101), "{what}: {output:?}");
            let printed = [&output.stdout[..], &output.stderr].concat();
            let printed = String::from_utf8_lossy(&printed);
            if ["\\u{202e}", "\\u202e", "\\u{9b}", "\\u009b"].iter().any(|escaped| printed.contains(escaped))
            {
                self.escaped.lock().unwrap().extend(commands.clone());
            }
            self.add("stderr", &what, harm(&output.stderr, false, colour));
            if with_stdout {
                self.add("stdout", &what, harm(&output.stdout, tabs, colour));
            }
        }
    }

    fn add(&self, stream: &str, what: &str, wrong: Vec<String>) {
        self.wrong
            .lock()
            .unwrap()
            .extend(wrong.into_iter().map(|wrong| format!("{stream} of {what}: {wrong}")));
    }

    /// Every command was run, and none printed what it should not.
    #[track_caller]
    fn ran(&self, commands: &[&str]) {
        let ran = self.ran.lock().unwrap();
        for command in commands {
            assert!(ran.contains(*command), "{command} was not run");
            // Otherwise nothing would have been judged.
            let meets_nothing = NOTHING_HOSTILE.contains(command);
            assert_eq!(self.escaped.lock().unwrap().contains(*command), !meets_nothing, "{command}");
        }
        let wrong = self.wrong.lock().unwrap();
        assert!(wrong.is_empty(), "{} times: {:#?}", wrong.len(), *wrong);
    }
}

/// The subcommands that help tells of, those of subcommands included.
fn listed(above: &[&str]) -> Vec<String> {
    let help = run_tib(above.iter().copied().chain(["--help"])).expect(0);
    let Some((_, rest)) = help.split_once("\nCommands:\n") else { return vec![above.join(" ")] };
    let names = rest.lines().take_while(|line| !line.is_empty()).filter_map(|line| {
        let name = line.strip_prefix("  ").filter(|name| !name.starts_with(' '))?;
        name.split(' ').next().filter(|name| *name != "help")
    });
    names.flat_map(|name| listed(&[above, &[name]].concat())).collect()
}

#[test]
fn every_subcommand_has_its_place_in_these_tests() {
    let tested: BTreeSet<_> =
        [IMAGES, RECIPES, BASES, HOST].concat().into_iter().map(str::to_owned).collect();
    assert_eq!(listed(&[]).into_iter().collect::<BTreeSet<_>>(), tested);
}

#[test]
fn images() {
    let machine = Machine::new();
    let directory = machine.evil_directory();
    let (old, new) = (directory.join("old.raw"), directory.join("new.raw"));
    image(&old, false);
    image(&new, true);
    let evil = [b"/srv/".to_vec(), evil_bytes()].concat();
    let evil = OsStr::from_bytes(&evil);
    let missing = OsStr::from_bytes(b"/srv/no \x1b[35m\n\xc2\x9b");

    for words in [
        &["ls"][..],
        &["ls", "-l"],
        &["ls", "-R"],
        &["ls", "-lR", "--uids", "--times", "--extra-stats"],
        &["ls", "-R", "--csv"],
        &["ls", "-R", "--json", "--xattrs"],
        &["inspect"],
        &["inspect", "--all"],
        &["inspect", "--json"],
        &["inspect", "--only", "disk"],
        &["log"],
        &["log", "--json"],
        &["log", "--list"],
        &["log", "--list", "--json"],
        &["verify"],
        &["verify", "--json"],
    ] {
        match words {
            ["log"] => machine.look_at_content(words, &[&old]),
            _ => machine.look(words, &[&old]),
        }
    }
    for words in [&["ls"][..], &["ls", "--json"], &["stat"], &["stat", "--json"], &["stat", "-L"]] {
        machine.look(words, &[&old, &evil]);
        machine.look(words, &[&old, &missing]);
        machine.look(words, &[&old, &"/srv/link"]);
        machine.look(words, &[&old, &"/etc/hostname"]);
    }
    machine.look_at_content(&["log"], &[&old, &"syslog"]);
    machine.look_at_content(&["log"], &[&old, &"broken.gz"]);
    machine.look(&["log"], &[&old, &"no\u{1b}[35m\n\u{9b}"]);
    machine.look(&["log", "-u", "no\u{1b}[35m\n\u{9b}"], &[&old]);
    for words in [&["diff"][..], &["diff", "--files"], &["diff", "--json"]] {
        machine.look(words, &[&old, &new]);
    }
    machine.look_at_content(&["diff", "--patch"], &[&old, &new]);
    machine.look_at_content(&["diff", "--patch"], &[&old, &new, &"/etc", &missing]);
    for command in ["cat", "tail"] {
        machine.look_beside(&[command], &[&old, &evil, &missing]);
        machine.look(&[command], &[&old, &missing]);
        machine.look(&[command], &[&old, &"/srv"]);
        machine.look(&[command], &[&old, &"/srv/link"]);
    }
    machine.look_beside(&["extract", "-o", "-"], &[&old, &evil]);
    machine.look(&["extract", "--force"], &[&old, &evil]);
    machine.look(&["extract"], &[&old, &evil]);
    machine.look(&["extract", "--force"], &[&old, &"/srv"]);
    machine.look(&["extract", "--force", "--tar"], &[&old, &evil]);
    machine.look(&["extract"], &[&old, &missing]);
    machine.look(&["extract", "-o"], &[&directory.join("no\u{1b}/x\u{9b}"), &old, &evil]);

    let checks = directory.join("checks.toml");
    fs::write(&checks, checks_file()).unwrap();
    for words in [
        &["verify"][..],
        &["verify", "--json"],
        &["verify", "--html=/dev/stdout"],
        &["verify", "--junit=/dev/stdout"],
    ] {
        machine.look(&[words, &["--checks"]].concat(), &[&checks, &old]);
    }
    fs::write(machine.at("recipes/evil.toml"), recipe_file()).unwrap();
    machine.look(&["verify", "--recipe", "evil"], &[&old]);
    machine.evil_guest();
    for words in [&["boot", "--metadata", "service"][..], &["boot", "--metadata", "service", "--json"]] {
        machine.look(&[words, &["--logs", "logs"]].concat(), &[&old]);
    }
    for words in [&["prove"][..], &["prove", "--json"], &["prove", "--datastore", "no\u{1b}[35m\n\u{9b}"]] {
        machine.look(words, &[&missing]);
    }
    machine.ran(IMAGES);
}

/// Checks that fail, with texts of their own.
fn checks_file() -> String {
    let (evil, lines) = (toml(EVIL), toml(&evil_lines()));
    let path = toml(&format!("/srv/{}", evil_lines()));
    format!(
        "[[check]]\ncheck = \"path\"\npath = {path}\nowner = \"nobody\"\ncontains = {lines}\n\
         [[check]]\ncheck = \"path\"\npath = \"/srv/link\"\n\
         [[check]]\ncheck = \"path\"\npath = \"/etc/hostname\"\nmatches = {evil}\n\
         [[check]]\ncheck = \"config\"\npath = \"/etc/os-release\"\nkey = \"PRETTY_NAME\"\nvalue = {evil}\n\
         [[check]]\ncheck = \"setuid\"\nallow = [{path}]\n"
    )
}

/// A recipe that is valid as far as its texts are concerned.
fn recipe_file() -> String {
    let (evil, lines) = (toml(EVIL), toml(&evil_lines()));
    format!(
        "# {EVIL_COMMENT}\nname = \"evil\"\nsummary = {lines}\ndescription = {lines}\n\
         [options.o]\ndescription = {lines}\ndefault = {lines}\n\
         [[check]]\ncheck = \"path\"\npath = \"/etc/hostname\"\ncontains = {evil}\n\
         [[file]]\npath = \"/etc/motd\"\ntext = {lines}\n",
        // What TOML lets through unescaped.
        EVIL_COMMENT = "\u{9b}35m\u{202e}\u{2066}\u{200b}\u{feff}"
    )
}

#[test]
fn recipes() {
    let machine = Machine::new();
    fs::write(machine.at("recipes/evil.toml"), recipe_file()).unwrap();
    for words in [
        &["recipe", "list"][..],
        &["recipe", "list", "--json"],
        &["recipe", "show", "evil"],
        &["recipe", "show", "evil", "--json"],
        &["recipe", "show", "evil", "--set", "o=\u{1b}[35m\n\u{9b}"],
        &["recipe", "show", "evil", "--set", "no\u{1b}[35m\n\u{9b}=1"],
        &["recipe", "show", "evil", "--os", "\u{1b}[35m\n\u{9b}"],
        &["recipe", "show", "evil", "--agent", "pypi:\u{1b}[35m\n\u{9b}"],
        &["recipe", "show", "no\u{1b}[35m\n\u{9b}"],
        &["recipe", "check"],
        &["recipe", "check", "--json"],
        &["recipe", "schema"],
        &["recipe", "schema", "--checks"],
    ] {
        machine.look(words, &[]);
    }
    machine.look_at_content(&["recipe", "show", "evil", "--text"], &[]);
    // A recipe's name has to be UTF-8.
    let directory = machine.at(evil_lines());
    fs::create_dir(&directory).unwrap();
    let lines = toml(&evil_lines());
    for (number, text) in [
        format!("name = \"bad\"\nsummary = \"x\"\n{lines} = 1\n"),
        format!("name = \"bad\"\nsummary = \"x\"\nextends = [{lines}]\n"),
        format!("name = \"bad\"\nsummary = \"x\"\n[[packages]]\ninstall = [{lines}]\n"),
        format!("name = \"bad\"\nsummary = \"x\"\n[[file]]\npath = {lines}\ntext = \"\"\n"),
        format!("name = \"bad\"\nsummary = \"x\"\n[[file]]\npath = \"/x\"\nsource = {lines}\n"),
        format!("name = \"bad\"\nsummary = \"x\"\n[[check]]\ncheck = {lines}\n"),
        format!("name = \"bad\"\nsummary = \"x\"\nwhen = {{ distro = [{lines}] }}\n"),
        format!("name = \"bad\"\nsummary = \"{{{{ {EVIL} }}}}\"\n"),
        format!("name = {lines}\n"),
        EVIL.to_owned(),
    ]
    .iter()
    .enumerate()
    {
        let path = directory.join(format!("{number}.toml"));
        fs::write(&path, text).unwrap();
        for words in [
            &["recipe", "check"][..],
            &["recipe", "check", "--json"],
            &["recipe", "show"],
            &["verify", "x", "--checks"],
        ] {
            machine.look(words, &[&path]);
        }
    }
    machine.ran(RECIPES);
}

/// An entry whose every text is hostile.
fn catalogue_file(server: &Server) -> String {
    let lines = toml(&evil_lines());
    let entry = |id: &str, more: &str| {
        format!(
            "[[image]]\nid = {id}\naliases = [{lines}]\ntitle = {lines}\nuser = {lines}\nend_of_life = \"2999-01-01\"\n\
             quirks = [{lines}]\nunverified = [{lines}]\nos = {{ id = {lines}, release = {lines}, codename = {lines}, \
             family = \"debian\", packages = {lines}, init = {lines}, mac = {lines}, python = {lines}, root = {lines} }}\n\
             arch = {{ x86_64 = {lines}, aarch64 = {lines} }}\n{more}"
        )
    };
    let local = format!("[image.local]\nreason = {lines}\nurl = {lines}\n");
    let remote = format!(
        "no_pin = {lines}\n[image.newest]\ndirectories = [\"{}\"]\nfile = {lines}\n[image.checksums]\nfile = {lines}\n",
        server.url("/x/")
    );
    entry("\"evil-local\"", &local) + &entry("\"evil-remote\"", &remote) + &entry(&lines, &local)
}

/// What it says is as bad as what HTTP lets through, and further ways to go wrong.
fn server() -> Server {
    Server::http(|request| {
        let evil = "\u{9b}35m\u{202e}\u{2066}\u{200b}";
        let reply = |status, body: Vec<u8>| Reply { reason: evil.to_owned(), ..Reply::new(status, body) };
        match request.path.as_str() {
            path if path.contains("redirect") => {
                reply(302, Vec::new()).with("Location", &format!("/{evil}/missing"))
            }
            path if path.contains("circle") => {
                reply(302, Vec::new()).with("Location", &format!("/circle/{evil}"))
            }
            path if path.contains("elsewhere") => {
                reply(302, Vec::new()).with("Location", &format!("ftp://{evil}/"))
            }
            path if path.contains("SUMS") => {
                reply(200, format!("{}\n{} {}", EVIL, "0".repeat(64), EVIL).into_bytes())
            }
            path if path.contains("list") => reply(200, evil_bytes()),
            path if path.contains("image") => reply(200, evil_bytes()),
            path if path.contains("busy") => reply(503, evil_bytes()),
            _ => reply(404, evil_bytes()),
        }
    })
}

#[test]
fn bases_and_what_is_kept_of_them() {
    let machine = Machine::new();
    let server = server();
    let text = toy(&server, "none", &[]) + &catalogue_file(&server);
    fs::write(machine.at("catalogue").join("evil.toml"), text).unwrap();
    fs::write(machine.at("recipes/evil.toml"), recipe_file()).unwrap();
    // What a base is called has to be UTF-8.
    let directory = machine.at(evil_lines());
    fs::create_dir(&directory).unwrap();
    let disk = directory.join(OsStr::from_bytes(&[EVIL.as_bytes(), b".raw"].concat()));
    image(&disk, false);
    let digest = common::gpg::digest("sha256", &fs::read(&disk).unwrap());

    machine.look(&["build", "evil", "--dry-run", "--offline", "--base"], &[&disk]);
    machine.look(&["build", "evil", "--dry-run", "--offline", "--json", "--base"], &[&disk]);
    machine.look(&["build", "evil", "--offline", "--base"], &[&directory.join("missing\u{1b}[35m")]);
    machine.look(&["build", "evil", "--offline", "-o"], &[&directory.join("no\u{9b}/out"), &"--base", &disk]);
    machine.look(&["build", "evil", "--offline", "--ssh-key"], &[&disk, &"--base", &disk]);
    machine.look(
        &["build", "evil", "--offline", "--agent=none", "-o"],
        &[&directory.join("x\u{9b}.qcow2"), &"--base", &disk],
    );
    for (path, checksum) in
        [("redirect", "sha256:00"), ("circle", ""), ("elsewhere", ""), ("image", ""), ("missing", "")]
    {
        let url = server.url(&format!("/{path}/%1b/{}", "\u{202e}\u{9b}"));
        let checksum =
            format!("sha256:{}{}", checksum.strip_prefix("sha256:").unwrap_or("00"), "0".repeat(62));
        machine.look(&["base", "fetch", &url, "--checksum", &checksum], &[]);
        machine.look(&["base", "fetch", &url, "--json", "--checksum", &checksum], &[]);
    }
    for words in [
        &["base", "list", "--all"][..],
        &["base", "list", "--json"],
        &["base", "show", "evil-local"],
        &["base", "show", "evil-remote"],
        &["base", "show", "evil-remote", "--json"],
        &["base", "show", "no\u{1b}[35m\n\u{9b}"],
        &["base", "fetch", "evil-local"],
        &["base", "fetch", "evil-remote", "toy"],
        &["base", "fetch", "evil-remote", "toy", "--json"],
        &["base", "fetch", "toy", "--offline"],
        &["base", "check-catalogue"],
        &["base", "check-catalogue", "--json"],
        &["base", "check-catalogue", "--online", "toy", "evil-remote"],
        &["base", "schema"],
    ] {
        machine.look(words, &[]);
    }
    machine.look(&["base", "import", "--as", "evil-local"], &[&disk]);
    machine.look(
        &["base", "import", "--as", "evil-local", "--json", "--checksum", &format!("sha256:{digest}")],
        &[&disk],
    );
    machine.look(
        &["base", "import", "--as", "evil-local", "--checksum", &format!("sha256:{}", "0".repeat(64))],
        &[&disk],
    );
    machine.look(&["base", "import", "--as", "evil-local"], &[&directory.join("missing\u{1b}[35m")]);
    for words in [
        &["base", "verify"][..],
        &["base", "verify", "--json"],
        &["base", "list"],
        &["base", "show", "evil-local"],
        &["cache", "status", "-v"],
        &["cache", "status", "--json"],
        &["cache", "path"],
        &["cache", "gc", "--dry-run", "--keep-days=0"],
        &["cache", "gc", "--dry-run", "--keep-days=0", "--json"],
    ] {
        if words.contains(&"-v") {
            // It cannot be both.
            let output = machine.command(words, &[]).output().unwrap();
            assert_harmless("cache status -v", &output.stdout, false, false);
            continue;
        }
        machine.look(words, &[]);
    }
    machine.look(&["cache", "status"], &[]);
    // Damage is told of, too.
    let root = machine.command(&["cache", "path"], &[]).output().unwrap().stdout;
    let bases = Path::new(OsStr::from_bytes(root.trim_ascii_end())).join("bases");
    let damage = || {
        let damaged = fs::read_dir(&bases).unwrap().map(|base| {
            let disk = base.unwrap().path().join("disk.raw");
            fs::set_permissions(&disk, std::fs::Permissions::from_mode(0o644)).unwrap();
            // Of the length that it had: what it is called is told of it still.
            let file = std::fs::OpenOptions::new().write(true).open(disk).unwrap();
            file.write_all_at(b"damaged", 0).unwrap();
        });
        assert_eq!(damaged.count(), 1);
    };
    damage();
    machine.look(&["base", "verify"], &[]);
    // Set aside: the file is a base again, by its own name.
    machine.look(&["build", "evil", "--dry-run", "--offline", "--base"], &[&disk]);
    damage();
    machine.look(&["cache", "verify"], &[]);
    machine.look(&["cache", "verify", "--json"], &[]);
    machine.look(&["base", "remove", "evil-local"], &[]);
    machine.look(&["base", "remove", "no\u{1b}[35m\n\u{9b}"], &[]);
    machine.look(&["base", "remove", "evil-local", "--json"], &[]);
    machine.look(&["cache", "gc", "--keep-days=0"], &[]);
    // The cache itself in a hostile place.
    machine.look(&["cache", "status", "--cache-dir"], &[&machine.evil_directory()]);
    machine.look(&["cache", "status", "--cache-dir"], &[&disk]);
    machine.ran(BASES);
}

/// What is not read natively is said before an appliance is started; here there is none.
#[test]
fn why_an_image_goes_to_the_appliance() {
    let machine = Machine::new();
    let octal = |text: &str| text.bytes().map(|byte| format!("\\{byte:03o}")).collect::<String>();
    let fstab = format!(
        "/dev/vda1 / ext4 defaults 0 1\nLABEL={0} /var/{0} ext4 defaults 0 2\n",
        octal(&evil_lines())
    );
    for (number, (os, fstab)) in [
        ("ID=debian\nVERSION_ID=12\n".to_owned(), fstab),
        (format!("ID=\"{EVIL}\"\nVERSION_ID=\"{EVIL}\"\nPRETTY_NAME=\"{EVIL}\"\n"), String::new()),
    ]
    .into_iter()
    .enumerate()
    {
        let directory = machine.at(format!("{number}"));
        fs::create_dir(&directory).unwrap();
        let shell = common::disks::elf_header(62);
        let files = [("etc/os-release", os.as_bytes()), ("etc/fstab", fstab.as_bytes()), ("bin/sh", &shell)];
        let disk = common::disks::disk_with_files(&directory, &files);
        for words in
            [&["ls"][..], &["inspect"], &["inspect", "--json"], &["verify"], &["verify", "--recipe", "redis"]]
        {
            machine.look(words, &[&disk]);
        }
        machine.look(&["build", "redis", "--dry-run", "--offline", "--base"], &[&disk]);
    }
    machine.ran(&[]);
}

/// Programs on the host whose answers are hostile.
#[test]
fn programs_on_the_host() {
    let mut machine = Machine::new();
    let programs = machine.at("bin");
    fs::create_dir(&programs).unwrap();
    let text = machine.at("text");
    fs::write(&text, evil_bytes()).unwrap();
    for (number, program) in
        ["qemu-img", "mke2fs", "mmdebstrap", "python3", "apt-get", "unshare", "qemu-system-x86_64"]
            .iter()
            .enumerate()
    {
        let path = programs.join(program);
        let script = format!("#!/bin/sh\ncat {0}; cat {0} >&2; exit {1}\n", text.display(), number % 2);
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut path = programs.into_os_string();
    path.push(":/usr/bin:/bin");
    machine.path = Some(path);
    machine.look(&["doctor"], &[]);
    machine.look(&["doctor", "--json"], &[]);
    fs::write(machine.at("recipes/evil.toml"), recipe_file()).unwrap();
    machine.look(&["build", "evil", "--offline", "--agent=none", "--base=bootstrap:debian-12"], &[]);
    machine.ran(HOST);
}

/// What is wrong with a command line is told by other code.
#[test]
fn command_lines_that_make_no_sense() {
    let machine = Machine::new();
    let evil = evil_lines();
    let option = format!("--{evil}");
    let bytes = evil_name();
    let mut option_bytes = OsString::from("--");
    option_bytes.push(&bytes);
    for words in [
        &[evil.as_str()][..],
        &[option.as_str()],
        &["ls", option.as_str()],
        &["ls"],
        &["tail", "x", "y", "-n", evil.as_str()],
        &["tail", "x", "y", "-c", evil.as_str()],
        &["ls", "x", "y", evil.as_str()],
        &["build", "x", "--set", evil.as_str()],
        &["build", "x", "--base", evil.as_str()],
        &["build", "x", "--base", "x", "--checksum", evil.as_str()],
        &["build", "x", "--size", evil.as_str()],
        &["build", "x", "--agent", evil.as_str()],
        &["inspect", "x", "--only", evil.as_str()],
        &["log", "x", "--since", evil.as_str()],
        &["log", "x", "--priority", evil.as_str()],
        &["ls", "x", "--progress", evil.as_str()],
        &["base", evil.as_str()],
        &["base", "fetch", evil.as_str()],
        &["base", "fetch", "x", "--arch", evil.as_str()],
        &["recipe", "show", evil.as_str()],
        &["help", evil.as_str()],
    ] {
        let output = machine.command(words, &[]).output().unwrap();
        assert_harmless(&format!("{words:?}"), &output.stderr, false, false);
        assert_harmless(&format!("{words:?}"), &output.stdout, false, false);
        let code = output.status.code();
        assert!(matches!(code, Some(2 | 3)), "{words:?}: {output:?}");
    }
    for words in [&[][..], &["tail", "x", "y", "-n"], &["recipe", "show"], &["build"], &["base", "fetch"]] {
        for bytes in [&bytes, &option_bytes] {
            let output = machine.command(words, &[bytes]).output().unwrap();
            assert_harmless(&format!("{words:?}"), &output.stderr, false, false);
            assert!(matches!(output.status.code(), Some(2 | 3)), "{words:?}: {output:?}");
        }
    }
}

/// What a command prints when its output is a terminal.
fn on_a_terminal(command: &mut Command) -> Vec<u8> {
    let master = rustix::pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    rustix::pty::grantpt(&master).unwrap();
    rustix::pty::unlockpt(&master).unwrap();
    let name = rustix::pty::ptsname(&master, Vec::new()).unwrap();
    let name = OsStr::from_bytes(name.as_bytes());
    let open = || std::fs::OpenOptions::new().read(true).write(true).open(name).unwrap();
    // Kept open, so that what was written is there until it has been read.
    let terminal = open();
    let mut settings = rustix::termios::tcgetattr(&terminal).unwrap();
    settings.make_raw();
    rustix::termios::tcsetattr(&terminal, rustix::termios::OptionalActions::Now, &settings).unwrap();
    let mut child = command.stdout(open()).stderr(open()).stdin(open()).spawn().unwrap();
    command.stdout(Stdio::null()).stderr(Stdio::null()).stdin(Stdio::null());
    drop(terminal);
    let mut printed = Vec::new();
    // When the last one has closed it, reading fails.
    let _ = std::fs::File::from(master).read_to_end(&mut printed);
    child.wait().unwrap();
    printed
}

#[test]
fn content_is_escaped_on_a_terminal_and_nowhere_else() {
    let machine = Machine::new();
    let evil = [EVIL.as_bytes(), b"\x9b35m\xff\ttab\n"].concat();
    let disk =
        common::disks::disk_with_files(&machine.at("out"), &[("f", &evil), ("etc/os-release", b"ID=x\n")]);
    let commands: [&[&str]; 4] =
        [&["cat"], &["tail"], &["extract", "-o", "-"], &["extract", "-o", "/dev/stdout"]];
    for words in commands {
        let raw = [words, &["--raw"]].concat();
        let paths: [&dyn AsRef<OsStr>; 2] = [&disk, &"/f"];
        for words in [words, &raw] {
            assert_eq!(
                machine.command(words, &paths).output().unwrap().stdout,
                evil,
                "{words:?} into a pipe"
            );
        }
        let printed = on_a_terminal(&mut machine.command(words, &paths));
        assert_harmless(&format!("{words:?} on a terminal"), &printed, true, false);
        assert!(printed.ends_with(b"\ttab\n"), "{words:?}: {:?}", String::from_utf8_lossy(&printed));
        assert_eq!(on_a_terminal(&mut machine.command(&raw, &paths)), evil, "{raw:?} on a terminal");
    }
    // Bars are drawn, too; they are made of sequences, but of none of these.
    let recipe = recipe_file();
    fs::write(machine.at("recipes/evil.toml"), recipe).unwrap();
    let named = machine.at("out").join(OsStr::from_bytes(&[EVIL.as_bytes(), b".raw"].concat()));
    fs::rename(&disk, &named).unwrap();
    let words = ["build", "evil", "--offline", "--agent=none", "--base"];
    let printed = on_a_terminal(machine.command(&words, &[&named]).env("TERM", "xterm"));
    let printed = String::from_utf8(printed).unwrap();
    for sequence in ["\u{1b}]0;", "\u{1b}[35m", "\u{9b}", "\u{202e}", "\u{7}", "\u{7f}"] {
        assert!(!printed.contains(sequence), "{sequence:?} in {printed:?}");
    }
}
