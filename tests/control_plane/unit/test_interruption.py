"""A run that is ended from outside leaves nothing but its cache and its logs."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent


@unittest.skipUnless(shutil.which("qemu-system-x86_64"), "no qemu here")
class Interrupted(unittest.TestCase):
    def run_until(self, number: signal.Signals) -> tuple[int, Path, str]:
        """Sends the signal while pip waits for an index that never answers. Returns exit code, directory and output."""
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        work = Path(scratch.name) / "work"
        image = Path(scratch.name) / "a.qcow2"
        image.touch()
        with socket.create_server(("127.0.0.1", 0)) as index:
            index.settimeout(120)
            environment = {
                **os.environ,
                "PIP_INDEX_URL": f"http://127.0.0.1:{index.getsockname()[1]}/simple",
                "NO_PROXY": "127.0.0.1",
                "no_proxy": "127.0.0.1",
            }
            command = [sys.executable, str(HERE / "prove.py"), str(image), "--workdir", str(work), "--trove", "26.0.0"]
            run = subprocess.Popen(
                [*command, "--prepare", "--accelerator", "tcg"],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                env=environment,
            )
            connection, _ = index.accept()
            with connection:
                run.send_signal(number)
                output, _ = run.communicate(timeout=120)
        return run.returncode, work, output

    def left(self, work: Path) -> list[str]:
        """Processes that work in the directory, and what is in it besides cache and logs."""
        deadline = time.monotonic() + 60
        while True:
            paths = [path.name for path in work.iterdir() if path.name not in ("cache", "logs")]
            for entry in Path("/proc").iterdir():
                try:
                    line = (entry / "cmdline").read_bytes() if entry.name.isdigit() else b""
                except OSError:
                    continue
                if str(work).encode() in line:
                    paths.append(line.decode(errors="replace"))
            if not paths or time.monotonic() > deadline:
                return paths
            time.sleep(0.2)

    def test_by_a_signal(self) -> None:
        code, work, output = self.run_until(signal.SIGTERM)
        self.assertEqual(code, 130, output)
        self.assertIn("interrupted after", output)
        self.assertEqual(self.left(work), [])
        self.assertTrue(list(work.glob("logs/*/pip.log")))

    def test_by_being_killed(self) -> None:
        code, work, _ = self.run_until(signal.SIGKILL)
        self.assertEqual(code, -signal.SIGKILL)
        self.assertEqual(self.left(work), [])


if __name__ == "__main__":
    unittest.main()
