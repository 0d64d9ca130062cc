//! The controller's and the guest's file against each other: both must meet at one broker, in one way.

use crate::oslo::{Config, DEFAULT};
use crate::verify::part::{Found, ReportPart, joined};

use super::{DATASTORES, flag};

/// How queues are made; the second who asks for one must ask for the same.
const QUEUES: [&str; 4] =
    ["amqp_durable_queues", "rabbit_quorum_queue", "rabbit_transient_quorum_queue", "rabbit_stream_fanout"];

pub(super) fn check(guest: &Config, controller: &Config, part: &mut ReportPart) {
    let exchanges = (guest.control_exchange(), controller.control_exchange());
    part.check(
        "both files name one exchange",
        Ok((exchanges.0 != exchanges.1).then(|| {
            format!(
                "control_exchange is {} in trove-guestagent.conf and {} in trove.conf",
                exchanges.0, exchanges.1
            )
        })),
        "the agent listens at one exchange and Trove speaks at another, both without a complaint",
        "set control_exchange = trove in [DEFAULT] of both files; without it, it is openstack",
    );
    let hosts =
        [guest, controller].map(|config| config.transport().and_then(Result::ok).map(|url| url.virtual_host));
    part.check(
        "both files name one virtual host",
        Ok(match hosts {
            [Some(one), Some(other)] if one != other => {
                Some(format!("{one} in trove-guestagent.conf and {other} in trove.conf"))
            }
            _ => None,
        }),
        "messages never cross from one virtual host of RabbitMQ to another",
        "let transport_url end in the same name in both files",
    );
    part.check(
        "both files make queues in one way",
        queues(guest, controller),
        "RabbitMQ refuses a queue that is asked for in another way than it was made (PRECONDITION_FAILED), so the agent never \
         listens",
        "copy these options of [oslo_messaging_rabbit] from trove.conf to trove-guestagent.conf",
    );
    part.warn(
        "a registry may need to be allowed without TLS",
        Ok(joined(&registries(guest, controller))),
        "docker refuses a registry without TLS that it is not told of, and the instance fails to spawn",
        "add the registry to docker_insecure_registries in trove.conf, if it has no TLS",
    );
}

/// Without the controller's file the name that all guides give is what counts.
pub(super) fn check_alone(guest: &Config, part: &mut ReportPart) {
    let exchange = guest.control_exchange();
    part.warn(
        "the agent's exchange is not Trove's usual one",
        Ok((exchange != "trove").then(|| format!("control_exchange is {exchange}"))),
        "if trove.conf says another, the agent listens at one exchange and Trove speaks at the other",
        "set control_exchange = trove in both files, or compare them with --trove-conf",
    );
}

fn queues(guest: &Config, controller: &Config) -> Found {
    const SECTION: &str = "oslo_messaging_rabbit";
    let mut wrong = Vec::new();
    for key in QUEUES {
        let (ours, theirs) = (flag(guest, SECTION, key)?, flag(controller, SECTION, key)?);
        if ours != theirs {
            let word = |on: bool| if on { "on" } else { "off" };
            wrong.push(format!(
                "{key} is {} in trove-guestagent.conf and {} in trove.conf",
                word(ours),
                word(theirs)
            ));
        }
    }
    Ok(joined(&wrong))
}

/// Registries with a port of their own, which is where those without TLS are, that docker is not told of.
fn registries(guest: &Config, controller: &Config) -> Vec<String> {
    let allowed = controller.list(DEFAULT, "docker_insecure_registries");
    let mut found = Vec::new();
    for datastore in DATASTORES {
        for key in ["docker_image", "backup_docker_image"] {
            let Some(image) = guest.get(datastore, key) else { continue };
            let Some((registry, _)) = image.split_once('/') else { continue };
            let odd =
                registry.rsplit_once(':').is_some_and(|(host, port)| port != "443" && host != "localhost");
            if odd && !allowed.iter().any(|known| known == registry) {
                found.push(format!("[{datastore}] {key} is at {registry}"));
            }
        }
    }
    found
}
