"""What went wrong, with the lines that show it."""

from __future__ import annotations

import shutil
from pathlib import Path

from proving.errors import ProveError
from proving.processes import ServiceEnded
from proving.report import Failure
from proving.watch import AGENT, CONSOLE, last_lines

# Not what Docker and MariaDB mention in passing.
TROUBLE = (
    r"(?i)^(?!.*(?:level=info|\[note\]))"
    r".*(?:\b(?:error|critical|exception|traceback|fail|failed|denied|refused|cannot|fatal)\b|Error:)"
)
# Lines of the agent itself, in the journal and in its log.
AGENTS = r"guest-?agent|trove\."
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
    """The failure with the last lines of the logs that it is about; to be asked before the services are ended, which
    makes them complain."""
    if isinstance(error, ServiceEnded):
        about = [(error.service.log.name, ""), (f"{error.service.name}.log", TROUBLE)]
    elif last_lines(logs / AGENT, 1, AGENTS):
        about = [(AGENT, TROUBLE), ("trove-taskmanager.log", TROUBLE), ("trove-conductor.log", TROUBLE)]
    else:
        # The agent never spoke: the boot tells more.
        about = [(CONSOLE, ""), (AGENT, TROUBLE), ("trove-taskmanager.log", TROUBLE)]
    shown = {name: last_lines(logs / name, LINES, pattern) for name, pattern in about}
    return Failure(str(error), error.hint, {name: lines for name, lines in shown.items() if lines})
