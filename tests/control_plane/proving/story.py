"""The story that proves an image: from an upload to a login, a restart and the end of the instance."""

from __future__ import annotations

import json
import re
import secrets
import subprocess
import time
from pathlib import Path
from typing import Any

from proving.databases import Database
from proving.errors import ProveError
from proving.openstack import Connection, Databases, Identity, Images, Json, wait
from proving.processes import Processes, is_alive
from proving.report import Report
from proving.services import REGION, ControlPlane
from proving.settings import HERE
from proving.watch import Growing, Watch
from stand_in.store import Store

# What Trove says of an instance that will not come any more.
HOPELESS = ("ERROR", "FAILED")
# Seconds for what is quick once the instance is there; an emulated guest is slow at it.
ACTION_LIMIT = 900
GIVEN_UP = re.compile(r"Exception during message handling(?:: )?(.*)")


class InstanceFailed(ProveError):
    """The instance will not come any more."""


class Story:
    def __init__(self, plane: ControlPlane, processes: Processes, report: Report, database: Database) -> None:
        self.plane, self.processes, self.report, self.database = plane, processes, report, database
        self.store = Store(plane.places.cloud)
        self.version = database.version(plane.options.suite)
        self.admin = Connection(plane.credentials("admin", "admin"))
        self.service = Connection(plane.credentials("trove", "service"))
        self.user = Connection(plane.credentials("demo", "demo"))
        self.instance = ""
        self.account = {"user": "clerk", "password": secrets.token_urlsafe(12), "database": "shop"}
        self.watch: Watch | None = None
        self.broken = Growing(plane.places.logs / "trove-taskmanager.log")

    def run(self) -> None:
        """All of it up to the restart; `delete` is the end."""
        self.populate()
        self.upload()
        self.register()
        self.create()
        self.wait_until_healthy()
        self.use()
        self.restart()

    def populate(self) -> None:
        """The projects, users and services that an operator makes."""
        plane, identity = self.plane, Identity(self.admin)
        service = identity.create_project("service")
        for name in ("glance", "trove"):
            identity.create_user(name, plane.password, service, ["admin", "service"])
        demo = identity.create_project("demo")
        identity.create_user("demo", plane.password, demo, ["member"])
        identity.create_service("glance", "image", plane.image_url, REGION)
        identity.create_service("trove", "database", f"{plane.database_url}/%(tenant_id)s", REGION)
        self.report.milestone("projects, users and services", "in Keystone")

    def upload(self) -> None:
        image = self.plane.options.image
        properties: Json = {
            "name": image.stem,
            "disk_format": "qcow2",
            "container_format": "bare",
            "visibility": "private",
            "hw_rng_model": "virtio",
            "tags": ["trove", self.database.name],
        }
        stored = Images(self.service, self.plane.image_url).create(image, properties)
        if stored["status"] != "active" or stored["size"] != image.stat().st_size:
            raise ProveError(f"Glance has the image as {stored['status']} with {stored['size']} bytes")
        self.report.milestone("image uploaded", f"{stored['size'] >> 20} MiB, {stored['id']}")

    def register(self) -> None:
        name = self.database.name
        Databases(self.admin, self.plane.database_url).register(
            {
                "datastore_name": name,
                "datastore_manager": name,
                "name": self.version,
                "version": self.version,
                "image_tags": ["trove", name],
                "packages": [],
                "active": True,
                "default": True,
            }
        )
        self.plane.load_parameters(name, self.version)
        self.report.milestone("datastore version registered", f"{name} {self.version}")

    @property
    def trove(self) -> Databases:
        return Databases(self.user, self.plane.database_url)

    def create(self) -> None:
        self.instance = self.trove.create(
            {
                "name": f"prove-{self.database.name}",
                "flavorRef": "1",
                "volume": {"size": self.database.volume},
                "datastore": {"type": self.database.name, "version": self.version},
                "nics": [{"net-id": self.plane.network.id}],
            }
        )
        self.report.milestone("instance requested", self.instance)

    def server(self) -> Json | None:
        """The stand-in's record of the machine."""
        return next(iter(self.store.all("servers")), None)

    def _look(self) -> None:
        """Tells what the machine has come to; fails if it is gone, or a service."""
        self.processes.check()
        # Of this Trove tells nobody: the instance stays in BUILD.
        given_up = GIVEN_UP.search(self.broken.news())
        if given_up:
            raise ProveError(f"the task manager gave up on a request: {given_up[1] or self._fault()}")
        server = self.server()
        if server is None:
            return
        if self.watch is None:
            self.watch = Watch(Path(server["place"]), self.plane.places.logs)
            self.report.power_on = time.monotonic() - (time.time() - server["started"])
            self.report.milestone("machine started", f"{self.plane.options.memory} MiB", in_guest=True)
        for name in self.watch.news():
            self.report.milestone(name, in_guest=True)
        if not is_alive(server["pid"]):
            raise ProveError("the virtual machine has ended", "its last words are in qemu.log and console.log")

    def _state(self) -> str:
        """The instance's state in Trove, as one word or two."""
        shown = self.trove.show(self.instance)
        status = str(shown["status"])
        if status in HOPELESS:
            raise InstanceFailed(f"Trove says {status} of the instance: {self._fault()}", self._hint())
        return f"{status}/{shown.get('operating_status') or 'no word yet'}"

    def _hint(self) -> str:
        return self.watch.otherwise if self.watch is not None else ""

    def _fault(self) -> str:
        """Why, as the administrator is told."""
        try:
            shown = Databases(self.admin, self.plane.database_url).show(self.instance)
        except ProveError as error:
            return f"(no reason to be had: {error})"
        fault = shown.get("fault") or {}
        return " ".join(str(fault.get(key, "")) for key in ("message", "details")).strip() or "it gives no reason"

    def wait_until_healthy(self) -> None:
        deadline = time.monotonic() + self.plane.options.timeout
        last = ""
        while True:
            self._look()
            state = self._state()
            if state != last:
                self.report.milestone(f"instance is {state}", in_guest=True)
                last = state
            if state == "ACTIVE/HEALTHY":
                return
            now, limit = time.monotonic(), self.plane.options.timeout
            if now > deadline:
                raise InstanceFailed(f"the instance is {state} after {limit:.0f} s (--timeout)", self._hint())
            # An agent takes a minute or two to come; waiting for one that does not helps nobody.
            powered = self.report.power_on
            if powered is not None and now > powered + limit / 2 and not (self.watch and self.watch.agent_came):
                raise InstanceFailed(
                    f"nothing was heard of the agent for {limit / 2:.0f} s after power-on", self._hint()
                )
            wait()

    def use(self) -> None:
        name = self.account["database"]
        self._retry("database created through Trove", lambda: self.trove.create_database(self.instance, name))
        self._until_named("databases", name)
        user, password = self.account["user"], self.account["password"]
        self._retry("user created through Trove", lambda: self.trove.create_user(self.instance, user, password, name))
        self._until_named("users", user)
        before = self.login(write=True)
        self.report.milestone("logged in from this host", f"{self.database.name} {before['version']}, a row written")

    def _retry(self, name: str, call: Any) -> None:
        call()
        self.report.milestone(name)

    def _until_named(self, what: str, name: str) -> None:
        """The agent answers a request before it has done it."""
        deadline = time.monotonic() + ACTION_LIMIT
        while name not in self.trove.names(self.instance, what):
            if time.monotonic() > deadline:
                raise ProveError(f"{name} is not among the instance's {what} after {ACTION_LIMIT} s")
            self._look()
            wait()

    def forwarded_port(self) -> int:
        server = self.server()
        if server is None:
            raise ProveError("the instance has no machine")
        port: int = server["forwards"][str(self.database.port)]
        return port

    def login(self, write: bool = False) -> Json:
        """The database's version and start, and proof that what was written is there."""
        request = {
            **self.account,
            "datastore": self.database.name,
            "port": self.forwarded_port(),
            "value": self.instance,
            "write": write,
        }
        python = str(self.plane.venv / "bin/python")
        command = [python, "-I", str(HERE / "proving" / "login.py")]
        done = subprocess.run(command, input=json.dumps(request), capture_output=True, text=True, timeout=180)
        if done.returncode != 0:
            last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise ProveError(f"no login from this host to port {request['port']}: {last}")
        answer: Json = json.loads(done.stdout)
        return answer

    def restart(self) -> None:
        before = self.login()["started"]
        self.trove.restart(self.instance)
        self.report.milestone("restart requested")
        deadline = time.monotonic() + ACTION_LIMIT
        reason = "it is still the same server"
        while time.monotonic() < deadline:
            self._look()
            state = self._state()
            if state == "ACTIVE/HEALTHY":
                try:
                    # Its clock counts whole seconds, and the guest's is not this host's.
                    if self.login()["started"] > before + 1:
                        self.report.milestone("restarted", "the row is still there")
                        return
                except ProveError as error:
                    reason = str(error)
            wait(5)
        raise ProveError(f"the database was not restarted within {ACTION_LIMIT} s: {state}, {reason}")

    def delete(self) -> None:
        server = self.server()
        self.trove.delete(self.instance)
        deadline = time.monotonic() + ACTION_LIMIT
        while not self.trove.is_gone(self.instance):
            self.processes.check()
            if time.monotonic() > deadline:
                raise ProveError(f"the instance is not deleted after {ACTION_LIMIT} s")
            wait()
        kinds = ("servers", "volumes", "ports", "security_groups")
        left = [f"{kind[:-1]} {record['id']}" for kind in kinds for record in self.store.all(kind)]
        if left or (server is not None and is_alive(server["pid"])):
            raise ProveError(f"the instance is deleted, and left behind: {', '.join(left) or 'its machine'}")
        self.report.milestone("instance deleted", "nothing of it is left")
