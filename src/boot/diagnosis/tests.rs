use super::*;
use crate::boot::probe::GuestState;
use crate::boot::seen::Expected;

/// An instance with an agent whose guest has said these things: a key and a value each.
fn seen(said: &[(&str, serde_json::Value)]) -> Seen {
    let mut guest = GuestState::default();
    guest.hear(br#"{"key": "probe", "value": {"clock": 1}}"#);
    for (key, value) in said {
        guest.hear(serde_json::json!({ "key": key, "value": value }).to_string().as_bytes());
    }
    let expected = Expected {
        agent: Some("guest-agent.service".to_owned()),
        owner: "ubuntu:root".to_owned(),
        files: vec!["/etc/trove/conf.d/guest_info.conf".to_owned()],
        ..Expected::default()
    };
    Seen { expected, guest, ..Seen::default() }
}

fn first(missing: Milestone, seen: &Seen) -> String {
    let context = Context { exchange: "trove".to_owned(), has_volume: true, ..Context::default() };
    diagnose(missing, seen, &context)[0].id.clone()
}

#[test]
fn what_an_agent_says_names_the_cause() {
    for (missing, line, expected) in [
        (
            Milestone::Healthy,
            "docker.errors.APIError: 500 Server Error for http+docker://localhost/v1.41/images/create?tag=10.11: Internal Server \
             Error (\"Get \"https://10.0.2.2:5055/v2/\": tls: first record does not look like a TLS handshake\")",
            "registry-tls",
        ),
        (
            Milestone::Healthy,
            "docker.errors.APIError: 500 Server Error: Internal Server Error (\"Get \"https://192.0.2.1/v2/\": dial tcp: i/o timeout\")",
            "registry-unreachable",
        ),
        (
            Milestone::Healthy,
            "docker.errors.NotFound: 404 Client Error: Not Found (\"manifest unknown: manifest unknown\")",
            "container-missing",
        ),
        (
            Milestone::Healthy,
            "ERROR trove.guestagent.datastore.service Timeout while waiting for database status to change.",
            "container-unhealthy",
        ),
        (Milestone::Volume, "useradd: UID 1001 is not unique", "uid-taken"),
        (Milestone::Volume, "sudo: a password is required", "sudo-password"),
        (
            Milestone::Volume,
            "sudo: /usr/bin/sudo must be owned by uid 0 and have the setuid bit set",
            "sudo-broken",
        ),
        (Milestone::Agent, "ModuleNotFoundError: No module named 'oslo_messaging'", "dependency-missing"),
        (Milestone::Volume, "blockdev: cannot open /dev/vdb: No such file or directory", "volume-missing"),
        (
            Milestone::Connection,
            "docker.errors.DockerException: Error while fetching server API version: ('Connection aborted.', \
             PermissionError(13, 'Permission denied'))",
            "docker-forbidden",
        ),
        (
            Milestone::Connection,
            "docker.errors.DockerException: Error while fetching server API version: ('Connection aborted.', \
             FileNotFoundError(2, 'No such file or directory'))",
            "docker-down",
        ),
        (
            Milestone::Connection,
            "amqp.exceptions.AccessRefused: (0, 0): (403) ACCESS_REFUSED - Login was refused",
            "broker-refused",
        ),
        (
            Milestone::Connection,
            "[Errno 111] ECONNREFUSED. Trying again in 1 seconds.: ConnectionRefusedError",
            "broker-unreachable",
        ),
        (
            Milestone::Volume,
            "RuntimeError: The guest_id parameter is not set. guest_info.conf was not injected",
            "guest-id-missing",
        ),
    ] {
        assert_eq!(first(missing, &seen(&[("journal", serde_json::json!([line]))])), expected, "{line}");
    }
}

#[test]
fn what_an_agent_said_before_it_went_on_is_over() {
    let said = serde_json::json!([
        "useradd: UID 1001 is not unique",
        "  ubuntu : PWD=/ ; USER=root ; COMMAND=/usr/sbin/blockdev --getsize64 /dev/vdb",
        "[Errno 111] ECONNREFUSED. Trying again in 1 seconds.",
    ]);
    let instance = seen(&[("journal", said)]);
    assert_eq!(first(Milestone::Volume, &instance), "uid-taken");
    assert_eq!(first(Milestone::Connection, &instance), "broker-unreachable");
    assert_eq!(first(Milestone::Ping, &instance), "unknown");
}

#[test]
fn the_state_of_units_and_files_names_the_cause() {
    let unit = |value: serde_json::Value| serde_json::json!({ "guest-agent.service": value });
    for (missing, said, expected) in [
        (
            Milestone::Agent,
            vec![("units", unit(serde_json::json!({"LoadState": "not-found"})))],
            "unit-missing",
        ),
        (Milestone::Agent, vec![("units", unit(serde_json::json!({"LoadState": "masked"})))], "unit-masked"),
        (
            Milestone::Agent,
            vec![(
                "units",
                unit(serde_json::json!({"LoadState": "bad-setting", "UnitFileState": "enabled"})),
            )],
            "unit-refused",
        ),
        (
            Milestone::Agent,
            vec![(
                "units",
                unit(
                    serde_json::json!({"LoadState": "loaded", "UnitFileState": "disabled", "ActiveState": "inactive"}),
                ),
            )],
            "unit-disabled",
        ),
        (
            Milestone::Agent,
            vec![(
                "units",
                unit(
                    serde_json::json!({"LoadState": "loaded", "UnitFileState": "enabled", "ExecMainStatus": "203"}),
                ),
            )],
            "python-missing",
        ),
        (
            Milestone::DataSource,
            vec![("cloud", serde_json::json!({"datasource": "DataSourceNone"}))],
            "no-data-source",
        ),
        (Milestone::Files, vec![("users", serde_json::json!({"debian": 1000}))], "owner-missing"),
        (Milestone::Network, vec![], "unknown"),
    ] {
        assert_eq!(first(missing, &seen(&said)), expected, "{said:?}");
    }
}

/// A database whose unit failed, of which systemd says that the boot is over, has no hope left.
#[test]
fn a_service_that_failed_for_good_is_certain() {
    let unit = |state: &str| serde_json::json!({ "mariadb.service": {"LoadState": "loaded", "ActiveState": state, "NRestarts": "3"} });
    let says = serde_json::json!(["FATAL ERROR: Could not find /usr/sbin/mariadbd"]);
    let certain = |state: &str, system: &str| {
        let system = serde_json::json!({ "state": system });
        let mut seen = seen(&[("units", unit(state)), ("system", system), ("journal", says.clone())]);
        seen.expected.agent = None;
        seen.expected.services = vec!["mariadb.service".to_owned()];
        let causes = diagnose(Milestone::Service, &seen, &Context::default());
        assert_eq!(causes[0].id, "unit-fails", "{causes:?}");
        assert!(causes[0].evidence.iter().any(|line| line.starts_with("FATAL ERROR")), "{causes:?}");
        causes[0].certain
    };
    assert!(certain("failed", "degraded"));
    assert!(!certain("failed", "starting"), "something may start it yet");
    assert!(!certain("activating", "degraded"), "systemd starts it again");
}

#[test]
fn brokers_consoles_and_clocks_name_causes() {
    let mut instance = seen(&[]);
    instance.broker.unroutable = true;
    assert_eq!(first(Milestone::Ping, &instance), "control-exchange");
    let mut instance = seen(&[]);
    instance.broker_log.refused = Some("PLAIN login refused: user 'trove' - invalid credentials".to_owned());
    assert_eq!(first(Milestone::Connection, &instance), "broker-refused");
    let mut instance = seen(&[]);
    instance.clock_ahead = Some(-43_200.0);
    assert_eq!(first(Milestone::Connection, &instance), "clock");
    let mut instance = Seen::default();
    instance.console.push(b"[ 1.0] Kernel panic - not syncing: VFS: Unable to mount root fs\n");
    assert_eq!(first(Milestone::Init, &instance), "kernel-panic");
    let mut instance = Seen::default();
    instance
        .console
        .push(b"[ 0.0] Kernel panic - not syncing: IO-APIC + timer doesn't work!  Boot with apic=debug\n");
    assert_eq!(first(Milestone::Init, &instance), "kernel-timer");
    let mut instance = Seen::default();
    instance.console.push(b"tib login: ");
    assert_eq!(first(Milestone::Network, &instance), "cloud-init-silent");
}

#[test]
fn containers_that_were_not_loaded_are_named_beside_what_the_agent_says() {
    let failed = ("failed", serde_json::json!(["tib-containers.service", "other.service"]));
    let line = "docker.errors.APIError: 500 Server Error: Internal Server Error (\"Get \"https://192.0.2.1/v2/\": dial tcp: i/o timeout\")";
    let context = Context { exchange: "trove".to_owned(), has_volume: true, ..Context::default() };
    let ids = |missing, said: &[(&str, serde_json::Value)]| -> Vec<String> {
        diagnose(missing, &seen(said), &context).into_iter().map(|cause| cause.id).collect()
    };
    let log = ("log", serde_json::json!([line]));
    let both = ids(Milestone::Healthy, &[failed.clone(), log.clone()]);
    assert_eq!(both, ["registry-unreachable", "containers-unloaded"]);
    assert!(!ids(Milestone::Healthy, &[log]).contains(&"containers-unloaded".to_owned()));
    assert!(!ids(Milestone::Login, &[failed]).contains(&"containers-unloaded".to_owned()));
}
