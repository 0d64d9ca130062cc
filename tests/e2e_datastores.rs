//! Recipes of databases whose vendors' packages cannot be had here, built with packages that stand in for them: the same names,
//! files, users, units, questions and effects, as `tests/standins/data` writes them down.

mod common;

use std::path::Path;

use common::gpg::{Gpg, Key};
use common::http::{Request, Server, Site};
use common::look::Look;
use common::{BASE, all_combinations, run, run_tib, scratch};
use fs_err as fs;

/// What an image must hold, written down here and not taken from its recipe.
struct Expected {
    recipe: &'static str,
    files: &'static [(&'static str, &'static str)],
    enabled: &'static [&'static str],
    gone: &'static [&'static str],
}

#[test]
fn appliance_standin_mysql() {
    check(&Expected {
        recipe: "mysql",
        files: &[
            ("/etc/mysql/my.cnf", "!includedir /etc/mysql/conf.d/"),
            ("/etc/apparmor.d/local/usr.sbin.mysqld", "/tmp/** rwk,"),
        ],
        enabled: &["mysql.service", "tib-mysql-data.service"],
        gone: &[
            "/var/lib/mysql/auto.cnf",
            "/var/lib/mysql/server-key.pem",
            "/var/lib/mysql/mysql",
            "/var/log/mysql/error.log",
        ],
    });
}

const MYSQLS: &[(&str, &str)] = &[
    ("/etc/mysql/my.cnf", "!includedir /etc/mysql/conf.d/"),
    ("/etc/mysql/conf.d/tib-telemetry.cnf", "percona_telemetry_disable = 1"),
    ("/etc/apparmor.d/local/usr.sbin.mysqld", "/tmp/** rwk,"),
];

#[test]
fn appliance_standin_percona() {
    check(&Expected {
        recipe: "percona",
        files: MYSQLS,
        enabled: &["mysql.service", "tib-mysql-data.service"],
        gone: &[
            "/var/lib/mysql/auto.cnf",
            "/usr/local/percona/telemetry_uuid",
            "/etc/systemd/system/*.wants/percona-telemetry-agent.service",
        ],
    });
}

#[test]
fn appliance_standin_pxc() {
    check(&Expected {
        recipe: "pxc",
        files: MYSQLS,
        enabled: &["tib-mysql-data.service"],
        gone: &[
            "/var/lib/mysql/grastate.dat",
            "/usr/local/percona/telemetry_uuid",
            "/etc/systemd/system/*.wants/mysql.service",
        ],
    });
}

#[test]
fn appliance_standin_mongodb() {
    check(&Expected {
        recipe: "mongodb",
        files: &[
            ("/etc/mongod.conf", "pidFilePath: /var/run/mongodb/mongodb.pid"),
            ("/etc/tib/huge-pages", "ENABLED=always"),
            ("/usr/lib/systemd/system/mongos.service", "mongos --config /etc/mongos.conf"),
        ],
        enabled: &["mongod.service"],
        gone: &[],
    });
}

#[test]
fn appliance_standin_cassandra() {
    check(&Expected {
        recipe: "cassandra",
        files: &[
            ("/usr/lib/systemd/system/cassandra.service", "User=cassandra"),
            ("/etc/cassandra/cassandra.yaml", "rpc_address: localhost"),
        ],
        enabled: &["cassandra.service"],
        gone: &[
            "/etc/init.d/cassandra",
            "/etc/rc2.d/S01cassandra",
            "/var/lib/cassandra/data/system",
            "/var/lib/cassandra/commitlog/CommitLog-7-1.log",
        ],
    });
}

#[test]
fn appliance_standin_couchdb() {
    check(&Expected {
        recipe: "couchdb",
        files: &[
            ("/etc/couchdb/local.ini", "bind_address = 127.0.0.1"),
            ("/opt/couchdb/etc/vm.args", "# -setcookie"),
        ],
        enabled: &["couchdb.service", "tib-couchdb-instance.service"],
        gone: &["/opt/couchdb/etc/local.d/10-admins.ini", "/etc/couchdb/instance.env"],
    });
}

#[test]
fn appliance_standin_couchbase() {
    check(&Expected {
        recipe: "couchbase",
        files: &[("/etc/tib/huge-pages", "ENABLED=never"), ("/opt/couchbase/bin/couchbase-cli", "exit 0")],
        enabled: &["couchbase-server.service"],
        gone: &[
            "/opt/couchbase/was-started",
            "/opt/couchbase/var/lib/couchbase/config/config.dat",
            "/opt/couchbase/var/lib/couchbase/couchbase-server.babysitter.cookie",
        ],
    });
}

#[test]
fn appliance_standin_vertica() {
    check(&Expected {
        recipe: "vertica",
        files: &[
            ("/vertica.deb", "!<arch>"),
            ("/home/dbadmin/.profile", "/opt/vertica/bin"),
            ("/etc/hosts.bkp", "127.0.0.1"),
            ("/etc/group", "verticadba:"),
        ],
        enabled: &["tib-huge-pages.service"],
        gone: &["/opt/vertica/config/share/agent.key"],
    });
}

