"""Versions, relations and control files of Debian's, read and said in RPM's way."""

import unittest

from testbed.debian import Relation, Version, merged, paragraph, relations


class Versions(unittest.TestCase):
    def test_each_part_finds_its_place(self) -> None:
        for text, expected in (
            ("1.2-3", "1.2-3.el9"),
            ("5:7.0.15-1~deb12u10", "5:7.0.15-1~deb12u10.el9"),
            ("1:10.11.19-0+deb12u1", "1:10.11.19-0+deb12u1.el9"),
            # No revision, and a dash in what is left.
            ("12.4", "12.4-0.el9"),
            ("1.2-beta-4", "1.2_beta-4.el9"),
            ("2:20221101", "2:20221101-0.el9"),
        ):
            self.assertEqual(Version.parse(text).rpm(".el9"), expected)


class Relations(unittest.TestCase):
    def test_alternatives_versions_and_architectures(self) -> None:
        found = relations("a (>= 1.2~), b:any | c (<< 2) ,\n d [amd64],")
        self.assertEqual(
            found,
            [[Relation("a", ">=", "1.2~")], [Relation("b"), Relation("c", "<<", "2")], [Relation("d")]],
        )
        self.assertEqual(relations(""), [])

    def test_what_is_no_relation_is_refused(self) -> None:
        for text in ("a (~ 1)", "a b", "${misc:Depends}"):
            with self.assertRaisesRegex(ValueError, "not a relation"):
                relations(text)


class Texts(unittest.TestCase):
    def test_continued_lines_belong_to_their_field(self) -> None:
        found = paragraph("Package: a\nDescription: short\n long: 1\n .\n\tlonger\nVersion: 1:2\n")
        self.assertEqual(found["Description"], "short\nlong: 1\n.\nlonger")
        self.assertEqual((found["Package"], found["Version"]), ("a", "1:2"))

    def test_the_merge_of_usr(self) -> None:
        for path, expected in (
            ("/bin/sh", "/usr/bin/sh"),
            ("/lib64/ld.so", "/usr/lib64/ld.so"),
            ("/lib", None),
            ("/libexec/x", "/libexec/x"),
            ("/usr/bin/sh", "/usr/bin/sh"),
            ("/", "/"),
        ):
            self.assertEqual(merged(path), expected)
