//! The message broker: a private one or the operator's, and what the agent does there.

mod choice;
pub(crate) mod envelope;
mod private;
mod url;
mod watch;

pub(crate) use choice::Broker;
pub(crate) use envelope::RpcKey;
pub use private::installed;
pub(crate) use private::{GUEST, PrivateBroker};
pub(crate) use watch::{BrokerState, Prepare, Shared, Wanted, watch};

/// What a private broker's log says of the guest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct BrokerLog {
    /// The guest has logged in.
    pub(crate) connected: bool,
    /// The last line that says that it was refused.
    pub(crate) refused: Option<String>,
    /// Somebody has connected at all.
    pub(crate) reached: bool,
}

impl BrokerLog {
    /// Reads it. Lines about ourselves are passed over.
    pub(crate) fn read(log: &str) -> Self {
        let mut found = Self::default();
        for line in log.lines() {
            let text = line.split_once("> ").map_or(line, |(_, text)| text);
            if line.contains("user 'tib'") {
                continue;
            }
            let granted = line.contains("authenticated and granted access");
            found.connected |= granted && line.contains(&format!("user '{GUEST}'"));
            let refused =
                ["refused", "invalid credentials", "not found", "PRECONDITION_FAILED", "access to vhost"];
            if !granted && line.contains("[error]") && refused.iter().any(|word| line.contains(word)) {
                found.refused = Some(text.to_owned());
            }
            found.reached |= line.contains("accepting AMQP connection");
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs() {
        let accepting = "2026-11-26 17:00:00.1 [info] <0.700.0> accepting AMQP connection <0.700.0> (127.0.0.1:1 -> 127.0.0.1:2)";
        let granted = "2026-11-26 17:00:00.2 [info] <0.700.0> connection <0.700.0> (127.0.0.1:1 -> 127.0.0.1:2 - \
                       guestagent): user 'trove' authenticated and granted access to vhost '/'";
        let ours = "2026-11-26 17:00:00.2 [info] <0.7.0> connection <0.7.0> (127.0.0.1:1 -> 127.0.0.1:2 - tib): user 'tib' \
                    authenticated and granted access to vhost '/'";
        let refused =
            "2026-11-26 17:00:00.3 [error] <0.7.0> PLAIN login refused: user 'trove' - invalid credentials";
        let log = BrokerLog::read(&[accepting, ours].join("\n"));
        assert!(log.reached && !log.connected && log.refused.is_none());
        assert!(BrokerLog::read(&[accepting, granted].join("\n")).connected);
        let log = BrokerLog::read(&[accepting, refused].join("\n"));
        assert_eq!(log.refused.unwrap(), "PLAIN login refused: user 'trove' - invalid credentials");
    }
}
