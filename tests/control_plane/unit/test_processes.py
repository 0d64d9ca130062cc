"""A run ends what it started, whatever happens to it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

from proving.processes import Processes, ServiceEnded, end_recorded, free_ports, is_alive, record

HERE = Path(__file__).resolve().parent.parent

STUBBORN = "trap '' TERM; echo ready; while :; do sleep 0.1; done"


def group(*command: str) -> subprocess.Popen[str]:
    """A process with a group of its own, once it has said that it is ready."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def gone(pid: int, seconds: float = 20) -> bool:
    deadline = time.monotonic() + seconds
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not is_alive(pid)


class Ending(unittest.TestCase):
    def setUp(self) -> None:
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.pids = Path(scratch.name)

    def started(self, *command: str) -> subprocess.Popen[str]:
        process = group(*command)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process

    def test_who_listens_ends_and_who_does_not_is_killed(self) -> None:
        polite = self.started("sh", "-c", "echo ready; exec sleep 1000")
        stubborn = self.started("bash", "-c", STUBBORN)
        for process in (polite, stubborn):
            record(self.pids, "service", process.pid)
        end_recorded(self.pids, seconds=1)
        self.assertEqual(polite.wait(5), -signal.SIGTERM)
        self.assertEqual(stubborn.wait(5), -signal.SIGKILL)

    def test_members_outlive_their_leader_but_not_the_end(self) -> None:
        leader = group("sh", "-c", "echo ready; sleep 1000 >/dev/null & echo $!")
        assert leader.stdout is not None
        record(self.pids, "service", leader.pid)
        member = int(leader.stdout.readline())
        leader.communicate()
        self.assertTrue(is_alive(member))
        end_recorded(self.pids)
        self.assertTrue(gone(member))

    def test_another_process_with_the_number_is_left_alone(self) -> None:
        other = self.started("sh", "-c", "echo ready; exec sleep 1000")
        path = record(self.pids, "service", other.pid)
        path.write_text(json.dumps({**json.loads(path.read_text()), "started": "1"}))
        end_recorded(self.pids, seconds=1)
        self.assertTrue(is_alive(other.pid))

    def test_a_killed_run_is_cleaned_up_after(self) -> None:
        run = self.pids / "run"
        (run / "pids").mkdir(parents=True)
        script = (
            "import sys, subprocess, time; sys.path.insert(0, sys.argv[1])\n"
            "from pathlib import Path\n"
            "from proving.keeper import Keeper\n"
            "from proving.processes import record\n"
            "run = Path(sys.argv[2])\n"
            "keeper = Keeper(run)\n"
            "service = subprocess.Popen(['sleep', '1000'], start_new_session=True)\n"
            "record(run / 'pids', 'service', service.pid)\n"
            "print('ready'); print(keeper.process.pid, service.pid, flush=True)\n"
            "time.sleep(1000)\n"
        )
        killed = self.started(sys.executable, "-c", script, str(HERE), str(run))
        assert killed.stdout is not None
        keeper, service = map(int, killed.stdout.readline().split())
        os.kill(killed.pid, signal.SIGKILL)
        self.assertTrue(gone(service) and gone(keeper))
        self.assertFalse(run.exists())


class Services(unittest.TestCase):
    def test_one_that_ends_by_itself_is_noticed(self) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            processes = Processes(Path(scratch), Path(scratch))
            processes.start("broken", ["sh", "-c", "echo because; exit 3"], os.environ, Path(scratch))
            with self.assertRaises(ServiceEnded) as ended:
                processes.wait_until("broken", lambda: False, 30)
            self.assertEqual(str(ended.exception), "broken ended with exit code 3")
            self.assertEqual((Path(scratch) / "broken.out").read_text(), "because\n")

    def test_ports_are_free_and_differ(self) -> None:
        ports = free_ports(20)
        self.assertEqual(len(set(ports)), 20)
        for port in ports:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))


if __name__ == "__main__":
    unittest.main()
