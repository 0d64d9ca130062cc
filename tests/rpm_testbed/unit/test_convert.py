"""Relations between packages mean the same when they are said in RPM's way, by rpm's own judgement."""

import subprocess
import unittest
from pathlib import Path

from testbed.convert import Converter
from testbed.debian import Deb, Version
from testbed.naming import Naming

HERE = Path(__file__).resolve().parent.parent
DIST = ".el9"


def older(one: str, other: str) -> int:
    """How rpm orders two versions: -1, 0, 1."""
    text = f'print(rpm.vercmp("{one}", "{other}"))'
    return int(subprocess.run(["rpm", "--eval", f"%{{lua:{text}}}"], check=True, capture_output=True, text=True).stdout)


class Described(unittest.TestCase):
    def describe(self, **fields: str) -> list[str]:
        converter = Converter(Naming.read(HERE / "names.toml"), DIST, "", HERE, HERE)
        all_fields = {"Package": "a", "Version": "1-2", "Architecture": "amd64", **fields}
        rpm = converter.describe(
            Deb(HERE, {key.replace("_", "-"): value for key, value in all_fields.items()}, frozenset())
        )
        return [*rpm.requires, *rpm.provides, *rpm.conflicts]

    def test_relations(self) -> None:
        for field, text, expected in (
            (
                "Depends",
                "b (= 1-2), c (>= 1-2), d (<< 3~), e | f (>> 4)",
                [
                    "b = 1-2.el9",
                    "c >= 1-2",
                    "d < 3~-0",
                    "(e or f > 4-0.el9)",
                ],
            ),
            ("Pre_Depends", "dpkg (>= 1.17), debconf | cdebconf", []),
            ("Provides", "b (= 5), c", ["b = 5", "c"]),
            ("Conflicts", "a, b (<< 2)", ["b < 2-0"]),
            ("Breaks", "b", []),
        ):
            self.assertEqual(self.describe(**{field: text}), expected)

    def test_what_was_only_compiled_again_fits(self) -> None:
        [said] = self.describe(Depends="b (<< 059-4+b+~)")
        self.assertEqual(said, "b <= 059-4.el9")
        for version in ("059-4", "059-4+b1", "059-4+b12"):
            self.assertLessEqual(older(Version.parse(version).rpm(DIST), said.split()[2]), 0, version)
        self.assertEqual(older(Version.parse("059-5").rpm(DIST), said.split()[2]), 1)

    def test_red_hats_name_comes_with_debians(self) -> None:
        self.assertIn("redis-server = 5:7-1.el9", self.describe(Package="redis-server", Version="5:7-1"))
