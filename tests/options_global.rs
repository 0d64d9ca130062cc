//! Options that every command has, those of `tib recipe` and `tib doctor`, and environment variables, seen to have effect.

mod common;

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use common::catalogue::toy;
use common::http::{Server, Site};
use common::sample::Sample;
use common::terminal::on_a_terminal;
use common::{Outcome, outcome, tib};
use fs_err as fs;

struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { directory: common::scratch() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), text).unwrap();
    }

    /// `tib` in this directory, with a cache in it, and free to use colours.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = tib();
        command.args(arguments).env("TIB_CACHE_DIR", self.path("cache")).env_remove("NO_COLOR");
        command.current_dir(self.directory.path());
        command
    }

    fn run(&self, arguments: &[&str]) -> Outcome {
        outcome(&mut self.command(arguments))
    }

    /// What `tib` shows on a terminal.
    fn on_a_terminal(&self, arguments: &[&str]) -> String {
        on_a_terminal(&self.command(arguments))
    }
}

/// Something with a stage and a warning, the same each time.
const IMPORT: [&str; 5] = ["base", "import", "disk.qcow2", "--as", "rhel-9"];

fn importer() -> Place {
    let place = Place::new();
    common::disks::qcow2(&place.path("disk.qcow2"), &[], Some("1M"));
    place
}

#[test]
fn progress_is_told_as_it_is_asked_for() {
    let place = importer();
    let told = |how: &str| place.run(&[&["--progress", how], &IMPORT[..]].concat()).stderr;
    let plain = told("plain");
    assert!(plain.contains("] import: disk.qcow2 as rhel-9\n") && plain.contains("done import"), "{plain}");
    assert!(told("auto").contains("] import: disk.qcow2 as rhel-9\n"), "plain where there is no terminal");
    let events: Vec<serde_json::Value> =
        told("json").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let names: Vec<_> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert!(names.starts_with(&["start", "stage-started"]) && names.contains(&"stage-finished"), "{names:?}");
    let (none, quiet) = (told("none"), place.run(&[&["--quiet"], &IMPORT[..]].concat()).stderr);
    for text in [&none, &quiet] {
        assert!(text.starts_with("warning: ") && text.lines().count() == 1, "{text}");
    }
    // What a terminal does with them is its own affair: spinners are drawn and taken away again.
    let bars = place.on_a_terminal(&[&["--progress", "auto"], &IMPORT[..]].concat());
    assert!(!bars.contains("] import: ") && bars.contains("\x1b[") && bars.contains("import"), "{bars:?}");
    let plain = place.on_a_terminal(&[&["--progress", "plain"], &IMPORT[..]].concat());
    assert!(plain.contains("] import: "), "{plain:?}");
}

#[test]
fn colours_are_used_when_they_are_asked_for() {
    let place = importer();
    let coloured = |when: &str| {
        place.run(&[&["--color", when], &IMPORT[..]].concat()).stderr.contains("\x1b[1;33mwarning:")
    };
    assert!(coloured("always") && !coloured("never") && !coloured("auto"));
    let terminal =
        |when: &str| place.on_a_terminal(&[&["--progress", "plain", "--color", when], &IMPORT[..]].concat());
    assert!(terminal("auto").contains("\x1b[1;33mwarning:"), "{:?}", terminal("auto"));
    assert!(!terminal("never").contains('\x1b'));
}

