//! The embedded recipes on known systems, what the documentation says of recipes, and any text at all.

use proptest::prelude::*;

use super::*;
use crate::check::{Check, pattern};
use crate::digest::Digest;
use crate::distro::{OsRelease, WELL_KNOWN, well_known};
use crate::error::{Diagnose, Exit};

#[path = "agents_tests.rs"]
mod agents;
#[path = "digest_tests.rs"]
mod digests;
#[path = "fault_tests.rs"]
mod faults;
#[path = "systems_tests.rs"]
mod systems;

const SYSTEMS: [&str; 3] = ["debian-12", "ubuntu-24.04", "rocky-9"];

fn embedded() -> Vec<String> {
    Library::default().list().unwrap().into_iter().map(|recipe| recipe.name).collect()
}

fn plan(name: &str, system: &str, agent: Option<&str>) -> Plan {
    planned(name, system, agent).unwrap_or_else(|| panic!("{name} cannot be had on {system}"))
}

/// The plan, unless the recipe refuses the system.
fn planned(name: &str, system: &str, agent: Option<&str>) -> Option<Plan> {
    let os = well_known(system).unwrap();
    let request = Request { agent: agent.map(|agent| agent.parse().unwrap()), ..Request::new(&os) };
    match Library::default().load(name).unwrap().plan(&request) {
        Err(RecipeError::Refused { .. }) => None,
        plan => Some(plan.unwrap()),
    }
}

#[test]
fn every_recipe_on_every_system() {
    for name in embedded() {
        for system in SYSTEMS {
            if let Some(plan) = planned(&name, system, None) {
                insta::assert_snapshot!(format!("{name}-{system}"), render(&plan));
            }
        }
    }
}

/// Whoever has no id of their own takes the first that is free, which may be that of a user who is made later.
#[test]
fn no_user_takes_the_id_of_a_later_one() {
    for name in embedded() {
        for plan in SYSTEMS.iter().filter_map(|system| planned(&name, system, None)) {
            let mut known: Vec<(&str, bool)> = Vec::new();
            for step in plan.stages.iter().flat_map(|stage| &stage.steps) {
                let Step::User(user) = step else { continue };
                if known.iter().any(|(other, _)| *other == user.name) {
                    continue;
                }
                let taker = known.iter().find(|(_, has_id)| !has_id && user.uid.is_some());
                assert!(taker.is_none(), "{name}: {taker:?} may take the id of {}", user.name);
                known.push((&user.name, user.uid.is_some() || user.system));
            }
        }
    }
}

/// Every database on the systems that operators run, each on one screen: systems with the same plan stand together, and what
/// cannot be had says so.
#[test]
fn every_database_on_every_system() {
    const DATABASES: [&str; 14] = [
        "cassandra",
        "couchbase",
        "couchdb",
        "db2",
        "mariadb",
        "mongodb",
        "mysql",
        "percona",
        "postgresql",
        "pxc",
        "redis",
        "trove-guest",
        "valkey",
        "vertica",
    ];
    const SYSTEMS: [&str; 8] = [
        "debian-12",
        "debian-13",
        "ubuntu-22.04",
        "ubuntu-24.04",
        "rocky-8",
        "rocky-9",
        "rocky-10",
        "centos-7",
    ];
    for name in DATABASES {
        let recipe = Library::default().load(name).unwrap();
        let mut found: Vec<(String, String)> = Vec::new();
        for system in SYSTEMS {
            let os = well_known(system).unwrap_or_else(centos_7);
            let text = match recipe.plan(&Request::new(&os)) {
                Ok(plan) => {
                    let text = render(&plan).to_string();
                    // What all share is in the plans of `common` and `guest-agent`.
                    let datastore = text.split("\ndatastore\n").nth(1).unwrap_or_default();
                    let (datastore, rest) = datastore.split_once("\nagent\n").unwrap();
                    let removed = rest.lines().filter(|line| line.starts_with("  remove ")).count();
                    format!("{datastore}  ({removed} identities removed)\n")
                }
                Err(error) => format!("  {error}\n  {}\n", error.hint().unwrap_or_default()),
            };
            // Where its packages are differs with the release.
            let text = ["jammy", "noble", "bookworm", "trixie"]
                .iter()
                .fold(text, |text, codename| text.replace(codename, "CODENAME"));
            match found.iter_mut().find(|(_, other)| *other == text) {
                Some((systems, _)) => systems.push_str(&format!(", {system}")),
                None => found.push((system.to_owned(), text)),
            }
        }
        let found: Vec<_> = found.into_iter().map(|(systems, text)| format!("{systems}\n{text}")).collect();
        insta::assert_snapshot!(format!("{name}-everywhere"), found.join("\n"));
    }
}

