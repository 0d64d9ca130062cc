"""RabbitMQ as an ordinary user, with the distribution's programs and everything it writes in one directory."""

from __future__ import annotations

import secrets
import shutil
from pathlib import Path

from proving.errors import HostError
from proving.processes import Processes, answers, free_ports
from proving.settings import clean_environment

# The scripts themselves; those in /usr/sbin want to be root first.
PROGRAMS = ("/usr/lib/rabbitmq/bin/rabbitmq-server", "/usr/lib64/rabbitmq/bin/rabbitmq-server")
GREETING = b"AMQP\x00\x00\x09\x01"
USER = "trove"


def program() -> str:
    for path in PROGRAMS:
        if Path(path).is_file():
            return path
    found = shutil.which("rabbitmq-server")
    if found is None:
        raise HostError("no rabbitmq-server here", "`make setup` installs it, and starts no service")
    return found


class Rabbit:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port, self.epmd_port, self.distribution_port = free_ports(3)
        self.password = secrets.token_hex(12)

    def url(self, address: str, port: int) -> str:
        return f"rabbit://{USER}:{self.password}@{address}:{port}/"

    def configuration(self) -> str:
        return (
            f"listeners.tcp.1 = 127.0.0.1:{self.port}\n"
            f"default_user = {USER}\n"
            f"default_pass = {self.password}\n"
            "default_permissions.configure = .*\n"
            "default_permissions.read = .*\n"
            "default_permissions.write = .*\n"
            "log.file.level = info\n"
        )

    def environment(self) -> dict[str, str]:
        """Every path and port of RabbitMQ and Erlang that is otherwise the system's."""
        here = str(self.directory)
        return {
            **clean_environment(),
            "HOME": f"{here}/home",
            "RABBITMQ_NODENAME": "prove@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self.distribution_port),
            "ERL_EPMD_PORT": str(self.epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_MNESIA_BASE": f"{here}/mnesia",
            "RABBITMQ_LOG_BASE": f"{here}/log",
            "RABBITMQ_GENERATED_CONFIG_DIR": f"{here}/config",
            "RABBITMQ_CONFIG_FILE": f"{here}/rabbitmq",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{here}/enabled_plugins",
            "RABBITMQ_CONF_ENV_FILE": f"{here}/environment",
            "RABBITMQ_PID_FILE": f"{here}/pid",
            # On the loopback alone; and no spinning schedulers, which cost an emulated guest its processor.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1} +S 1:1 +sbwt none",
        }

    def start(self, processes: Processes, logs: Path) -> None:
        for name in ("home", "mnesia", "config"):
            (self.directory / name).mkdir(parents=True)
        (self.directory / "log").symlink_to(logs)
        (self.directory / "rabbitmq.conf").write_text(self.configuration())
        (self.directory / "enabled_plugins").write_text("[].\n")
        (self.directory / "environment").write_text("")
        epmd = shutil.which("epmd")
        if epmd is None:
            raise HostError("no epmd here, which Erlang brings", "`make setup` installs rabbitmq-server with it")
        environment = self.environment()
        # Erlang would start it as a daemon that outlives the run.
        processes.start("epmd", [epmd], environment, self.directory)
        processes.wait_until("epmd", lambda: answers(self.epmd_port), 30)
        processes.start("rabbitmq", [program()], environment, self.directory)
        ready = lambda: answers(self.port, GREETING, b"RabbitMQ")  # noqa: E731
        processes.wait_until("RabbitMQ", ready, 180)
