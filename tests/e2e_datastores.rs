//! Recipes of databases whose vendors' packages cannot be had here, built with packages that stand in for them: the same names,
//! files, users, units, questions and effects, as `tests/standins/data` writes them down. On Debian 12, on the same under the name
//! of Ubuntu, and on the testbed of Red Hat's family.

mod common;

use common::look::Look;
use common::standins::{Standins, System};
use common::{all_combinations, outcome, scratch, tib};

const DEBIAN: System = System("debian-12");
const UBUNTU: System = System("ubuntu-24.04");
/// The newest that Vertica and Db2 are known to run on.
const OLDER_UBUNTU: System = System("ubuntu-22.04");
const ROCKY: System = System("rocky-9");

/// What an image must hold, written down here and not taken from its recipe.
#[derive(Clone, Copy)]
struct Expected {
    recipe: &'static str,
    settings: &'static [&'static str],
    files: &'static [(&'static str, &'static str)],
    enabled: &'static [&'static str],
    gone: &'static [&'static str],
}

const MYSQLS: &[(&str, &str)] = &[
    ("/etc/mysql/my.cnf", "!includedir /etc/mysql/conf.d/"),
    ("/etc/mysql/conf.d/tib-telemetry.cnf", "percona_telemetry_disable = 1"),
    ("/etc/apparmor.d/local/usr.sbin.mysqld", "/tmp/** rwk,"),
];

const MYSQL: Expected = Expected {
    recipe: "mysql",
    settings: &["origin=vendor", "mysql_series=8.4"],
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
};

const PERCONA: Expected = Expected {
    recipe: "percona",
    settings: &[],
    files: MYSQLS,
    enabled: &["mysql.service", "tib-mysql-data.service"],
    gone: &[
        "/var/lib/mysql/auto.cnf",
        "/usr/local/percona/telemetry_uuid",
        "/etc/systemd/system/*.wants/percona-telemetry-agent.service",
    ],
};

const PXC: Expected = Expected {
    recipe: "pxc",
    settings: &[],
    files: MYSQLS,
    enabled: &["tib-mysql-data.service"],
    gone: &[
        "/var/lib/mysql/grastate.dat",
        "/usr/local/percona/telemetry_uuid",
        "/etc/systemd/system/*.wants/mysql.service",
    ],
};

const MONGODB: Expected = Expected {
    recipe: "mongodb",
    settings: &[],
    files: &[
        ("/etc/mongod.conf", "pidFilePath: /var/run/mongodb/mongodb.pid"),
        ("/etc/tib/huge-pages", "ENABLED=always"),
        ("/usr/lib/systemd/system/mongos.service", "mongos --config /etc/mongos.conf"),
    ],
    enabled: &["mongod.service"],
    gone: &[],
};

const CASSANDRA: Expected = Expected {
    recipe: "cassandra",
    settings: &[],
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
};

const COUCHDB: Expected = Expected {
    recipe: "couchdb",
    settings: &[],
    files: &[
        ("/etc/couchdb/local.ini", "bind_address = 127.0.0.1"),
        ("/opt/couchdb/etc/vm.args", "# -setcookie"),
    ],
    enabled: &["couchdb.service", "tib-couchdb-instance.service"],
    gone: &["/opt/couchdb/etc/local.d/10-admins.ini", "/etc/couchdb/instance.env"],
};

const COUCHBASE: Expected = Expected {
    recipe: "couchbase",
    settings: &["accept_license=true"],
    files: &[("/etc/tib/huge-pages", "ENABLED=never"), ("/opt/couchbase/bin/couchbase-cli", "exit 0")],
    enabled: &["couchbase-server.service"],
    gone: &[
        "/opt/couchbase/was-started",
        "/opt/couchbase/var/lib/couchbase/config/config.dat",
        "/opt/couchbase/var/lib/couchbase/couchbase-server.babysitter.cookie",
    ],
};

const VERTICA: Expected = Expected {
    recipe: "vertica",
    settings: &["accept_license=true"],
    files: &[
        ("/vertica.deb", "!<arch>"),
        ("/home/dbadmin/.profile", "/opt/vertica/bin"),
        ("/etc/hosts.bkp", "127.0.0.1"),
        ("/etc/group", "verticadba:"),
    ],
    enabled: &["tib-huge-pages.service"],
    gone: &["/opt/vertica/config/share/agent.key"],
};

const DB2: Expected = Expected {
    recipe: "db2",
    settings: &["accept_license=true"],
    files: &[
        ("/opt/ibm/db2/V10.5/instance/db2icrt", "exit 0"),
        ("/etc/services", "db2c_db2inst1\t50000/tcp"),
        ("/etc/passwd", "db2inst1:x:1100:"),
        ("/usr/local/sbin/tib-db2-instance", "/opt/ibm/db2/V11.5/instance/db2icrt"),
    ],
    enabled: &["tib-db2-instance.service", "tib-huge-pages.service"],
    gone: &["/var/tmp/tib-db2", "/home/db2inst1/sqllib"],
};

const ROCKY_MYSQL: Expected = Expected {
    files: &[
        ("/etc/my.cnf", "!includedir /etc/mysql/conf.d"),
        ("/etc/tmpfiles.d/tib-mysql.conf", "f /var/log/mysqld.log 0640 mysql mysql"),
        ("/etc/yum.repos.d/mysql.repo", "https://repo.mysql.com/yum/mysql-8.4-community/el/9/x86_64"),
    ],
    enabled: &["mysqld.service", "tib-mysql-data.service"],
    gone: &["/var/lib/mysql/*", "/var/log/mysqld.log"],
    ..MYSQL
};

