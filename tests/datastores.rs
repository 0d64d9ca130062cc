//! `docs/datastores.md` says which database was planned, built and booted on which system. Its tables are made of
//! `tests/standins/matrix.toml`, and that is held against the recipes and the tests that see it.

mod common;

use std::collections::BTreeMap;

use common::{run, run_tib};
use fs_err as fs;
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Matrix {
    systems: Vec<String>,
    datastore: Vec<Datastore>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Datastore {
    name: String,
    /// One word or two for each system.
    offered: Vec<String>,
    /// With packages of which kind.
    #[serde(default)]
    built: BTreeMap<String, Packages>,
    #[serde(default)]
    booted: Vec<String>,
    source: String,
}

#[derive(Deserialize, Clone, Copy, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum Packages {
    Real,
    StandIn,
    /// Those of a guest that tests make of another distribution's.
    Testbed,
}

fn matrix() -> Matrix {
    toml::from_str(&fs::read_to_string("tests/standins/matrix.toml").unwrap()).unwrap()
}

impl Datastore {
    fn state(&self, system: &str) -> &'static str {
        let is_booted = self.booted.iter().any(|booted| booted == system);
        match self.built.get(system) {
            Some(Packages::Real) if is_booted => "booted",
            Some(Packages::Real) => "built",
            Some(Packages::StandIn) => "built with stand-ins",
            Some(Packages::Testbed) if is_booted => "booted, testbed",
            Some(Packages::Testbed) => "built, testbed",
            None if is_planned(&self.name, system) => "planned",
            None => "refused",
        }
    }
}

fn is_planned(name: &str, system: &str) -> bool {
    let shown = run_tib(["recipe", "show", name, "--os", system]);
    match shown.code {
        Some(0) => true,
        Some(3)
            if shown.stderr.contains("cannot be built so") || shown.stderr.contains("does not support") =>
        {
            false
        }
        _ => panic!("{name} on {system}: {}", shown.stderr),
    }
}

/// The tables of the page.
fn tables(matrix: &Matrix) -> String {
    let table = |title: &str, cell: &dyn Fn(&Datastore, usize) -> String| {
        let mut text = format!(
            "| {title} | {} |\n|---|{}\n",
            matrix.systems.join(" | "),
            "---|".repeat(matrix.systems.len())
        );
        for datastore in &matrix.datastore {
            let cells: Vec<_> = (0..matrix.systems.len()).map(|at| cell(datastore, at)).collect();
            text.push_str(&format!("| `{}` | {} |\n", datastore.name, cells.join(" | ")));
        }
        text
    };
    let seen = table("what was seen", &|datastore, at| datastore.state(&matrix.systems[at]).to_owned());
    let offered = table("who has packages", &|datastore, at| datastore.offered[at].clone());
    let sources: String = matrix
        .datastore
        .iter()
        .map(|datastore| format!("| `{}` | {} |\n", datastore.name, datastore.source))
        .collect();
    format!("{seen}\n{offered}\n| looked up | where, when |\n|---|---|\n{sources}")
}

#[test]
fn the_page_is_what_the_recipes_and_the_tests_say() {
    let page = fs::read_to_string("docs/datastores.md").unwrap();
    let tables = tables(&matrix());
    assert!(page.contains(&tables), "docs/datastores.md must have:\n{tables}");
}

