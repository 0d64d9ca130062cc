//! The agent's configuration, as it is injected.

use super::instance;

/// The agent's configuration: the operator's, or one that suffices. Where the guest reaches the broker is put last: of several
/// values oslo.config takes the last.
pub(crate) fn configuration(conf: Option<&str>, transport: Option<String>) -> String {
    match (conf, transport) {
        (Some(text), Some(url)) => format!("{}\n\n[DEFAULT]\ntransport_url = {url}\n", text.trim_end()),
        (Some(text), None) => text.to_owned(),
        (None, Some(url)) => instance::default_conf(&url),
        (None, None) => instance::default_conf("rabbit://nobody:nothing@127.0.0.1:5672/"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guest_reaches_the_broker_that_it_is_given() {
        let ours = || Some("rabbit://trove:x@10.0.2.100:5672/".to_owned());
        for (conf, transport, expected) in [
            (None, ours(), "transport_url = rabbit://trove:x@10.0.2.100:5672/\ncontrol_exchange = trove"),
            // The last one counts.
            (
                Some("[DEFAULT]\ntransport_url = a\n[mariadb]\n"),
                ours(),
                "[mariadb]\n\n[DEFAULT]\ntransport_url = rabbit:",
            ),
            (Some("[DEFAULT]\ntransport_url = a\n"), None, "[DEFAULT]\ntransport_url = a\n"),
            (None, None, "transport_url = rabbit://nobody:"),
        ] {
            let text = configuration(conf, transport);
            assert!(text.contains(expected), "{text}");
        }
    }
}
