//! Which broker a boot has, and how the guest reaches it.

use std::net::SocketAddr;
use std::path::Path;

use super::{PrivateBroker, installed, url};
use crate::boot::{BootError, BootRequest, Network, RelayTarget};
use crate::control::Control;

/// Makes the guest's URL of the broker, given the address at which the guest reaches it.
type Transport = Box<dyn Fn(&str) -> String>;

/// The broker of a boot.
pub(crate) struct Broker {
    /// Where tib reaches it.
    pub(crate) url: Option<String>,
    /// Where the guest's connections go.
    pub(crate) relay: Option<RelayTarget>,
    /// What the guest's configuration is to say, if that is for us to say.
    pub(crate) transport: Option<Transport>,
    /// Our own.
    private: Option<PrivateBroker>,
}

impl std::fmt::Debug for Broker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl Broker {
    /// Takes the operator's, or starts one below `work` if an agent is there to use it.
    pub(crate) fn choose(
        request: &BootRequest,
        agent: bool,
        work: &Path,
        control: &Control,
    ) -> Result<Self, BootError> {
        let none = Self { url: None, relay: None, transport: None, private: None };
        match &request.broker {
            _ if !agent => Ok(none),
            Some(url) => Self::of_operator(url, request.network),
            None if installed().is_none() => {
                control.events.warning(
                    "RabbitMQ is not installed on this host (package rabbitmq-server): whether the agent registers is not tried",
                );
                Ok(none)
            }
            None => {
                let home = work.join("broker");
                let start = || PrivateBroker::start(&home, control);
                let private = control.events.stage("broker", "starting a private RabbitMQ", start)?;
                let target = SocketAddr::from(([127, 0, 0, 1], private.port()));
                let password = private.password().to_owned();
                Ok(Self {
                    url: Some(private.url()),
                    relay: Some(RelayTarget::Tcp(target)),
                    transport: Some(Box::new(move |host| super::private::transport_url(&password, host))),
                    private: Some(private),
                })
            }
        }
    }

    fn of_operator(text: &str, network: Network) -> Result<Self, BootError> {
        let wrong = |problem: String| BootError::Request {
            problem: format!("the broker's URL cannot be used: {problem}"),
            hint: "write it like amqp://USER:PASSWORD@HOST:5672/VHOST".to_owned(),
        };
        let uri = url::parse(text).map_err(wrong)?;
        let url = Some(url::amqp(&uri));
        if network == Network::Open {
            // The guest finds its own way, by the configuration as it is.
            return Ok(Self { url, relay: None, transport: None, private: None });
        }
        if url::is_tls(&uri) {
            return Err(wrong(
                "with TLS the guest must reach it by its own name: add `--network open`".to_owned(),
            ));
        }
        let address = url::resolve(&uri).map_err(wrong)?;
        Ok(Self {
            url,
            relay: Some(RelayTarget::Tcp(address)),
            transport: Some(Box::new(move |host| url::transport_url(&uri, host, 5672))),
            private: None,
        })
    }

    /// What it is, for people.
    pub(crate) fn name(&self) -> &'static str {
        match (&self.private, &self.url) {
            (Some(_), _) => "a private RabbitMQ",
            (None, Some(_)) => "the operator's",
            (None, None) => "none",
        }
    }

    /// What it has logged, if it is ours.
    pub(crate) fn log(&self) -> Option<String> {
        self.private.as_ref().map(PrivateBroker::log)
    }
}