/// What stands in a file has no escape sequences because the other stream goes to a terminal, or the other way round.
#[test]
fn each_stream_has_colours_when_it_is_a_terminal() {
    let place = importer();
    let image = Sample::debian().write(place.directory.path(), "sample");
    let shell = |script: &str| {
        let mut command = place.command(&[]);
        let tib = command.get_program().to_owned();
        let environment: Vec<_> =
            command.get_envs().map(|(name, value)| (name.to_owned(), value.map(ToOwned::to_owned))).collect();
        command = Command::new("sh");
        command.args(["-c", script, "sh"]).arg(tib).arg(&image).current_dir(place.directory.path());
        for (name, value) in environment {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        on_a_terminal(&command)
    };
    let read = |name: &str| fs::read_to_string(place.path(name)).unwrap();
    // The checks of the sample fail; that they do is not what is looked at.
    for (redirection, is_shown) in [("", true), (">out", false), ("2>err", true), (">out 2>err", false)] {
        let shown = shell(&format!("\"$1\" verify \"$2\" {redirection} || true"));
        assert_eq!(shown.contains("\x1b[32mok"), is_shown, "{redirection}: {shown:?}");
    }
    let report = read("out");
    assert!(report.contains(" passed, ") && !report.contains('\x1b'), "{report}");
    let import = IMPORT.join(" ");
    let shown = shell(&format!("\"$1\" --progress plain {import} >out"));
    assert!(shown.contains("\x1b[1;33mwarning:"), "{shown:?}");
    shell(&format!("\"$1\" --progress plain {import} 2>err"));
    assert!(read("err").contains("warning:") && !read("err").contains('\x1b'), "{}", read("err"));
    shell("\"$1\" --color always verify \"$2\" >out || true");
    assert!(read("out").contains('\x1b'));
}

#[test]
fn what_goes_on_inside_is_told_with_verbose() {
    let site = Site::new();
    site.put("/toy/toy.qcow2", *b"x");
    let server = Server::http(site.handler());
    let place = Place::new();
    place.write("catalogue/toy.toml", &toy(&server, "none", &[]));
    let asked = "head| toy toy.qcow2";
    let check = ["--catalogue-dir", "catalogue", "base", "check-catalogue", "toy", "--online"];
    assert!(!place.run(&check).stderr.contains(asked));
    let told = place.run(&[&["--verbose"], &check[..]].concat());
    assert!(told.stderr.contains(asked), "{told:?}");
}

const RECIPE: &str = "name = 'ours'\nsummary = 'One of ours'\ndescription = 'With a long story.'\nbase = 'debian-12'\n\
    [options.place]\ndescription = 'Where'\ndefault = '/srv/a'\n\
    [options.place.default_on]\n'rocky-9' = '/srv/b'\n\
    [[directory]]\npath = '{{ place }}'\n\
    [agent]\nuser = 'trove'\nvenv = '/opt/venv'\nmodule = 'trove.cmd.guest'\n\
    [[note]]\ntext = 'Mind {{ place }}.'\n[[note]]\nwhen = { agent = true }\ntext = 'It has an agent.'\n";

#[test]
fn directories_are_looked_into() {
    let place = importer();
    place.write("recipes/ours.toml", RECIPE);
    place.write("other/theirs.toml", "name = 'theirs'\nsummary = 'One of theirs'\n");
    let server = Server::http(Site::new().handler());
    place.write("catalogue/toy.toml", &toy(&server, "none", &[]));
    let listed = |command: &mut Command| outcome(command).expect(0);
    let with_option =
        listed(&mut place.command(&["--recipe-dir", "recipes", "--recipe-dir", "other", "recipe", "list"]));
    let with_variable = listed(place.command(&["recipe", "list"]).env("TIB_RECIPE_DIR", "recipes:other"));
    for list in [with_option, with_variable] {
        let is_listed = |name: &str, summary: &str| {
            let mut lines = list.lines().filter_map(|line| line.split_once(' '));
            lines.any(|(first, rest)| first == name && rest.trim_start() == summary)
        };
        assert!(is_listed("ours", "One of ours") && is_listed("theirs", "One of theirs"), "{list}");
        assert!(list.contains("\nmariadb "), "{list}");
    }
    let with_option = listed(&mut place.command(&["--catalogue-dir", "catalogue", "base", "list"]));
    let with_variable = listed(place.command(&["base", "list"]).env("TIB_CATALOGUE_DIR", "catalogue"));
    assert!(with_option.contains("\ntoy ") && with_variable.contains("\ntoy "), "{with_option}");
    assert!(!listed(&mut place.command(&["base", "list"])).contains("\ntoy "));

    // The option comes before the variable.
    let bases = |cache: &str| fs::read_dir(place.path(cache).join("v1/bases")).map_or(0, Iterator::count);
    place.run(&[&["--cache-dir", "elsewhere"], &IMPORT[..]].concat()).expect(0);
    assert_eq!((bases("elsewhere"), bases("cache")), (1, 0));
    listed(&mut place.command(&IMPORT));
    assert_eq!(bases("cache"), 1);
}

#[test]
fn recipes_are_shown_as_they_are_asked_for() {
    let place = Place::new();
    place.write("ours.toml", RECIPE);
    place.write("worse.toml", "name = 'worse'\nsummary = 'Wrong'\n[[file]]\npath = '/etc/x'\n");
    let show =
        |arguments: &[&str]| place.run(&[&["recipe", "show", "./ours.toml"], arguments].concat()).expect(0);
    let plain = show(&[]);
    for said in [
        "One of ours\n\n| With a long story.\n\n",
        "catalogue's debian-12",
        "place  Where [default: /srv/a]",
        "/srv/a",
        "note: Mind /srv/a.",
    ] {
        assert!(plain.contains(said), "{said}: {plain}");
    }
    let elsewhere = show(&["--os", "rocky-9"]);
    assert!(
        elsewhere.contains("note: Mind /srv/b.") && elsewhere.contains("[default: /srv/b]"),
        "{elsewhere}"
    );
    assert!(show(&["--os", "rocky-9", "--set", "place=/srv/c"]).contains("note: Mind /srv/c."));
    assert!(!plain.contains("It has an agent.") && show(&["--agent", "pypi"]).contains("It has an agent."));
    assert_eq!(show(&["--text"]), RECIPE);
    let plan: serde_json::Value = serde_json::from_str(&show(&["--json", "--agent", "pypi:26.0.0"])).unwrap();
    assert_eq!(plan["recipe"], "ours");
    assert!(plan["stages"].to_string().contains("26.0.0"), "{plan}");

    Sample::debian().write(&place.path(""), "base");
    let of_base = show(&["--base", "base.raw", "--json"]);
    let plan: serde_json::Value = serde_json::from_str(&of_base).unwrap();
    assert_eq!(plan["os"]["pretty"], "Debian GNU/Linux 12 (bookworm)", "{plan}");

    let list: serde_json::Value =
        serde_json::from_str(&place.run(&["recipe", "list", "--json"]).expect(0)).unwrap();
    assert!(list.as_array().unwrap().iter().any(|recipe| recipe["name"] == "trove-guest"));
    let checked = place.run(&["recipe", "check", "./ours.toml"]).expect(0);
    assert!(checked.starts_with("./ours.toml: good for debian-11, debian-12, "), "{checked}");
    let checked = place.run(&["recipe", "check", "./ours.toml", "./worse.toml", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&checked.stdout).unwrap();
    assert_eq!((checked.code, &json[0]["ok"], &json[1]["ok"]), (Some(3), &true.into(), &false.into()));
    assert!(json[1]["problem"].as_str().unwrap().contains("worse.toml:3"), "{json}");
    let schema = |arguments: &[&str]| -> serde_json::Value {
        serde_json::from_str(&place.run(&[&["recipe", "schema"], arguments].concat()).expect(0)).unwrap()
    };
    assert!(schema(&[])["properties"]["packages"].is_object());
    let checks = schema(&["--checks"]);
    assert!(checks["properties"]["checks"].is_object() && checks["properties"].get("packages").is_none());
}

/// Without a qemu there is nothing to boot, and much else is tried all the same. That a whole host is told to be one is seen
/// where the commands of the documentation are run.
#[test]
fn doctor_tells_the_same_to_people_and_programs() {
    let place = Place::new();
    let run = |arguments: &[&str]| {
        let mut command = place.command(arguments);
        let found = outcome(command.env("LIBGUESTFS_HV", "/nonexistent/hypervisor"));
        assert_eq!(found.code, Some(7), "{}", found.stderr);
        found.stdout
    };
    let (text, json) = (run(&["doctor"]), run(&["doctor", "--json"]));
    let report: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(report["able"], false, "{report:#}");
    let findings = report["findings"].as_array().unwrap();
    assert!(
        findings.iter().any(|finding| finding["state"] == "failed" && finding["fix"].is_string()),
        "{report:#}"
    );
    assert!(findings.iter().any(|finding| finding["state"] == "ok"), "{report:#}");
    assert!(
        text.contains("FAILED") && text.contains("fix: ") && text.contains("This host cannot build images"),
        "{text}"
    );
    for finding in findings {
        let name = finding["name"].as_str().unwrap();
        assert!(text.contains(&format!(" {name}: ")), "{name}: {text}");
    }
}

/// What the variables ask of the appliance, as the qemu that is to run it is told.
#[test]
fn appliance_variables_reach_the_hypervisor() {
    let place = Place::new();
    fs::create_dir(place.path("temporary")).unwrap();
    // A journal that was not written back: tib leaves such a file system to an appliance.
    place.write("block", &"x".repeat(1024));
    let block = place.path("block");
    Sample::debian()
        .debugfs(&format!("jo\njw -b 20000 {}\njc", block.display()))
        .write(place.directory.path(), "db");
    // Answers libguestfs' questions as qemu does, but boots nothing.
    place.write(
        "hypervisor",
        "#!/bin/sh\ncase \" $* \" in\n*' -append '*) echo \"$*\" >\"$0.told\"; exit 1;;\nesac\nexec qemu-system-x86_64 \"$@\"\n",
    );
    fs::set_permissions(place.path("hypervisor"), PermissionsExt::from_mode(0o755)).unwrap();
    let told = |variable: &str, value: &str| {
        let mut command = place.command(&["ls", "db.raw", "/"]);
        command.env("LIBGUESTFS_HV", place.path("hypervisor")).env(variable, value);
        let found = outcome(&mut command);
        assert_eq!(found.code, Some(7), "{}", found.stderr);
        (fs::read_to_string(place.path("hypervisor.told")).unwrap(), found.stderr)
    };
    let (told_tcg, warned) = told("TIB_ACCEL", "tcg");
    assert!(
        told_tcg.contains("accel=tcg") && warned.contains("TIB_ACCEL=tcg asks for it"),
        "{told_tcg}{warned}"
    );
    let (told_kvm, warned) = told("TIB_ACCEL", "kvm");
    assert!(
        told_kvm.contains("accel=kvm") && !warned.contains("no hardware virtualisation"),
        "{told_kvm}{warned}"
    );
    let (default, _) = told("TIB_ACCEL", "tcg");
    assert!(default.contains("-m 2048 "), "{default}");
    let (less, _) = told("TIB_MEMORY", "777");
    assert!(less.contains("-m 777 "), "{less}");
    let temporary = place.path("temporary");
    assert!(!less.contains(temporary.to_str().unwrap()));
    let (elsewhere, _) = told("TIB_TMPDIR", temporary.to_str().unwrap());
    assert!(elsewhere.contains(temporary.to_str().unwrap()), "{elsewhere}");
}
