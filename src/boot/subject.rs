//! What is booted: what the image at rest says of its agent and its database.

use super::BootRequest;
use crate::disk::{Layout, Tree};
use crate::error::Result;
use crate::os::{self, UnitState, unit_state};
use crate::oslo::Config;
use crate::report::{CheckGroup, CheckResult, Report};
use crate::verify::{self, Configuration, Goss, Known};

/// A database that an image may have as packages, and how an agent that drives packages asks it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Database {
    /// Trove's name.
    name: &'static str,
    /// Its unit's names.
    units: &'static [&'static str],
    /// A shell command that logs in as an agent does at first, and prints the version.
    version: &'static str,
    /// One that prints the directory of its files.
    data: &'static str,
    /// That directory, by distribution.
    directories: &'static [&'static str],
    /// The port it listens on.
    port: u16,
}

const DATABASES: &[Database] = &[
    Database {
        name: "mariadb",
        units: &["mariadb.service"],
        version: "mysql --user=root --batch --skip-column-names --execute='SELECT VERSION()'",
        data: "mysql --user=root --batch --skip-column-names --execute='SELECT @@datadir'",
        directories: &["/var/lib/mysql"],
        port: 3306,
    },
    Database {
        name: "mysql",
        units: &["mysql.service", "mysqld.service"],
        version: "mysql --user=root --batch --skip-column-names --execute='SELECT VERSION()'",
        data: "mysql --user=root --batch --skip-column-names --execute='SELECT @@datadir'",
        directories: &["/var/lib/mysql"],
        port: 3306,
    },
    Database {
        name: "postgresql",
        units: &["postgresql.service"],
        version: "cd / && sudo -n -u postgres psql -tAc 'SHOW server_version'",
        // Debian keeps each version's files in a directory of its own, and Red Hat's family in `data`.
        data: "cd / && path=$(sudo -n -u postgres psql -tAc 'SHOW data_directory') && \
               echo \"$path\" | sed -E 's,/(postgresql|pgsql)/.*,/\\1,'",
        directories: &["/var/lib/postgresql", "/var/lib/pgsql"],
        port: 5432,
    },
    Database {
        name: "redis",
        units: &["redis-server.service", "redis.service"],
        version: "redis-cli --no-auth-warning INFO server | sed -n 's/^redis_version://p' | grep .",
        data: "redis-cli CONFIG GET dir | sed -n 2p | grep .",
        directories: &["/var/lib/redis"],
        port: 6379,
    },
    Database {
        name: "valkey",
        units: &["valkey-server.service", "valkey.service"],
        version: "valkey-cli --no-auth-warning INFO server | sed -n 's/^valkey_version://p' | grep .",
        data: "valkey-cli CONFIG GET dir | sed -n 2p | grep .",
        directories: &["/var/lib/valkey"],
        port: 6379,
    },
];

/// What is known of an image before it is booted.
#[derive(Debug)]
pub(crate) struct Subject {
    /// The agent's unit.
    pub(crate) agent: Option<String>,
    /// Whether it has docker, for an agent that runs databases in containers.
    pub(crate) docker: bool,
    /// The database it has as packages.
    pub(crate) database: Option<Database>,
    /// All checks of the image at rest.
    pub(crate) report: Report,
}

impl Subject {
    /// `conf` is the agent's configuration, which may not fit the image.
    pub(crate) fn read(
        tree: &mut dyn Tree,
        request: &BootRequest,
        layout: &Layout,
        conf: Option<Config>,
    ) -> Result<Self> {
        let configuration = Configuration { guest: conf, ..Configuration::default() };
        let further: Vec<_> = request.goss.iter().flat_map(|goss| goss.checks.clone()).collect();
        let mut report = verify::examine(tree, &request.image, layout, None, &further, Some(&configuration));
        report.results.extend(request.goss.iter().flat_map(Goss::not_judged));
        let family = os::detect_os(tree)?.family;
        let agent = verify::agent(tree, &Known::of(None, None, family)).agent;
        let docker = exists(tree, "docker.service")? || exists(tree, "podman.socket")?;
        let mut database = None;
        for known in DATABASES {
            for unit in known.units {
                if database.is_none() && exists(tree, unit)? {
                    database = Some(*known);
                }
            }
        }
        Ok(Self { agent, docker, database, report })
    }

    /// Units to look at besides the agent's.
    pub(crate) fn units(&self) -> Vec<String> {
        let mut units = self.services();
        if self.docker {
            units.push("docker.service".to_owned());
        }
        units
    }

    /// Names of the database's unit.
    pub(crate) fn services(&self) -> Vec<String> {
        self.database.map_or_else(Vec::new, |known| known.units.iter().map(|&unit| unit.to_owned()).collect())
    }

