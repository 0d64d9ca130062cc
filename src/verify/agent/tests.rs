use super::*;
use crate::os::testing::MemTree;
use crate::report::Outcome;

const UNIT: &str = "\
[Unit]
After=network.target cloud-init.service docker.service
[Service]
User=trove
Group=trove
Restart=always
ExecStart=/usr/local/bin/guest-agent --config-dir=/etc/trove/conf.d
[Install]
WantedBy=multi-user.target
";
const AGENT: &str = "/etc/systemd/system/guest-agent.service";
const SITE: &str = "/opt/guest-agent-venv/lib/python3.11/site-packages";

/// An image whose agent would start.
fn good() -> MemTree {
    let mut tree = MemTree::new()
        .file("/etc/passwd", "root:x:0:0::/root:/bin/sh\ntrove:x:1000:1000::/home/trove:/bin/sh\n")
        .file("/etc/group", "root:x:0:\ntrove:x:1000:\ndocker:x:998:trove\n")
        .file(AGENT, UNIT)
        .link("/etc/systemd/system/multi-user.target.wants/guest-agent.service", AGENT)
        .link("/etc/systemd/system/docker.target.wants/docker.service", "/usr/lib/systemd/system/docker.service")
        .file("/usr/lib/systemd/system/docker.service", "[Service]\nExecStart=/usr/sbin/dockerd -H fd://\n[Install]\nWantedBy=multi-user.target\n")
        .file("/usr/lib/systemd/system/cloud-init.service", "[Service]\nExecStart=/usr/bin/cloud-init init\n[Install]\nWantedBy=cloud-init.target\n")
        .program("/usr/sbin/dockerd", "").program("/usr/bin/cloud-init", "")
        .link("/etc/systemd/system/cloud-init.target.wants/cloud-init.service", "/usr/lib/systemd/system/cloud-init.service")
        .file("/etc/cloud/cloud.cfg.d/90.cfg", "datasource_list: [ ConfigDrive, OpenStack, None ]\n")
        .program("/usr/bin/sudo", "").access("/usr/bin/sudo", 0o4755, 0, 0)
        .program("/usr/sbin/iptables", "").program("/usr/sbin/mkfs.ext4", "").program("/usr/sbin/blkid", "")
        .program("/usr/sbin/blockdev", "").program("/usr/bin/mount", "")
        .file("/etc/sudoers", "Defaults env_reset\nroot ALL=(ALL:ALL) ALL\n@includedir /etc/sudoers.d\n")
        .access("/etc/sudoers", 0o440, 0, 0)
        .file("/etc/sudoers.d/trove", "trove ALL=(ALL) NOPASSWD:ALL\n")
        .access("/etc/sudoers.d/trove", 0o440, 0, 0)
        .link("/usr/local/bin/guest-agent", "/opt/guest-agent-venv/bin/trove-guestagent")
        .program("/opt/guest-agent-venv/bin/trove-guestagent", "#!/opt/guest-agent-venv/bin/python3\nimport trove\n")
        .link("/opt/guest-agent-venv/bin/python3", "/usr/bin/python3")
        .link("/usr/bin/python3", "python3.11")
        .program("/usr/bin/python3.11", b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\x3e\0\x01\0")
        .file("/opt/guest-agent-venv/pyvenv.cfg", "home = /usr/bin\ninclude-system-site-packages = false\nversion = 3.11.2\n")
        .file(&format!("{SITE}/trove-26.0.0.dist-info/METADATA"), "Name: trove\nVersion: 26.0.0\nRequires-Dist: oslo.config[ini]>=9.0.0\nRequires-Dist: tomli; python_version < '3.11'\nRequires-Dist: pytest; extra == 'test'\n\n")
        .file(&format!("{SITE}/oslo.config-9.1.dist-info/METADATA"), "Name: oslo.config\nVersion: 9.1\nRequires-Dist: inifile ; extra == 'ini'\n\n")
        .file(&format!("{SITE}/inifile-1.dist-info/METADATA"), "Name: inifile\nVersion: 1\n\n");
    for directory in
        ["/etc/trove", "/etc/trove/conf.d", "/var/lib/trove", "/var/log/trove", "/opt/trove-guestagent"]
    {
        tree = tree.dir(directory).access(directory, 0o750, 1000, 0);
    }
    tree
}

fn known(agent: Option<&AgentStep>) -> Known<'_> {
    Known {
        agent,
        contract: None,
        datastore: None,
        command_line: Some("root=LABEL=r console=ttyS0"),
        family: Family::Debian,
    }
}

