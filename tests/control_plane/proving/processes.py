"""Processes that a run starts: each is recorded in a file, so that a run's end finds it whoever started it.

A record names the process by its number and the time it started: a number alone may belong to somebody else by then.
With it ends its group, whose leader it need not be.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from proving.errors import ProveError


def free_port() -> int:
    """A port of the loopback that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def free_ports(count: int) -> list[int]:
    """Different ports, which one at a time does not promise."""
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def _stat(pid: int) -> list[str] | None:
    """State and further fields of `/proc/PID/stat`, from the third on; none for who is gone or waits to be reaped."""
    try:
        # The name in parentheses may hold anything.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields


def is_alive(pid: int) -> bool:
    return _stat(pid) is not None


def started(pid: int) -> str | None:
    """When the process started, in ticks since the host's boot."""
    fields = _stat(pid)
    return None if fields is None else fields[19]


def record(directory: Path, name: str, pid: int) -> Path:
    """Notes a process, and the group that ends with it."""
    path = directory / f"{name}-{pid}"
    try:
        group = os.getpgid(pid)
    except ProcessLookupError:
        # Ended already, and a leader, as whoever starts others is.
        group = pid
    path.write_text(json.dumps({"pid": pid, "started": started(pid), "group": group}))
    return path


def _group_is_alive(group: int) -> bool:
    """Whether any member is more than a zombie."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))) is not None and int(fields[2]) == group:
            return True
    return False


def _groups(directory: Path) -> set[int]:
    """Groups of recorded processes that have members."""
    groups = set()
    for path in directory.glob("*-*"):
        try:
            note = json.loads(path.read_text())
        except (OSError, ValueError):
            continue
        pid, group = note["pid"], note["group"]
        same = note["started"] is not None and started(pid) == note["started"]
        # The process may have ended, and left others; as long as a group has members, no other process gets its number.
        # A machine's leader has always ended: it is the process that put it into the background.
        if same or (not is_alive(group) and _group_is_alive(group)):
            groups.add(group)
    return groups - {os.getpgrp()}


def _signal(groups: Iterable[int], number: signal.Signals) -> None:
    for group in groups:
        # Gone meanwhile, or never ours.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, number)


def _gone(groups: Iterable[int], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while any(_group_is_alive(group) for group in groups):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def end_recorded(directory: Path, seconds: float = 20) -> None:
    """Ends the groups of all recorded processes: politely, then by force. Returns when they are gone."""
    # A service that is just ending may still have started a machine.
    for _ in range(3):
        groups = _groups(directory)
        if not groups:
            return
        _signal(groups, signal.SIGTERM)
        if not _gone(groups, seconds):
            _signal(groups, signal.SIGKILL)
            _gone(groups, seconds)


@dataclasses.dataclass
class Service:
    name: str
    process: subprocess.Popen[bytes]
    log: Path


class Processes:
    """The services of a run."""

    def __init__(self, pids: Path, logs: Path) -> None:
        self.pids, self.logs = pids, logs
        self.services: list[Service] = []

    def start(self, name: str, command: list[str], environment: Mapping[str, str], cwd: Path) -> Service:
        """Starts a service in a group of its own; what it prints goes to `NAME.out` among the logs."""
        log = self.logs / f"{name}.out"
        with open(log, "ab") as file:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env=dict(environment),
                cwd=cwd,
                start_new_session=True,
            )
        record(self.pids, name, process.pid)
        service = Service(name, process, log)
        self.services.append(service)
        return service

    def check(self) -> None:
        """Fails if a service has ended by itself."""
        for service in self.services:
            code = service.process.poll()
            if code is not None:
                raise ServiceEnded(service, code)

    def wait_until(self, what: str, ready: Callable[[], bool], seconds: float) -> None:
        """Waits until `ready` says so, all services live on and the time is not over."""
        deadline = time.monotonic() + seconds
        while not ready():
            self.check()
            if time.monotonic() > deadline:
                raise ProveError(f"{what} did not answer within {seconds:.0f} s")
            time.sleep(0.2)

    def end(self) -> None:
        end_recorded(self.pids)
        for service in self.services:
            with contextlib.suppress(subprocess.TimeoutExpired):
                service.process.wait(5)


class ServiceEnded(ProveError):
    def __init__(self, service: Service, code: int) -> None:
        how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
        super().__init__(f"{service.name} ended {how}", f"its output is in {service.log.name}")
        self.service = service


def run_recorded(
    name: str, command: list[str], environment: Mapping[str, str], pids: Path, log: Path, cwd: Path | None = None
) -> int:
    """Runs a program to its end, and returns its exit code. If this is interrupted, the program is ended with the rest,
    politely, so that it takes away what it made."""
    with open(log, "ab") as file:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            env=dict(environment),
            cwd=cwd,
            start_new_session=True,
        )
    noted = record(pids, name, process.pid)
    code = process.wait()
    noted.unlink()
    return code


def answers(port: int, greeting: bytes = b"", expected: bytes = b"") -> bool:
    """Whether something on the loopback takes a connection, and answers a greeting with what is expected."""
    try:
        with socket.create_connection(("127.0.0.1", port), 2) as connection:
            if not greeting:
                return True
            connection.settimeout(3)
            connection.sendall(greeting)
            return expected in connection.recv(4096)
    except OSError:
        return False
