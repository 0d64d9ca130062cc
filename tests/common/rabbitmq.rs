//! A message broker as an operator has one: RabbitMQ with its own user, on loopback.

use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fs_err as fs;

/// A running broker, whose user is `guest` with the password `guest`.
#[derive(Debug)]
pub struct Broker {
    port: u16,
    server: Child,
    names: Child,
    _directory: tempfile::TempDir,
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Broker {
    pub fn start() -> Self {
        let directory = super::scratch();
        let home = directory.path();
        let (port, names_port, node_port) = (free_port(), free_port(), free_port());
        let file = |name: &str, text: &str| -> PathBuf {
            fs::write(home.join(name), text).unwrap();
            home.join(name)
        };
        file(
            "rabbitmq.conf",
            &format!("listeners.tcp.1 = 127.0.0.1:{port}\ndisk_free_limit.absolute = 1MB\n"),
        );
        let quiet = |command: &mut Command| {
            command
                .process_group(0)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap()
        };
        let names_port = names_port.to_string();
        let names = quiet(Command::new("epmd").args(["-address", "127.0.0.1", "-port", &names_port]));
        let server = quiet(
            Command::new("/usr/lib/rabbitmq/bin/rabbitmq-server")
                .env("HOME", home)
                .env("ERL_EPMD_PORT", &names_port)
                .env("ERL_EPMD_ADDRESS", "127.0.0.1")
                .env("RABBITMQ_NODENAME", format!("test-{port}@localhost"))
                .env("RABBITMQ_DIST_PORT", node_port.to_string())
                .env("RABBITMQ_MNESIA_BASE", home.join("mnesia"))
                .env("RABBITMQ_LOG_BASE", home.join("log"))
                .env("RABBITMQ_ENABLED_PLUGINS_FILE", file("plugins", "[]."))
                .env("RABBITMQ_CONF_ENV_FILE", file("environment.conf", ""))
                .env("RABBITMQ_CONFIG_FILE", home.join("rabbitmq"))
                .env("RABBITMQ_PID_FILE", home.join("pid"))
                .env(
                    "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
                    "-kernel inet_dist_use_interface {127,0,0,1} +S 1:1 +sbwt none",
                ),
        );
        let mut broker = Self { port, server, names, _directory: directory };
        broker.wait();
        broker
    }

    /// Where it listens on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    fn wait(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(180);
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let ended = self.server.try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < deadline, "RabbitMQ does not start: {ended:?}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // The script's own child is the server, which a signal to the script does not reach.
        let group = rustix::process::Pid::from_child(&self.server);
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        for child in [&mut self.server, &mut self.names] {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