fn checked(tree: &MemTree) -> Vec<CheckResult> {
    agent(&mut tree.clone(), &known(None)).results
}

fn failures(tree: &MemTree) -> Vec<(String, String)> {
    checked(tree)
        .into_iter()
        .filter_map(|result| match result.outcome {
            Outcome::Passed => None,
            Outcome::Failed { found } => Some((result.title, found)),
            Outcome::NotChecked { reason } => Some((result.title, format!("not checked: {reason}"))),
        })
        .collect()
}

#[test]
fn a_good_image_passes_and_one_without_agent_is_not_asked() {
    assert_eq!(failures(&good()), []);
    assert_eq!(checked(&good()).len(), 31);
    assert_eq!(checked(&MemTree::new()).len(), 1);
    let qemu = MemTree::new().file("/usr/lib/systemd/system/qemu-guest-agent.service", "[Service]\n");
    assert_eq!(checked(&qemu).len(), 1, "another kind of agent");
}

#[test]
fn each_defect_fails_its_check() {
    let unit = |from: &str, to: &str| good().file(AGENT, UNIT.replace(from, to));
    let starts = "guest-agent.service starts at boot";
    let program = "guest-agent.service has a program that can run";
    let reads = "guest-agent.service reads the injected configuration";
    let order = "guest-agent.service starts after cloud-init";
    let cloud = "cloud-init starts at boot";
    let may = "trove may use sudo without password and terminal";
    let requires = "everything the agent's code requires is installed";
    let metadata =
        |package: &str, text: &str| good().file(&format!("{SITE}/{package}.dist-info/METADATA"), text);
    let wants = "/etc/systemd/system/multi-user.target.wants";
    for (tree, title, found) in [
        (good().without(wants), starts, "disabled"),
        (
            good().without("/opt/guest-agent-venv/bin/trove-guestagent"),
            program,
            "is a link to /opt/guest-agent-venv/bin/trove-guestagent, which does not exist",
        ),
        (
            good().access("/opt/guest-agent-venv/bin/trove-guestagent", 0o644, 0, 0),
            program,
            "not executable (mode 0644)",
        ),
        (
            unit("--config-dir=/etc/trove/conf.d", "--config-file=/etc/trove/trove.conf"),
            reads,
            "neither --config-dir=/etc/trove/conf.d",
        ),
        (
            unit(
                "--config-dir=/etc/trove/conf.d",
                "--config-dir /etc/trove/conf.d --config-file /etc/trove/x.conf",
            ),
            reads,
            "/etc/trove/x.conf does not exist",
        ),
        (good().without("/etc/trove/conf.d"), reads, "/etc/trove/conf.d is no directory"),
        (
            good().access("/etc/trove/conf.d", 0o700, 0, 0),
            reads,
            "trove may not enter /etc/trove/conf.d (mode 0700, owner 0:0)",
        ),
        (unit(" cloud-init.service", ""), order, "After=network.target docker.service"),
        (
            unit("cloud-init.service", "cloud-final.service")
                .file("/usr/lib/systemd/system/cloud-final.service", "[Unit]\nAfter=multi-user.target\n"),
            order,
            "a circle",
        ),
        (
            good().access("/var/log/trove", 0o750, 0, 0),
            "the directories of guest-agent.service belong to its user",
            "/var/log/trove belongs to uid 0",
        ),
        (
            good().without("/opt/trove-guestagent"),
            "the directories of guest-agent.service belong to its user",
            "/opt/trove-guestagent does not exist",
        ),
        (
            good().file("/etc/group", "trove:x:1000:\ndocker:x:998:trove\nother:x:1001:\n"),
            "user and group id 1001 are free",
            "group other",
        ),
        (
            good().without("/etc/systemd/system/cloud-init.target.wants"),
            cloud,
            "cloud-init.service is disabled",
        ),
        (good().file("/etc/cloud/cloud-init.disabled", ""), cloud, "cloud-init.disabled is there"),
        (
            good().file("/etc/cloud/cloud.cfg.d/99.cfg", "datasource_list: [None]\n"),
            "cloud-init reads ConfigDrive and OpenStack",
            "[None]",
        ),
        (
            good().file("/etc/sudoers.d/a", "Defaults !visiblepw,requiretty\n").access(
                "/etc/sudoers.d/a",
                0o440,
                0,
                0,
            ),
            may,
            "requiretty in /etc/sudoers.d/a",
        ),
        (good().without("/etc/sudoers.d/trove"), may, "nothing lets trove use sudo"),
        (
            metadata("oslo.config-9.1", "Name: oslo.config\nVersion: 8.5\n\n"),
            requires,
            "trove 26.0.0 needs oslo-config>=9.0.0, but 8.5 is installed",
        ),
        (good().without(&format!("{SITE}/inifile-1.dist-info")), requires, "oslo-config 9.1 needs inifile"),
        (good().without(SITE), requires, "the environment is for another Python"),
        (metadata("inifile-2", "Name: inifile\nVersion: 2\n\n"), requires, "inifile is there twice"),
        (
            good().link(&format!("{wants}/gone.service"), "/usr/lib/systemd/system/gone.service"),
            "no unit link leads nowhere",
            "gone.service -> /usr/lib",
        ),
        (
            good().link(
                "/etc/systemd/system/x.target.upholds/held.service",
                "/usr/lib/systemd/system/held.service",
            ),
            "no unit link leads nowhere",
            "held.service -> /usr/lib",
        ),
    ] {
        let failed = failures(&tree);
        assert_eq!(failed.len(), 1, "{title}: {failed:?}");
        assert_eq!(failed[0].0, title);
        assert!(failed[0].1.contains(found), "{failed:?}");
    }
}