#[test]
fn whatever_was_seen_has_a_test_that_sees_it() {
    let test =
        |file: &str, name: &str| fs::read_to_string(file).unwrap().contains(&format!("\nfn {name}() {{\n"));
    for datastore in matrix().datastore {
        let name = &datastore.name;
        for (system, packages) in &datastore.built {
            let (file, prefix) = match (packages, system.as_str()) {
                (Packages::Real, "debian-12") => ("tests/e2e_images.rs", "appliance_image"),
                (Packages::Testbed, "rocky-9") => ("tests/e2e_rpm.rs", "appliance_testbed"),
                (Packages::StandIn, "debian-12") => ("tests/e2e_datastores.rs", "appliance_standin"),
                (Packages::StandIn, "rocky-9") => ("tests/e2e_datastores.rs", "appliance_standin_rocky"),
                // The newest that each can be planned for.
                (Packages::StandIn, "ubuntu-24.04") => {
                    ("tests/e2e_datastores.rs", "appliance_standin_ubuntu")
                }
                (Packages::StandIn, "ubuntu-22.04") if !is_planned(name, "ubuntu-24.04") => {
                    ("tests/e2e_datastores.rs", "appliance_standin_ubuntu")
                }
                _ => panic!("{name}: no test builds it on {system}"),
            };
            assert!(test(file, &format!("{prefix}_{name}")), "{name}: {file} builds no image of it");
        }
        for system in &datastore.booted {
            // Whatever is built on the testbed is booted.
            let boots = match datastore.built.get(system) {
                Some(Packages::Real) => fs::read_to_string("tests/e2e_boot.rs").unwrap(),
                Some(Packages::Testbed) => fs::read_to_string("tests/e2e_rpm.rs").unwrap(),
                _ => panic!("{name} was booted on {system} unbuilt"),
            };
            assert!(boots.contains(&format!("\"{name}\"")), "{name}: no test boots it");
        }
    }
}

/// A vendor that is known to have nothing is not asked, and where there is a plan somebody is known to have packages.
#[test]
fn plans_are_made_where_somebody_has_packages() {
    let matrix = matrix();
    for datastore in &matrix.datastore {
        assert_eq!(datastore.offered.len(), matrix.systems.len(), "{}", datastore.name);
        for (system, offered) in matrix.systems.iter().zip(&datastore.offered) {
            let is_known = !["none", "unknown"].contains(&offered.as_str());
            assert_eq!(
                is_planned(&datastore.name, system),
                is_known,
                "{} on {system}: {offered}",
                datastore.name
            );
            for word in offered.split(", ") {
                assert!(["distribution", "vendor", "none", "unknown"].contains(&word), "{word}");
            }
        }
    }
}

/// A volume that an agent formats has no labels. Servers that SELinux' policy for Red Hat's family confines have it labelled before
/// they start, by a unit whose instance systemd makes a path of.
#[test]
fn volumes_of_confined_servers_are_labelled() {
    let servers = [
        ("mariadb", "rocky-9", "mariadb.service", "/var/lib/mysql"),
        ("mongodb", "rocky-9", "mongod.service", "/var/lib/mongodb"),
        ("mysql", "rocky-9", "mysqld.service", "/var/lib/mysql"),
        ("percona", "rocky-9", "mysqld.service", "/var/lib/mysql"),
        ("postgresql", "rocky-9", "postgresql.service", "/var/lib/postgresql"),
        ("pxc", "rocky-9", "mysql.service", "/var/lib/mysql"),
        ("pxc", "rocky-9", "mysql@.service", "/var/lib/mysql"),
        ("redis", "rocky-9", "redis.service", "/var/lib/redis"),
        ("valkey", "rocky-10", "valkey.service", "/var/lib/valkey"),
    ];
    for (recipe, system, unit, directory) in servers {
        let plan = run_tib(["recipe", "show", recipe, "--os", system, "--json"]).expect(0);
        let plan: serde_json::Value = serde_json::from_str(&plan).unwrap();
        let steps: Vec<_> = plan["stages"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|stage| stage["steps"].as_array().unwrap())
            .collect();
        let text = |path: &str| {
            let file = steps.iter().find(|step| step["path"] == path);
            file.unwrap_or_else(|| panic!("{recipe}: {path}"))["content"]["text"].as_str().unwrap()
        };
        let labels = run("systemd-escape", &[&"--path", &"--template=tib-labels@.service", &directory]);
        let labels = labels.trim();
        let wanted = format!("[Unit]\nWants={labels}\nAfter={labels}\n");
        assert_eq!(text(&format!("/etc/systemd/system/{unit}.d/20-labels.conf")), wanted, "{recipe}");
        let template = text("/etc/systemd/system/tib-labels@.service");
        assert!(template.contains("\nExecStart=/usr/sbin/restorecon -R %f\n"), "{template}");
    }
}
