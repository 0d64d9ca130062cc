"""Cleans up after a run that was killed: keeper.py RUN

Its stdin is a pipe whose other end the run holds. When the run is gone, so is the pipe; what the run did not end and
remove itself is ended and removed here."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from proving.processes import end_recorded


class Keeper:
    """The process that watches over a run."""

    def __init__(self, run: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).resolve()), str(run)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def dismiss(self) -> None:
        """Lets it find what is left, which is nothing after an orderly end, and waits for it."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def main(run: Path) -> None:
    sys.stdin.buffer.read()
    if (run / "pids").is_dir():
        end_recorded(run / "pids")
    shutil.rmtree(run, ignore_errors=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
