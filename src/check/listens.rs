//! What listens on the network in a running instance.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A port that something listens on once an instance of the image runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Listens {
    /// The port.
    pub port: u16,
    /// `tcp` (by default) or `udp`.
    #[serde(default)]
    pub protocol: Protocol,
    /// `any`: on all addresses (by default); `loopback`: where only the instance itself reaches it.
    #[serde(default)]
    pub on: ListensOn,
}

/// A transport protocol.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
        })
    }
}

/// Addresses that are listened on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ListensOn {
    /// All.
    #[default]
    Any,
    /// The loopback addresses.
    Loopback,
}

impl fmt::Display for Listens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let on = match self.on {
            ListensOn::Any => "all addresses",
            ListensOn::Loopback => "loopback addresses alone",
        };
        write!(f, "{} port {} is listened on, on {on}", self.protocol, self.port)
    }
}