/// A system that has come to its end, and is no base of the catalogue.
fn centos_7() -> OsRelease {
    OsRelease { version: "7".to_owned(), python_minor: None, ..well_known("centos-8").unwrap() }
}

/// What vendors do not offer is refused by name, with what can be had, before anything is fetched.
#[test]
fn combinations_that_cannot_be_had() {
    type Settings = &'static [(&'static str, &'static str)];
    let cases: [(&str, &str, Settings, &str); 20] = [
        ("mysql", "debian-12", &[("origin", "distribution")], "Debian has no MySQL of its own"),
        ("mysql", "ubuntu-24.04", &[("mysql_series", "8.4")], "Ubuntu 24.04 has MySQL 8.0, not 8.4"),
        ("mysql", "rocky-10", &[("mysql_series", "9.7")], "Enterprise Linux 10 has MySQL 8.4, not 9.7"),
        ("mysql", "debian-12", &[("mysql_series", "8.0")], "MySQL 8.0 no longer"),
        (
            "mysql",
            "debian-12",
            &[("mysql_series", "5.7")],
            "option `mysql_series` of recipe `mysql` cannot be `5.7`",
        ),
        ("mongodb", "debian-13", &[], "MongoDB has no packages for Debian 13"),
        ("mongodb", "ubuntu-24.04", &[("mongodb_series", "7.0")], "no packages of 7.0 for Ubuntu 24.04"),
        (
            "mongodb",
            "rocky-9",
            &[("mongodb_series", "7.0")],
            "MongoDB 7.0 is slow with transparent huge pages",
        ),
        ("cassandra", "debian-12", &[("cassandra_series", "4.1")], "Cassandra 4.1 runs on Java 11"),
        ("couchdb", "debian-13", &[], "Apache has no packages of CouchDB for Debian 13"),
        ("valkey", "debian-12", &[("origin", "distribution")], "Debian 12 has Valkey in backports alone"),
        ("valkey", "debian-13", &[("origin", "backports")], "Debian 13 has Valkey without backports"),
        ("valkey", "rocky-9", &[], "Enterprise Linux 9 has no Valkey"),
        ("db2", "debian-12", &[], "IBM has no Db2 for Debian"),
        ("db2", "ubuntu-24.04", &[], "Db2 is not known to run on Ubuntu 24.04"),
        ("vertica", "rocky-10", &[], "Vertica is not known to run on Enterprise Linux 10"),
        ("mongodb", "centos-7", &[], "MongoDB is not known to have packages for Enterprise Linux 7"),
        ("mysql", "centos-7", &[], "no packages of this series that are looked after for Enterprise Linux 7"),
        ("couchbase", "debian-13", &[], "Couchbase is not known to have packages for Debian 13"),
        (
            "percona",
            "debian-12",
            &[("origin", "distribution")],
            "option `origin` of recipe `percona` cannot be",
        ),
    ];
    for (name, system, settings, message) in cases {
        let os = well_known(system).unwrap_or_else(centos_7);
        let settings = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let error = Library::default().load(name).unwrap().plan(&Request { settings, ..Request::new(&os) });
        let error = error.expect_err(message);
        assert!(error.to_string().contains(message), "{name} on {system}: {error}");
        assert!(error.hint().is_some_and(|hint| !hint.is_empty()) && error.exit() == Exit::Recipe, "{error}");
    }
    let mut os = well_known("debian-12").unwrap();
    os.arch = crate::distro::Arch::Aarch64;
    let error = Library::default().load("mongodb").unwrap().plan(&Request::new(&os)).unwrap_err();
    assert!(error.to_string().contains("for Debian on x86_64 alone"), "{error}");
}

