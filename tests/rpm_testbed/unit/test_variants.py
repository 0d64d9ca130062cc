"""Each variant is whole: its files, its layout by sfdisk's judgement, its database by rpm's."""

import subprocess
import tempfile
import tomllib
import unittest
from pathlib import Path

from testbed import disk, oldrpm
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
            lists = "".join(text for path, text in files.items() if path.startswith("/etc/yum.repos.d/"))
            self.assertEqual(lists == "", variant.id == "rhel", key)
            for name in variant.repositories if lists else []:
                place = variant.path(name).replace("x86_64", "$basearch/" if variant.vault else "")
                self.assertIn(f"baseurl=http://localhost:1/{place}\n", lists, key)
            self.assertEqual("/etc/yum.conf" in files, key == "centos-7", key)
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
            layout = disk.Layout(variant.root, variant.boot, disk.Ids.of(key), variant.xfs, variant.mbr)
            places = disk.partitioned(self.work / "disk.raw", layout)
            self.assertEqual("boot" in places, bool(variant.boot), key)
            # Where GRUB lies is no partition there.
            root = f"/dev/x{1 if variant.mbr else len(places)}"
            self.assertRegex(layout.script("/dev/x", "/dev/y", "/z"), rf"mkfs.{variant.root} [^\n]* {root}\n", key)
            self.assertEqual("EFI System Partition" in places, not variant.mbr, key)
            end = max(start + length for start, length in places.values())
            self.assertEqual(sum(places["root"]), end, key)
            self.assertGreater(places["root"][1], 8 << 30, key)
            mounted = [line.split()[1] for line in layout.fstab().splitlines()]
            self.assertEqual(mounted[0], "/", key)
            self.assertEqual("/boot" in mounted, bool(variant.boot), key)
            self.assertEqual("rootflags=subvol=root" in layout.options, variant.root == "btrfs", key)

    def test_libraries_have_their_names_of_the_release_before(self) -> None:
        # As long as before, and nothing else has changed: versions of symbols, and names that only begin so.
        before = b"\x7fELF\0librpm.so.9\0librpmio.so.9\0librpm.so.91\0liblua5.2.so.0\0"
        after = b"\x7fELF\0librpm.so.8\0librpmio.so.8\0librpm.so.91\0liblua5.2.so.0\0"
        self.assertEqual(oldrpm.soname(before), after)
