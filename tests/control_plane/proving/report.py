"""What came of a run: milestones as they happen, and one report at the end."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from pathlib import Path
from typing import IO, Any

PROVED, PREPARED, FAILED, INTERRUPTED = "proved", "prepared", "failed", "interrupted"
# For a reason that has nothing to do with the image.
UNTRIED = "untried"


@dataclasses.dataclass(frozen=True)
class Milestone:
    name: str
    # Since the start of the run.
    seconds: float
    detail: str
    # Since the machine was started, for what happens in it.
    since_boot: float | None = None


@dataclasses.dataclass
class Failure:
    what: str
    hint: str
    # Name of a log, and its last lines that matter.
    logs: dict[str, list[str]]


class Report:
    """Collects; speaks to a person on stdout, and to a program, one JSON object a line, on stderr."""

    def __init__(self, about: dict[str, Any], as_json: bool, out: IO[str] | None = None, events: IO[str] | None = None):
        self.about = about
        self.as_json = as_json
        self.out = out or sys.stdout
        self.events = events or sys.stderr
        self.start = time.monotonic()
        # When the machine was started, on the same clock.
        self.power_on: float | None = None
        self.milestones: list[Milestone] = []
        self.failure: Failure | None = None
        self.result = ""
        self.logs: Path | None = None
        self._event("started", **about)

    def _event(self, event: str, **values: Any) -> None:
        if self.as_json:
            print(json.dumps({"event": event, **values}), file=self.events, flush=True)

    def _line(self, text: str) -> None:
        if not self.as_json:
            print(printable(text), file=self.out, flush=True)

    def milestone(self, name: str, detail: str = "", in_guest: bool = False) -> None:
        now = time.monotonic()
        since_boot = round(now - self.power_on, 1) if in_guest and self.power_on is not None else None
        reached = Milestone(name, round(now - self.start, 1), detail, since_boot)
        self.milestones.append(reached)
        self._event(
            "milestone", **{key: value for key, value in dataclasses.asdict(reached).items() if value is not None}
        )
        boot = f" [{since_boot:.0f} s after power-on]" if since_boot is not None else ""
        self._line(f"{reached.seconds:7.1f} s  {name}{': ' + detail if detail else ''}{boot}")

    def note(self, text: str) -> None:
        """Something on the way that is no milestone."""
        self._event("note", text=text, seconds=round(time.monotonic() - self.start, 1))
        self._line(f"           {text}")

    def finish(self, result: str, failure: Failure | None, logs: Path) -> None:
        self.result, self.failure, self.logs = result, failure, logs
        if failure is not None:
            self._event("failed", detail=failure.what, hint=failure.hint, logs=str(logs))
        self._event("finished", result=result, seconds=round(time.monotonic() - self.start, 1), logs=str(logs))
        if not self.as_json:
            print(printable(self.text()), file=self.out, flush=True)

    def text(self) -> str:
        """The report for a person."""
        lines = [""]
        if self.failure is not None:
            lines.append(f"error: {self.failure.what}")
            for name, last in self.failure.logs.items():
                lines.append(f"  last lines of {name}:")
                lines += [f"    {line}" for line in last]
            if self.failure.hint:
                lines.append(f"hint: {self.failure.hint}")
        image, datastore = self.about["image"], self.about["datastore"]
        took = f"{time.monotonic() - self.start:.0f} s"
        verdict = {
            PROVED: f"{image}: proved with {datastore} in {took}",
            PREPARED: f"the cache has what {image} needs with {datastore}, after {took}",
            FAILED: f"{image}: NOT proved with {datastore}, after {took}",
            UNTRIED: f"{image}: not tried with {datastore}",
            INTERRUPTED: f"{image}: interrupted after {took}",
        }
        lines += [verdict[self.result], f"  logs: {self.logs}"]
        return "\n".join(lines)

    def json(self) -> str:
        """The report for a program."""
        failure = None if self.failure is None else dataclasses.asdict(self.failure)
        return json.dumps(
            {
                "version": 1,
                "result": self.result,
                **self.about,
                "seconds": round(time.monotonic() - self.start, 1),
                "milestones": [dataclasses.asdict(reached) for reached in self.milestones],
                "failure": failure,
                "logs": str(self.logs),
            },
            indent=2,
        )


def printable(text: str) -> str:
    """Without control characters: what a guest says is not to command a terminal."""
    return "".join(char if char == "\n" or char.isprintable() else f"\\x{ord(char):02x}" for char in text)
