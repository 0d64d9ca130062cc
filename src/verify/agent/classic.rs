//! A database's packages, where the agents that drive them look.
//!
//! These agents decide by files: which init has the service, where its configuration is, what its data directory is called.

use super::part::{Found, ReportPart, joined};
use crate::disk::{FileKind, Tree};
use crate::distro::Family;
use crate::os::ReadError;
use crate::os::files::{glob, is_directory, optional, read_optional, show};
use crate::os::{uid_of, users};

/// What an agent knows of a database.
struct Database {
    names: &'static [&'static str],
    /// In the order in which they are looked for.
    services: &'static [&'static str],
    /// The configuration on Debian's family, and on others.
    configuration: [&'static str; 2],
    /// Whether the agent reads it as sections of assignments and puts files of its own into [`CONF_D`].
    sections: bool,
    /// Who the data belongs to, on Debian's family and on others.
    users: [&'static str; 2],
    data: &'static str,
}

/// Where the agent puts files that MySQL and its kin must read, on every system.
const CONF_D: &str = "/etc/mysql/conf.d";

const DATABASES: [Database; 8] = [
    Database {
        names: &["mysql", "mariadb", "percona", "pxc"],
        services: &["mysql", "mysqld", "mysql-server", "mariadb"],
        configuration: ["/etc/mysql/my.cnf", "/etc/my.cnf"],
        sections: true,
        users: ["mysql", "mysql"],
        data: "/var/lib/mysql",
    },
    Database {
        names: &["postgresql"],
        services: &["postgresql"],
        configuration: ["/etc/postgresql", "/var/lib/postgresql"],
        sections: false,
        users: ["postgres", "postgres"],
        data: "/var/lib/postgresql",
    },
    Database {
        names: &["redis"],
        services: &["redis-server", "redis"],
        configuration: ["/etc/redis/redis.conf", "/etc/redis.conf"],
        sections: false,
        users: ["redis", "redis"],
        data: "/var/lib/redis",
    },
    Database {
        names: &["valkey"],
        services: &["valkey-server", "valkey"],
        configuration: ["/etc/valkey/valkey.conf"; 2],
        sections: false,
        users: ["valkey", "valkey"],
        data: "/var/lib/valkey",
    },
    Database {
        names: &["mongodb"],
        services: &["mongodb", "mongod"],
        configuration: ["/etc/mongod.conf"; 2],
        sections: false,
        users: ["mongodb", "mongod"],
        data: "/var/lib/mongodb",
    },
    Database {
        names: &["cassandra"],
        services: &["cassandra"],
        configuration: ["/etc/cassandra/cassandra.yaml", "/etc/cassandra/default.conf/cassandra.yaml"],
        sections: false,
        users: ["cassandra", "cassandra"],
        data: "/var/lib/cassandra",
    },
    Database {
        names: &["couchdb"],
        services: &["couchdb"],
        configuration: ["/etc/couchdb/local.ini"; 2],
        sections: false,
        users: ["couchdb", "couchdb"],
        data: "/var/lib/couchdb",
    },
    Database {
        names: &["couchbase"],
        services: &["couchbase-server"],
        configuration: ["/etc/couchbase"; 2],
        sections: false,
        users: ["couchbase", "couchbase"],
        data: "/opt/couchbase/var/lib/couchbase",
    },
];

/// Checks what an agent expects of a datastore; nothing for one that is not known here.
pub(crate) fn check(tree: &mut dyn Tree, datastore: &str, family: Family) -> ReportPart {
    let mut part = ReportPart::default();
    let Some(database) = DATABASES.iter().find(|database| database.names.contains(&datastore)) else {
        return part;
    };
    let other = usize::from(family != Family::Debian);
    let configuration = database.configuration[other];
    part.check(
        format!("the agent finds the service of {datastore}"),
        service(tree, database),
        "the agent starts and stops the database by the first of these names that it finds, with the init it finds it in",
        "install the database's service below /lib/systemd/system, and remove what other inits left in /etc/init",
    );
    let (why, fix) = match database.sections {
        true => (
            "the agent reads and replaces this file, and does not start when it has no section; what it puts into conf.d must be read",
            "write a `[section]` into the file, and `!includedir /etc/mysql/conf.d/` below it",
        ),
        false => (
            "the agent reads and replaces what lies in this place",
            "install the database's packages, or have its configuration in this place",
        ),
    };
    part.check(
        format!("the agent finds the configuration of {datastore}"),
        configured(tree, database, configuration),
        why,
        fix,
    );
    part.check(
        format!("the data of {datastore} is where the agent mounts its volume"),
        data(tree, database, database.users[other]),
        "the agent moves this directory's content to the volume, as its owner",
        "install the database with its data directory in this place",
    );
    part
}

/// The datastore whose packages an image has, by its data directory's owner and service.
pub(crate) fn datastore(tree: &mut dyn Tree) -> Result<Option<&'static str>, ReadError> {
    for database in &DATABASES {
        let is_there = is_directory(tree, database.data.as_bytes())?;
        if is_there && first_service(tree, database)?.is_some() {
            return Ok(database.names.first().copied());
        }
    }
    Ok(None)
}

