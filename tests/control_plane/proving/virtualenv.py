"""The virtual environment with Keystone, Glance and Trove, of the release that the image's agent has."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from proving.agent import Agent
from proving.errors import HostError
from proving.processes import run_recorded
from proving.settings import HERE, Places, clean_environment, host

# Between the major versions of projects that are released together; so since Zed (Trove 18, Keystone 22, Glance 25).
KEYSTONE_AHEAD = 4
GLANCE_AHEAD = 7

# What serves Keystone and Glance, and what a person calls with `--keep`. Trove brings its own command line client.
OTHERS = ["pyuwsgi", "python-openstackclient", "PyMySQL", "psycopg2-binary"]


def requirements(agent: Agent) -> list[str]:
    """What pip is to install."""
    series = agent.series
    trove = f"trove=={agent.release}" if agent.release else f"trove=={series}.*"
    return [trove, f"keystone=={series + KEYSTONE_AHEAD}.*", f"glance=={series + GLANCE_AHEAD}.*", *OTHERS]


def lock_of(agent: Agent) -> Path | None:
    """The versions that were tried together, if anybody tried this series."""
    path = HERE / "locks" / f"trove-{agent.series}.txt"
    return path if path.is_file() else None


def constraints(agent: Agent) -> str:
    """Versions for pip: those of the lock, else those that the image has, so that both sides speak alike."""
    lock = lock_of(agent)
    if lock is not None:
        lines = lock.read_text().splitlines()
        # Another point release of the series is the image's to choose.
        return "".join(f"{line}\n" for line in lines if line and not line.startswith(("#", "trove==")))
    return "".join(f"{name}=={version}\n" for name, version in sorted(agent.requirements.items()))


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Lets one run at a time make what `path` names; the others wait and find it made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path.with_name(path.name + ".lock"), "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def provide(agent: Agent, places: Places, say: Callable[[str], None]) -> Path:
    """The environment, made if need be. What was interrupted while it was made, is made anew."""
    wanted, pinned = requirements(agent), constraints(agent)
    digest = hashlib.sha256("\n".join([*wanted, pinned, host()]).encode()).hexdigest()[:12]
    target = places.cache / f"venv-trove-{agent.version}-{digest}"
    complete = target / "complete"
    with locked(target):
        if complete.is_file():
            return target
        if lock_of(agent) is None:
            say(f"nobody has tried Trove {agent.series} here: the versions are pip's choice")
        say(f"installing {' '.join(wanted)}")
        shutil.rmtree(target, ignore_errors=True)
        log = places.logs / "pip.log"
        _run([sys.executable, "-m", "venv", str(target)], places, log, "a virtual environment cannot be made")
        (target / "constraints.txt").write_text(pinned)
        install = [str(target / "bin/python"), "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
        install += ["--constraint", str(target / "constraints.txt"), *wanted]
        _run(install, places, log, "pip could not install the control plane")
        complete.touch()
    return target


def _run(command: list[str], places: Places, log: Path, problem: str) -> None:
    if run_recorded("pip", command, clean_environment(), places.pids, log) != 0:
        last = [line for line in log.read_text(errors="replace").splitlines() if line.strip()][-3:]
        hint = "Python's venv and pip are needed (`make setup`), and a package index that pip reaches"
        raise HostError(f"{problem}:\n  " + "\n  ".join(last), hint)
