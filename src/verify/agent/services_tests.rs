//! Services that the agent does not start without: cloud-init and docker.

use super::*;

const GENERATOR: &str = "/usr/lib/systemd/system-generators/cloud-init-generator";

fn found(tree: &MemTree, title: &str) -> String {
    let results = checked(tree);
    let result =
        results.iter().find(|one| one.title == title).unwrap_or_else(|| panic!("{title}: {results:#?}"));
    match &result.outcome {
        Outcome::Passed => "ok".to_owned(),
        other => format!("{other:?}"),
    }
}

#[test]
fn what_keeps_cloud_init_from_starting() {
    let unit = "/usr/lib/systemd/system/cloud-init.service";
    let with = |lines: &str| {
        let service =
            if lines.contains("[Service]") { "" } else { "[Service]\nExecStart=/usr/bin/cloud-init init" };
        let text = format!("[Unit]\n{lines}\n{service}\n[Install]\nWantedBy=cloud-init.target\n");
        good().file(unit, &text).program(GENERATOR, "#!/bin/sh\n")
    };
    let whole = with("").file("/usr/lib/systemd/system/cloud-init.target", "[Unit]\n");
    let above = "/etc/systemd/system-generators/cloud-init-generator";
    for (tree, expected) in [
        (whole.clone(), "ok"),
        (
            whole.clone().without(GENERATOR),
            "there is no cloud-init-generator, so nothing starts cloud-init.target",
        ),
        (whole.clone().access(GENERATOR, 0o644, 0, 0), "is not executable (mode 0644), so nothing starts"),
        (whole.clone().program(GENERATOR, ""), "cloud-init-generator is empty, so nothing starts"),
        (whole.clone().program(above, ""), "/etc/systemd/system-generators/cloud-init-generator is empty"),
        // One that may not be executed is passed over.
        (whole.clone().file(above, "#!/bin/sh\n"), "ok"),
        (with("ConditionPathExists=/none"), "cloud-init.service: ConditionPathExists=/none does not hold"),
        (with("Requires=none.service"), "cloud-init.service: Requires=none.service, which is not-found"),
        (with("[Service]\nExecStart=/usr/bin/none init"), "/usr/bin/none does not exist"),
        (with("ConditionPathExists=!/etc/cloud/cloud-init.disabled"), "ok"),
    ] {
        let found = found(&tree, "cloud-init starts at boot");
        assert!(found.contains(expected), "{found}, not {expected}");
    }
    let off = with("ConditionPathExists=!/etc/cloud/cloud-init.disabled")
        .file("/etc/cloud/cloud-init.disabled", "");
    assert_eq!(found(&off, "cloud-init starts at boot").matches("cloud-init.disabled").count(), 1);
    // The generator goes by this one first, and systemd by the unit's condition alone.
    let both = off.file("/etc/cloud/cloud-init.enabled", "");
    assert!(found(&both, "cloud-init starts at boot").contains("cloud-init.disabled does not hold"));
}

#[test]
fn what_keeps_docker_from_starting() {
    let docker = "/usr/lib/systemd/system/docker.service";
    let with = |start: &str, settings: &str| {
        let text = format!(
            "[Unit]\nRequires=docker.socket\n[Service]\nExecStart={start}\n[Install]\nWantedBy=multi-user.target\n"
        );
        good()
            .file(docker, &text)
            .file("/usr/lib/systemd/system/docker.socket", "[Socket]\nListenStream=/run/docker.sock\n")
            .file("/etc/docker/daemon.json", settings)
    };
    const USUAL: &str =
        "/usr/sbin/dockerd -H fd:// --containerd=/run/containerd/containerd.sock $DOCKER_OPTS";
    for (tree, expected) in [
        (with(USUAL, "{}"), "ok"),
        (
            with(USUAL, r#"{"hosts": ["unix:///run/docker.sock"]}"#),
            "/etc/docker/daemon.json has `hosts`, and docker.service gives -H",
        ),
        (with("/usr/sbin/dockerd", r#"{"hosts": ["unix:///run/docker.sock"]}"#), "ok"),
        (with("/usr/sbin/dockerd --log-level=warn", r#"{"log-level": "info"}"#), "has `log-level`"),
        (with("/usr/sbin/none", "{}"), "/usr/sbin/none does not exist"),
        (
            with(USUAL, "{}").link("/etc/systemd/system/docker.socket", "/dev/null"),
            "Requires=docker.socket, which is masked",
        ),
        (with(USUAL, "{}").without("/usr/sbin/iptables"), "iptables is not installed"),
    ] {
        let found = found(&tree, "docker finds what it needs to start");
        assert!(found.contains(expected), "{found}, not {expected}");
    }
}
