"""The virtual machine, and what its guest reaches."""

from __future__ import annotations

import dataclasses
import http.server
import io
import shutil
import subprocess
import sys
import tempfile
import threading
import unittest
from pathlib import Path

from proving import accelerator
from proving.processes import end_recorded, is_alive
from stand_in import machine
from stand_in.metadata import answer, serve
from stand_in.store import Network, Settings, Store

NETWORK = Network("n", "10.0.2.0/24", "10.0.2.2", "10.0.2.15", "10.0.2.100")
HERE = Path(__file__).resolve().parent.parent


def settings(directory: Path, **changes: object) -> Settings:
    made = Settings(
        directory=directory,
        pids=directory,
        qemu="qemu",
        accelerator="tcg",
        network=NETWORK,
        metadata_service=False,
        restricted=True,
        reachable={5672: 40001},
        forwarded=[3306],
        memory=1024,
        processors=2,
        disk=5,
        public_key="",
    )
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


PORT = {"mac_address": "fa:16:3e:00:00:01", "network_id": "n"}


class CommandLine(unittest.TestCase):
    def line(self, metadata: bool, **changes: object) -> str:
        place = Path("/run/a,b")
        drive = None if metadata else place / "config.iso"
        made = settings(place, **changes)
        return " ".join(machine.command(made, "id", place, [{"path": "/v,1.raw"}], [PORT], {3306: 40002}, drive))

    def test_a_comma_in_a_path_is_no_separator(self) -> None:
        line = self.line(metadata=False)
        self.assertIn("file=/v,,1.raw", line)
        self.assertIn("file=/run/a,,b/config.iso", line)

    def test_the_guest_reaches_the_services_alone(self) -> None:
        line = self.line(metadata=False)
        self.assertIn("restrict=on", line)
        self.assertIn("guestfwd=tcp:10.0.2.100:5672-cmd:", line)
        self.assertIn("relay.py 40001", line)
        self.assertNotIn("169.254.169.254", line)
        self.assertIn("restrict=off", self.line(metadata=False, restricted=False))

    def test_nothing_listens_but_on_the_loopback(self) -> None:
        forwards = [part for part in self.line(metadata=True).split(",") if part.startswith("hostfwd=")]
        self.assertEqual(forwards, ["hostfwd=tcp:127.0.0.1:40002-10.0.2.15:3306"])

    def test_metadata_comes_from_one_of_two_places(self) -> None:
        served = self.line(metadata=True)
        self.assertIn("guestfwd=tcp:169.254.169.254:80-cmd:", served)
        self.assertNotIn("config.iso", served)


class Metadata(unittest.TestCase):
    def setUp(self) -> None:
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        server = {"id": "i", "name": "s", "metadata": {}, "tenant_id": "t", "key_name": "k"}
        self.tree = machine.write_metadata(Path(scratch.name), server, [PORT], "#cloud-config\n", "ssh-ed25519 A")
        (Path(scratch.name) / "secret").write_text("secret")

    def test_versions_files_and_directories(self) -> None:
        self.assertIn(b"latest", answer(self.tree, "/openstack")[1])
        for version in ("latest", "2018-08-27"):
            self.assertEqual(answer(self.tree, f"/openstack/{version}/user_data"), (200, b"#cloud-config\n"))
        self.assertIn(b"meta_data.json", answer(self.tree, "/openstack/latest/")[1])
        self.assertIn(b"ssh-ed25519 A", answer(self.tree, "/openstack/latest/meta_data.json?a=b")[1])

    def test_nothing_else_is_told(self) -> None:
        for path in (
            "/",
            "/latest/meta-data/",
            "/openstack/latest/../../../secret",
            "/openstack/x/no",
            "/openstack/x/\0",
        ):
            with self.subTest(path):
                self.assertEqual(answer(self.tree, path)[0], 404)

    def test_a_connection_stays_until_somebody_wants_it_closed(self) -> None:
        get = "GET /openstack/latest/user_data HTTP/1.1\r\nHost: a\r\n"
        for requests, count in (
            (f"{get}\r\n{get}\r\n", 2),
            (f"{get}Connection: close\r\n\r\n{get}\r\n", 1),
            (get.replace("1.1", "1.0") + f"\r\n{get}\r\n", 1),
            ("POST / HTTP/1.1\r\n\r\n", 0),
            ("\x00\xff rubbish\r\n", 0),
        ):
            answers = io.BytesIO()
            log = serve(self.tree, io.BytesIO(requests.encode("latin-1")), answers)
            self.assertEqual((len(log), answers.getvalue().count(b"HTTP/1.1 200 OK")), (count, count))

    @unittest.skipUnless(shutil.which("xorriso"), "no xorriso here")
    def test_a_config_drive_holds_the_same(self) -> None:
        iso = machine.make_config_drive(self.tree.parent, self.tree)
        listing = subprocess.run(["xorriso", "-indev", str(iso), "-find"], capture_output=True, text=True)
        self.assertIn("/openstack/latest/user_data'", listing.stdout)
        self.assertIn("config-2", listing.stderr)


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


class Relay(unittest.TestCase):
    def test_a_connection_is_relayed_both_ways(self) -> None:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        command = [sys.executable, "-I", "-S", str(HERE / "stand_in" / "relay.py"), str(server.server_address[1])]
        done = subprocess.run(command, input=b"GET /nothing HTTP/1.0\r\n\r\n", capture_output=True, timeout=60)
        self.assertIn(b"404 File not found", done.stdout)


class Kept(unittest.TestCase):
    def test_settings_survive_their_file(self) -> None:
        made = settings(Path("/a b"))
        self.assertEqual(Settings.parse(made.text()), made)

    def test_records_are_saved_found_and_removed(self) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            store = Store(Path(scratch))
            record = store.save("ports", {"name": "a"})
            self.assertEqual(store.load("ports", record["id"]), record)
            self.assertEqual(list(store.all("ports")), [record])
            store.remove("ports", record["id"])
            self.assertIsNone(store.load("ports", record["id"]))


@unittest.skipUnless(shutil.which("qemu-system-x86_64"), "no qemu here")
class Ended(unittest.TestCase):
    def test_a_machine_ends_with_the_run_that_started_it(self) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            place, pids = Path(scratch) / "place", Path(scratch) / "pids"
            place.mkdir()
            pids.mkdir()
            line = machine.command(settings(place, qemu="qemu-system-x86_64"), "id", place, [], [], {}, place / "none")
            # As it is started otherwise, without what makes it a computer.
            start = [*line[: line.index("-machine")], "-machine", "none"]
            pid = machine.start(settings(place, pids=pids), place, start)
            self.assertTrue(is_alive(pid))
            end_recorded(pids, seconds=5)
            self.assertFalse(is_alive(pid))


@unittest.skipUnless(shutil.which("qemu-system-x86_64"), "no qemu here")
class Accelerator(unittest.TestCase):
    def test_a_virtual_processor_runs_or_does_not(self) -> None:
        self.assertTrue(accelerator.runs("qemu-system-x86_64", "tcg"))
        self.assertFalse(accelerator.runs("qemu-system-x86_64", "no-such-accelerator"))


if __name__ == "__main__":
    unittest.main()
