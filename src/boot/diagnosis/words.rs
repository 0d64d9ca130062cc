//! Causes that an agent names itself, if one knows how to read it.

use super::Cause;
use crate::boot::milestone::Milestone;
use crate::boot::seen::Seen;

/// A cause, and the words of which one gives it away.
struct Rule {
    id: &'static str,
    /// The last milestone that it can keep an instance from: what was said before is over once that is reached.
    over: Milestone,
    /// Any of them in a line of the agent's. Several words in one are all in the same line.
    any: &'static [&'static [&'static str]],
    title: &'static str,
    fix: &'static str,
}

/// In the order in which an agent gets to where they happen.
const RULES: &[Rule] = &[
    Rule {
        id: "python-missing",
        over: Milestone::Volume,
        any: &[
            &["bad interpreter"],
            &["Failed to execute", "No such file or directory"],
            &["status=203/EXEC"],
        ],
        title: "the agent's program, or the Python it was made for, is not there",
        fix: "install the Python that the agent's environment was made with, or install the agent again",
    },
    Rule {
        id: "dependency-missing",
        over: Milestone::Connection,
        any: &[
            &["ModuleNotFoundError"],
            &["ImportError"],
            &["PackageNotFoundError"],
            &["DistributionNotFound"],
        ],
        title: "a Python package that the agent needs is missing or does not fit",
        fix: "install the agent again, with the constraints of its release (`tib build --agent … --constraints …`)",
    },
    Rule {
        id: "config-missing",
        over: Milestone::Volume,
        any: &[
            &["ConfigDirNotFoundError"],
            &["ConfigFilesNotFoundError"],
            &["Failed to read config file directory"],
            &["Failed to find some config files"],
        ],
        title: "the agent's unit names a configuration that does not exist",
        fix: "have its unit read what Trove writes: `--config-dir=/etc/trove/conf.d`, and make that directory in the image",
    },
    Rule {
        id: "config-unreadable",
        over: Milestone::Volume,
        any: &[&["ConfigFilesPermissionDeniedError"], &["Permission denied", "/etc/trove"]],
        title: "the agent may not read its configuration",
        fix: "give /etc/trove to the unit's user; injected files get `injected_config_owner` of trove.conf",
    },
    Rule {
        id: "log-unwritable",
        over: Milestone::Volume,
        any: &[&["Permission denied", "/var/log/trove"], &["No such file or directory", "/var/log/trove"]],
        title: "the agent cannot write its log",
        fix: "make /var/log/trove in the image, and give it to the unit's user",
    },
    Rule {
        id: "guest-id-missing",
        over: Milestone::Volume,
        any: &[&["guest_id parameter is not set"]],
        title: "the agent was started without guest_info.conf, or its unit does not read it",
        fix: "have the unit read /etc/trove/conf.d, and start after cloud-init has written it",
    },
    Rule {
        id: "manager-unknown",
        over: Milestone::Volume,
        any: &[&["Manager class not registered"]],
        title: "this agent has no manager for the datastore",
        fix: "take an agent of a release that knows the datastore, or set `datastore_registry_ext`",
    },
    Rule {
        id: "sudo-password",
        over: Milestone::Volume,
        any: &[
            &["sudo:", "a password is required"],
            &["sudo:", "a terminal is required"],
            &["is not in the sudoers file"],
            &["sudo:", "must have a tty"],
            &["not allowed to execute"],
        ],
        title: "the agent's user may not use sudo without a password",
        fix: "add `USER ALL=(ALL) NOPASSWD: ALL` in /etc/sudoers.d, mode 0440, owned by root",
    },
    Rule {
        id: "sudo-broken",
        over: Milestone::Volume,
        any: &[
            &["must be owned by uid 0"],
            &["setuid bit"],
            &["sudo:", "syntax error"],
            &["sudo:", "world writable"],
            &["No such file or directory: 'sudo'"],
            &["sudo: error"],
            &["sudo:", "unable to open"],
            &["sudo:", "effective uid is not 0"],
        ],
        title: "sudo does not work in this image",
        fix: "install sudo from its package again; `visudo -c` tells what is wrong with the rules",
    },
    Rule {
        id: "uid-taken",
        over: Milestone::Volume,
        any: &[&["is not unique"], &["already exists", "UID"]],
        title: "another user has the UID or GID 1001, which the agent needs for the database's user",
        fix: "have cloud-init create no user of its own (its `default_user` is the agent's), or set `database_service_uid`",
    },
    Rule {
        id: "volume-missing",
        over: Milestone::Volume,
        any: &[
            &["/dev/vdb", "No such file"],
            &["/dev/vdb", "cannot open"],
            &["/dev/vdb", "does not exist"],
            &["Device /dev/vdb"],
        ],
        title: "there is no data volume at /dev/vdb, which the agent formats before it speaks to anybody",
        fix: "give instances a volume (`volume_support = True`), or set `device_path` in trove-guestagent.conf",
    },
    Rule {
        id: "mkfs-missing",
        over: Milestone::Volume,
        any: &[&["mkfs", "not found"], &["mkfs", "No such file"], &["mkfs", "command not found"]],
        title: "the program that makes the volume's file system is missing",
        fix: "install e2fsprogs, or xfsprogs if `volume_fstype` is xfs",
    },
    Rule {
        id: "docker-forbidden",
        over: Milestone::Connection,
        any: &[
            &["Error while fetching server API version", "Permission denied"],
            &["docker", "PermissionError"],
        ],
        title: "the agent's user may not speak to docker",
        fix: "put the unit's user into the group docker",
    },
    Rule {
        id: "docker-down",
        over: Milestone::Connection,
        any: &[
            &["Error while fetching server API version"],
            &["docker.sock", "Connection refused"],
            &["Cannot connect to the Docker daemon"],
        ],
        title: "docker does not run",
        fix: "enable docker.service, and see why it does not start",
    },
    Rule {
        id: "broker-refused",
        over: Milestone::Queues,
        any: &[&["ACCESS_REFUSED"], &["AccessRefused"], &["Login was refused"]],
        title: "the message broker refuses the agent's user or password",
        fix: "correct `transport_url` in the controller's trove-guestagent.conf",
    },
    Rule {
        id: "vhost-missing",
        over: Milestone::Queues,
        any: &[&["NOT_ALLOWED", "vhost"], &["vhost", "not found"]],
        title: "the message broker has no such virtual host, or the agent's user may not use it",
        fix: "correct the part behind the last `/` of `transport_url`, or give the user rights there",
    },
    Rule {
        id: "broker-tls",
        over: Milestone::Queues,
        any: &[&["CERTIFICATE_VERIFY_FAILED"], &["SSLError"], &["WRONG_VERSION_NUMBER"], &["ssl.SSL"]],
        title: "TLS with the message broker fails",
        fix: "set `ssl` and `ssl_ca_file` under [oslo_messaging_rabbit] in trove-guestagent.conf, and have the CA in the image",
    },
    Rule {
        id: "queue-arguments",
        over: Milestone::Queues,
        any: &[&["PRECONDITION_FAILED"]],
        title: "queues or exchanges exist already with other properties than the agent declares",
        fix: "have the same `amqp_durable_queues`, `rabbit_quorum_queue` and their like in trove.conf and trove-guestagent.conf",
    },
    Rule {
        id: "broker-name",
        over: Milestone::Queues,
        any: &[
            &["Name or service not known"],
            &["Temporary failure in name resolution"],
            &["No address associated with hostname"],
            &["Lookup timed out"],
        ],
        title: "the name of the message broker cannot be resolved in the guest",
        fix: "write an address into `transport_url`, or give the management network a name server",
    },
    Rule {
        id: "broker-unreachable",
        over: Milestone::Queues,
        any: &[
            &["ECONNREFUSED"],
            &["Connection refused"],
            &["EHOSTUNREACH"],
            &["ENETUNREACH"],
            &["No route to host"],
            &["Network is unreachable"],
            &["AMQP server", "unreachable"],
            &["timed out", "AMQP"],
            &["ETIMEDOUT"],
        ],
        title: "the agent does not reach the message broker",
        fix: "check the host in `transport_url`, routes, security groups and firewalls between the management network and the broker",
    },
    Rule {
        id: "registry-tls",
        over: Milestone::Healthy,
        any: &[
            &["server gave HTTP response to HTTPS client"],
            &["first record does not look like a TLS handshake"],
            &["x509: certificate"],
        ],
        title: "docker refuses the container registry, which has no TLS or a certificate that the guest does not know",
        fix: "add the registry to `docker_insecure_registries` in the controller's trove.conf, or have its CA in the image",
    },
    Rule {
        id: "registry-unreachable",
        over: Milestone::Healthy,
        any: &[
            &["docker.errors", "connection refused"],
            &["docker.errors", "no such host"],
            &["docker.errors", "i/o timeout"],
            &["docker.errors", "Client.Timeout"],
            &["docker.errors", "no route to host"],
        ],
        title: "docker does not reach the registry of the database's container",
        fix: "check `docker_image` in trove-guestagent.conf, and the way from the management network to the registry",
    },
    Rule {
        id: "container-missing",
        over: Milestone::Healthy,
        any: &[&["manifest unknown"], &["manifest for", "not found"], &["pull access denied"]],
        title: "the registry has no such container",
        fix: "push the database's container under the name of `docker_image` with the datastore's version as its tag",
    },
    Rule {
        id: "container-unhealthy",
        over: Milestone::Healthy,
        any: &[&["Timeout while waiting for database status to change"]],
        title: "the database's container starts, and never becomes healthy",
        fix: "read the container's own log (`tib boot --ssh`, then `docker logs database`); a slow host needs a longer \
              `state_change_wait_time` in trove-guestagent.conf",
    },
];

/// What the agent says that is known.
pub(super) fn agent(missing: Milestone, seen: &Seen) -> Vec<Cause> {
    // What it said before it worked is over.
    if missing < Milestone::Agent && missing != Milestone::Docker || missing > Milestone::Healthy {
        return Vec::new();
    }
    // sudo tells what it is asked to do, whatever becomes of it.
    let lines: Vec<_> = seen.guest.agent_lines().filter(|line| !line.contains("COMMAND=")).collect();
    let found = |rule: &Rule| {
        let says = |line: &&&str| rule.any.iter().any(|words| words.iter().all(|word| line.contains(word)));
        let evidence: Vec<_> =
            lines.iter().rev().filter(says).take(2).map(|line| (*line).to_owned()).collect();
        (!evidence.is_empty()).then(|| Cause::new(rule.id, rule.title, rule.fix).with(evidence))
    };
    RULES.iter().filter(|rule| missing <= rule.over).filter_map(found).collect()
}

/// What a private broker's log says of the same.
pub(super) fn refusal(line: &str) -> Option<Cause> {
    let rule = |id: &str| RULES.iter().find(|rule| rule.id == id);
    let rule = match line {
        line if line.contains("PRECONDITION_FAILED") => rule("queue-arguments"),
        line if line.contains("vhost") => rule("vhost-missing"),
        line if line.contains("refused") || line.contains("invalid credentials") => rule("broker-refused"),
        _ => None,
    }?;
    Some(Cause::new(rule.id, rule.title, rule.fix).with([format!("broker: {line}")]))
}