    /// What to ask the database.
    pub(crate) fn questions(&self) -> Vec<(String, String)> {
        let Some(known) = self.database else { return Vec::new() };
        [(super::seen::VERSION, known.version), (super::seen::DATA, known.data)]
            .map(|(name, command)| (name.to_owned(), command.to_owned()))
            .to_vec()
    }

    /// Where the database's files belong.
    pub(crate) fn data_directories(&self) -> Vec<String> {
        let directories = self.database.map_or(&[][..], |known| known.directories);
        directories.iter().map(|&directory| directory.to_owned()).collect()
    }

    /// Ports that may be open to everybody: ssh's, and the database's.
    pub(crate) fn ports(&self) -> Vec<u16> {
        [22].into_iter().chain(self.database.map(|known| known.port)).collect()
    }

    /// What tests of goss say of the image at rest.
    pub(crate) fn goss_results(&self) -> impl Iterator<Item = CheckResult> {
        self.report.results.iter().filter(|result| result.group == CheckGroup::Checks).cloned()
    }

    /// What it is, for people.
    pub(crate) fn shown(&self) -> String {
        match (&self.agent, self.database) {
            (Some(agent), None) => format!("guest agent ({agent})"),
            (Some(agent), Some(known)) => format!("{} and a guest agent ({agent})", known.name),
            (None, Some(known)) => format!("{}, no guest agent", known.name),
            (None, None) => "neither guest agent nor database".to_owned(),
        }
    }
}

fn exists(tree: &mut dyn Tree, unit: &str) -> Result<bool> {
    Ok(unit_state(tree, unit)? != UnitState::NotFound)
}

/// Where Trove has the agent mount the data volume.
pub(crate) fn mount_point(datastore: &str) -> &'static str {
    match datastore {
        "postgresql" => "/var/lib/postgresql",
        "redis" => "/var/lib/redis",
        "valkey" => "/var/lib/valkey",
        "mongodb" => "/var/lib/mongodb",
        "cassandra" => "/var/lib/cassandra",
        "couchbase" => "/var/lib/couchbase",
        "couchdb" => "/var/lib/couchdb",
        "vertica" => "/var/lib/vertica",
        "db2" => "/home/db2inst1/db2inst1",
        _ => "/var/lib/mysql",
    }
}

/// Ports that an agent publishes of a database's container: `tcp_ports` of each datastore.
pub(crate) fn container_ports(datastore: &str) -> &'static [u16] {
    match datastore {
        "mariadb" => &[3306, 4444, 4567, 4568],
        "mysql" => &[3306],
        "postgresql" => &[5432],
        _ => &[],
    }
}

/// The database's configuration that Trove sends along: what an agent that runs it in a container relies on.
pub(crate) fn configuration(datastore: &str) -> &'static str {
    match datastore {
        "mariadb" | "mysql" => {
            "[client]\nport = 3306\nsocket = /var/run/mysqld/mysqld.sock\n\n[mysqld]\nport = 3306\nbasedir = /usr\n\
             datadir = /var/lib/mysql/data\ntmpdir = /var/tmp\npid_file = /var/run/mysqld/mysqld.pid\n\
             socket = /var/run/mysqld/mysqld.sock\ninnodb_buffer_pool_size = 128M\nserver_id = 1\n\n\
             !includedir /etc/mysql/conf.d/\n"
        }
        "postgresql" => "listen_addresses = '*'\nmax_connections = 100\nshared_buffers = 128MB\n",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where PostgreSQL has its files, by what it says of itself.
    #[test]
    fn the_directory_of_postgresqls_files() {
        let known = DATABASES.iter().find(|known| known.name == "postgresql").unwrap();
        let place = tempfile::tempdir().unwrap();
        // In place of asking a server.
        let script = place.path().join("sudo");
        fs_err::write(&script, "#!/bin/sh\necho \"$FOUND\"\n").unwrap();
        fs_err::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        for (found, belongs) in [
            ("/var/lib/postgresql/15/main", true),
            ("/var/lib/pgsql/data", true),
            ("/var/lib/pgsql/16/data", true),
            ("/srv/data", false),
            ("", false),
        ] {
            let path = format!("{}:/usr/bin:/bin", place.path().display());
            let mut shell = std::process::Command::new("sh");
            let output =
                shell.args(["-c", known.data]).env("PATH", path).env("FOUND", found).output().unwrap();
            let said = String::from_utf8(output.stdout).unwrap();
            assert_eq!(known.directories.contains(&said.trim_end()), belongs, "{found}: {said}");
        }
    }
}
