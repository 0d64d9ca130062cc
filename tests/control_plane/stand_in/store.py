"""What the stand-in remembers: JSON files below one directory, and the settings that `prove.py` gives it."""

from __future__ import annotations

import dataclasses
import json
import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SETTINGS_VARIABLE = "TIB_STAND_IN"

Record = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Network:
    """The one network: qemu's user network, in which every guest is alone and has the same address."""

    id: str
    cidr: str
    host: str
    guest: str
    # Where the guest finds the services of the host, each at the port it is known by.
    services: str


@dataclasses.dataclass(frozen=True)
class Settings:
    """What `prove.py` decides."""

    directory: Path
    # Where the process of a server is recorded, so that it is ended with the rest (`proving/processes.py`).
    pids: Path
    qemu: str
    accelerator: str
    network: Network
    # Serve metadata over the network, even if Trove asks for a config drive.
    metadata_service: bool
    # The guest reaches the services alone, or also the host's network.
    restricted: bool
    # Port in the guest's network → port on this host's loopback.
    reachable: dict[int, int]
    # Ports of the guest that get a port on this host's loopback.
    forwarded: list[int]
    # MiB, processors and GiB.
    memory: int
    processors: int
    disk: int
    public_key: str

    @staticmethod
    def load() -> Settings:
        """Reads the file that the environment names."""
        return Settings.parse(Path(os.environ[SETTINGS_VARIABLE]).read_text())

    @staticmethod
    def parse(text: str) -> Settings:
        read = json.loads(text)
        read["directory"], read["pids"] = Path(read["directory"]), Path(read["pids"])
        read["network"] = Network(**read["network"])
        read["reachable"] = {int(guest): host for guest, host in read["reachable"].items()}
        return Settings(**read)

    def text(self) -> str:
        return json.dumps(dataclasses.asdict(self), indent=1, default=str)


class Store:
    """Records of several kinds, each with an `id`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def path(self, kind: str, name: str = "") -> Path:
        """A directory of the kind, or a file in it."""
        directory = self.directory / kind
        directory.mkdir(parents=True, exist_ok=True)
        return directory / name if name else directory

    def save(self, kind: str, record: Record) -> Record:
        """Writes a record at once, so that no other process reads half of it."""
        record = {"id": str(uuid.uuid4()), **record}
        path = self.path(kind, f"{record['id']}.json")
        temporary = path.with_name(f"{path.name}.{os.getpid()}")
        temporary.write_text(json.dumps(record, indent=1))
        temporary.replace(path)
        return record

    def load(self, kind: str, id: str) -> Record | None:
        try:
            record: Record = json.loads(self.path(kind, f"{id}.json").read_text())
        except FileNotFoundError:
            return None
        return record

    def all(self, kind: str) -> Iterator[Record]:
        for path in sorted(self.path(kind).glob("*.json")):
            record = self.load(kind, path.stem)
            if record is not None:
                yield record

    def remove(self, kind: str, id: str) -> None:
        self.path(kind, f"{id}.json").unlink(missing_ok=True)

    def log(self, call: str, **details: Any) -> None:
        """Notes a call in `calls.log`, one JSON object a line."""
        line = json.dumps({"time": round(time.time(), 1), "call": call, **details}, default=str)
        with open(self.path(".") / "calls.log", "a") as file:
            file.write(line + "\n")


class Thing:
    """A record with attributes, as the clients' libraries return them."""

    def __init__(self, record: Record) -> None:
        self.__dict__.update(record)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"the stand-in has no {name}")

    def to_dict(self) -> Record:
        return {key: value for key, value in self.__dict__.items() if not key.startswith("_")}
