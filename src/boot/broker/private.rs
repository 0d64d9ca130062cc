//! A message broker of our own: RabbitMQ as an ordinary user, on loopback, in a directory that goes with it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::boot::BootError;
use crate::boot::ports::free_ports;
use crate::control::Control;
use crate::digest::Digest;
use crate::host::process::{self, Running};

/// Where distributions have the server's own script. The one on the path wants to be root.
const SERVERS: [&str; 3] = [
    "/usr/lib/rabbitmq/bin/rabbitmq-server",
    "/usr/lib64/rabbitmq/bin/rabbitmq-server",
    "/opt/rabbitmq/sbin/rabbitmq-server",
];
/// Erlang's name server, which must not outlive us.
const NAME_SERVERS: [&str; 3] = ["/usr/bin/epmd", "/usr/lib/erlang/bin/epmd", "/usr/lib64/erlang/bin/epmd"];
/// How long a server may take to accept connections: 10 s on a slow host.
const PATIENCE: Duration = Duration::from_secs(120);

/// Whom the guest is, in the private broker.
pub(crate) const GUEST: &str = "trove";
/// Whom tib is there.
const OURSELVES: &str = "tib";

/// A running broker. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct PrivateBroker {
    port: u16,
    password: String,
    log: PathBuf,
    // In this order: the server says goodbye to the name server.
    server: Running,
    _names: Running,
}

/// The script that starts a private RabbitMQ, if it is installed.
pub fn installed() -> Option<&'static str> {
    SERVERS.into_iter().find(|path| Path::new(path).exists())
}

impl PrivateBroker {
    /// Starts one with its files below `home`, and waits until it accepts connections.
    pub(crate) fn start(home: &Path, control: &Control) -> Result<Self, BootError> {
        let missing = BootError::Missing {
            what: "RabbitMQ",
            hint: "install rabbitmq-server (it need not run), or give a broker of yours with `--broker amqp://…`",
        };
        let (Some(server), Some(names)) =
            (installed(), NAME_SERVERS.into_iter().find(|path| Path::new(path).exists()))
        else {
            return Err(missing);
        };
        let password = uuid::Uuid::new_v4().simple().to_string();
        for name in ["mnesia", "log", "home"] {
            fs_err::create_dir_all(home.join(name)).map_err(BootError::prepare)?;
        }
        let [port, name_port, node_port] = free_ports()?;
        let write = |name: &str, text: &str| fs_err::write(home.join(name), text).map_err(BootError::prepare);
        write("environment.conf", "")?;
        write("plugins", "[].")?;
        write("definitions.json", &definitions(&password))?;
        write(
            "rabbitmq.conf",
            &format!(
                "listeners.tcp.1 = 127.0.0.1:{port}\nloopback_users = none\nload_definitions = {}\nlog.file.level = info\n\
                 disk_free_limit.absolute = 1MB\n",
                home.join("definitions.json").display()
            ),
        )?;

        let mut command = Command::new(names);
        command.args(["-address", "127.0.0.1", "-port", &name_port.to_string()]);
        let quiet = control.quiet();
        let start = |command: &mut Command| {
            process::spawn(command.stdin(Stdio::null()).stdout(Stdio::null()), &quiet)
                .map_err(|source| BootError::Process { doing: "starting a private broker", source })
        };
        let names = start(&mut command)?;
        let log = home.join("log/rabbit.log");
        let mut command = Command::new(server);
        command
            .env_remove("RABBITMQ_SERVER_START_ARGS")
            .env("HOME", home.join("home"))
            .env("RABBITMQ_NODENAME", format!("tib-{}-{port}@localhost", std::process::id()))
            .env("RABBITMQ_DIST_PORT", node_port.to_string())
            .env("ERL_EPMD_PORT", name_port.to_string())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_MNESIA_BASE", home.join("mnesia"))
            .env("RABBITMQ_LOG_BASE", home.join("log"))
            .env("RABBITMQ_LOGS", &log)
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", home.join("plugins"))
            .env("RABBITMQ_CONF_ENV_FILE", home.join("environment.conf"))
            .env("RABBITMQ_CONFIG_FILE", home.join("rabbitmq"))
            .env("RABBITMQ_PID_FILE", home.join("pid"))
            // One scheduler that sleeps when idle: the guest needs the processor more.
            .env(
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
                "-kernel inet_dist_use_interface {127,0,0,1} +S 1:1 +sbwt none +sbwtdcpu none +sbwtdio none",
            );
        let server = start(&mut command)?;
        let mut broker = Self { port, password, log, server, _names: names };
        broker.wait(control)?;
        Ok(broker)
    }

    fn wait(&mut self, control: &Control) -> Result<(), BootError> {
        let started = Instant::now();
        loop {
            control.cancel.check()?;
            let log = self.log();
            if log.contains("Server startup complete") {
                return Ok(());
            }
            let ended = self.server.wait_timeout(Duration::from_millis(100)).is_some();
            if ended || started.elapsed() > PATIENCE {
                let mut output: Vec<String> = log.lines().rev().take(10).map(str::to_owned).collect();
                output.reverse();
                output.extend(self.server.end());
                return Err(BootError::Broker { output });
            }
        }
    }

    /// Where it listens on this host.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The URL for ourselves.
    pub(crate) fn url(&self) -> String {
        format!("amqp://{OURSELVES}:{}@127.0.0.1:{}/%2f?heartbeat=60", self.password, self.port)
    }

    /// The password of both users.
    pub(crate) fn password(&self) -> &str {
        &self.password
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        fs_err::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }
}

/// The URL for the guest, which reaches a private broker at `host`, in the form of oslo.messaging.
pub(crate) fn transport_url(password: &str, host: &str) -> String {
    format!("rabbit://{GUEST}:{password}@{host}:5672/")
}

/// Two users, so that what the guest does can be told from what we do.
fn definitions(password: &str) -> String {
    let user = |name: &str, tags: &[&str]| {
        json!({
            "name": name,
            "password_hash": hash(password),
            "hashing_algorithm": "rabbit_password_hashing_sha256",
            "tags": tags,
        })
    };
    let permission =
        |name: &str| json!({ "user": name, "vhost": "/", "configure": ".*", "write": ".*", "read": ".*" });
    json!({
        "users": [user(GUEST, &[]), user(OURSELVES, &["administrator"])],
        "vhosts": [{ "name": "/" }],
        "permissions": [permission(GUEST), permission(OURSELVES)],
    })
    .to_string()
}

/// RabbitMQ's form of a salted password.
fn hash(password: &str) -> String {
    let salt = &uuid::Uuid::new_v4().into_bytes()[..4];
    let digest = Digest::of(&[salt, password.as_bytes()].concat());
    STANDARD.encode([salt, &digest.to_bytes()].concat())
}
