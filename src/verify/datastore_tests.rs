//! What the recipes of databases promise, one by one: on the files that the packages standing in for vendors' bring
//! (`tests/standins/data`) a recipe's steps make its checks pass, and each step that is left out makes one fail that names it.

use std::collections::BTreeMap;

use super::agent::datastore_findings;
use super::{run_checks, sealing};
use crate::check::ServiceState;
use crate::distro::{Family, well_known};
use crate::os::testing::MemTree;
use crate::recipe::{Content, Library, Plan, Request, StageName, Step};
use crate::report::{CheckResult, Outcome};

/// A recipe on a system.
#[derive(Clone, Copy)]
struct Case {
    name: &'static str,
    system: &'static str,
    /// The user that its packages make, and the directory that is that user's.
    user: &'static str,
    data: &'static str,
}

const CASES: [Case; 18] = [
    case("mysql", "debian-12", "mysql", "/var/lib/mysql"),
    case("percona", "debian-12", "mysql", "/var/lib/mysql"),
    case("pxc", "debian-12", "mysql", "/var/lib/mysql"),
    case("mongodb", "debian-12", "mongodb", "/var/lib/mongodb"),
    case("cassandra", "debian-12", "cassandra", "/var/lib/cassandra"),
    case("couchdb", "debian-12", "couchdb", "/var/lib/couchdb"),
    case("couchbase", "debian-12", "couchbase", "/opt/couchbase/var/lib/couchbase"),
    case("vertica", "debian-12", "dbadmin", "/home/dbadmin"),
    case("db2", "ubuntu-22.04", "db2inst1", "/home/db2inst1"),
    case("mysql", "rocky-9", "mysql", "/var/lib/mysql"),
    case("percona", "rocky-9", "mysql", "/var/lib/mysql"),
    case("pxc", "rocky-9", "mysql", "/var/lib/mysql"),
    case("mongodb", "rocky-9", "mongod", "/var/lib/mongo"),
    case("cassandra", "rocky-9", "cassandra", "/var/lib/cassandra"),
    case("couchdb", "rocky-9", "couchdb", "/var/lib/couchdb"),
    case("couchbase", "rocky-9", "couchbase", "/opt/couchbase/var/lib/couchbase"),
    case("vertica", "rocky-9", "dbadmin", "/home/dbadmin"),
    case("db2", "rocky-9", "db2inst1", "/home/db2inst1"),
];

const fn case(name: &'static str, system: &'static str, user: &'static str, data: &'static str) -> Case {
    Case { name, system, user, data }
}

/// What the vendor's packages bring just so, and other packages for which the recipe is do not.
const BROUGHT: [(&str, &str); 7] = [
    ("mysql", "/etc/mysql/mysql.conf.d"),
    ("percona", "/etc/mysql/mysql.conf.d"),
    ("pxc", "/etc/mysql/mysql.conf.d"),
    ("mysql", "/etc/my.cnf.d"),
    ("percona", "/etc/my.cnf.d"),
    ("pxc", "/etc/my.cnf.d"),
    ("mongodb", "/var/lib/mongodb"),
];
const UID: u32 = 105;
const AGENT: u32 = 1000;

impl Case {
    fn family(self) -> Family {
        well_known(self.system).unwrap().family
    }

    fn plan(self) -> Plan {
        let os = well_known(self.system).unwrap();
        let settings: &[(&str, &str)] = match self.name {
            "mysql" => &[("origin", "vendor"), ("mysql_series", "8.4")],
            _ => &[],
        };
        let settings = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Library::default().load(self.name).unwrap().plan(&Request { settings, ..Request::new(&os) }).unwrap()
    }

    fn title(self) -> String {
        format!("{} on {}", self.name, self.system)
    }
}

fn uid(owner: &str) -> u32 {
    match owner {
        "root" => 0,
        "ubuntu" => AGENT,
        _ => UID,
    }
}

