"""What rpmbuild makes of a description is what rpm finds in the package."""

import subprocess
import tempfile
import unittest
from pathlib import Path

from testbed.spec import Entry, Rpm


def query(package: Path, text: str) -> list[str]:
    command = ["rpm", "-qp", "--nosignature", "--qf", text, str(package)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()


class Built(unittest.TestCase):
    def setUp(self) -> None:
        self.directory = tempfile.TemporaryDirectory()
        self.addCleanup(self.directory.cleanup)
        self.work = Path(self.directory.name)
        self.root = self.work / "root"

    def build(self, rpm: Rpm, files: dict[str, str]) -> Path:
        for path, text in files.items():
            place = self.root / path.lstrip("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
        return rpm.build(self.root, self.work, self.work, "w1.gzdio")

    def test_owners_modes_flags_and_scripts_are_kept(self) -> None:
        entries = [
            Entry("/etc/a.conf", 0o640, "root", "adm", ("config(noreplace)",)),
            Entry("/usr/bin/su", 0o4755),
            Entry("/usr/share/doc/a", 0o644, flags=("doc",)),
            Entry("/var/a", 0o2775, "mail", "mail", ("dir",)),
            Entry("/usr/bin/100% [x]", 0o755),
        ]
        rpm = Rpm("a", "1.2~rc1", "3.el9", epoch="4", requires=["b >= 1", "(c or d)"], provides=["e = 5"])
        rpm.conflicts, rpm.summary = ["f < 2"], "100% a"
        rpm.scriptlets = {"pre": "echo 50%\n", "post": "true"}
        rpm.entries = entries
        self.root.joinpath("var/a").mkdir(parents=True)
        package = self.build(rpm, {entry.path: entry.path for entry in entries if "dir" not in entry.flags})
        listed = query(
            package, "[%{FILENAMES} %{FILEMODES:perms} %{FILEUSERNAME} %{FILEGROUPNAME} %{FILEFLAGS:fflags}\n]"
        )
        self.assertEqual(
            sorted(listed),
            [
                "/etc/a.conf -rw-r----- root adm cn",
                "/usr/bin/100% [x] -rwxr-xr-x root root ",
                "/usr/bin/su -rwsr-xr-x root root ",
                "/usr/share/doc/a -rw-r--r-- root root d",
                "/var/a drwxrwsr-x mail mail ",
            ],
        )
        self.assertEqual(query(package, "%{EPOCH}:%{VERSION}-%{RELEASE} %{SUMMARY}"), ["4:1.2~rc1-3.el9 100% a"])
        required = query(package, "[%{REQUIRENEVRS}\n]")
        self.assertTrue({"b >= 1", "(c or d)", "/bin/sh"} <= set(required), required)
        self.assertIn("e = 5", query(package, "[%{PROVIDENEVRS}\n]"))
        self.assertEqual(query(package, "[%{CONFLICTNEVRS}\n]"), ["f < 2"])
        self.assertEqual(query(package, "%{PREIN}"), ["echo 50%"])

    def test_what_cannot_be_built_is_told(self) -> None:
        self.root.mkdir()
        rpm = Rpm("a", "1", "1", entries=[Entry("/nowhere", 0o644)])
        with self.assertRaisesRegex(RuntimeError, "cannot make a:(.|\n)*nowhere"):
            self.build(rpm, {})
