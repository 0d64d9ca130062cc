//! What the unit's own settings, the account and the places of programs do to an agent.

use super::*;

const START: &str = "systemd can start guest-agent.service";
const BOOT: &str = "guest-agent.service starts at boot";
const PLACE: &str = "guest-agent.service may run its program where it lies";
const BEFORE: &str = "what guest-agent.service runs before its agent is there";
pub(super) const SUDO: &str = "sudo can make root of its caller";
const ACCOUNT: &str = "the account of trove is open";
const WRITES: &str = "cloud-init writes the files it is handed";

/// The good image with more in `[Unit]` and `[Service]`.
pub(super) fn with(in_unit: &str, in_service: &str) -> MemTree {
    let unit = UNIT.replacen("[Unit]\n", &format!("[Unit]\n{in_unit}\n"), 1);
    let profile = "profile agent /usr/bin/agent {\n}\n";
    let tree = good().file("/etc/apparmor.d/agent", profile);
    tree.file(AGENT, unit.replacen("[Service]\n", &format!("[Service]\n{in_service}\n"), 1))
}

pub(super) fn found(tree: &MemTree, title: &str) -> String {
    let found = failures(tree).into_iter().find(|(other, _)| other == title);
    found.map_or_else(|| "ok".to_owned(), |(_, found)| found)
}

