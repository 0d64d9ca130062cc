//! `transport_url`: where the message broker is.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// The address of a broker, or of several that make one: `rabbit://USER:PASSWORD@HOST:PORT[,…]/VHOST?QUERY`.
///
/// [`fmt::Debug`] and [`fmt::Display`] show no password.
#[derive(Clone, PartialEq, Eq)]
pub struct TransportUrl {
    /// The driver: `rabbit`.
    pub driver: String,
    /// The brokers, at least one.
    pub brokers: Vec<Broker>,
    /// The virtual host, `/` if the URL names none.
    pub virtual_host: String,
    /// What stands behind `?`, as pairs.
    pub query: Vec<(String, String)>,
}

/// One broker.
#[derive(Clone, PartialEq, Eq)]
pub struct Broker {
    /// Name or address, without the brackets of IPv6.
    pub host: String,
    /// TCP port; 5672 if the URL names none.
    pub port: u16,
    /// Who logs in.
    pub user: Option<String>,
    /// With what.
    pub password: Option<String>,
}

/// Why a text is no address of a broker. The text itself may hold a password, and is not in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadTransport(&'static str);

/// RabbitMQ's port, where none is named.
const PORT: u16 = 5672;

impl Broker {
    /// The address, if it is one.
    pub fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    /// It can only mean the machine that asks.
    pub fn is_local(&self) -> bool {
        let name = self.host.trim_end_matches('.').to_ascii_lowercase();
        let unspecific = |address: IpAddr| address.is_loopback() || address.is_unspecified();
        name == "localhost"
            || name.ends_with(".localhost")
            || name.starts_with("localhost.")
            || self.address().is_some_and(unspecific)
    }
}

impl FromStr for TransportUrl {
    type Err = BadTransport;

    fn from_str(text: &str) -> Result<Self, BadTransport> {
        let text = text.trim();
        let (driver, rest) =
            text.split_once("://").ok_or(BadTransport("it has no `rabbit://` at its beginning"))?;
        if driver.is_empty()
            || !driver.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
        {
            return Err(BadTransport("it has no `rabbit://` at its beginning"));
        }
        // As everywhere in URLs, whoever has one of these in a password writes it as %23, %3F or %2F.
        let rest = rest.split('#').next().unwrap_or_default();
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
        let brokers: Vec<_> =
            hosts.split(',').filter(|host| !host.is_empty()).map(broker).collect::<Result<_, _>>()?;
        if brokers.is_empty() {
            return Err(BadTransport("it names no host"));
        }
        let query = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(&key.replace('+', " ")), decoded(&value.replace('+', " ")))
        });
        let virtual_host = if path.is_empty() { "/".to_owned() } else { decoded(path) };
        Ok(Self { driver: driver.to_ascii_lowercase(), brokers, virtual_host, query: query.collect() })
    }
}

fn broker(text: &str) -> Result<Broker, BadTransport> {
    let (login, place) = text.rsplit_once('@').map_or((None, text), |(login, place)| (Some(login), place));
    let (user, password) = match login.map(|login| login.split_once(':').ok_or(login)) {
        None => (None, None),
        Some(Ok((user, password))) => (Some(decoded(user)), Some(decoded(password))),
        Some(Err(user)) => (Some(decoded(user)), None),
    };
    let (host, port) = if let Some(rest) = place.strip_prefix('[') {
        let (host, rest) =
            rest.split_once(']').ok_or(BadTransport("the bracket of an address is not closed"))?;
        match rest.strip_prefix(':') {
            Some(port) => (host, Some(port)),
            None if rest.is_empty() => (host, None),
            None => return Err(BadTransport("something stands between an address and its port")),
        }
    } else if place.matches(':').count() == 1 {
        let (host, port) = place.split_once(':').unwrap_or((place, ""));
        (host, Some(port))
    } else {
        (place, None)
    };
    if host.is_empty() || host.contains(char::is_whitespace) {
        return Err(BadTransport("it names no host"));
    }
    let port = match port {
        None => PORT,
        Some(port) => {
            port.parse().ok().filter(|&port| port > 0).ok_or(BadTransport("a port is no number"))?
        }
    };
    Ok(Broker { host: host.to_owned(), port, user, password })
}

/// Resolves `%XX`; what is no such thing stays as it is.
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let digits = (byte == b'%').then(|| bytes.get(at + 1..at + 3)).flatten();
        let value = digits.filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let value = value.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        plain.push(value.unwrap_or(byte));
        at += if value.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&plain).into_owned()
}

impl fmt::Display for TransportUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.driver)?;
        for (at, broker) in self.brokers.iter().enumerate() {
            write!(f, "{}{broker}", if at > 0 { "," } else { "" })?;
        }
        write!(f, "/{}", self.virtual_host.trim_start_matches('/'))
    }
}

impl fmt::Display for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(user) = &self.user {
            write!(f, "{user}{}@", if self.password.is_some() { ":***" } else { "" })?;
        }
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

impl fmt::Debug for TransportUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TransportUrl({self})")
    }
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Broker({self})")
    }
}
