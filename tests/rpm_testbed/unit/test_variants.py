"""Each variant is whole: its files, its layout by sfdisk's judgement, its database by rpm's."""

import subprocess
import tempfile
import tomllib
import unittest
from pathlib import Path

from testbed import disk, inside
from testbed.spec import Entry, Rpm
from testbed.variant import Variant

HERE = Path(__file__).resolve().parent.parent
TABLE = HERE / "variants.toml"


def keys() -> list[str]:
    return list(tomllib.loads(TABLE.read_text()))


class Variants(unittest.TestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.work = Path(directory.name)

    def test_each_says_who_it_is_and_where_its_packages_are(self) -> None:
        for key in keys():
            variant = Variant.read(TABLE, key)
            files = variant.files("http://localhost:1", "KEY")
            release = dict(line.split("=", 1) for line in files["/usr/lib/os-release"].splitlines())
            self.assertEqual(release["ID"], f'"{variant.id}"', key)
            self.assertEqual(release["VERSION_ID"].strip('"').partition(".")[0], variant.major, key)
            self.assertTrue(key.startswith(variant.id) and (variant.major in key or key == "fedora"), key)
            [repositories] = [text for path, text in files.items() if path.startswith("/etc/yum.repos.d/")]
            for name in variant.repositories:
                self.assertIn(f"baseurl=http://localhost:1/{name}\n", repositories, key)
            root = self.work / key
            root.mkdir()
            package = variant.release("http://localhost:1", "KEY", root).build(root, self.work, self.work, "w1.gzdio")
            said = subprocess.run(
                ["rpm", "-qp", "--nosignature", "--provides", package], capture_output=True, text=True
            )
            self.assertIn(f"system-release = {variant.version_id}", said.stdout, key)

    def test_each_has_a_disk(self) -> None:
        for key in keys():
            variant = Variant.read(TABLE, key)
            layout = disk.Layout(variant.root, variant.boot, disk.Ids.of(key))
            places = disk.partitioned(self.work / "disk.raw", layout)
            self.assertEqual("boot" in places, bool(variant.boot), key)
            self.assertEqual(layout.device("root"), f"/dev/sda{len(places)}", key)
            end = max(start + length for start, length in places.values())
            self.assertEqual(sum(places["root"]), end, key)
            self.assertGreater(places["root"][1], 8 << 30, key)
            mounted = [line.split()[1] for line in layout.fstab().splitlines()]
            self.assertEqual(mounted[0], "/", key)
            self.assertEqual("/boot" in mounted, bool(variant.boot), key)
            self.assertEqual("rootflags=subvol=root" in layout.options, variant.root == "btrfs", key)

    def test_rpm_reads_the_berkeley_database(self) -> None:
        root = self.work / "root"
        (root / "etc").mkdir(parents=True)
        (root / "etc/a").write_text("a")
        package = Rpm("a", "1", "2", entries=[Entry("/etc/a", 0o644)]).build(root, self.work, self.work, "w1.gzdio")
        database = self.work / "rpm"
        rpm = ["rpm", "--dbpath", str(database)]
        subprocess.run([*rpm, "-i", "--justdb", "--nodeps", "--nosignature", package], check=True)
        inside.berkeley(database)
        self.assertEqual([path.name for path in database.glob("[!_.]*") if path.suffix != ".lock"], ["Packages"])
        query = [*rpm, "--define", "_db_backend bdb_ro", "-qa"]
        said = subprocess.run(query, check=True, capture_output=True, text=True).stdout
        self.assertEqual(said.splitlines(), ["a-1-2.noarch"])
