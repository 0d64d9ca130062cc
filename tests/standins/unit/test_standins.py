"""Whether the data is whole, and becomes packages that say what it says."""

from __future__ import annotations

import subprocess
import tempfile
import unittest
from pathlib import Path

from standins import deb, tar
from standins.model import Archive, DataError, Datastore, Package

DATA = Path(__file__).resolve().parent.parent / "data"


class Data(unittest.TestCase):
    def test_every_package_says_where_it_is_known_from(self) -> None:
        files = sorted(DATA.glob("*.toml"))
        self.assertGreater(len(files), 3)
        for file in files:
            datastore = Datastore.read(file)
            sources = [(package.name, package.source) for package in datastore.packages]
            sources += [(archive.name, archive.source) for archive in datastore.archives]
            for name, source in sources:
                dated = r"^[\w./-]+ .*20\d\d-\d\d-\d\d|^stands in"
                self.assertRegex(source, dated, f"{file.name} {name}")

    def test_scripts_are_shell(self) -> None:
        for file in sorted(DATA.glob("*.toml")):
            for package in Datastore.read(file).packages:
                texts = {name: text for name, text in package.scripts.items() if name != "templates"}
                texts |= {file.path: file.text for file in package.files if file.text.startswith("#!/bin/sh")}
                for name, text in texts.items():
                    self.assertTrue(text.startswith("#!/bin/sh\n"), f"{package.name} {name}")
                    subprocess.run(["sh", "-n"], input=text, text=True, check=True)

    def test_wrong_data_is_refused(self) -> None:
        whole = {"name": "n", "version": "1", "source": "s 2026-01-01"}
        wrong: list[tuple[dict[str, object], str]] = [
            ({"source": None}, "has no 'source'"),
            ({"postints": ""}, "unknown key postints"),
            ({"directories": ["var/lib"]}, "no absolute path"),
            ({"directories": ["/var/../lib"]}, "no absolute path"),
            ({"conffiles": ["/etc/a"]}, "is a conffile and no file"),
        ]
        for change, message in wrong:
            changed: dict[str, object] = {**whole, **change}
            table = {key: value for key, value in changed.items() if value is not None}
            with self.assertRaisesRegex(DataError, message):
                Package.of(table)


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
            file = deb.build(package, out)
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


if __name__ == "__main__":
    unittest.main()
