//! URLs of an operator's broker: oslo.messaging's `rabbit://`, and AMQP's own.

use std::net::{SocketAddr, ToSocketAddrs};

use crate::oslo::{Broker, TransportUrl};

/// An operator's broker.
#[derive(Debug, Clone)]
pub(crate) struct OperatorUrl {
    broker: Broker,
    user: String,
    password: String,
    virtual_host: String,
    tls: bool,
}

impl OperatorUrl {
    /// Reads a URL in either form.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let url: TransportUrl = text.parse().map_err(|error: crate::oslo::BadTransport| error.to_string())?;
        if !["rabbit", "kombu+amqp", "amqp", "amqps"].contains(&url.driver.as_str()) {
            return Err(format!("`{}://` is no message broker's", url.driver));
        }
        let [broker] = url.brokers.as_slice() else {
            return Err("give one broker of the cluster".to_owned());
        };
        let (Some(user), Some(password)) = (broker.user.clone(), broker.password.clone()) else {
            return Err("it has no user and password".to_owned());
        };
        let tls = url.driver == "amqps";
        Ok(Self { broker: broker.clone(), user, password, virtual_host: url.virtual_host, tls })
    }

    /// Whether messages go through TLS.
    pub(crate) fn is_tls(&self) -> bool {
        self.tls
    }

    /// AMQP's own form.
    pub(crate) fn amqp(&self) -> String {
        let scheme = if self.tls { "amqps" } else { "amqp" };
        let host = if self.broker.host.contains(':') {
            format!("[{}]", self.broker.host)
        } else {
            self.broker.host.clone()
        };
        let (user, password) = (encode(&self.user), encode(&self.password));
        format!(
            "{scheme}://{user}:{password}@{host}:{}/{}?heartbeat=60",
            self.broker.port,
            encode(&self.virtual_host)
        )
    }

    /// Its address.
    pub(crate) fn resolve(&self) -> Result<SocketAddr, String> {
        let place = (self.broker.host.as_str(), self.broker.port);
        let mut found =
            place.to_socket_addrs().map_err(|error| format!("`{}`: {error}", self.broker.host))?;
        found.next().ok_or_else(|| format!("`{}` has no address", self.broker.host))
    }

    /// oslo.messaging's form, with another host.
    pub(crate) fn transport_url(&self, host: &str) -> String {
        let vhost = if self.virtual_host == "/" { String::new() } else { encode(&self.virtual_host) };
        format!("rabbit://{}:{}@{host}:5672/{vhost}", encode(&self.user), encode(&self.password))
    }
}

/// Percent-encodes what has a meaning in URLs.
fn encode(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            other => encoded.push_str(&format!("%{other:02X}")),
        }
        encoded
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        for (text, expected) in [
            ("rabbit://trove:secret@controller:5672/", Some("rabbit://trove:secret@10.0.2.100:5672/")),
            ("rabbit://trove:secret@controller:5672", Some("rabbit://trove:secret@10.0.2.100:5672/")),
            ("amqp://trove:s%40cret@controller/%2f", Some("rabbit://trove:s%40cret@10.0.2.100:5672/")),
            ("amqp://trove:secret@controller/trove", Some("rabbit://trove:secret@10.0.2.100:5672/trove")),
            ("rabbit://a:b@one:5672,a:b@two:5672/", None),
            ("rabbit://one:5672/", None),
            ("http://a:b@controller", None),
            ("controller", None),
        ] {
            let found = OperatorUrl::parse(text).ok().map(|url| url.transport_url("10.0.2.100"));
            assert_eq!(found.as_deref(), expected, "{text}");
        }
        let url = OperatorUrl::parse("amqps://a:b@c:5671/").unwrap();
        assert!(url.is_tls());
        assert_eq!(url.amqp(), "amqps://a:b@c:5671/%2F?heartbeat=60");
    }
}
