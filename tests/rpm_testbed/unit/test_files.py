"""Files of Debian's packages become files of RPMs, as the configured system has them."""

import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path
from typing import Any

from testbed.convert import Converter
from testbed.naming import Naming
from testbed.state import Attributes, Configured

CONTROL = "Package: a\nVersion: 1-2\nArchitecture: all\nMaintainer: a <a@example.org>\nDescription: a\n"


class Converted(unittest.TestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.work = Path(directory.name)

    def convert(self, files: list[str], extra: dict[str, Any], configured: dict[str, Attributes]) -> dict[str, str]:
        """What each RPM of a package of these files has, as rpm lists it."""
        root = self.work / "deb"
        (root / "DEBIAN").mkdir(parents=True)
        (root / "DEBIAN/control").write_text(CONTROL)
        for path in files:
            place = root / path.lstrip("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.mkdir() if path.endswith("/") else place.write_text(path)
        deb = self.work / "a.deb"
        subprocess.run(["dpkg-deb", "--root-owner-group", "--build", root, deb], check=True, capture_output=True)
        table: dict[str, Any] = {"drop": [], "unwanted": [], "rename": {}, "rename_pattern": []}
        table |= {"units": {}, "paths": {}}
        naming = Naming({**table, "package": {"a": extra}})
        converter = Converter(naming, ".el9", "w1.gzdio", self.work, self.work, Configured(configured))
        text = "[%{FILENAMES} %{FILEMODES:perms} %{FILEUSERNAME} %{FILELINKTOS} %{FILECAPS}\n]"
        found = {}
        for rpm in converter.convert(deb):
            command = ["rpm", "-qp", "--nosignature", "--qf", text, str(rpm)]
            found[rpm.name] = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        return found

    def test_what_maintainer_scripts_have_changed_is_taken_over(self) -> None:
        root = ("root", "root")
        configured = {
            "/usr/bin/ping": Attributes(0o755, *root, capabilities="cap_net_raw=ep"),
            "/usr/bin/launch": Attributes(0o4754, "root", "messagebus"),
            "/var/run": Attributes(0o777, *root, target="/run"),
            "/var/lib/a": Attributes(0o700, "daemon", "daemon"),
        }
        [listed] = self.convert(
            ["/bin/ping", "/usr/bin/launch", "/var/run/", "/var/run/a/", "/var/lib/a/", "/usr/bin/b"], {}, configured
        ).values()
        lines = {line.split(" ")[0]: line.split(" ", 1)[1].strip() for line in listed.splitlines()}
        self.assertEqual(lines["/usr/bin/ping"], "-rwxr-xr-x root  cap_net_raw=ep")
        self.assertEqual(lines["/usr/bin/launch"], "-rwsr-xr-- root")
        self.assertEqual(lines["/var/run"], "lrwxrwxrwx root /run")
        self.assertEqual(lines["/var/lib/a"], "drwx------ daemon")
        self.assertEqual(lines["/usr/bin/b"], "-rw-r--r-- root")
        self.assertNotIn("/var/run/a", lines)

    def test_a_part_is_a_package_of_its_own(self) -> None:
        extra: dict[str, Any] = {"split": {"a-contrib": ["/usr/share/a/[!p]*"]}}
        found = self.convert(["/usr/share/a/plain", "/usr/share/a/hstore"], extra, {})
        self.assertEqual(sorted(found), ["a-1-2.el9.noarch.rpm", "a-contrib-1-2.el9.noarch.rpm"])
        self.assertIn("/usr/share/a/plain", found["a-1-2.el9.noarch.rpm"])
        self.assertNotIn("hstore", found["a-1-2.el9.noarch.rpm"])
        self.assertEqual(found["a-contrib-1-2.el9.noarch.rpm"].split(" ")[0], "/usr/share/a/hstore")
        self.assertEqual(len(found["a-contrib-1-2.el9.noarch.rpm"].splitlines()), 1)

    def test_a_part_that_nothing_fits_is_told(self) -> None:
        with self.assertRaisesRegex(RuntimeError, "a has no file that fits /nowhere"):
            self.convert(["/usr/share/a"], {"split": {"a-contrib": ["/nowhere"]}}, {})

    def test_what_is_replaced_is_there_once(self) -> None:
        path = "/usr/share/aa"
        for old, count in (("a", 3), ("nothing", 0)):
            with self.subTest(old), self.assertRaisesRegex(RuntimeError, f"has '{old}' {count} times, not once"):
                shutil.rmtree(self.work / "deb", ignore_errors=True)
                self.convert([path], {"replace": {path: [[old, "b"]]}}, {})
