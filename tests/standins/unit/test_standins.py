"""Whether the data is whole, and becomes packages that say what it says."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
# The testbed writes spec files.
sys.path.insert(0, str(HERE.parent / "rpm_testbed"))

from standins import deb, rpm, tar  # noqa: E402
from standins.model import SCRIPTS, Archive, DataError, Datastore, Package  # noqa: E402

DATA = HERE / "data"
SYSTEMS = ("debian-12", "ubuntu-24.04", "rocky-9")
# Data that is for Red Hat's family alone.
RPM_ONLY = ("rdo", "rocky-9")


class Data(unittest.TestCase):
    def test_every_package_says_where_it_is_known_from(self) -> None:
        self.assertGreater(len(every()), 15)
        for file, datastore in every():
            sources = [(package.name, package.source) for package in datastore.packages]
            sources += [(archive.name, archive.source) for archive in datastore.archives]
            for name, source in sources:
                dated = r"^[\w./-]+ .*20\d\d-\d\d-\d\d|^stands in"
                self.assertRegex(source, dated, f"{file} {name}")

    def test_scripts_are_shell(self) -> None:
        for _, datastore in every():
            for package in datastore.packages:
                texts = {name: text for name, text in package.scripts.items() if name != "templates"}
                files = {file.path: file.text for file in package.files if file.text.lstrip().startswith("#!/bin/sh")}
                for name, text in (texts | files).items():
                    if name in SCRIPTS["deb"] or name in files:
                        self.assertTrue(text.startswith("#!/bin/sh\n"), f"{package.name} {name}")
                    subprocess.run(["sh", "-n"], input=text, text=True, check=True)

    def test_versions_are_those_of_the_system(self) -> None:
        mysql = {system: Datastore.read(DATA / "mysql.toml", system).packages[0].version for system in SYSTEMS}
        expected = ("8.4.10-1debian12", "8.4.10-1ubuntu24.04", "8.4.10-1.el9")
        self.assertEqual(tuple(mysql.values()), expected)
        with self.assertRaisesRegex(DataError, "has nothing for debian-12"):
            Datastore.read(DATA / "rocky-9.toml", "debian-12")

    def test_wrong_data_is_refused(self) -> None:
        whole = {"name": "n", "version": "1", "source": "s 2026-01-01"}
        wrong: list[tuple[str, dict[str, object], str]] = [
            ("deb", {"source": None}, "has no 'source'"),
            ("deb", {"postints": ""}, "unknown key postints"),
            ("rpm", {"postinst": ""}, "unknown key postinst"),
            ("deb", {"requires": "a"}, "unknown key requires"),
            ("deb", {"directories": ["var/lib"]}, "no absolute path"),
            ("deb", {"directories": ["/var/../lib"]}, "no absolute path"),
            ("rpm", {"trees": {"usr/lib": "code"}}, "no absolute path"),
            ("deb", {"conffiles": ["/etc/a"]}, "is a conffile and no file"),
            ("rpm", {"attributes": {"/var/a": "0755 a"}}, "has attributes and is not there"),
            ("deb", {"directories": ["/a"], "attributes": {"/a": "0755 a"}}, "scripts give files their owners"),
        ]
        for kind, change, message in wrong:
            changed: dict[str, object] = {**whole, **change}
            table = {key: value for key, value in changed.items() if value is not None}
            with self.assertRaisesRegex(DataError, message):
                Package.of(table, kind)


def every() -> list[tuple[str, Datastore]]:
    """All data, for each kind of system that it is for."""
    found = []
    for file in sorted(DATA.glob("*.toml")):
        systems = SYSTEMS[2:] if file.stem in RPM_ONLY else SYSTEMS
        found += [(f"{file.name} {system}", Datastore.read(file, system)) for system in systems]
    return found


class Archives(unittest.TestCase):
    def test_tar_reads_what_the_data_says(self) -> None:
        archive = Archive.of(
            {"name": "a", "artifact": "a", "source": "s", "file": {"d/run": {"text": "#!/bin/sh\n", "mode": "0755"}}}
        )
        with tempfile.TemporaryDirectory() as temporary:
            path = tar.build(archive, Path(temporary))
            listed = subprocess.run(["tar", "-tvzf", str(path)], check=True, capture_output=True, text=True).stdout
        self.assertRegex(listed, r"^-rwxr-xr-x .* d/run\n$")
        with self.assertRaisesRegex(DataError, "has no 'file'"):
            Archive.of({"name": "a", "artifact": "a", "source": "s"})


class Debs(unittest.TestCase):
    def test_dpkg_reads_what_the_data_says(self) -> None:
        package = Package.of(
            {
                "name": "standin",
                "version": "1:2.3-4",
                "architecture": "all",
                "source": "s 2026-01-01",
                "depends": "adduser, debconf",
                "pre-depends": "dpkg",
                "directories": ["/var/lib/standin"],
                "conffiles": ["/etc/standin.conf"],
                "links": {"/usr/bin/alias": "standin"},
                "file": {
                    "/etc/standin.conf": {"text": "a\n"},
                    "/usr/bin/standin": {"text": "#!/bin/sh\n", "mode": "0755"},
                },
                "postinst": "#!/bin/sh\nexit 0\n",
            }
        )
        with tempfile.TemporaryDirectory() as temporary:
            out = Path(temporary)
            file = deb.build(package, out, {})
            deb.index(out)

            def ask(*arguments: str) -> str:
                return subprocess.run(["dpkg-deb", *arguments], check=True, capture_output=True, text=True).stdout

            fields = ask("-f", str(file), "Version", "Depends").splitlines()
            self.assertEqual(fields, ["Version: 1:2.3-4", "Depends: adduser, debconf"])
            listed = ask("-c", str(file))
            self.assertRegex(listed, r"-rwxr-xr-x root/root .* ./usr/bin/standin\n")
            self.assertRegex(listed, r"drwxr-xr-x root/root .* ./var/lib/standin/\n")
            self.assertIn("./usr/bin/alias -> standin", listed)
            self.assertEqual(ask("-I", str(file), "conffiles"), "/etc/standin.conf\n")
            self.assertIn("Filename: ./standin_2.3-4_all.deb", (out / "Packages").read_text())


class Rpms(unittest.TestCase):
    def test_rpm_reads_what_the_data_says(self) -> None:
        package = Package.of(
            {
                "name": "standin",
                "version": "2.3-4.el9",
                "source": "s 2026-01-01",
                "requires": "shadow-utils, jre >= 1.8.0",
                "provides": "user(standin)",
                "directories": ["/var/lib/standin"],
                "conffiles": ["/etc/standin.conf"],
                "links": {"/usr/bin/alias": "standin"},
                "trees": {"/usr/lib/code": "code"},
                "attributes": {"/var/lib/standin": "0750 standin", "/etc/standin.conf": "0640 root:standin"},
                "file": {
                    "/etc/standin.conf": {"text": "a\n"},
                    "/usr/bin/standin": {"text": "#!/bin/sh\n", "mode": "0755"},
                },
                "post": "echo 100%\n",
            },
            "rpm",
        )
        with tempfile.TemporaryDirectory() as temporary:
            (module := Path(temporary) / "code/standin/[a] b.py").parent.mkdir(parents=True)
            module.touch(mode=0o600)
            with self.assertRaisesRegex(DataError, "takes the tree code, which is not given"):
                rpm.build(package, Path(temporary), {})
            file = rpm.build(package, Path(temporary), {"code": Path(temporary) / "code"})
            self.assertEqual(file.name, "standin-2.3-4.el9.x86_64.rpm")

            def ask(*arguments: str) -> str:
                command = ["rpm", "-qp", *arguments, str(file)]
                return subprocess.run(command, check=True, capture_output=True, text=True).stdout

            listed = ask(
                "--qf", "[%{FILENAMES} %{FILEMODES:perms} %{FILEUSERNAME}:%{FILEGROUPNAME} %{FILEFLAGS:fflags}\\n]"
            )
            self.assertEqual(
                sorted(line.strip() for line in listed.splitlines()),
                [
                    "/etc/standin.conf -rw-r----- root:standin cn",
                    "/usr/bin/alias lrwxrwxrwx root:root",
                    "/usr/bin/standin -rwxr-xr-x root:root",
                    "/usr/lib/code/standin drwxr-xr-x root:root",
                    "/usr/lib/code/standin/[a] b.py -rw-r--r-- root:root",
                    "/var/lib/standin drwxr-x--- standin:standin",
                ],
            )
            requires = ask("--requires").splitlines()
            self.assertIn("shadow-utils", requires)
            self.assertIn("jre >= 1.8.0", requires)
            self.assertIn("user(standin)", ask("--provides").splitlines())
            self.assertIn("echo 100%\n", ask("--scripts"))


if __name__ == "__main__":
    unittest.main()
