"""What a run tells: milestones, reports, reasons; and what it tells the services."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from proving import diagnosis, probe
from proving.errors import ProveError
from proving.mariadb import MariaDb
from proving.rabbit import Rabbit
from proving.report import FAILED, Failure, Report, printable
from proving.services import ControlPlane, ini
from proving.settings import Options, Places
from proving.watch import AGENT, BROKER, CONSOLE, SIGNS, Watch, last_lines
from stand_in.store import Network

HERE = Path(__file__).resolve().parent.parent


class Scratch(unittest.TestCase):
    def setUp(self) -> None:
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.place = Path(scratch.name)


class Watching(Scratch):
    def append(self, log: str, text: str) -> None:
        with open(self.place / log, "ab") as file:
            file.write(text.encode())

    def test_signs_come_once_even_in_pieces(self) -> None:
        watch = Watch(self.place, self.place)
        self.assertEqual(list(watch.news()), [])
        self.append(CONSOLE, "[ 0.0] Linux ver")
        self.assertEqual(list(watch.news()), [])
        self.append(CONSOLE, "sion 6.1\nLinux version 6.1\n")
        self.append(AGENT, "INFO Starting datastore prepare for 'mariadb:10.11'.\n")
        self.assertEqual(list(watch.news()), ["kernel", "agent has been told to prepare"])
        self.append(CONSOLE, "\xff Linux version\n[ 75.8] cloud-init[428]: Cloud-init v. 22.4.2 running 'init' at")
        self.assertEqual(list(watch.news()), ["cloud-init is at its network stage"])

    def test_what_is_wrong_follows_from_the_last_sign(self) -> None:
        watch = Watch(self.place, self.place)
        self.assertIn("does not boot", watch.otherwise)
        self.append(CONSOLE, "Linux version 6.1\n")
        for _ in watch.news():
            pass
        self.assertIn("root file system", watch.otherwise)
        self.assertFalse(watch.agent_came)
        self.append(AGENT, "Creating docker container, image: x\nCreating user and group for database service\n")
        # Late, as the console is slower.
        self.append(CONSOLE, "Welcome to Debian\n")
        for _ in watch.news():
            pass
        self.assertTrue(watch.agent_came)
        self.assertIn("Docker cannot pull", watch.otherwise)

    def test_the_broker_tells_the_agent_from_the_services(self) -> None:
        watch = Watch(self.place, self.place)
        line = "connection <0.1.0> (127.0.0.1:1 -> 127.0.0.1:2 - {}:694:1026ce84-73aa-4589-82f6-4960300ed44d): "
        line += "user 'trove' authenticated and granted access to vhost '/'\n"
        for service in ("trove-api", "trove-taskmanager", "trove-conductor"):
            self.append(BROKER, line.format(service))
        self.assertEqual(list(watch.news()), [])
        self.append(BROKER, line.format("guest-agent"))
        self.assertEqual(list(watch.news()), ["agent is connected to the broker"])
        for program in ("trove-guestagent", "guest-agent"):
            self.assertRegex(line.format(program), next(sign.pattern for sign in SIGNS if sign.log == BROKER))

    def test_last_lines_are_those_that_matter(self) -> None:
        self.append(AGENT, "one\n\x1b[0;31merror: two\x1b[0m\r\nthree\n")
        self.assertEqual(last_lines(self.place / AGENT, 2, "error"), ["error: two"])
        self.assertEqual(last_lines(self.place / AGENT, 2, "nothing"), [])
        self.assertEqual(last_lines(self.place / AGENT, 2), ["error: two", "three"])
        self.assertEqual(last_lines(self.place / "none", 2), [])


class Reports(Scratch):
    def test_progress_for_programs_is_one_object_a_line(self) -> None:
        out, events = io.StringIO(), io.StringIO()
        report = Report({"image": "i", "datastore": "d"}, True, out, events)
        report.milestone("kernel", "six", in_guest=True)
        report.finish(FAILED, Failure("it broke", "mend it", {"a.log": ["last"]}), self.place)
        read = [json.loads(line) for line in events.getvalue().splitlines()]
        self.assertEqual([event["event"] for event in read], ["started", "milestone", "failed", "finished"])
        self.assertEqual({"name": "kernel", "detail": "six"}.items() - read[1].items(), set())
        self.assertIsInstance(read[1]["seconds"], float)
        self.assertEqual(read[2]["hint"], "mend it")
        self.assertEqual(out.getvalue(), "")
        whole = json.loads(report.json())
        self.assertEqual((whole["result"], whole["failure"]["logs"]), ("failed", {"a.log": ["last"]}))

    def test_a_person_reads_the_reason(self) -> None:
        out = io.StringIO()
        report = Report({"image": "i", "datastore": "d"}, False, out, io.StringIO())
        report.finish(FAILED, Failure("it broke", "mend it", {"a.log": ["last \x1b[31mwords"]}), self.place)
        for part in ("error: it broke", "last lines of a.log:", "last \\x1b[31mwords", "hint: mend it", "NOT proved"):
            self.assertIn(part, out.getvalue())

    def test_a_guest_does_not_command_the_terminal(self) -> None:
        self.assertEqual(printable("a\x1b]0;b\x07\r\u202e\n"), "a\\x1b]0;b\\x07\\x0d\\x202e\n")

    def test_a_silent_agent_leads_to_the_console(self) -> None:
        (self.place / CONSOLE).write_text("Kernel panic\n")
        docker = 'dockerd[545]: level=info msg="no error"\n'
        (self.place / AGENT).write_text(docker)
        (self.place / "trove-taskmanager.log").write_text("INFO fine\nERROR no\n")
        failure = diagnosis.explain(ProveError("why", "do"), self.place)
        self.assertEqual(failure.logs, {CONSOLE: ["Kernel panic"], "trove-taskmanager.log": ["ERROR no"]})
        (self.place / AGENT).write_text(docker + "guest-agent[690]: Traceback (most recent call last):\n")
        failure = diagnosis.explain(ProveError("why", "do"), self.place)
        self.assertEqual(failure.logs[AGENT], ["guest-agent[690]: Traceback (most recent call last):"])
        self.assertNotIn(CONSOLE, failure.logs)

    def test_logs_are_saved_before_a_run_is_removed(self) -> None:
        cloud, logs = self.place / "cloud", self.place / "logs"
        (cloud / "machines/one").mkdir(parents=True)
        logs.mkdir()
        (cloud / "machines/one/console.log").write_text("boot")
        (cloud / "machines/one/disk.qcow2").write_text("big")
        (cloud / "calls.log").write_text("calls")
        diagnosis.save_logs(cloud, logs)
        self.assertEqual(sorted(path.name for path in logs.iterdir()), ["console.log", "stand-in.log"])


class Configuration(Scratch):
    def plane(self, metadata: bool = False) -> ControlPlane:
        options = Options(self.place / "a.qcow2", "mariadb", self.place, 60, metadata=metadata)
        places = Places(self.place, self.place / "run", self.place / "logs")
        network = Network("n", "10.0.2.0/24", "10.0.2.2", "10.0.2.15", "10.0.2.100")
        rabbit, mariadb = Rabbit(self.place / "rabbit"), MariaDb(self.place / "mariadb")
        return ControlPlane(places, options, self.place / "venv", rabbit, mariadb, network, "mariadb")

    def test_a_dollar_is_not_substituted(self) -> None:
        self.assertEqual(ini({"a": {"b": "p$x", "c": [1, 2]}}), "[a]\nb = p$$x\nc = 1,2\n")

    def test_two_runs_share_neither_ports_nor_passwords(self) -> None:
        one, two = self.plane(), self.plane()
        ports = [port for plane in (one, two) for port in (plane.keystone_port, plane.glance_port, plane.trove_port)]
        # Both are free now, so they may be the same between runs, but not within one.
        self.assertEqual(len(set(ports[:3])), 3)
        self.assertNotEqual(one.password, two.password)
        self.assertNotEqual(one.rabbit.password, two.rabbit.password)

    def test_a_guest_gets_the_broker_and_no_credentials_of_the_cloud(self) -> None:
        plane = self.plane()
        text = plane.agent_conf()
        self.assertIn(f"rabbit://trove:{plane.rabbit.password}@10.0.2.100:5672/", text)
        self.assertIn("docker_image = 10.0.2.100:5000/mariadb", text)
        for unwanted in (plane.password, "service_credentials", str(plane.rabbit.port)):
            self.assertNotIn(unwanted, text)

    def test_trove_asks_for_a_config_drive_unless_there_is_a_metadata_service(self) -> None:
        for metadata in (False, True):
            self.assertIn(f"use_nova_server_config_drive = {not metadata}", self.plane(metadata).trove_conf())

    def test_all_of_rabbitmq_is_in_one_directory(self) -> None:
        rabbit = Rabbit(self.place / "rabbit")
        for name, value in rabbit.environment().items():
            if name.startswith(("RABBITMQ_", "ERL_", "HOME")) and value.startswith("/"):
                self.assertTrue(value.startswith(str(self.place)), name)

    def test_the_probe_is_configuration_for_cloud_init(self) -> None:
        header, _, body = probe.cloud_config().partition("\n")
        self.assertEqual(header, "#cloud-config")
        [command] = json.loads(body)["bootcmd"]
        self.assertEqual(subprocess.run(["sh", "-n", "-c", command[-1]]).returncode, 0)


class CommandLine(Scratch):
    def prove(self, *arguments: str) -> tuple[int, str]:
        command = [sys.executable, str(HERE / "prove.py"), "--workdir", str(self.place / "work"), *arguments]
        environment = {key: value for key, value in os.environ.items() if key != "TIB_ACCEL"}
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        return done.returncode, done.stderr

    def test_mistakes_are_told_before_anything_is_made(self) -> None:
        image = self.place / "a.qcow2"
        for arguments, reason in (
            ([str(image)], "no image"),
            ([str(HERE / "prove.py"), "--datastore", "mysql"], "MariaDB instead of MySQL"),
            ([str(HERE / "prove.py"), "--suite", "buster"], "not for buster"),
            ([str(HERE / "prove.py"), "--trove", "master"], "no version of Trove"),
        ):
            code, said = self.prove(*arguments)
            self.assertEqual(code, 2, said)
            self.assertIn(reason, said)
        self.assertFalse((self.place / "work").exists())

    def test_a_host_without_the_programs_is_told_at_once(self) -> None:
        image = self.place / "a.qcow2"
        image.touch()
        command = [sys.executable, str(HERE / "prove.py"), str(image), "--workdir", str(self.place / "work")]
        environment = {"PATH": str(self.place), "HOME": str(self.place)}
        done = subprocess.run([*command, "--trove", "26.0.0"], capture_output=True, text=True, env=environment)
        self.assertEqual(done.returncode, 7, done.stdout + done.stderr)
        self.assertRegex(done.stdout, r"error: no \S+ here")
        self.assertIn("not tried", done.stdout)
        self.assertEqual(list((self.place / "work").glob("run-*")), [])

    def test_mistakes_are_told_to_programs_too(self) -> None:
        code, said = self.prove(str(self.place / "none.qcow2"), "--progress", "json")
        self.assertEqual((code, json.loads(said)["event"]), (2, "failed"))


if __name__ == "__main__":
    unittest.main()