/// The files of the packages, and the effects of their scripts that checks are about.
///
/// Without `brought`, what a person brings is missing.
fn packages(Case { name, user, data, system }: Case, brought: bool) -> MemTree {
    let kind = if system.starts_with("rocky-") { "rpm" } else { "package" };
    let path = format!("{}/tests/standins/data/{name}.toml", env!("CARGO_MANIFEST_DIR"));
    let text = fs_err::read_to_string(path).unwrap();
    let known: BTreeMap<String, toml::Value> = toml::from_str(&text).unwrap();
    let mut tree = MemTree::new()
        .link("/lib", "usr/lib")
        .link("/bin", "usr/bin")
        .file(
            "/etc/passwd",
            format!("root:x:0:0::/root:/bin/sh\n{user}:x:{UID}:{UID}::/:/bin/false\nubuntu:x:{AGENT}:{AGENT}::/home/ubuntu:/bin/sh\n"),
        )
        .file("/etc/group", format!("root:x:0:\n{user}:x:{UID}:\nubuntu:x:{AGENT}:\n"));
    let packages = known.get(kind).and_then(toml::Value::as_array).into_iter().flatten();
    for package in packages.filter(|package| brought || package.get("artifact").is_none()) {
        for (path, file) in package.get("file").and_then(toml::Value::as_table).into_iter().flatten() {
            tree = tree.file(path, file["text"].as_str().unwrap());
        }
        for path in package.get("directories").and_then(toml::Value::as_array).into_iter().flatten() {
            tree = tree.dir(path.as_str().unwrap());
        }
    }
    if kind == "rpm" {
        tree = tree.link("/etc/init.d", "rc.d/init.d");
    } else if user == "mysql" {
        tree = tree.link("/etc/mysql/my.cnf", "mysql.cnf");
    }
    // What the installer makes that a person has brought.
    if name == "db2" && brought {
        tree = tree
            .file("/opt/ibm/db2/V11.5/instance/db2icrt", "")
            .file("/etc/services", "db2c_db2inst1\t50000/tcp\n");
    }
    if name == "vertica" {
        let group = format!("root:x:0:\n{user}:x:{UID}:\nverticadba:x:{UID}:\nubuntu:x:{AGENT}:\n");
        tree = tree.file("/etc/group", group);
        tree = tree.file("/etc/hosts.bkp", "127.0.0.1 localhost\n");
    }
    for directory in [data.to_owned(), format!("/var/log/{user}")] {
        // rpm makes a directory that a package has only something in for root.
        let owner = if name == "cassandra" && kind == "rpm" && directory == data { 0 } else { UID };
        tree = tree.dir(&directory).access(&directory, 0o755, owner, owner);
    }
    tree
}

/// Does a step to a tree, as the engine would.
fn apply(tree: MemTree, step: &Step) -> MemTree {
    match step {
        Step::Directory { path, mode, owner, group } => {
            tree.dir(path).access(path, *mode, uid(owner), uid(group))
        }
        Step::File(file) => {
            let Content::Text(text) = &file.content else { panic!("{step:?}") };
            tree.file(&file.path, text).access(&file.path, file.mode, uid(&file.owner), uid(&file.group))
        }
        Step::Link { path, target } => tree.link(path, target),
        Step::Apparmor(step) => {
            let path = format!("/etc/apparmor.d/local/{}", step.profile);
            tree.file(&path, step.local.as_deref().unwrap_or_default())
        }
        Step::Artifact(step) => match step.path.as_ref().filter(|_| !step.unpack) {
            Some(path) => tree.file(path, "").access(path, 0o644, 0, 0),
            None => tree,
        },
        Step::Service(service) => state(tree, &service.unit, service.state),
        // What it takes out is what the packages would have left: `scripted` has that.
        _ => tree,
    }
}

fn state(tree: MemTree, unit: &str, state: ServiceState) -> MemTree {
    let link = format!("/etc/systemd/system/multi-user.target.wants/{unit}");
    match state {
        ServiceState::Enabled => tree.link(&link, &format!("/usr/lib/systemd/system/{unit}")),
        ServiceState::Disabled => tree,
        ServiceState::Masked => tree.link(&format!("/etc/systemd/system/{unit}"), "/dev/null"),
    }
}

/// What is there if a script of the recipe does not run, and the path that a check then names.
fn scripted(tree: MemTree, family: Family, purpose: &str) -> (MemTree, &'static str) {
    match purpose {
        "leave Cassandra to its unit" => (tree, init_script(family)),
        "leave the cookie of CouchDB to its instances" => {
            let path = "/opt/couchdb/etc/vm.args";
            (tree.file(path, "-name couchdb@127.0.0.1\n-setcookie monster\n"), path)
        }
        "install Db2 from its archive" => {
            let path = "/opt/ibm/db2/V11.5/instance/db2icrt";
            (tree.without(path), path)
        }
        "name Db2's port" => {
            let path = "/etc/services";
            (tree.file(path, "ssh\t22/tcp\n"), path)
        }
        "keep a copy of the hosts as the image has them" => {
            let path = "/etc/hosts.bkp";
            (tree.without(path), path)
        }
        other => panic!("nothing is known of the script `{other}`"),
    }
}

/// Where Cassandra's packages have it.
fn init_script(family: Family) -> &'static str {
    if family == Family::Debian { "/etc/init.d/cassandra" } else { "/etc/rc.d/init.d/cassandra" }
}