const ROCKY_PERCONA: Expected = Expected {
    files: &[
        ("/etc/my.cnf", "!includedir /etc/mysql/conf.d"),
        ("/etc/mysql/conf.d/tib-telemetry.cnf", "percona_telemetry_disable = 1"),
    ],
    enabled: &["mysqld.service", "tib-mysql-data.service"],
    gone: &["/var/lib/mysql/*", "/usr/local/percona/telemetry_uuid", "/var/log/mysqld.log"],
    ..PERCONA
};

const ROCKY_PXC: Expected = Expected {
    files: ROCKY_PERCONA.files,
    gone: &[
        "/var/lib/mysql/*",
        "/usr/local/percona/telemetry_uuid",
        "/etc/systemd/system/*.wants/mysql.service",
    ],
    ..PXC
};

const ROCKY_MONGODB: Expected = Expected {
    files: &[
        ("/etc/mongod.conf", "dbPath: /var/lib/mongodb\n"),
        ("/usr/lib/systemd/system/mongos.service", "User=mongod\n"),
    ],
    ..MONGODB
};

const ROCKY_CASSANDRA: Expected = Expected {
    files: &[
        ("/usr/lib/systemd/system/cassandra.service", "User=cassandra"),
        ("/etc/cassandra/default.conf/cassandra.yaml", "rpc_address: localhost"),
    ],
    gone: &["/etc/rc.d/init.d/cassandra", "/var/lib/cassandra/commitlog/*"],
    ..CASSANDRA
};

const ROCKY_COUCHDB: Expected = Expected {
    files: &[
        ("/etc/couchdb/local.ini", "bind_address = 127.0.0.1"),
        ("/opt/couchdb/etc/vm.args", "# -setcookie: in /etc/couchdb/instance.env"),
    ],
    ..COUCHDB
};

const ROCKY_VERTICA: Expected = Expected {
    files: &[
        ("/vertica.deb", "vertica-24.1.0-0"),
        ("/home/dbadmin/.profile", "/opt/vertica/bin"),
        ("/etc/hosts.bkp", "127.0.0.1"),
        ("/etc/group", "verticadba:"),
    ],
    ..VERTICA
};

/// Builds the recipe with stand-ins from where the vendor has its packages, by way of a mirror, and looks into the image.
fn built(system: System, expected: &Expected) {
    if !all_combinations() {
        return;
    }
    let directory = scratch();
    let standins = Standins::serve(expected.recipe, system, expected.settings, directory.path());
    let image = directory.path().join("image.qcow2");
    let mut build = tib();
    build.arg("build").arg(&standins.recipe).arg("--config").arg(&standins.config);
    build.arg("--base").arg(system.base()).arg("-o").arg(&image);
    build.args(expected.settings.iter().flat_map(|setting| ["--set", setting]));
    for (name, file) in &standins.artifacts {
        build.args(["--artifact", &format!("{name}={}", file.display())]);
    }
    outcome(&mut build).expect(0);
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

#[test]
fn appliance_standin_mysql() {
    built(DEBIAN, &MYSQL);
}

#[test]
fn appliance_standin_percona() {
    built(DEBIAN, &PERCONA);
}

#[test]
fn appliance_standin_pxc() {
    built(DEBIAN, &PXC);
}

#[test]
fn appliance_standin_mongodb() {
    built(DEBIAN, &MONGODB);
}

#[test]
fn appliance_standin_cassandra() {
    built(DEBIAN, &CASSANDRA);
}

#[test]
fn appliance_standin_couchdb() {
    built(DEBIAN, &COUCHDB);
}

#[test]
fn appliance_standin_couchbase() {
    built(DEBIAN, &COUCHBASE);
}

#[test]
fn appliance_standin_vertica() {
    built(DEBIAN, &VERTICA);
}

#[test]
fn appliance_standin_ubuntu_mysql() {
    built(UBUNTU, &MYSQL);
}

#[test]
fn appliance_standin_ubuntu_percona() {
    built(UBUNTU, &PERCONA);
}

#[test]
fn appliance_standin_ubuntu_pxc() {
    built(UBUNTU, &PXC);
}

#[test]
fn appliance_standin_ubuntu_mongodb() {
    built(UBUNTU, &MONGODB);
}

#[test]
fn appliance_standin_ubuntu_cassandra() {
    built(UBUNTU, &CASSANDRA);
}

#[test]
fn appliance_standin_ubuntu_couchdb() {
    built(UBUNTU, &COUCHDB);
}

#[test]
fn appliance_standin_ubuntu_couchbase() {
    built(UBUNTU, &COUCHBASE);
}

#[test]
fn appliance_standin_ubuntu_vertica() {
    built(OLDER_UBUNTU, &VERTICA);
}

#[test]
fn appliance_standin_ubuntu_db2() {
    built(OLDER_UBUNTU, &DB2);
}

#[test]
fn appliance_standin_rocky_mysql() {
    built(ROCKY, &ROCKY_MYSQL);
}

#[test]
fn appliance_standin_rocky_percona() {
    built(ROCKY, &ROCKY_PERCONA);
}

#[test]
fn appliance_standin_rocky_pxc() {
    built(ROCKY, &ROCKY_PXC);
}

#[test]
fn appliance_standin_rocky_mongodb() {
    built(ROCKY, &ROCKY_MONGODB);
}

#[test]
fn appliance_standin_rocky_cassandra() {
    built(ROCKY, &ROCKY_CASSANDRA);
}

#[test]
fn appliance_standin_rocky_couchdb() {
    built(ROCKY, &ROCKY_COUCHDB);
}

#[test]
fn appliance_standin_rocky_couchbase() {
    built(ROCKY, &COUCHBASE);
}

#[test]
fn appliance_standin_rocky_vertica() {
    built(ROCKY, &ROCKY_VERTICA);
}

#[test]
fn appliance_standin_rocky_db2() {
    built(ROCKY, &DB2);
}
