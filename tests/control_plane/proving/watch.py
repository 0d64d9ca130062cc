"""Looks at what a guest says on its console and through the probe, and tells what it has come to."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path


@dataclasses.dataclass(frozen=True)
class Sign:
    """A line that shows how far the guest has come."""

    log: str
    pattern: str
    name: str


CONSOLE, AGENT = "console.log", "agent.log"

# In the order in which they come. What one release does not say is not shown.
SIGNS = (
    Sign(CONSOLE, r"Linux version ", "kernel"),
    Sign(CONSOLE, r"systemd\[1\]|Welcome to ", "init"),
    Sign(CONSOLE, r"Cloud-init v\. ?\S+ running 'init'", "cloud-init has the instance's data"),
    Sign(CONSOLE, r"Cloud-init v\. ?\S+ running 'modules:final'", "cloud-init is at its last stage"),
    Sign(AGENT, r"Creating user and group for database service", "agent started"),
    Sign(AGENT, r"Preparing the storage for ", "agent prepares the data's disk"),
    Sign(AGENT, r"Starting datastore prepare for ", "agent has been told to prepare"),
    Sign(AGENT, r"Creating docker container, image: ", "agent has Docker pull the database"),
    Sign(AGENT, r"entry point: ", "database's container started"),
    Sign(AGENT, r"Completed setup of '\w+' datastore successfully", "agent is done"),
)

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
    """The logs of one machine."""

    def __init__(self, place: Path) -> None:
        self._logs = {name: Growing(place / name) for name in (CONSOLE, AGENT)}
        self._wanted = list(SIGNS)

    def news(self) -> Iterator[str]:
        """The names of the signs that have come since the last call."""
        for name, log in self._logs.items():
            text = log.news()
            for sign in [sign for sign in self._wanted if sign.log == name]:
                if re.search(sign.pattern, text):
                    self._wanted.remove(sign)
                    yield sign.name


def last_lines(path: Path, count: int, interesting: str = "") -> list[str]:
    """The last lines of a log that match a pattern; if none does, the last at all."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, path.stat().st_size - MOST))
            text = file.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return []
    # Colours of systemd's messages.
    lines = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line).strip("\r ") for line in text.splitlines() if line.strip()]
    matching = [line for line in lines if re.search(interesting, line)] if interesting else []
    return [line[:400] for line in (matching or lines)[-count:]]