/// A vendor's packages where the distribution's are the default, and the series that was asked for.
#[test]
fn vendors_packages_are_taken_on_request() {
    for (name, system, settings, wanted) in [
        (
            "mysql",
            "ubuntu-24.04",
            &[("origin", "vendor"), ("mysql_series", "9.7")][..],
            "https://repo.mysql.com/apt/ubuntu",
        ),
        (
            "mysql",
            "rocky-9",
            &[("origin", "vendor"), ("mysql_series", "8.4")],
            "/yum/mysql-8.4-community/el/9/x86_64",
        ),
        (
            "mariadb",
            "debian-12",
            &[("origin", "vendor"), ("mariadb_series", "11.4")],
            "https://deb.mariadb.org/11.4/debian",
        ),
        ("mariadb", "rocky-9", &[("origin", "vendor")], "https://rpm.mariadb.org/11.8/rhel/9/x86_64"),
        ("postgresql", "debian-12", &[("origin", "vendor"), ("postgresql_version", "18")], "bookworm-pgdg"),
        ("redis", "debian-12", &[("origin", "vendor")], "https://packages.redis.io/deb"),
        (
            "mongodb",
            "ubuntu-22.04",
            &[("mongodb_series", "7.0"), ("huge_pages", "never")],
            "jammy/mongodb-org/7.0",
        ),
        ("cassandra", "ubuntu-24.04", &[("cassandra_series", "4.1")], "\"41x\""),
    ] {
        let os = well_known(system).unwrap();
        let settings = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let request = Request { settings, ..Request::new(&os) };
        let plan = Library::default().load(name).unwrap().plan(&request).unwrap();
        let steps = plan.stages.iter().flat_map(|stage| &stage.steps);
        let repositories: Vec<_> = steps.filter(|step| matches!(step, Step::Repository(_))).collect();
        let text = serde_json::to_string(&repositories).unwrap();
        assert!(text.contains(wanted) && text.contains("\"url\":\"https://"), "{name} on {system}: {text}");
    }
}

#[test]
fn a_database_with_an_agent() {
    for name in ["couchbase", "couchdb", "mariadb", "mongodb", "mysql", "postgresql", "redis"] {
        insta::assert_snapshot!(
            format!("{name}-with-agent"),
            render(&plan(name, "debian-12", Some("path:agent.whl")))
        );
    }
}

#[test]
fn checks_of_the_main_recipes() {
    for name in [
        "trove-guest",
        "cassandra",
        "couchbase",
        "couchdb",
        "db2",
        "mariadb",
        "mongodb",
        "mysql",
        "postgresql",
        "redis",
        "vertica",
    ] {
        let system = if name == "db2" { "ubuntu-22.04" } else { "debian-12" };
        let titles: Vec<_> = plan(name, system, None).checks.iter().map(Check::title).collect();
        insta::assert_snapshot!(format!("{name}-checks"), titles.join("\n"));
    }
}

#[test]
fn the_unit_and_the_user_file_come_out_filled_in() {
    let plan = plan("trove-guest", "debian-12", None);
    let texts: Vec<_> = plan
        .stages
        .iter()
        .flat_map(|stage| &stage.steps)
        .filter_map(|step| match step {
            Step::File(FileStep { path, content: Content::Text(text), mode, .. }) => {
                Some(format!("--- {path} {mode:04o}\n{text}"))
            }
            _ => None,
        })
        .collect();
    insta::assert_snapshot!("trove-guest-files", texts.join(""));
}

