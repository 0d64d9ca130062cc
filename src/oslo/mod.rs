//! Configuration files of OpenStack's services, as oslo.config reads them, and the address of the message broker in them.
//!
//! Pure but for [`Config::load`]. The text is untrusted: whatever it is, parsing ends in a value or in an error.

mod config;
mod ini;
mod transport;

pub use config::{Config, ConfigError};
pub use ini::{DEFAULT, ParseError, Section};
pub use transport::{BadTransport, Broker, TransportUrl};
