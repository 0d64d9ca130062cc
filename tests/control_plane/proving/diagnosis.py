"""What went wrong, with the lines that show it."""

from __future__ import annotations

import shutil
from pathlib import Path

from proving.errors import ProveError
from proving.processes import ServiceEnded
from proving.report import Failure
from proving.story import InstanceFailed
from proving.watch import AGENT, CONSOLE, last_lines

TROUBLE = r"(?i)\b(error|critical|exception|traceback|fail|failed|denied|refused|cannot|fatal)\b|Error:"
LINES = 12
# What is kept of a machine.
KEPT = (CONSOLE, AGENT, "qemu.log", "command", "metadata.log")


def save_logs(cloud: Path, logs: Path) -> None:
    """Copies what the machines and the stand-in wrote, before all of it is removed."""
    if (cloud / "calls.log").is_file():
        shutil.copy(cloud / "calls.log", logs / "stand-in.log")
    machines = sorted((cloud / "machines").glob("*"))
    for number, machine in enumerate(machines):
        # The story has one; with --keep there may be more.
        target = logs if number == 0 else logs / machine.name
        target.mkdir(exist_ok=True)
        for name in KEPT:
            if (machine / name).is_file():
                shutil.copy(machine / name, target / name)


def explain(error: ProveError, logs: Path) -> Failure:
    """The failure with the last lines of the logs that it is about."""
    shown: dict[str, list[str]] = {}
    if isinstance(error, ServiceEnded):
        about = [(error.service.log.name, ""), (f"{error.service.name}.log", TROUBLE)]
    else:
        about = [(AGENT, TROUBLE), ("trove-taskmanager.log", TROUBLE)]
        if not (logs / AGENT).is_file() or (logs / AGENT).stat().st_size == 0:
            # The agent never spoke: the boot tells more.
            about.insert(0, (CONSOLE, ""))
        if isinstance(error, InstanceFailed):
            about.append(("trove-conductor.log", TROUBLE))
    for name, pattern in about:
        lines = last_lines(logs / name, LINES, pattern)
        if lines:
            shown[name] = lines
    return Failure(str(error), error.hint, shown)
