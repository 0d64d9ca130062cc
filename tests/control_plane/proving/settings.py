"""What the command line asks for, and where things are."""

from __future__ import annotations

import dataclasses
import os
import platform
import sys
from pathlib import Path

# The package's directory, which is complete in itself.
HERE = Path(__file__).resolve().parent.parent


@dataclasses.dataclass(frozen=True)
class Options:
    """The command line."""

    image: Path
    datastore: str
    workdir: Path
    # Time limit from power-on to HEALTHY, in seconds.
    timeout: float
    keep: bool = False
    prepare: bool = False
    metadata: bool = False
    open_network: bool = False
    debug: bool = False
    trove_version: str = ""
    # `auto`, `kvm` or `tcg`.
    accelerator: str = "auto"
    tib: str = "tib"
    memory: int = 2048
    suite: str = "bookworm"
    mirror: str = ""


@dataclasses.dataclass(frozen=True)
class Places:
    """Directories of a run, all below the working directory."""

    workdir: Path
    # This run's own, removed at its end.
    run: Path
    # Of this run; stays.
    logs: Path

    @property
    def cache(self) -> Path:
        return self.workdir / "cache"

    @property
    def pids(self) -> Path:
        return self.run / "pids"

    @property
    def cloud(self) -> Path:
        """What the stand-in has."""
        return self.run / "cloud"

    def make(self) -> None:
        for path in (self.cache, self.logs, self.pids, self.cloud):
            path.mkdir(parents=True, exist_ok=True)


def default_workdir() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(cache) / "tib-prove"


def clean_environment() -> dict[str, str]:
    """This process's environment, without what would lead Python or the OpenStack clients elsewhere."""
    unwanted = ("PYTHON", "OS_", "VIRTUAL_ENV", "RABBITMQ_", "ERL_")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(unwanted)}
    environment["PYTHONWARNINGS"] = "ignore"
    # Requests between the services stay on this host.
    for name in ("no_proxy", "NO_PROXY"):
        environment[name] = ",".join(filter(None, [environment.get(name), "127.0.0.1", "localhost"]))
    return environment


def host() -> str:
    """What differs between hosts that share a working directory: Python and architecture."""
    return f"python{sys.version_info.major}.{sys.version_info.minor}-{platform.machine()}"
