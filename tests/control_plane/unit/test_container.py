"""The database's image and the registry that serves it, judged by skopeo, which is what others pull with."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import subprocess
import tarfile
import tempfile
import unittest
import urllib.error
import urllib.request
from pathlib import Path

from proving.container import configuration, layer, write_layout
from proving.databases import DATABASES, database
from proving.errors import UsageError
from proving.registry import Registry


def tree(*names: str) -> bytes:
    """A tar of files that hold their own names; a name with a slash at its end is a directory."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name in names:
            info = tarfile.TarInfo("./" + name.rstrip("/"))
            if name.endswith("/"):
                info.type = tarfile.DIRTYPE
            else:
                info.size = len(name)
            tar.addfile(info, io.BytesIO(name.encode()))
    return buffer.getvalue()


def layer_of(name: str, *names: str) -> tarfile.TarFile:
    with tarfile.open(fileobj=io.BytesIO(tree(*names))) as source:
        return tarfile.open(fileobj=io.BytesIO(layer(source, DATABASES[name])))


class Layer(unittest.TestCase):
    def test_what_nobody_reads_is_left_out(self) -> None:
        made = layer_of(
            "postgresql", "usr/bin/a", "usr/share/doc/a", "usr/lib/x86_64-linux-gnu/libLLVM-14.so.1"
        ).getnames()
        self.assertIn("usr/bin/a", made)
        self.assertFalse([name for name in made if "doc/a" in name or "LLVM" in name])

    def test_entry_points_and_users_are_there(self) -> None:
        for name, scripts in (("mariadb", {"entrypoint.sh", "healthcheck.sh"}), ("postgresql", {"entrypoint.sh"})):
            made = layer_of(name, "etc/passwd")
            there = {entry.name.rpartition("/")[2] for entry in made if entry.name.endswith(".sh")}
            self.assertEqual(there, scripts)
            self.assertEqual(made.getmember("usr/local/bin/entrypoint.sh").mode, 0o755)
            passwd = made.extractfile("etc/passwd")
            assert passwd is not None
            self.assertIn(b":1001:1001:", passwd.read())
            self.assertEqual(made.getnames().count("etc/passwd"), 1)

    def test_links_fit_both_layouts_of_usr(self) -> None:
        split = layer_of("mariadb", "bin/bash", "usr/bin/gawk", "var/run/")
        self.assertNotIn("bin", [entry.name for entry in split if entry.issym()])
        self.assertEqual(split.getmember("var/run").linkname, "/run")
        self.assertEqual(split.getmember("usr/bin/awk").linkname, "gawk")
        merged = layer_of("mariadb", "usr/bin/bash")
        self.assertEqual(merged.getmember("bin").linkname, "usr/bin")


class Databases(unittest.TestCase):
    def test_what_cannot_be_proved_says_why(self) -> None:
        for name, reason in (("mysql", "MariaDB instead"), ("redis", "no manager")):
            with self.assertRaises(UsageError) as refused:
                database(name)
            self.assertIn(reason, str(refused.exception))

    def test_versions_are_those_of_the_suite(self) -> None:
        postgresql = database("postgresql")
        self.assertIn("postgresql-15", postgresql.all_packages("bookworm"))
        self.assertTrue(postgresql.search_path("bookworm").startswith("/usr/lib/postgresql/15/bin:"))
        with self.assertRaises(UsageError):
            postgresql.version("buster")


class Served(unittest.TestCase):
    def setUp(self) -> None:
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.place = Path(scratch.name)
        config = configuration(DATABASES["mariadb"], "bookworm")
        write_layout(self.place / "layouts" / "mariadb", tree("etc/os-release"), config, "10.11")
        registry = Registry(self.place / "layouts", self.place / "log")
        registry.start()
        self.addCleanup(registry.server_close)
        self.addCleanup(registry.shutdown)
        self.url = f"http://127.0.0.1:{registry.port}"

    @unittest.skipUnless(shutil.which("skopeo"), "no skopeo here")
    def test_others_pull_it_whole(self) -> None:
        source = self.url.replace("http:", "docker:") + "/mariadb:10.11"
        target = f"dir:{self.place / 'pulled'}"
        command = ["skopeo", "--insecure-policy", "copy", "--src-tls-verify=false", source, target]
        pulled = subprocess.run(command, capture_output=True, text=True)
        self.assertEqual(pulled.returncode, 0, pulled.stderr)
        manifest = json.loads((self.place / "pulled" / "manifest.json").read_text())
        config = json.loads((self.place / "pulled" / manifest["config"]["digest"][7:]).read_text())
        self.assertEqual(config["config"]["Entrypoint"], ["entrypoint.sh"])
        with tarfile.open(self.place / "pulled" / manifest["layers"][0]["digest"][7:]) as unpacked:
            self.assertEqual(unpacked.getnames(), ["./etc/os-release"])

    def test_what_there_is_not_and_what_lies_outside_is_not_found(self) -> None:
        (self.place / "secret").write_text("secret")
        digest = "sha256:" + hashlib.sha256(b"").hexdigest()
        for path in (
            "/",
            "/v2/mariadb/manifests/11.8",
            "/v2/postgresql/manifests/10.11",
            f"/v2/mariadb/blobs/{digest}",
            "/v2/mariadb/blobs/../../../secret",
            "/v2/../../secret/manifests/10.11",
            "/v2/mariadb/blobs/sha256:..%2f..%2fsecret",
        ):
            with self.subTest(path), self.assertRaises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(self.url + path)
            self.assertEqual(refused.exception.code, 404)


if __name__ == "__main__":
    unittest.main()
