"""Looks at what a guest says on its console and through the probe, and tells what it has come to."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

CONSOLE, AGENT = "console.log", "agent.log"
# RabbitMQ's, named after the node.
BROKER = "prove@localhost.log"


@dataclasses.dataclass(frozen=True)
class Sign:
    """A line that shows how far the guest has come."""

    log: str
    pattern: str
    name: str
    # What is wrong if nothing comes after it, and where to look.
    otherwise: str


# In the order in which they come. What one release does not say is not shown.
SIGNS = (
    Sign(
        CONSOLE, r"Linux version ", "kernel", "the kernel finds no root file system, or no init in it: see console.log"
    ),
    Sign(
        CONSOLE,
        r"systemd\[1\]|Welcome to ",
        "init",
        "cloud-init did not start: is it installed and enabled, with the data sources ConfigDrive and OpenStack?",
    ),
    Sign(
        CONSOLE,
        r"Cloud-init v\. ?\S+ running 'init'",
        "cloud-init is at its network stage",
        "the agent did not start: is its unit enabled, and did cloud-init find the instance's data, the owner of the "
        "files (`ubuntu`) and write them (`write_files` in console.log)?",
    ),
    Sign(
        CONSOLE,
        r"Cloud-init v\. ?\S+ running 'modules:final'",
        "cloud-init is at its last stage",
        "the agent did not start: is its unit enabled, and did cloud-init find the instance's data, the owner of the "
        "files (`ubuntu`) and write them (`write_files` in console.log)?",
    ),
    Sign(
        AGENT,
        r"Creating user and group for database service",
        "agent started",
        "the agent could not make the user `database` (1001): does another have the number, and does sudo work?",
    ),
    Sign(
        AGENT,
        r"Preparing the storage for ",
        "agent prepares the data's disk",
        "the agent has no second disk, cannot format it, has no Docker, or does not reach the broker: see agent.log",
    ),
    Sign(
        BROKER,
        # Clients of oslo.messaging give the name of their program, its process and an identifier of their own.
        r" - (?!trove-(?:api|taskmanager|conductor|manage):)[\w.-]+:\d+:[0-9a-f-]+\): user '\w+' authenticated",
        "agent is connected to the broker",
        "the agent hears nothing of Trove: does it use the control exchange `trove`, and the key that it was given?",
    ),
    Sign(
        AGENT,
        r"Starting datastore prepare for ",
        "agent has been told to prepare",
        "the agent cannot write the database's configuration: see agent.log",
    ),
    Sign(
        AGENT,
        r"Creating docker container, image: ",
        "agent has Docker pull the database",
        "Docker cannot pull the container, or cannot start it: see agent.log, and registry.log for what it asked for",
    ),
    Sign(
        AGENT,
        r"entry point: ",
        "database's container started",
        "the database in the container does not become healthy: what it printed is in agent.log",
    ),
    Sign(
        AGENT,
        r"Completed setup of '\w+' datastore successfully",
        "agent is done",
        "the agent's heartbeat does not arrive: see trove-conductor.log",
    ),
)
NO_SIGN = "the machine does not boot: see console.log"

# Bytes; a guest that floods its console is not read to the end.
MOST = 16 << 20


class Growing:
    """A log that is read as it grows."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read = 0
        self._rest = ""

    def news(self) -> str:
        """What has come since the last call, with the beginning of a line that had come in part."""
        try:
            with open(self.path, "rb") as file:
                file.seek(self._read)
                data = file.read(max(0, MOST - self._read))
        except FileNotFoundError:
            return ""
        self._read += len(data)
        text = self._rest + data.decode("utf-8", "replace")
        self._rest = text.rpartition("\n")[2][-8192:]
        return text


class Watch:
    """The logs of one machine, and what the broker says of it."""

    def __init__(self, place: Path, logs: Path) -> None:
        self._logs = {name: Growing(place / name) for name in (CONSOLE, AGENT)}
        self._logs[BROKER] = Growing(logs / BROKER)
        self._wanted = list(SIGNS)
        # The one that is farthest on the way, so far.
        self.last: Sign | None = None

    def news(self) -> Iterator[str]:
        """The names of the signs that have come since the last call, in their order."""
        texts = {name: log.news() for name, log in self._logs.items()}
        for sign in list(self._wanted):
            if re.search(sign.pattern, texts[sign.log]):
                self._wanted.remove(sign)
                if self.last is None or SIGNS.index(sign) > SIGNS.index(self.last):
                    self.last = sign
                yield sign.name

    @property
    def agent_came(self) -> bool:
        return self.last is not None and self.last.log != CONSOLE

    @property
    def otherwise(self) -> str:
        """What is wrong if nothing more comes."""
        return self.last.otherwise if self.last else NO_SIGN


def last_lines(path: Path, count: int, interesting: str = "") -> list[str]:
    """The last lines of a log, of those that match a pattern."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, path.stat().st_size - MOST))
            text = file.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return []
    # Colours of systemd's messages.
    lines = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line).strip("\r ") for line in text.splitlines() if line.strip()]
    return [line[:400] for line in lines if re.search(interesting, line)][-count:]
