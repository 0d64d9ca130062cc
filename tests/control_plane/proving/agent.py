"""Which Trove an image wants: the release of its agent, from the manifest beside it or from `tib inspect`."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

from proving.errors import UsageError

RELEASE = re.compile(r"(?:\d+:)?(\d+)\.(\d+)\.(\d+)([^-+~]*)")


@dataclasses.dataclass(frozen=True)
class Agent:
    """The agent in the image, as far as the control plane has to fit it."""

    version: str
    # Who says so.
    source: str
    # Name and version of what is installed with it, if known.
    requirements: dict[str, str]

    @property
    def series(self) -> int:
        """The major version, which is a release of OpenStack."""
        match = RELEASE.match(self.version)
        if match is None:
            raise UsageError(
                f"{self.version!r} is no version of Trove", "give one with --trove, such as --trove 26.0.0"
            )
        return int(match[1])

    @property
    def release(self) -> str | None:
        """The version if it is one that was published; none for an agent from a source tree."""
        match = RELEASE.match(self.version)
        return f"{match[1]}.{match[2]}.{match[3]}" if match and not match[4] else None


def from_manifest(manifest: dict[str, Any], source: str) -> Agent | None:
    """The agent that a manifest of tib names."""
    agent = manifest.get("agent")
    if not agent or not agent.get("version"):
        return None
    files = agent.get("files") or []
    requirements = {file["name"]: file["version"] for file in files if file.get("version") and file["name"] != "trove"}
    return Agent(agent["version"], source, requirements)


def from_inspection(inspection: dict[str, Any], source: str) -> Agent | None:
    """The agent that `tib inspect --json` found: from Python's packages, or from the distribution's."""
    for environment in (inspection.get("python") or {}).get("environments") or []:
        for package in environment["packages"]:
            if package["name"] == "trove":
                return Agent(package["version"], source, {})
    for package in (inspection.get("packages") or {}).get("packages") or []:
        if package["name"] in ("python3-trove", "trove-guestagent", "openstack-trove-guestagent"):
            return Agent(package["version"], source, {})
    return None


def agent_of(image: Path, tib: str, given: str) -> Agent:
    """Fails if nobody knows."""
    if given:
        return Agent(given, "--trove", {})
    manifest = image.with_name(image.name + ".manifest.json")
    if manifest.is_file():
        found = from_manifest(json.loads(manifest.read_text()), manifest.name)
        if found is not None:
            return found
    hint = "give the version of Trove that it is for with --trove, such as --trove 26.0.0"
    if shutil.which(tib) is None:
        raise UsageError(f"no manifest with an agent beside {image}, and no `{tib}` to look into it with", hint)
    looked = subprocess.run(
        [tib, "inspect", "--json", "--only", "python,packages", str(image)], capture_output=True, text=True
    )
    if looked.returncode != 0:
        raise UsageError(f"`tib inspect` cannot look into {image}: {looked.stderr.strip()}", hint)
    found = from_inspection(json.loads(looked.stdout), "tib inspect")
    if found is None:
        raise UsageError(f"{image} has no agent of Trove that could be found", hint)
    return found