/// The recipe's tree, with all steps but one.
fn tree(plan: &Plan, case: Case, without: Option<&Step>) -> MemTree {
    let is_brought = |step: &Step| matches!(step, Step::Artifact(_));
    let mut tree = packages(case, !without.is_some_and(is_brought));
    for step in steps(plan) {
        if without == Some(step) {
            // The packages leave a unit in the other state.
            if let Step::Service(service) = step
                && service.state != ServiceState::Enabled
            {
                tree = state(tree, &service.unit, ServiceState::Enabled);
            }
            continue;
        }
        tree = apply(tree, step);
    }
    let has_script = |purpose: &str| {
        let mut scripts = steps(plan).filter(|step| without != Some(*step));
        scripts.any(|step| matches!(step, Step::Script(script) if script.purpose == purpose))
    };
    if has_script("leave Cassandra to its unit") { tree.without(init_script(case.family())) } else { tree }
}

fn steps(plan: &Plan) -> impl Iterator<Item = &Step> {
    let of_datastore = plan.stages.iter().filter(|stage| stage.name == StageName::Datastore);
    of_datastore.flat_map(|stage| &stage.steps)
}

/// The checks of the plan that fail, and of what an agent expects.
fn failures(plan: &Plan, tree: &MemTree, case: Case) -> Vec<String> {
    let mut tree = tree.clone();
    let mut results = run_checks(&mut tree, Some(case.family()), &plan.checks, &[]);
    results.extend(datastore_findings(&mut tree, case.name, case.family()));
    let failed = |result: &CheckResult| !matches!(result.outcome, Outcome::Passed);
    results
        .into_iter()
        .filter(failed)
        .map(|result| format!("{}: {:?}", result.title, result.outcome))
        .collect()
}

/// What a step is about, as checks name it.
fn subject(step: &Step) -> Option<String> {
    match step {
        Step::Directory { path, .. } | Step::Link { path, .. } => Some(path.clone()),
        Step::File(file) => Some(file.path.clone()),
        Step::Service(service) => Some(service.unit.clone()),
        Step::Apparmor(step) => Some(format!("/etc/apparmor.d/local/{}", step.profile)),
        Step::Artifact(step) => Some(
            match step.name.as_str() {
                "couchbase" => "/opt/couchbase/bin/couchbase-cli",
                "vertica" => step.path.as_deref().unwrap(),
                "db2" => "/opt/ibm/db2/V11.5/instance/db2icrt",
                other => panic!("nothing is known of the artifact `{other}`"),
            }
            .to_owned(),
        ),
        _ => None,
    }
}

#[test]
fn each_path_and_unit_that_a_recipe_leaves_out_fails_a_check_that_names_it() {
    for case in CASES {
        let (plan, title) = (case.plan(), case.title());
        let whole = failures(&plan, &tree(&plan, case, None), case);
        let subjects: Vec<_> = steps(&plan).filter_map(subject).collect();
        for failure in &whole {
            assert!(!subjects.iter().any(|subject| failure.contains(subject)), "{title}: {failure}");
        }
        let mut tried = 0;
        for step in steps(&plan) {
            let tree = tree(&plan, case, Some(step));
            let (tree, subject) = match step {
                Step::Script(script) => {
                    let (tree, path) = scripted(tree, case.family(), &script.purpose);
                    (tree, path.to_owned())
                }
                _ => match subject(step) {
                    Some(subject) => (tree, subject),
                    None => continue,
                },
            };
            let is_brought = BROUGHT.contains(&(case.name, &subject));
            // Red Hat's packages of MongoDB have their data elsewhere.
            if is_brought && !(case.name == "mongodb" && case.family() == Family::Rhel) {
                continue;
            }
            let failed = failures(&plan, &tree, case);
            let new = failed.iter().find(|failure| !whole.contains(failure) && failure.contains(&subject));
            assert!(new.is_some(), "{title}: without `{}` nothing fails:\n{failed:#?}", step.summary());
            tried += 1;
        }
        assert!(tried > 3, "{title}: {tried}");
    }
}

#[test]
fn each_identity_that_is_left_is_found_by_its_name() {
    for case in CASES {
        let (plan, title) = (case.plan(), case.title());
        assert!(!plan.identities.is_empty(), "{title}");
        let found = |tree: &MemTree| -> Vec<String> {
            let results = sealing(&mut tree.clone(), case.family(), &plan.identities);
            let failed = |result: &CheckResult| !matches!(result.outcome, Outcome::Passed);
            results.into_iter().filter(failed).map(|result| result.title).collect()
        };
        let whole = tree(&plan, case, None);
        assert_eq!(found(&whole), [""; 0], "{title}");
        for rule in &plan.identities {
            let left = found(&whole.clone().file(&rule.path.replace(['*', '?'], "x"), "left"));
            assert!(
                left.contains(&format!("{} is taken out ({})", rule.what, rule.path)),
                "{title}: {}: {left:?}",
                rule.path
            );
        }
    }
}