/// Builds the recipe with stand-ins from where the vendor has its packages, but on loopback, and looks into the image.
fn check(expected: &Expected) {
    if !all_combinations() {
        return;
    }
    let directory = scratch();
    let _server = serve(expected.recipe, directory.path());
    let image = directory.path().join("image.qcow2");
    let recipe = directory.path().join(format!("standin-{}.toml", expected.recipe));
    let mut arguments: Vec<String> =
        ["build", recipe.to_str().unwrap(), "--base", BASE, "-o", image.to_str().unwrap()]
            .map(str::to_owned)
            .into();
    // What a person brings, under the name of the artifact.
    for entry in fs::read_dir(directory.path().join("packages/artifacts")).unwrap() {
        let file = entry.unwrap().path();
        let name = file.file_name().unwrap().to_str().unwrap();
        arguments.extend(["--artifact".to_owned(), format!("{name}={}", file.display())]);
        arguments.extend(["--set".to_owned(), "accept_license=true".to_owned()]);
    }
    run_tib(arguments).expect(0);
    let look = Look::into(&image);
    for (path, part) in expected.files {
        let text = look.read(path);
        assert!(text.contains(part), "{path}: {text}");
    }
    for unit in expected.enabled {
        assert!(!look.glob(&format!("/etc/systemd/system/*.wants/{unit}")).is_empty(), "{unit}");
    }
    for path in expected.gone {
        assert!(look.glob(path).is_empty(), "{path}");
    }
}

/// Lays stand-ins out as the recipe's repositories have their packages, and writes a recipe that differs in nothing but where
/// these repositories are and who signs them.
fn serve(name: &str, directory: &Path) -> Server {
    let packages = directory.join("packages");
    run("python3", &[&"-B", &"tests/standins/make.py", &"--out", &packages, &name]);
    let (gpg, site) = (Gpg::new(), Site::new());
    let key = gpg.key("a vendor", "", "0");
    let shown = run_tib(["recipe", "show", name, "--os", "debian-12", "--json"]).expect(0);
    let plan: serde_json::Value = serde_json::from_str(&shown).unwrap();
    let steps =
        plan["stages"].as_array().unwrap().iter().flat_map(|stage| stage["steps"].as_array().unwrap());
    let repositories: Vec<_> = steps
        .filter(|step| step["step"] == "repository")
        .map(|step| Repository::new(step, &packages, directory, (&gpg, &key, &site)))
        .collect();
    let has_artifact = fs::read_dir(packages.join("artifacts")).unwrap().next().is_some();
    assert!(!repositories.is_empty() || has_artifact, "{name} has no repository");
    // Tildes of versions are quoted by some clients.
    let server = Server::http(move |request: &Request| {
        let path = request.path.replace("/./", "/").replace("%7e", "~");
        site.reply(&Request { path, ..request.clone() })
    });
    let armoured = String::from_utf8(gpg.public(&key)).unwrap();
    let mut recipe =
        format!("name = \"standin-{name}\"\nsummary = \"{name} with stand-ins\"\nextends = [\"{name}\"]\n");
    for Repository { name, path, suite, component } in &repositories {
        recipe.push_str(&format!(
            "[[repository]]\nname = \"{name}\"\nurl = \"{}\"\nsuite = \"{suite}\"\ncomponents = [\"{component}\"]\n\
             fingerprint = \"{}\"\nkey = \'\'\'\n{armoured}\'\'\'\n",
            server.url(path),
            key.fingerprint,
        ));
    }
    fs::write(directory.join(format!("standin-{name}.toml")), recipe).unwrap();
    server
}

/// A repository of a recipe.
struct Repository {
    name: String,
    /// Of its URL.
    path: String,
    suite: String,
    component: String,
}

impl Repository {
    /// Puts the packages where the vendor has its own.
    fn new(
        step: &serde_json::Value,
        packages: &Path,
        directory: &Path,
        (gpg, key, site): (&Gpg, &Key, &Site),
    ) -> Self {
        let text = |key: &str| step[key].as_str().unwrap().to_owned();
        let url = text("url");
        let path = url.splitn(4, '/').nth(3).map(|path| format!("/{path}")).unwrap_or_default();
        let (name, suite) = (text("name"), text("suite"));
        let component = step["components"][0].as_str().unwrap().to_owned();
        let tree = directory.join(format!("tree-{name}"));
        let index = format!("dists/{suite}/{component}/binary-amd64");
        fs::create_dir_all(tree.join(&index)).unwrap();
        fs::copy(packages.join("Packages"), tree.join(&index).join("Packages")).unwrap();
        let options = [("Suite", &suite), ("Codename", &suite), ("Components", &component)];
        let options: String = options
            .iter()
            .map(|(key, value)| format!(" -o APT::FTPArchive::Release::{key}={value}"))
            .collect();
        let script = format!(
            "cd \"$1\"; apt-ftparchive{options} -o APT::FTPArchive::Release::Architectures=amd64 release dists/{suite}"
        );
        let release = run("sh", &[&"-euc", &script, &"sh", &tree]);
        site.put(&format!("{path}/dists/{suite}/InRelease"), gpg.clearsigned(&[key], release.as_bytes()));
        site.put_file(&format!("{path}/{index}/Packages"), tree.join(&index).join("Packages")).unwrap();
        for entry in fs::read_dir(packages).unwrap() {
            let file = entry.unwrap().path();
            if file.is_dir() {
                continue;
            }
            let name = file.file_name().unwrap().to_str().unwrap().to_owned();
            site.put_file(&format!("{path}/{name}"), file).unwrap();
        }
        Self { name, path, suite, component }
    }
}
