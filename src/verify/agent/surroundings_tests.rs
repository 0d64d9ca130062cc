//! What systemd's version and configuration, the environment and the places around the unit do to an agent.

use super::settings::{SUDO, found, with};
use super::*;

/// Before version 255, systemd sets NoNewPrivileges for whom it filters system calls.
#[test]
fn filters_that_take_sudo_away() {
    const LIBRARY: &str = "/usr/lib/x86_64-linux-gnu/systemd/libsystemd-shared-252.so";
    let mut wrong = Vec::new();
    for (settings, expected) in [
        ("LockPersonality=yes", "LockPersonality=yes in guest-agent.service"),
        ("RestrictAddressFamilies=AF_INET AF_UNIX", "RestrictAddressFamilies=AF_INET AF_UNIX"),
        ("RestrictAddressFamilies=none", "RestrictAddressFamilies=none"),
        ("RestrictAddressFamilies=AF_INET\nRestrictAddressFamilies=", "ok"),
        ("SystemCallFilter=~@clock", "SystemCallFilter=~@clock"),
        ("SystemCallLog=@clock", "SystemCallLog"),
        ("SystemCallArchitectures=native", "SystemCallArchitectures"),
        ("RestrictNamespaces=yes", "RestrictNamespaces"),
        ("RestrictNamespaces=user", "RestrictNamespaces"),
        ("RestrictNamespaces=no", "ok"),
        ("PrivateDevices=1", "PrivateDevices"),
        ("ProtectKernelModules=on", "ProtectKernelModules"),
        ("ProtectKernelTunables=yes", "ProtectKernelTunables"),
        ("ProtectKernelLogs=yes", "ProtectKernelLogs"),
        ("ProtectHostname=yes", "ProtectHostname"),
        ("ProtectClock=yes", "ProtectClock"),
        ("RestrictRealtime=yes", "RestrictRealtime"),
        ("RestrictSUIDSGID=yes", "RestrictSUIDSGID"),
        ("MemoryDenyWriteExecute=yes", "MemoryDenyWriteExecute"),
        ("LockPersonality=no", "ok"),
        ("LockPersonality=yes\nAmbientCapabilities=CAP_SYS_ADMIN", "ok"),
        ("ProtectSystem=full\nPrivateTmp=yes\nProtectControlGroups=yes", "ok"),
    ] {
        let found = found(&with("", settings).file(LIBRARY, ""), SUDO);
        if !found.contains(expected) {
            wrong.push(format!("{settings}: {found}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    for (library, expected) in [
        ("/usr/lib64/systemd/libsystemd-shared-252-51.el9.so", false),
        ("/usr/lib/systemd/libsystemd-shared-249.so", false),
        ("/usr/lib/systemd/libsystemd-shared-255.so", true),
        ("/usr/lib/systemd/other.so", true),
    ] {
        let found = found(&with("", "LockPersonality=yes").file(library, ""), SUDO);
        assert_eq!(found == "ok", expected, "{library}: {found}");
    }
}

/// What holds for the first process holds for all.
#[test]
fn settings_of_systemd_itself() {
    for (path, text, expected) in [
        (
            "/etc/systemd/system.conf",
            "[Manager]\nNoNewPrivileges=yes\n",
            "NoNewPrivileges=yes in /etc/systemd/system.conf",
        ),
        (
            "/etc/systemd/system.conf.d/a.conf",
            "[Manager]\nNoNewPrivileges=1\n",
            "in /etc/systemd/system.conf.d/a.conf",
        ),
        ("/usr/lib/systemd/system.conf.d/a.conf", "[Manager]\nNoNewPrivileges=yes\n", "ok"),
        ("/usr/lib/systemd/system.conf.d/c.conf", "[Manager]\nNoNewPrivileges=yes\n", "c.conf"),
        ("/etc/systemd/system.conf", "[Service]\nNoNewPrivileges=yes\n", "ok"),
        ("/etc/systemd/system.conf", "[Manager]\n#NoNewPrivileges=yes\n", "ok"),
    ] {
        let mut tree = good().file(path, text);
        if path.starts_with("/usr") {
            tree = tree.file("/etc/systemd/system.conf.d/b.conf", "[Manager]\nNoNewPrivileges=no\n");
        }
        let found = found(&tree, SUDO);
        assert!(found.contains(expected), "{path} {text}: {found}");
    }
}

/// As the agent's user would meet them on his way.
#[test]
fn places_that_others_may_not_enter() {
    const PROGRAM: &str = "guest-agent.service has a program that can run";
    const CODE: &str = "the agent's user may read its code";
    const READS: &str = "guest-agent.service reads the injected configuration";
    let handed = || with("", "ExecStartPre=+/bin/chown -R trove /etc/trove").program("/bin/chown", "");
    let loader = "/lib64/ld-linux-x86-64.so.2";
    for (tree, path, title) in [
        (good(), "/", PROGRAM),
        (good().dir("/usr/lib/python3.11"), "/usr/lib/python3.11", CODE),
        (good().dir("/usr/lib/python3.11"), "/usr/lib", CODE),
        (good().file("/lib64/x", "").program(loader, ""), "/lib64", PROGRAM),
        (good().file("/lib/x86_64-linux-gnu/libc.so.6", ""), "/lib/x86_64-linux-gnu", PROGRAM),
        (good(), "/etc", READS),
        (handed(), "/etc", READS),
    ] {
        assert!(!found(&tree, title).contains("may not"), "{path}");
        let found = found(&tree.access(path, 0o700, 0, 0), title);
        assert!(found.contains(&format!("trove may not enter {path} (mode 0700")), "{path}: {found}");
    }
}

/// `$NAME` and `${NAME}` as systemd expands them.
#[test]
fn variables_in_the_command() {
    const READS: &str = "guest-agent.service reads the injected configuration";
    let run = |settings: &str, arguments: &str| {
        let unit = UNIT.replace("--config-dir=/etc/trove/conf.d", arguments);
        good().file(AGENT, unit.replacen("[Service]\n", &format!("[Service]\n{settings}\n"), 1))
    };
    let file = |text: &str| run("EnvironmentFile=-/etc/default/ga", "$OPTS").file("/etc/default/ga", text);
    for (tree, expected) in [
        (file("OPTS=\"--config-dir=/etc/trove/conf.d\"\n"), "ok"),
        (file("# OPTS=--config-dir=/etc/trove/conf.d\n"), "neither"),
        (file("OPTS='--debug --config-dir /etc/trove/conf.d' \n"), "ok"),
        (file("OPTS=--config-dir=/etc/trove/conf.d\nOPTS=--debug\n"), "neither"),
        (run("Environment=CD=/etc/trove/conf.d", "--config-dir=${CD}"), "ok"),
        (run("Environment=CD=/etc/trove/conf.d", "--config-dir=$CD"), "neither"),
        (run("Environment=A=1 \"O=--debug --config-dir=/etc/trove/conf.d\"", "$O"), "ok"),
        (run("Environment=O=--debug\nEnvironment=O=--config-dir=/etc/trove/conf.d", "$O"), "ok"),
        (run("EnvironmentFile=-/etc\nEnvironmentFile=x", "--config-dir=/etc/trove/conf.d $X"), "ok"),
        (run("", "$NONE --config-dir=/etc/trove/conf.d"), "ok"),
    ] {
        let found = found(&tree, READS);
        assert!(found.contains(expected), "{found}");
    }
}

#[test]
fn users_that_systemd_makes() {
    const FREE: &str = "user and group id 1001 are free";
    let tree = |path: &str, line: &str| good().program("/usr/bin/systemd-sysusers", "").file(path, line);
    let path = "/usr/lib/sysusers.d/db.conf";
    let told = "systemd-sysusers makes the user db at the first boot, who gets it";
    for (line, expected) in [
        ("u db 1001\n", told),
        ("#u db 1001\n", "ok"),
        ("u db 1001:33 \"A database\" /\n", told),
        ("u! db 1001\n", told),
        ("u db -\n", "ok"),
        ("u trove 1001\n", "ok"),
        ("g db 1001\n", "systemd-sysusers makes the group db at the first boot, which gets it"),
        ("g docker 1001\n", "ok"),
        ("m db docker\n", "ok"),
    ] {
        assert_eq!(found(&tree(path, line), FREE), expected, "{line}");
    }
    assert_eq!(found(&tree("/etc/sysusers.d/x.conf", "u db 1001\n"), FREE), told);
    assert_eq!(found(&tree(path, "u db 1001\n").file("/etc/sysusers.d/db.conf", ""), FREE), "ok", "hidden");
}
