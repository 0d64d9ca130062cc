"""Keystone, Glance and Trove: their configuration, their databases, their processes."""

from __future__ import annotations

import dataclasses
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path

from proving.errors import ProveError
from proving.mariadb import MariaDb
from proving.processes import Processes, answers, free_ports, run_recorded
from proving.rabbit import Rabbit
from proving.settings import HERE, Options, Places, clean_environment
from stand_in.store import SETTINGS_VARIABLE, Network

REGION = "RegionOne"
# Where a guest finds the services, at the address `Network.services`.
GUEST_AMQP_PORT, GUEST_REGISTRY_PORT = 5672, 5000

Sections = Mapping[str, Mapping[str, object]]


def ini(sections: Sections) -> str:
    """The text of a configuration file; a list becomes commas."""
    lines = []
    for section, options in sections.items():
        lines.append(f"[{section}]")
        for key, value in options.items():
            if isinstance(value, (list, tuple)):
                value = ",".join(map(str, value))
            # oslo.config substitutes what follows a dollar sign.
            lines.append(f"{key} = {str(value).replace('$', '$$')}")
        lines.append("")
    return "\n".join(lines)


@dataclasses.dataclass
class ControlPlane:
    """The services of a run, with their ports and passwords."""

    places: Places
    options: Options
    venv: Path
    rabbit: Rabbit
    mariadb: MariaDb
    network: Network
    image_name: str
    keystone_port: int = 0
    glance_port: int = 0
    trove_port: int = 0
    password: str = dataclasses.field(default_factory=lambda: secrets.token_hex(12))

    def __post_init__(self) -> None:
        self.keystone_port, self.glance_port, self.trove_port = free_ports(3)

    @property
    def auth_url(self) -> str:
        return f"http://127.0.0.1:{self.keystone_port}/v3"

    @property
    def image_url(self) -> str:
        return f"http://127.0.0.1:{self.glance_port}"

    @property
    def database_url(self) -> str:
        return f"http://127.0.0.1:{self.trove_port}/v1.0"

    def _at(self, *parts: str) -> Path:
        return self.places.run.joinpath(*parts)

    def credentials(self, user: str, project: str) -> dict[str, str]:
        return {
            "auth_url": self.auth_url,
            "username": user,
            "password": self.password,
            "project_name": project,
            "user_domain_name": "Default",
            "project_domain_name": "Default",
            "region_name": REGION,
        }

    def _service_credentials(self, user: str) -> dict[str, object]:
        return {
            **self.credentials(user, "service"),
            "auth_type": "password",
            "www_authenticate_uri": self.auth_url,
            "service_token_roles_required": True,
        }

    def keystone_conf(self) -> str:
        keys = self._at("keystone", "keys")
        return ini(
            {
                "DEFAULT": {"log_file": self.places.logs / "keystone.log", "debug": self.options.debug},
                "database": {"connection": self.mariadb.url("keystone")},
                "token": {"provider": "fernet"},
                "fernet_tokens": {"key_repository": keys},
                "fernet_receipts": {"key_repository": keys},
                "credential": {"key_repository": self._at("keystone", "credential-keys")},
                "cache": {"enabled": False},
            }
        )

    def glance_conf(self) -> str:
        return ini(
            {
                "DEFAULT": {
                    "log_file": self.places.logs / "glance.log",
                    "debug": self.options.debug,
                    "enabled_backends": "disk:file",
                    "node_staging_uri": f"file://{self._at('glance', 'staging')}",
                    "use_keystone_limits": False,
                    "worker_self_reference_url": self.image_url,
                },
                "database": {"connection": self.mariadb.url("glance")},
                "paste_deploy": {"flavor": "keystone"},
                "glance_store": {"default_backend": "disk"},
                "disk": {"filesystem_store_datadir": self._at("glance", "images")},
                "os_glance_staging_store": {"filesystem_store_datadir": self._at("glance", "staging")},
                "os_glance_tasks_store": {"filesystem_store_datadir": self._at("glance", "tasks")},
                "keystone_authtoken": self._service_credentials("glance"),
            }
        )

    def trove_conf(self) -> str:
        """An emulated guest is slow: times that are too short for it are longer here than Trove's own."""
        return ini(
            {
                "DEFAULT": {
                    "log_dir": self.places.logs,
                    "debug": self.options.debug,
                    "transport_url": self.rabbit.url("127.0.0.1", self.rabbit.port),
                    "control_exchange": "trove",
                    "bind_host": "127.0.0.1",
                    "bind_port": self.trove_port,
                    "host": "127.0.0.1",
                    "trove_api_workers": 1,
                    "trove_conductor_workers": 1,
                    "api_paste_config": self._at("trove", "api-paste.ini"),
                    "remote_nova_client": "stand_in.nova.client",
                    "remote_neutron_client": "stand_in.neutron.client",
                    "remote_cinder_client": "stand_in.cinder.client",
                    "remote_swift_client": "stand_in.cinder.no_object_store",
                    "guest_config": self._at("trove", "trove-guestagent.conf"),
                    "cloudinit_location": self._at("trove", "cloudinit"),
                    "template_path": self._at("trove", "templates"),
                    "management_networks": "",
                    "trove_volume_support": True,
                    "default_datastore": self.options.datastore,
                    "docker_insecure_registries": f"{self.network.services}:{GUEST_REGISTRY_PORT}",
                    "use_nova_server_config_drive": not self.options.metadata,
                    "nova_keypair": "prove",
                    "injected_config_owner": "ubuntu",
                    "usage_timeout": int(self.options.timeout),
                    "agent_call_low_timeout": 60,
                    "agent_call_high_timeout": 600,
                    "agent_heartbeat_expiry": 300,
                },
                "database": {"connection": self.mariadb.url("trove")},
                "network": {"network_isolation": False, "enable_access_check": False},
                "service_credentials": self.credentials("trove", "service"),
                "keystone_authtoken": self._service_credentials("trove"),
                "oslo_messaging_notifications": {"driver": "noop"},
            }
        )

    def agent_conf(self) -> str:
        """What Trove puts into every guest as `trove-guestagent.conf`."""
        address = self.network.services
        return ini(
            {
                "DEFAULT": {
                    "debug": self.options.debug,
                    "transport_url": self.rabbit.url(address, GUEST_AMQP_PORT),
                    "control_exchange": "trove",
                    "log_dir": "/var/log/trove/",
                    "log_file": "trove-guestagent.log",
                    "command_process_timeout": 300,
                    "state_change_wait_time": 900,
                },
                self.options.datastore: {"docker_image": f"{address}:{GUEST_REGISTRY_PORT}/{self.image_name}"},
            }
        )

    def write(self, probe: str) -> None:
        """All files; `probe` is what every guest gets besides, as cloud-init's configuration."""
        directories = ("keystone/keys", "keystone/credential-keys", "glance/images", "glance/staging", "glance/tasks")
        for name in (*directories, "trove/cloudinit", "trove/templates"):
            self._at(name).mkdir(parents=True, mode=0o700)
        shutil.copy(self.venv / "etc/glance/glance-api-paste.ini", self._at("glance"))
        shutil.copy(self.venv / "etc/trove/api-paste.ini", self._at("trove"))
        self._at("keystone/keystone.conf").write_text(self.keystone_conf())
        self._at("glance/glance-api.conf").write_text(self.glance_conf())
        self._at("trove/trove.conf").write_text(self.trove_conf())
        self._at("trove/trove-guestagent.conf").write_text(self.agent_conf())
        self._at("trove/cloudinit", f"{self.options.datastore}.cloudinit").write_text(probe)

    def environment(self) -> dict[str, str]:
        environment = clean_environment()
        environment["PATH"] = f"{self.venv / 'bin'}:{environment.get('PATH', '/usr/bin:/bin')}"
        environment["PYTHONPATH"] = str(HERE)
        environment["PYTHONDONTWRITEBYTECODE"] = "1"
        environment["OS_KEYSTONE_CONFIG_DIR"] = str(self._at("keystone"))
        environment["OS_GLANCE_CONFIG_DIR"] = str(self._at("glance"))
        environment[SETTINGS_VARIABLE] = str(self._at("stand-in.json"))
        return environment

    def _run(self, name: str, program: str, *arguments: str) -> None:
        log = self.places.logs / "databases.out"
        command = [str(self.venv / "bin" / program), *arguments]
        if run_recorded(program, command, self.environment(), self.places.pids, log, self.places.run) != 0:
            raise ProveError(f"{name}: {program} failed", f"its output is in {log.name}")

    def make_databases(self) -> None:
        keystone = ["keystone-manage", "--config-file", str(self._at("keystone/keystone.conf"))]
        self._run("Keystone's database", *keystone, "db_sync")
        self._run("Keystone's keys", *keystone, "fernet_setup")
        self._run("Keystone's keys", *keystone, "credential_setup")
        bootstrap = ["bootstrap", "--bootstrap-password", self.password, "--bootstrap-region-id", REGION]
        for kind in ("admin", "internal", "public"):
            bootstrap += [f"--bootstrap-{kind}-url", self.auth_url]
        self._run("Keystone's first user", *keystone, *bootstrap)
        glance = ["glance-manage", "--config-file", str(self._at("glance/glance-api.conf"))]
        self._run("Glance's database", *glance, "db_sync")
        self._run("Trove's database", "trove-manage", "--config-file", str(self._at("trove/trove.conf")), "db_sync")

    def load_parameters(self, datastore: str, version: str) -> None:
        """Which options of its configuration a user may change, as Trove's documentation asks for."""
        rules = next(self.venv.glob(f"lib/python*/site-packages/trove/templates/{datastore}/validation-rules.json"))
        conf = str(self._at("trove/trove.conf"))
        load = ["db_load_datastore_config_parameters", datastore, version, str(rules)]
        self._run("the datastore's parameters", "trove-manage", "--config-file", conf, *load)

    def start_keystone(self, processes: Processes) -> None:
        # Without the header, uwsgi resets clients that keep their connection.
        listen = ["--http-socket", f"127.0.0.1:{self.keystone_port}", "--add-header", "Connection: close"]
        self._uwsgi(processes, "keystone", "keystone.wsgi.api:application", listen)
        processes.wait_until("Keystone", lambda: answers(self.keystone_port), 120)

    def start_glance(self, processes: Processes) -> None:
        # Images come in pieces whose sum is not known before.
        listen = ["--http", f"127.0.0.1:{self.glance_port}", "--http-chunked-input", "--http-auto-chunked"]
        listen += ["--add-header", "Connection: close", "--http-timeout", "600", "--socket-timeout", "600"]
        self._uwsgi(processes, "glance", "glance.wsgi.api:application", [*listen, "--threads", "4"])
        processes.wait_until("Glance", lambda: answers(self.glance_port), 120)

    def _uwsgi(self, processes: Processes, name: str, module: str, listen: list[str]) -> None:
        command = [str(self.venv / "bin/uwsgi"), "--master", "--die-on-term", "--enable-threads", "--lazy-apps"]
        command += ["--need-app", "--buffer-size", "65535", "--processes", "1", *listen, "--module", module]
        processes.start(name, command, self.environment(), self.places.run)

    def start_trove(self, processes: Processes) -> None:
        for name in ("trove-conductor", "trove-taskmanager", "trove-api"):
            command = [str(self.venv / "bin" / name), "--config-file", str(self._at("trove/trove.conf"))]
            processes.start(name, command, self.environment(), self.places.run)
        processes.wait_until("trove-api", lambda: answers(self.trove_port), 180)
