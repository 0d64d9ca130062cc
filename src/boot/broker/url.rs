//! URLs of brokers: oslo.messaging's `rabbit://`, and AMQP's own.

use std::net::{SocketAddr, ToSocketAddrs};

use lapin::uri::{AMQPScheme, AMQPUri};

/// Reads an operator's URL in either form.
pub(crate) fn parse(text: &str) -> Result<AMQPUri, String> {
    // oslo.messaging takes several, which the library would take for one password.
    if text.contains(',') {
        return Err("give one broker of the cluster".to_owned());
    }
    let rest = text.strip_prefix("rabbit://").or_else(|| text.strip_prefix("kombu+amqp://"));
    let amqp = match rest {
        Some(rest) => format!("amqp://{rest}"),
        None => text.to_owned(),
    };
    let mut uri: AMQPUri = amqp.parse()?;
    // Both `rabbit://host` and `rabbit://host/` mean the virtual host `/`.
    if uri.vhost.is_empty() {
        uri.vhost = "/".to_owned();
    }
    if uri.authority.userinfo.username.is_empty() {
        return Err(
            "give one broker, with user and password: amqp://USER:PASSWORD@HOST:5672/VHOST".to_owned()
        );
    }
    Ok(uri)
}

/// Whether messages go through TLS.
pub(crate) fn is_tls(uri: &AMQPUri) -> bool {
    uri.scheme == AMQPScheme::AMQPS
}

/// AMQP's own form.
pub(crate) fn amqp(uri: &AMQPUri) -> String {
    let (user, authority) = (&uri.authority.userinfo, &uri.authority);
    let scheme = if is_tls(uri) { "amqps" } else { "amqp" };
    format!(
        "{scheme}://{}:{}@{}:{}/{}?heartbeat=60",
        encode(&user.username),
        encode(&user.password),
        authority.host,
        authority.port,
        encode(&uri.vhost)
    )
}

/// Its address.
pub(crate) fn resolve(uri: &AMQPUri) -> Result<SocketAddr, String> {
    let place = (uri.authority.host.as_str(), uri.authority.port);
    let mut found = place.to_socket_addrs().map_err(|error| format!("`{}`: {error}", uri.authority.host))?;
    found.next().ok_or_else(|| format!("`{}` has no address", uri.authority.host))
}

/// oslo.messaging's form, with another host and port.
pub(crate) fn transport_url(uri: &AMQPUri, host: &str, port: u16) -> String {
    let user = &uri.authority.userinfo;
    let vhost = if uri.vhost == "/" { String::new() } else { encode(&uri.vhost) };
    format!("rabbit://{}:{}@{host}:{port}/{vhost}", encode(&user.username), encode(&user.password))
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
            ("http://controller", None),
            ("controller", None),
        ] {
            let found = parse(text).ok().map(|uri| transport_url(&uri, "10.0.2.100", 5672));
            assert_eq!(found.as_deref(), expected, "{text}");
        }
        assert!(is_tls(&parse("amqps://a:b@c:5671/").unwrap()));
    }
}