#[test]
fn settings_of_the_unit() {
    let mut wrong = Vec::new();
    for (in_unit, in_service, title, expected) in [
        ("", "Type=oneshot", START, "Service has Restart= set to either always or on-success"),
        ("", "ExecStart=/bin/true", START, "Service has more than one ExecStart= setting"),
        ("", "WorkingDirectory=/opt/none", START, "WorkingDirectory=/opt/none does not exist"),
        ("", "WorkingDirectory=~", START, "WorkingDirectory=/home/trove does not exist"),
        ("", "WorkingDirectory=/etc/passwd", START, "WorkingDirectory=/etc/passwd is no directory"),
        ("", "WorkingDirectory=-/opt/none", START, "ok"),
        ("", "WorkingDirectory=/opt", START, "ok"),
        ("", "WorkingDirectory=/var/lib/later", START, "ok"),
        ("", "SupplementaryGroups=docker libvirt", START, "SupplementaryGroups=libvirt"),
        ("", "SupplementaryGroups=docker 4242", START, "ok"),
        ("Requires=docker.service none.service", "", START, "Requires=none.service, which is not-found"),
        ("BindsTo=dev-vdb.device", "", START, "ok"),
        ("Requires=-.mount boot.mount run-x.mount", "", START, "ok"),
        ("Requires=srv-data.mount", "", START, "Requires=srv-data.mount, which is not-found"),
        ("Wants=none.service", "", START, "ok"),
        ("ConditionPathExists=/opt/none", "", START, "ConditionPathExists=/opt/none does not hold"),
        ("ConditionPathExists=!/opt", "", START, "ConditionPathExists=!/opt does not hold"),
        ("ConditionPathExists=!/opt/none", "", START, "ok"),
        ("ConditionPathExists=/etc/trove/conf.d/guest_info.conf", "", START, "ok"),
        ("ConditionPathExists=/run/x\nConditionPathExists=", "", START, "ok"),
        ("ConditionPathExists=|/opt/none\nConditionPathIsDirectory=|/opt", "", START, "ok"),
        ("ConditionPathExists=|/opt/none\nConditionHost=|vm", "", START, "ok"),
        ("ConditionPathExists=|/opt/none", "", START, "ConditionPathExists=|/opt/none does not hold"),
        ("AssertFileIsExecutable=/etc/passwd", "", START, "AssertFileIsExecutable=/etc/passwd does not hold"),
        ("ConditionPathExistsGlob=/opt/guest-*", "", START, "ok"),
        ("ConditionDirectoryNotEmpty=/opt/trove-guestagent", "", START, "does not hold"),
        ("ConditionVirtualization=no", "", START, "ConditionVirtualization=no does not hold"),
        ("ConditionVirtualization=!container", "", START, "ok"),
        ("ConditionVirtualization=kvm", "", START, "ok"),
        ("ConditionVirtualization=qemu", "", START, "ok"),
        ("ConditionVirtualization=oracle", "", START, "ConditionVirtualization=oracle does not hold"),
        ("ConditionVirtualization=!oracle", "", START, "ok"),
        ("ConditionUser=trove", "", START, "ConditionUser=trove does not hold"),
        ("ConditionUser=!trove", "", START, "ok"),
        ("ConditionUser=root\nConditionUser=0\nConditionUser=@system", "", START, "ok"),
        ("ConditionArchitecture=arm64", "", START, "ConditionArchitecture=arm64 does not hold"),
        ("ConditionArchitecture=x86-64\nConditionArchitecture=native", "", START, "ok"),
        (
            "ConditionKernelCommandLine=trove.agent",
            "",
            START,
            "ConditionKernelCommandLine=trove.agent does not hold",
        ),
        ("ConditionKernelCommandLine=console=ttyS1", "", START, "does not hold"),
        ("ConditionKernelCommandLine=console\nConditionKernelCommandLine=!console=ttyS1", "", START, "ok"),
        ("", "ExecStartPre=/bin/false", BEFORE, "/bin/false always fails"),
        ("", "ExecCondition=/usr/bin/false", BEFORE, "/usr/bin/false always fails"),
        ("", "ExecStartPre=-/bin/false", BEFORE, "ok"),
        ("", "BindPaths=/nothere:/opt", START, "BindPaths=/nothere:/opt, and /nothere does not exist"),
        ("", "BindReadOnlyPaths=/nothere", START, "BindReadOnlyPaths=/nothere, and"),
        ("", "BindPaths=-/nothere:/opt /opt:/srv", START, "ok"),
        ("", "BindPaths=/var/later:/srv", START, "ok"),
        ("", "ReadWritePaths=/nothere", START, "ReadWritePaths=/nothere, and /nothere does not exist"),
        ("", "ReadWritePaths=-/nothere +-/none -+/none", START, "ok"),
        ("", "RootDirectory=/nothere", START, "RootDirectory=/nothere, and /nothere does not exist"),
        (
            "",
            "LoadCredential=x:/etc/nothere",
            START,
            "LoadCredential=x:/etc/nothere, and /etc/nothere does not exist",
        ),
        ("", "LoadCredential=x:/etc/passwd\nLoadCredential=y", START, "ok"),
        ("", "AppArmorProfile=nothere", START, "AppArmorProfile=nothere, and there is no such profile"),
        ("", "AppArmorProfile=-nothere", START, "ok"),
        ("", "AppArmorProfile=agent", START, "ok"),
        ("", "AppArmorProfile=unconfined", START, "ok"),
        (
            "",
            "InaccessiblePaths=/etc/trove",
            PLACE,
            "/etc/trove/conf.d is hidden by InaccessiblePaths=/etc/trove",
        ),
        (
            "",
            "TemporaryFileSystem=/etc:ro",
            PLACE,
            "/etc/trove/conf.d is hidden by TemporaryFileSystem=/etc:ro",
        ),
        ("", "InaccessiblePaths=/etc/sudoers.d", PLACE, "/etc/sudoers.d is hidden by"),
        ("", "InaccessiblePaths=-/usr/bin/sudo", PLACE, "/usr/bin/sudo is hidden by"),
        ("", "NoExecPaths=/etc", PLACE, "ok"),
        (
            "",
            "InaccessiblePaths=/opt",
            PLACE,
            "/opt/guest-agent-venv/bin/trove-guestagent is hidden by InaccessiblePaths=/opt",
        ),
        ("", "NoExecPaths=/\nExecPaths=/opt /usr", PLACE, "ok"),
        ("", "NoExecPaths=/", PLACE, "hidden by NoExecPaths=/"),
        ("", "ProtectHome=yes", PLACE, "ok"),
        ("", "NoNewPrivileges=yes", SUDO, "NoNewPrivileges=yes in guest-agent.service"),
        ("", "NoNewPrivileges=no", SUDO, "ok"),
        ("", "DynamicUser=true", SUDO, "DynamicUser=true in guest-agent.service"),
        (
            "",
            "CapabilityBoundingSet=CAP_NET_ADMIN",
            SUDO,
            "CapabilityBoundingSet= in guest-agent.service is without CAP_SETUID",
        ),
        ("", "CapabilityBoundingSet=", SUDO, "is without CAP_SETUID"),
        ("", "CapabilityBoundingSet=~CAP_SETGID CAP_SYS_PTRACE", SUDO, "is without CAP_SETGID"),
        ("", "CapabilityBoundingSet=~CAP_SYS_PTRACE", SUDO, "ok"),
        ("", "CapabilityBoundingSet=~", SUDO, "ok"),
        ("", "CapabilityBoundingSet=CAP_SETUID\nCapabilityBoundingSet=cap_setgid", SUDO, "ok"),
        ("", "CapabilityBoundingSet=\nCapabilityBoundingSet=~CAP_CHOWN", SUDO, "is without CAP_SETUID"),
        ("", "PrivateUsers=yes", SUDO, "PrivateUsers=yes in guest-agent.service"),
        ("", "PrivateUsers=no", SUDO, "ok"),
        ("", "Group=1000", "guest-agent.service runs as a user that exists", "ok"),
    ] {
        let found = found(&with(in_unit, in_service), title);
        if !found.contains(expected) {
            wrong.push(format!("{in_unit} {in_service}: {found}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let mount = with("Requires=srv-my\\x2ddata.mount", "");
    assert_eq!(found(&mount.file("/etc/fstab", "LABEL=d /srv/my-data ext4 noauto\n"), START), "ok");
    let home = "/home/trove/venv/bin/trove-guestagent";
    let tree = with("", "ProtectHome=yes").without("/usr/local/bin/guest-agent").program(home, "\x7fELF");
    let tree = tree.link("/usr/local/bin/guest-agent", home);
    assert_eq!(found(&tree, PLACE), format!("{home} is hidden by ProtectHome=yes"));
}

#[test]
fn where_programs_lie() {
    for (fstab, title, expected) in [
        ("LABEL=r / ext4 defaults\n", PLACE, "ok"),
        ("/opt /opt none bind,noexec\n", PLACE, "lies on /opt, which /etc/fstab mounts with noexec"),
        ("LABEL=r / ext4 noexec\n/opt /opt none bind\n", PLACE, "/usr/bin/python3.11 lies on /, which"),
        ("/opt /opt none bind,noexec,exec\n", PLACE, "ok"),
        ("/opt /opt none bind,user\n", PLACE, "lies on /opt"),
        ("/opt /opt none bind,user,exec\n", PLACE, "ok"),
        ("/opt /opt none bind,noexec,noauto\n", PLACE, "ok"),
        ("/opt /opt none bind,owner\n", PLACE, "ok"),
        ("LABEL=r / ext4 nosuid\n", SUDO, "/usr/bin/sudo lies on /, which /etc/fstab mounts with nosuid"),
        ("LABEL=o /opt ext4 nosuid,noexec\n", SUDO, "ok"),
        ("/usr /usr none bind,owner\n", SUDO, "/usr/bin/sudo lies on /usr"),
    ] {
        let found = found(&good().file("/etc/fstab", fstab), title);
        assert!(found.contains(expected), "{fstab}: {found}");
    }
}

/// Each as sudo answers with Debian's PAM.
#[test]
fn accounts() {
    for (shadow, expected) in [
        ("trove:!:19000:0:99999:7:::\n", "ok"),
        ("trove:!:0:0:99999:7:::\n", "ok"),
        ("trove:!:19000:0:1:7:::\n", "ok"),
        ("trove:!!:::::::\n", "ok"),
        ("trove:!:19000:0:99999:7::1:\n", "it ended on 1970-01-02"),
        ("trove:!:19000:0:99999:7::0:\n", "it ended on 1970-01-01"),
        ("trove:!:19000:0:99999:7::999999:\n", "ok"),
        ("trove:!:19000:0:1:7:1::\n", "its password was to be changed by 2022-01-09"),
        ("trove:!::0:1:7:1::\n", "its password was to be changed by"),
        ("root:*:19000:0:99999:7:::\n", "/etc/shadow has no such user"),
    ] {
        assert!(found(&good().file("/etc/shadow", shadow), ACCOUNT).contains(expected), "{shadow}");
    }
    let own = good().file("/etc/shadow", "root:*:1::::::\n");
    let own = own.file("/etc/passwd", "root:x:0:0::/root:/bin/sh\ntrove:*:1000:1000::/home/trove:/bin/sh\n");
    assert_eq!(found(&own, ACCOUNT), "ok", "it has no entry there");
}

#[test]
fn targets_and_switches() {
    let boots = |into: &str| {
        let target = |name: &str| format!("/usr/lib/systemd/system/{name}");
        good()
            .file(&target("multi-user.target"), "[Unit]\n")
            .file(&target("graphical.target"), "[Unit]\nRequires=multi-user.target\n")
            .file(&target("rescue.target"), "[Unit]\n")
            .link("/etc/systemd/system/default.target", &target(into))
    };
    assert_eq!(found(&boots("multi-user.target"), BOOT), "ok");
    assert_eq!(found(&boots("graphical.target"), BOOT), "ok");
    let told = found(&boots("rescue.target"), BOOT);
    assert_eq!(told, "enabled, but the image boots into rescue.target, and nothing there starts it");
    for (text, expected) in [
        ("allow_userdata: false\n", "allow_userdata is false"),
        ("allow_userdata: no\n", "allow_userdata is no"),
        ("allow_userdata: True\n", "ok"),
    ] {
        assert!(
            found(&good().file("/etc/cloud/cloud.cfg.d/99.cfg", text), WRITES).contains(expected),
            "{text}"
        );
    }
    let terminal = |text: &str| {
        found(&good().file("/etc/sudoers.d/a", text), "trove may use sudo without password and terminal")
    };
    assert_eq!(terminal("Defaults requiretty\nDefaults:trove !requiretty\n"), "ok");
    assert_eq!(terminal("Defaults:trove requiretty\n"), "requiretty in /etc/sudoers.d/a");
}

const EXISTS: &str = "the agent's Python exists";
const REQUIRES: &str = "everything the agent's code requires is installed";

/// Each as Python answers for such an environment.
#[test]
fn which_python_runs_the_agent() {
    let program = "/opt/guest-agent-venv/bin/trove-guestagent";
    let outside =
        format!("{program} is run by /usr/bin/python3, which does not look into /opt/guest-agent-venv");
    let line = |line: &str| good().program(program, format!("{line}\nimport trove\n"));
    for (tree, expected) in [
        (line("#!/usr/bin/python3"), outside.as_str()),
        (line("#!/usr/bin/env python3").program("/usr/bin/env", ""), &outside),
        (line("#! /opt/guest-agent-venv/bin/python3 -I"), "ok"),
        (line("#!/bin/sh"), "ok"),
        (line("#!/srv/venv/bin/python3").link("/srv/venv", "/opt/guest-agent-venv"), "ok"),
    ] {
        let found = found(&tree, EXISTS);
        assert!(found.contains(expected), "{found}");
    }
    let by = |python: &str, setting: &str| {
        let unit = UNIT.replace("/usr/local/bin/guest-agent ", &format!("{python} {program} "));
        good().file(AGENT, unit.replace("[Service]", &format!("[Service]\n{setting}")))
    };
    assert!(found(&by("/usr/bin/python3", ""), EXISTS).contains(&outside));
    for options in ["-bb", "-W ignore", "-Wignore", "-EX dev", "--check-hash-based-pycs never", "--"] {
        assert!(
            found(&by(&format!("/usr/bin/python3 {options}"), ""), EXISTS).contains(&outside),
            "{options}"
        );
    }
    // The program is an argument of a module or command here, or the script is another.
    for options in
        ["-m trove.cmd.guest", "-Bm trove.cmd.guest", "-mtrove.cmd.guest", "-c pass", "-", "script.py"]
    {
        assert_eq!(found(&by(&format!("/usr/bin/python3 {options}"), ""), EXISTS), "ok", "{options}");
    }
    assert_eq!(found(&by("/usr/bin/python3", "Environment=PYTHONPATH=/opt/x"), EXISTS), "ok");
    assert_eq!(found(&by("/opt/guest-agent-venv/bin/python3", ""), EXISTS), "ok");
}

#[test]
fn an_environment_without_the_agent() {
    let gone = good().without(&format!("{SITE}/trove-26.0.0.dist-info"));
    assert_eq!(found(&gone, REQUIRES), format!("{SITE} has no trove"));
    for by in ["trove.egg-link", "__editable__.trove-26.pth", "trove/__init__.py"] {
        assert_eq!(found(&gone.clone().file(&format!("{SITE}/{by}"), ""), REQUIRES), "ok", "{by}");
    }
    assert_ne!(found(&gone.file(&format!("{SITE}/distutils-precedence.pth"), ""), REQUIRES), "ok");
}