#[test]
fn what_trove_needs_is_in_the_plan() {
    let wanted = plan("trove-guest", "debian-12", None);
    let user = wanted.stages.iter().flat_map(|stage| &stage.steps).find_map(|step| match step {
        Step::User(user) => Some(user),
        _ => None,
    });
    let user = user.unwrap();
    assert_eq!(
        (user.name.as_str(), user.uid),
        ("ubuntu", Some(1000)),
        "1001 belongs to the agent's `database`"
    );
    assert_eq!(user.groups, ["docker"]);
    assert!(wanted.checks.contains(&Check::IdFree { id: 1001 }));
    let names = vec!["ConfigDrive".to_owned(), "OpenStack".to_owned()];
    assert!(wanted.checks.contains(&Check::Datasources { names }));
    assert_eq!(wanted.datastore, None);
    let agent = wanted.stages.iter().flat_map(|stage| &stage.steps).any(|step| {
        matches!(step, Step::Agent(agent) if agent.source.to_string() == "pypi" && agent.module == "trove.cmd.guest")
    });
    assert!(agent);
}

#[test]
fn no_recipe_repeats_a_known_defect() {
    for name in embedded() {
        let agent = (name != "common").then_some("pypi");
        for system in SYSTEMS {
            let Some(plan) = planned(&name, system, agent) else { continue };
            let json = serde_json::to_string(&plan.stages).unwrap();
            for bad in ["http://", "allow-unauthenticated", "apt-key", "octavia", "image-loader", "id_rsa"] {
                assert!(!json.contains(bad), "{name} on {system}: {bad}");
            }
        }
    }
}

#[test]
fn options_change_the_plan_and_its_digest() {
    let os = well_known("debian-12").unwrap();
    let recipe = Library::default().load("trove-guest").unwrap();
    let mut request = Request::new(&os);
    let before = recipe.plan(&request).unwrap();
    assert_eq!(before, recipe.plan(&request).unwrap(), "planning is deterministic");
    request.settings.insert("guest_user".to_owned(), "trove".to_owned());
    let after = recipe.plan(&request).unwrap();
    assert_ne!(before.recipe_digest, after.recipe_digest);
    let text = serde_json::to_string(&after.stages).unwrap();
    assert!(text.contains("User=trove\\nGroup=trove\\n") && !text.contains("ubuntu"), "{text}");
}

#[test]
fn ssh_keys_go_to_the_agents_user_or_the_one_named() {
    let os = well_known("debian-12").unwrap();
    let recipe = Library::default().load("mariadb").unwrap();
    let key =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIiH3kHqY0JZc1n0Q5t1oX1dVbJ9dI4kM3p2Rr0n8G2V ops".to_owned();
    for (user, home) in [(None, "/home/ubuntu"), (Some("root"), "/root"), (Some("ops"), "/home/ops")] {
        let ssh_user = user.map(str::to_owned);
        let request = Request { ssh_keys: vec![key.clone()], ssh_user, ..Request::new(&os) };
        let plan = recipe.plan(&request).unwrap();
        let last = plan.stages.last().unwrap();
        assert_eq!(last.name, StageName::Site);
        let wanted =
            Step::AuthorizedKeys { user: user.unwrap_or("ubuntu").to_owned(), keys: vec![key.clone()] };
        assert_eq!(last.steps, [wanted]);
        let title = plan.checks.iter().map(Check::title).find(|title| title.contains("authorized_keys"));
        assert!(title.unwrap().starts_with(&format!("{home}/.ssh/authorized_keys is a file")));
    }
    let common = Library::default().load("common").unwrap();
    let request = Request { ssh_keys: vec![key], ..Request::new(&os) };
    let error = common.plan(&request).unwrap_err();
    assert_eq!(error.to_string(), "recipe `common` makes no user that SSH keys could be for");
    let request =
        Request { ssh_keys: vec!["-----BEGIN OPENSSH PRIVATE KEY-----".to_owned()], ..Request::new(&os) };
    let error = recipe.plan(&request).unwrap_err();
    assert_eq!(error.to_string(), "SSH key 1 is a private key: it must not get into an image");
    assert_eq!(error.exit(), Exit::Usage);
}

