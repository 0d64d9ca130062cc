"""Which Trove an image wants."""

from __future__ import annotations

import json
import tempfile
import unittest
from pathlib import Path

from proving.agent import Agent, agent_of, from_inspection, from_manifest
from proving.errors import UsageError
from proving.virtualenv import constraints, lock_of, requirements


class Versions(unittest.TestCase):
    def test_series_and_release_of_a_version(self) -> None:
        for version, series, release in (
            ("26.0.0", 26, "26.0.0"),
            ("18.0.0-2", 18, "18.0.0"),
            ("1:18.0.0-2+deb12u1", 18, "18.0.0"),
            ("26.0.1.dev12", 26, None),
            ("27.0.0.0rc1", 27, None),
        ):
            with self.subTest(version):
                agent = Agent(version, "test", {})
                self.assertEqual((agent.series, agent.release), (series, release))

    def test_what_is_no_version_is_refused(self) -> None:
        for version in ("", "master", "26"):
            with self.subTest(version), self.assertRaises(UsageError):
                Agent(version, "test", {}).series  # noqa: B018


class Sources(unittest.TestCase):
    def test_a_manifest_tells_agent_and_requirements(self) -> None:
        files = [
            {"name": "trove", "version": "26.0.0"},
            {"name": "amqp", "version": "5.4.2"},
            {"name": "x", "version": None},
        ]
        found = from_manifest({"agent": {"name": "trove", "version": "26.0.0", "files": files}}, "m")
        self.assertEqual(found, Agent("26.0.0", "m", {"amqp": "5.4.2"}))

    def test_a_manifest_without_an_agent_tells_nothing(self) -> None:
        for manifest in ({}, {"agent": None}, {"agent": {"version": None}}):
            self.assertIsNone(from_manifest(manifest, "m"))

    def test_an_inspection_tells_by_python_then_by_packages(self) -> None:
        python = {"environments": [{"packages": []}, {"packages": [{"name": "trove", "version": "26.0.0"}]}]}
        packages = {"packages": [{"name": "python3-trove", "version": "1:18.0.0-2"}]}
        for inspection, version in (
            ({"python": python, "packages": packages}, "26.0.0"),
            ({"python": None, "packages": packages}, "1:18.0.0-2"),
            ({"python": {"unreadable": "why"}, "packages": packages}, "1:18.0.0-2"),
        ):
            found = from_inspection(inspection, "i")
            self.assertEqual(found and found.version, version)
        self.assertIsNone(from_inspection({"python": None, "packages": {"packages": []}}, "i"))

    def test_the_image_is_asked_in_order(self) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            image = Path(scratch) / "a.qcow2"
            with self.assertRaises(UsageError) as refused:
                agent_of(image, "no-such-tib", "")
            self.assertIn("--trove", refused.exception.hint)
            inspects = Path(scratch) / "tib"
            answer = {"python": {"environments": [{"packages": [{"name": "trove", "version": "25.0.0"}]}]}}
            inspects.write_text(f"#!/bin/sh\ncat <<E\n{json.dumps(answer)}\nE\n")
            inspects.chmod(0o755)
            self.assertEqual(agent_of(image, str(inspects), "").version, "25.0.0")
            (Path(scratch) / "a.qcow2.manifest.json").write_text('{"agent": {"version": "26.0.0"}}')
            self.assertEqual(agent_of(image, str(inspects), "").version, "26.0.0")
            self.assertEqual(agent_of(image, str(inspects), "24.0.0").version, "24.0.0")


class Requirements(unittest.TestCase):
    def test_the_series_of_the_agent_is_everybodys(self) -> None:
        wanted = requirements(Agent("26.0.0", "test", {}))
        self.assertEqual(wanted[:3], ["trove==26.0.0", "keystone==30.*", "glance==33.*"])
        self.assertEqual(requirements(Agent("26.0.1.dev3", "test", {}))[0], "trove==26.*")

    def test_a_lock_holds_all_but_trove_itself(self) -> None:
        pinned = constraints(Agent("26.0.1", "test", {"amqp": "1.0"})).splitlines()
        self.assertIn("keystone==30.0.0", pinned)
        self.assertFalse([line for line in pinned if line.startswith(("trove==", "#"))])
        self.assertFalse([line for line in pinned if "==" not in line])

    def test_without_a_lock_the_image_decides(self) -> None:
        agent = Agent("99.0.0", "test", {"b": "2", "a": "1"})
        self.assertIsNone(lock_of(agent))
        self.assertEqual(constraints(agent), "a==1\nb==2\n")


if __name__ == "__main__":
    unittest.main()
