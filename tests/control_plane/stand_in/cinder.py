"""Cinder's client, as far as Trove uses it: volumes are sparse files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cinderclient import exceptions

from stand_in.store import Record, Settings, Store, Thing


class Volume(Thing):
    def __init__(self, record: Record, volumes: Volumes) -> None:
        super().__init__(record)
        self._volumes = volumes

    def delete(self) -> None:
        self._volumes.delete(self)


class Volumes:
    def __init__(self, store: Store) -> None:
        self.store = store

    def create(self, size: int, name: str | None = None, volume_type: str | None = None, **others: Any) -> Volume:
        """A volume of `size` GiB."""
        record = self.store.save(
            "volumes",
            {"size": size, "name": name, "status": "available", "volume_type": volume_type, "attachments": []},
        )
        record["path"] = str(self.store.path("volumes", f"{record['id']}.raw"))
        with open(record["path"], "wb") as file:
            file.truncate(size << 30)
        self.store.log("volume created", id=record["id"], gib=size, others=sorted(others))
        return Volume(self.store.save("volumes", record), self)

    def get(self, id: str) -> Volume:
        record = self.store.load("volumes", id)
        if record is None:
            raise exceptions.NotFound(404, f"no volume {id}")
        return Volume(record, self)

    def list(self, search_opts: Record | None = None, **_: Any) -> list[Volume]:
        wanted = (search_opts or {}).get("name")
        found = self.store.all("volumes")
        return [Volume(record, self) for record in found if wanted in (None, record["name"])]

    def delete(self, volume: Any) -> None:
        id = getattr(volume, "id", volume)
        record = self.store.load("volumes", id)
        if record is not None:
            Path(record["path"]).unlink(missing_ok=True)
            self.store.remove("volumes", id)
            self.store.log("volume deleted", id=id)


class VolumeTypes:
    def list(self, *_: Any, **__: Any) -> list[Thing]:
        return []

    def get(self, id: str) -> Thing:
        return Thing({"id": id, "name": id})


class Cinder:
    def __init__(self, store: Store) -> None:
        self.volumes = Volumes(store)
        self.volume_types = VolumeTypes()


def client(context: Any, region_name: str | None = None) -> Cinder:
    return Cinder(Store(Settings.load().directory))


def no_object_store(context: Any, region_name: str | None = None) -> Any:
    """Swift's client: there is none, so backups are not to be had."""
    raise RuntimeError("there is no object store in this control plane")