#[test]
fn the_example_in_the_documentation_works() {
    let page = include_str!("../../docs/recipes.md");
    let (_, rest) = page.split_once("```toml\n").unwrap();
    let (example, _) = rest.split_once("```").unwrap();
    let os = well_known("debian-12").unwrap();
    let plan = Recipe::from_text("mydb", example).unwrap().plan(&Request::new(&os)).unwrap();
    let Some(Step::File(FileStep { content: Content::Text(text), .. })) =
        plan.stages.last().and_then(|stage| stage.steps.first())
    else {
        panic!("{:?}", plan.stages);
    };
    assert_eq!(text, "[mysqld]\ninnodb_buffer_pool_size = 512M\n");
}

/// All further examples of whole items.
#[test]
fn every_item_shown_in_the_documentation_is_one() {
    let page = include_str!("../../docs/recipes.md");
    let os = well_known("ubuntu-24.04").unwrap();
    let blocks: Vec<&str> =
        page.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    let items = blocks.iter().filter(|block| block.starts_with("[["));
    let mut steps = Vec::new();
    for block in items {
        // The option that some of them ask for.
        let origin = "[options.origin]\ndescription = 'd'\ndefault = 'distribution'";
        let text = format!("name = 'x'\nsummary = 's'\n{block}\n{origin}\n");
        let recipe = Recipe::from_text("x", &text).unwrap_or_else(|error| panic!("{error}: {block}"));
        let plan = recipe.plan(&Request::new(&os)).unwrap_or_else(|error| panic!("{error}: {block}"));
        steps.extend(plan.stages.into_iter().flat_map(|stage| stage.steps).map(|step| step.summary()));
    }
    let mysqld = "AppArmor profile usr.sbin.mysqld: local additions, enforce";
    assert!(steps.iter().any(|step| step == mysqld), "{steps:?}");
}

#[test]
fn line_ends_of_a_checkout_do_not_matter() {
    let os = well_known("debian-12").unwrap();
    let unix = "name = \"x\"\nsummary = \"s\"\n[[script]]\npurpose = \"p\"\ntext = \"\"\"\nset -e\nprintf '\\r'\n\"\"\"\n";
    let plan = |text: &str| Recipe::from_text("x", text).unwrap().plan(&Request::new(&os)).unwrap();
    let wanted = plan(unix);
    assert_eq!(plan(&unix.replace('\n', "\r\n")), wanted);
    let Step::Script(script) = &wanted.stages[0].steps[0] else { panic!("{wanted:?}") };
    assert_eq!(script.text, "set -e\nprintf '\r'\n", "one that is meant stays");
    let fault = Recipe::from_text("x", "name = \"x\"\r\nsummary = \"s\"\r\nbad = 1\r\n").unwrap_err();
    assert!(fault.to_string().starts_with("x.toml:3: unknown key `bad`"), "{fault}");
}

