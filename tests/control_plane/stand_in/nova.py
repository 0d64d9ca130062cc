"""Nova's client, as far as Trove uses it: servers are virtual machines of an ordinary user."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from novaclient import api_versions, exceptions

from proving.processes import is_alive
from stand_in import machine
from stand_in.store import Record, Settings, Store, Thing


class Flavors:
    """One flavor, made for the image."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def get(self, id: str) -> Thing:
        if str(id) != "1":
            raise exceptions.NotFound(404, f"no flavor {id}")
        record: Record = {
            "id": "1",
            "name": "prove",
            "ram": self.settings.memory,
            "vcpus": self.settings.processors,
            "disk": self.settings.disk,
            "ephemeral": 0,
        }
        record["links"] = [{"href": "http://127.0.0.1/flavors/1", "rel": rel} for rel in ("self", "bookmark")]
        return Thing(record)

    def list(self, *_: Any, **__: Any) -> list[Thing]:
        return [self.get("1")]


class Server(Thing):
    def __init__(self, record: Record, servers: Servers) -> None:
        super().__init__(record)
        self._servers = servers

    @property
    def status(self) -> str:
        return "ACTIVE" if is_alive(self.pid) else "SHUTOFF"

    def delete(self) -> None:
        self._servers.delete(self.id)

    def stop(self) -> None:
        machine.control(Path(self.place), "system_powerdown")

    def reboot(self, *_: Any, **__: Any) -> None:
        machine.control(Path(self.place), "system_reset")


class Servers:
    def __init__(self, context: Any, settings: Settings) -> None:
        self.context, self.settings = context, settings
        self.store = Store(settings.directory)

    def get(self, id: str) -> Server:
        record = self.store.load("servers", id)
        if record is None:
            raise exceptions.NotFound(404, f"no server {id}")
        return Server(record, self)

    def list(self, *_: Any, **__: Any) -> list[Server]:
        return [Server(record, self) for record in self.store.all("servers")]

    def set_tags(self, id: str, tags: Sequence[str]) -> None:
        pass

    def delete(self, id: str) -> None:
        record = self.store.load("servers", id)
        if record is not None:
            machine.stop(record["pid"])
            machine.remove_disks(Path(record["place"]))
            self.store.remove("servers", id)
            self.store.log("server deleted", id=id)

    def create(
        self,
        name: str,
        image_id: str,
        flavor_id: str,
        key_name: str | None = None,
        nics: Sequence[Record] | None = None,
        block_device_mapping_v2: Sequence[Record] | None = None,
        files: Record | None = None,
        userdata: str | None = None,
        config_drive: bool | None = None,
        meta: Record | None = None,
        **others: Any,
    ) -> Server:
        id = str(uuid.uuid4())
        self.store.log(
            "server requested",
            id=id,
            name=name,
            image=image_id,
            flavor=flavor_id,
            files=sorted(files or {}),
            user_data_bytes=len(userdata or ""),
            config_drive=config_drive,
            others=sorted(others),
        )
        # Short, for the name of the control socket has little room.
        place = self.store.path("machines", id[:8])
        place.mkdir()
        image = fetch_image(self.store, self.context, image_id)
        machine.make_overlay(image, place, self.settings.disk)
        ports = [self._bind(nic["port-id"], id) for nic in nics or []]
        volumes = [self._attach(mapping["uuid"], id) for mapping in block_device_mapping_v2 or []]
        record: Record = {
            "id": id,
            "name": name,
            "image_id": image_id,
            "flavor": {"id": str(flavor_id)},
            "key_name": key_name,
            "metadata": meta or {},
            "tenant_id": self.context.project_id,
            "addresses": {},
            "host": "localhost",
            "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "place": str(place),
        }
        tree = machine.write_metadata(place, record, ports, userdata, self.settings.public_key)
        drive = config_drive and not self.settings.metadata_service
        iso = machine.make_config_drive(place, tree) if drive else None
        forwards = machine.choose_forwards(self.settings)
        line = machine.command(self.settings, id, place, volumes, ports, forwards, iso)
        record["started"] = time.time()
        record["pid"] = machine.start(self.settings, place, line)
        record["forwards"] = {str(guest): host for guest, host in forwards.items()}
        self.store.log("server started", id=id, pid=record["pid"], forwards=forwards)
        return Server(self.store.save("servers", record), self)

    def _bind(self, port: str, server: str) -> Record:
        record = self.store.load("ports", port)
        if record is None:
            raise exceptions.NotFound(404, f"no port {port}")
        return self.store.save("ports", {**record, "device_id": server})

    def _attach(self, volume: str, server: str) -> Record:
        record = self.store.load("volumes", volume)
        if record is None:
            raise exceptions.NotFound(404, f"no volume {volume}")
        return self.store.save("volumes", {**record, "status": "in-use", "server": server})


def fetch_image(store: Store, context: Any, id: str) -> Path:
    """The image from the real Glance, with the token that Trove uses; once for each image."""
    path = store.path("images", id)
    if not path.exists():
        from trove.common import clients

        temporary = path.with_suffix(".part")
        with open(temporary, "wb") as file:
            for chunk in clients.create_glance_client(context).images.data(id):
                file.write(chunk)
        temporary.replace(path)
        store.log("image fetched", id=id, bytes=path.stat().st_size)
    return path


class ServerVolumes:
    def delete_server_volume(self, *_: Any) -> None:
        raise exceptions.BadRequest(400, "the stand-in changes no volumes of running servers")

    create_server_volume = delete_server_volume


class ServerGroups:
    def list(self, *_: Any, **__: Any) -> list[Thing]:
        return []


class Nova:
    # The first that takes user data for a rebuild.
    api_version = api_versions.APIVersion("2.57")

    def __init__(self, context: Any, settings: Settings) -> None:
        self.servers = Servers(context, settings)
        self.flavors = Flavors(settings)
        self.volumes = ServerVolumes()
        self.server_groups = ServerGroups()


def client(context: Any, region_name: str | None = None, password: str | None = None) -> Nova:
    return Nova(context, Settings.load())