#[test]
fn defects_that_break_more_than_one_thing() {
    let masked = good().without(AGENT).link(AGENT, "/dev/null");
    assert_eq!(failures(&masked)[0].1, "masked");
    let refused = failures(&good().access("/etc/sudoers.d/trove", 0o664, 0, 4));
    assert_eq!(
        refused[0],
        (
            "sudo accepts the files of its rules".into(),
            "/etc/sudoers.d/trove has mode 0664, owner 0:4".into()
        )
    );
    assert_eq!(refused.len(), 2, "nothing else lets the agent use sudo: {refused:?}");
    assert_eq!(
        failures(&good().access("/etc/sudoers.d/trove", 0o644, 0, 0)),
        [],
        "who reads it is no matter"
    );
    let nobody = good().file("/etc/passwd", "root:x:0:0::/root:/bin/sh\n");
    assert!(
        failures(&nobody)
            .iter()
            .any(|(title, found)| title.contains("user that exists") && found == "no user trove")
    );
    let other = failures(&good().file("/opt/guest-agent-venv/pyvenv.cfg", "version = 3.9.2\n"));
    assert_eq!(
        other[0].1,
        "/opt/guest-agent-venv/bin/python3 leads to Python 3.11, and the environment is for 3.9"
    );
    let python = failures(&good().without("/usr/bin/python3.11"));
    let titles: Vec<_> = python.iter().map(|(title, _)| title.as_str()).collect();
    assert_eq!(titles, ["guest-agent.service has a program that can run", "the agent's Python exists"]);
}

/// As packaged for Debian: its unit runs an init script, and the arguments stand in that.
#[test]
fn arguments_in_a_shell_script_count() {
    let unit = "[Unit]\nAfter=network-online.target\n[Service]\nUser=trove\nGroup=trove\nRestart=on-failure\n\
                ExecStart=/etc/init.d/trove-guestagent systemd-start\n[Install]\nWantedBy=multi-user.target\n";
    let script = "#!/bin/sh\nDAEMON_ARGS=\"--config-dir=/etc/trove/conf.d\"\n#CONFIG=--config-file=/no\n\
                  \tDAEMON_ARGS=\"--config-file=${CONFIG_FILE} ${DAEMON_ARGS}\"\n";
    let tree = good()
        .without(AGENT)
        .without("/etc/systemd/system/multi-user.target.wants")
        .without("/opt/guest-agent-venv")
        .file("/usr/lib/systemd/system/trove-guestagent.service", unit)
        .link(
            "/etc/systemd/system/multi-user.target.wants/trove-guestagent.service",
            "/usr/lib/systemd/system/trove-guestagent.service",
        )
        .file(
            "/usr/lib/systemd/system/cloud-init.service",
            "[Unit]\nBefore=network-online.target\nBefore=sysinit.target\n[Service]\nExecStart=/usr/bin/cloud-init init\n[Install]\nWantedBy=cloud-init.target\n",
        )
        .program("/bin/sh", "")
        .program("/etc/init.d/trove-guestagent", script);
    assert_eq!(failures(&tree), []);
    let other = script.replace("/etc/trove/conf.d", "/etc/trove/other.d");
    let failed = failures(&tree.program("/etc/init.d/trove-guestagent", other));
    assert_eq!(failed[0].0, "trove-guestagent.service reads the injected configuration");
}