#[test]
fn new_keys_reach_the_steps_the_digest_and_the_checks() {
    let os = well_known("debian-12").unwrap();
    let plan = |text: &str| {
        let text = format!("name = 'x'\nsummary = 's'\n{text}");
        Recipe::from_text("x", &text).unwrap().plan(&Request::new(&os)).unwrap()
    };
    let hash = "$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc8";
    let plain = plan("[[user]]\nname = 'u'\n[[packages]]\ninstall = ['b', 'a=1']\n");
    let full = plan(&format!(
        "[[user]]\nname = 'u'\npassword_hash = '{hash}'\n[[packages]]\ninstall = ['b']\n\
         [[packages]]\nrecommends = true\ninstall = ['a=1']\ndebconf = ['a a/b string c']\n"
    ));
    let summaries: Vec<_> = full.stages[0].steps.iter().map(Step::summary).collect();
    assert_eq!(
        summaries,
        ["user u with a password", "install a=1, b; with what a recommends; 1 debconf answer"]
    );
    let Step::Packages(step) = &full.stages[0].steps[1] else { panic!("{full:?}") };
    assert_eq!((step.recommends.as_slice(), step.places["b"].line), (&["a".to_owned()][..], 6));
    let titles: Vec<_> = full.checks.iter().map(Check::title).collect();
    assert!(titles.iter().any(|title| title.contains("has a password")), "{titles:?}");
    let digest = |plan: &Plan| plan.stage_digest(0, Digest::of(b""), Digest::of(b""), 1);
    assert_ne!(digest(&plain), digest(&full));
    let moved = plan("\n\n[[user]]\nname = 'u'\n[[packages]]\ninstall = ['b', 'a=1']\n");
    assert_eq!(digest(&plain), digest(&moved), "where a line stands changes no layer");
}

#[test]
fn what_is_said_of_the_agent_are_templates_too() {
    let os = well_known("debian-12").unwrap();
    let plan = |more: &str, settings: &[(&str, &str)]| {
        let text = format!(
            "name = 'x'\nsummary = 's'\n{more}\n[options.release]\ndescription = 'd'\ndefault = '26.0.0'\n\
             [options.oldest]\ndescription = 'd'\ndefault = '11'\n[agent]\nuser = 'u'\nvenv = '/v'\nmodule = 'm'\n\
             source = 'pypi:{{{{ release }}}}'\npython = '3.{{{{ oldest }}}}'\n"
        );
        let settings =
            settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Recipe::from_text("x", &text)?.plan(&Request { settings, ..Request::new(&os) })
    };
    let source = |plan: &Plan| plan.agent().unwrap().source.to_string();
    let by_default = plan("", &[]).unwrap();
    assert_eq!((source(&by_default).as_str(), by_default.notes.len()), ("pypi:26.0.0", 0));
    let set = plan("", &[("release", "27.0.0"), ("oldest", "12")]).unwrap();
    assert_eq!(source(&set), "pypi:27.0.0");
    assert!(set.notes[0].contains("Python 3.12 or newer"), "{:?}", set.notes);
    let bad = plan("", &[("release", "/x")]).unwrap_err().to_string();
    assert!(
        bad.starts_with("x.toml:") && bad.contains("`pypi:/x` does not say where the agent comes from"),
        "{bad}"
    );
    // A file of the host cannot be smuggled in, and a system that the recipe is not for is told before all else.
    let text = "name = 'x'\nsummary = 's'\nwhen = { family = 'suse' }\n[options.a]\ndescription = 'd'\n\
                [agent]\nuser = 'u'\nvenv = '/v'\nmodule = 'm'\nsource = '{{ a }}'\n";
    let recipe = Recipe::from_text("x", text).unwrap();
    let error = recipe.plan(&Request::new(&os)).unwrap_err();
    assert_eq!(error.to_string(), "recipe `x` does not support debian-12");
    let recipe = Recipe::from_text("x", &text.replace("when = { family = 'suse' }\n", "")).unwrap();
    let error = recipe.plan(&Request::new(&os)).unwrap_err();
    assert_eq!(error.to_string(), "option `a` of recipe `x` has no value for debian-12");
    let settings = [("a".to_owned(), "path:/x".to_owned())].into();
    let error = recipe.plan(&Request { settings, ..Request::new(&os) }).unwrap_err();
    assert_eq!(error.to_string(), "x.toml:5: `agent.source` cannot be a path of the host");
}