/// The file that makes the agent take an init for a service's, in its order.
fn first_service(tree: &mut dyn Tree, database: &Database) -> Result<Option<String>, ReadError> {
    for name in database.services {
        for path in [
            format!("/etc/init/{name}.conf"),
            format!("/etc/init.d/{name}"),
            format!("/lib/systemd/system/{name}.service"),
        ] {
            if tree.exists(path.as_bytes())? {
                return Ok(Some(path));
            }
        }
    }
    Ok(None)
}

fn service(tree: &mut dyn Tree, database: &Database) -> Found {
    Ok(match first_service(tree, database)? {
        None => {
            Some(format!("none of {} in /etc/init.d or /lib/systemd/system", database.services.join(", ")))
        }
        // Nothing runs upstart today.
        Some(path) if path.starts_with("/etc/init/") => {
            Some(format!("{path} is found first, and upstart does not run"))
        }
        Some(_) => None,
    })
}

fn configured(tree: &mut dyn Tree, database: &Database, path: &str) -> Found {
    if !database.sections {
        return Ok((!tree.exists(path.as_bytes())?).then(|| format!("{path} does not exist")));
    }
    let Some(text) = read_optional(tree, path.as_bytes())? else {
        return Ok(Some(format!("{path} does not exist")));
    };
    let mut wrong = Vec::new();
    if !String::from_utf8_lossy(&text).lines().any(|line| line.trim_start().starts_with('[')) {
        wrong.push(format!("{path} has no [section]"));
    }
    if !reads_conf_d(tree, path, 0)? {
        wrong.push(format!("{path} does not include {CONF_D}"));
    }
    if !is_directory(tree, CONF_D.as_bytes())? {
        wrong.push(format!("{CONF_D} is no directory"));
    }
    Ok(joined(&wrong))
}

/// Whether a file of MySQL's includes the directory, or a file that does.
fn reads_conf_d(tree: &mut dyn Tree, path: &str, depth: usize) -> Result<bool, ReadError> {
    const DEPTH_LIMIT: usize = 4;
    if depth > DEPTH_LIMIT {
        return Ok(false);
    }
    let text = read_optional(tree, path.as_bytes())?.unwrap_or_default();
    for line in String::from_utf8_lossy(&text).lines().map(str::trim) {
        if let Some(directory) =
            line.strip_prefix("!includedir").map(|rest| rest.trim().trim_end_matches('/'))
        {
            if directory == CONF_D {
                return Ok(true);
            }
            for file in glob(tree, format!("{directory}/*.cnf").as_bytes())? {
                if reads_conf_d(tree, &show(&file), depth + 1)? {
                    return Ok(true);
                }
            }
        } else if let Some(file) =
            line.strip_prefix("!include").filter(|rest| rest.starts_with(char::is_whitespace))
            && reads_conf_d(tree, file.trim(), depth + 1)?
        {
            return Ok(true);
        }
    }
    Ok(false)
}

fn data(tree: &mut dyn Tree, database: &Database, user: &str) -> Found {
    let owner = uid_of(&users(tree)?, user);
    Ok(match optional(tree.stat(database.data.as_bytes()))? {
        None => Some(format!("{} does not exist", database.data)),
        Some(stat) if stat.kind != FileKind::Directory => Some(format!("{} is no directory", database.data)),
        _ if owner.is_none() => Some(format!("there is no user {user}")),
        Some(stat) if owner != Some(stat.uid) => {
            Some(format!("{} belongs to uid {}, not to {user}", database.data, stat.uid))
        }
        Some(_) => None,
    })
}