/// What pip calls fine is fine: old versions and requirements, markers of old names and of the kernel.
#[test]
fn old_forms_of_requirements_are_no_defects() {
    let metadata = |text: &str| good().file(&format!("{SITE}/inifile-1.dist-info/METADATA"), text);
    for text in [
        "Name: inifile\nVersion: 1.1build1\n\n",
        "Name: inifile\nVersion: 1\nRequires-Dist: trove (>dev)\n\n",
        "Name: inifile\nVersion: 1\nRequires-Dist: none; os.name == 'nt'\n\n",
        "Name: inifile\nVersion: 1\nRequires-Dist: none; python_implementation == 'PyPy'\n\n",
        "Name: inifile\nVersion: 1\nRequires-Dist: none; platform_release == '5.0'\n\n",
    ] {
        assert_eq!(failures(&metadata(text)), [], "{text}");
    }
    let failed =
        failures(&metadata("Name: inifile\nVersion: 1\nRequires-Dist: none; os.name == 'posix'\n\n"));
    assert_eq!(failed[0].1, "inifile 1 needs none, which is not installed");
}

#[test]
fn an_agent_that_is_root_needs_no_sudo() {
    for root in ["", "User=root\n", "User=0\n"] {
        let tree = good().file(AGENT, UNIT.replace("User=trove\n", root)).without("/etc/sudoers");
        assert_eq!(failures(&tree), [], "{root}");
    }
}

#[test]
fn a_number_is_the_user_that_has_it() {
    let tree = good().file(AGENT, UNIT.replace("User=trove\n", "User=1000\n"));
    assert_eq!(failures(&tree), []);
    let refused = failures(&tree.file("/etc/group", "root:x:0:\ntrove:x:1000:\ndocker:x:998:\n"));
    assert_eq!(refused[0].0, "trove may use docker");
}

#[test]
fn packages_of_the_distribution_count_when_the_environment_sees_them() {
    let tree = good()
        .without(&format!("{SITE}/inifile-1.dist-info"))
        .file("/usr/lib/python3/dist-packages/inifile-1.egg-info", "Name: inifile\nVersion: 1\n");
    assert_eq!(failures(&tree).len(), 1);
    let seen = tree
        .file("/opt/guest-agent-venv/pyvenv.cfg", "include-system-site-packages = true\nversion = 3.11.2\n");
    assert_eq!(failures(&seen), []);
}

#[test]
fn what_cannot_be_looked_at_never_passes() {
    for broken in [
        AGENT,
        "/etc/passwd",
        "/etc/systemd",
        "/etc/cloud",
        "/etc/sudoers",
        "/etc/trove",
        "/opt/guest-agent-venv/pyvenv.cfg",
        "/opt/guest-agent-venv/bin",
        SITE,
        "/usr/local/bin/guest-agent",
    ] {
        let failed = failures(&good().broken(broken));
        assert!(failed.iter().any(|(_, what)| what.starts_with("not checked: ")), "{broken}: {failed:?}");
    }
    let looped =
        good().without("/usr/local/bin/guest-agent").link("/usr/local/bin/guest-agent", "guest-agent");
    assert!(failures(&looped)[0].1.starts_with("not checked: "));
}

#[path = "find_tests.rs"]
mod find;

#[path = "services_tests.rs"]
mod services;
#[path = "settings_tests.rs"]
mod settings;

#[path = "surroundings_tests.rs"]
mod surroundings;