#[test]
fn accounts_are_checked_for_all_that_is_written_of_them() {
    let os = well_known("debian-12").unwrap();
    let titles = |text: &str| -> Vec<String> {
        let text = format!("name = 'x'\nsummary = 's'\n{text}");
        let plan = Recipe::from_text("x", &text).unwrap().plan(&Request::new(&os)).unwrap();
        plan.checks.iter().map(Check::title).collect()
    };
    assert_eq!(
        titles(
            "[[group]]\nname = 'g'\ngid = 1500\n[[group]]\nname = 'free'\n\
             [[user]]\nname = 'u'\nuid = 1600\ngroup = 'g'\ngroups = ['free']\nhome = '/srv/u'\n\
             [[user]]\nname = 'u'\nshell = '/bin/sh'\n"
        ),
        [
            "group g has id 1500",
            "group free exists",
            "user u exists, has id 1600, is in free and g, has home /srv/u, has shell /bin/sh",
        ]
    );
    // The base's own user keeps what the recipe says nothing of.
    assert_eq!(
        titles("[[user]]\nname = 'www-data'\ngroups = ['adm']\n"),
        ["user www-data exists, is in adm"]
    );
}

#[test]
fn redis_is_planned_for_the_debian_it_is_written_for() {
    let os = well_known("debian-11").unwrap();
    let plan = Library::default().load("redis").unwrap().plan(&Request::new(&os)).unwrap();
    let wanted = plan.checks.iter().find_map(|check| match check {
        Check::Path(check) if check.path == "/etc/redis/redis.conf" => check.matches.clone(),
        _ => None,
    });
    let wanted = pattern(&wanted.unwrap()).unwrap();
    // As the packages of Debian 11 (6.0.16) and 12 (7.0.15) have it.
    for line in ["pidfile /var/run/redis/redis-server.pid", "pidfile /run/redis/redis-server.pid"] {
        assert!(wanted.is_match(format!("# x\n{line}\n").as_bytes()), "{line}");
    }
    assert!(!wanted.is_match(b"# pidfile /run/redis/redis-server.pid\n"));
}

#[test]
fn the_schema_on_disk_is_the_codes() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/recipes/recipe.schema.json");
    let wanted = format!("{:#}\n", schema());
    if std::env::var_os("INSTA_UPDATE").is_some_and(|value| value == "always") {
        fs_err::write(path, &wanted).unwrap();
    }
    assert_eq!(fs_err::read_to_string(path).unwrap(), wanted, "run the tests with INSTA_UPDATE=always");
}

/// Lines that recipes are made of, right and wrong.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "name = 'x'",
        "summary = 's'",
        "extends = ['common']",
        "extends = ['x']",
        "stage = 'site'",
        "[[file]]",
        "path = '/a'",
        "text = '{{ os.id }}'",
        "text = '{% for i in x %}'",
        "mode = '0644'",
        "[[packages]]",
        "install = ['a', 'b=1']",
        "when = { release = '>=12' }",
        "[agent]",
        "source = 'pypi'",
        "[[check]]",
        "check = 'package'",
        "check = 'path'",
        "[options.o]",
        "default = 'd'",
        "[[user]]",
        "name = 'é'",
        "\"",
        "[[",
        "[cloud_init]",
        "datasources = ['None', 'a b']",
        "\u{0}",
        "needs = '1 MiB'",
    ]);
    prop::collection::vec(piece, 0..12).prop_map(|lines| lines.join("\n"))
}

proptest! {
    #[test]
    fn no_text_makes_the_loader_panic(text in prop_oneof![any::<String>(), pieces()]) {
        let os = well_known("debian-12").unwrap();
        let outcome = |text: &str| {
            let plan = Recipe::from_text("x", text).and_then(|recipe| recipe.plan(&Request::new(&os)));
            plan.map_err(|error| error.to_string())
        };
        let first = outcome(&text);
        prop_assert_eq!(&first, &outcome(&text));
        if let Ok(plan) = first {
            prop_assert!(render(&plan).contains("seal"));
        }
    }
}
