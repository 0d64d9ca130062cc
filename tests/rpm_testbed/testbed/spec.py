"""RPM packages: a description, the spec file that says it, and the file that rpmbuild makes of both."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

# rpmbuild takes these as patterns, and cannot quote all of them; a question mark stands for any. A pattern ends at
# the first space, whatever quotes there are.
_PATTERN = re.compile(r"[\\\[\]*{}?\"]")
_IN_PATTERN = re.compile(r"[\\\[\]*{}?\"%\s]")


@dataclass(frozen=True)
class Entry:
    """A path in a package."""

    path: str
    mode: int
    owner: str = "root"
    group: str = "root"
    # Of `dir`, `config(noreplace)`, `doc`, `ghost`, `caps(…)`.
    flags: tuple[str, ...] = ()
    link: bool = False

    def line(self) -> str:
        """As a line of `%files`."""
        words = [f"%{flag}" for flag in self.flags]
        if not self.link:
            words.insert(0, f"%attr({self.mode:04o},{self.owner},{self.group})")
        return " ".join([*words, f'"{quoted(self.path)}"'])


def quoted(path: str) -> str:
    """A path of `%files` that stands for itself."""
    return _IN_PATTERN.sub("?", path) if _PATTERN.search(path) else path.replace("%", "%%")


def text(value: str) -> str:
    """Text of a spec file in which nothing is a macro."""
    return value.replace("%", "%%")


@dataclass
class Rpm:
    """A package that is to be built."""

    name: str
    version: str
    release: str
    epoch: str = ""
    arch: str = "noarch"
    summary: str = ""
    description: str = ""
    requires: list[str] = field(default_factory=list)
    recommends: list[str] = field(default_factory=list)
    suggests: list[str] = field(default_factory=list)
    provides: list[str] = field(default_factory=list)
    conflicts: list[str] = field(default_factory=list)
    obsoletes: list[str] = field(default_factory=list)
    # Shell, by the scriptlet's name: `pre`, `post`, `preun`, `postun`, `posttrans`.
    scriptlets: dict[str, str] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    # Whether the directory that it is built of holds files of others, too.
    partial: bool = False

    @property
    def file_name(self) -> str:
        return f"{self.name}-{self.version}-{self.release}.{self.arch}.rpm"

    def spec(self) -> str:
        """The spec file."""
        lines = [
            f"Name: {self.name}",
            f"Version: {self.version}",
            f"Release: {self.release}",
            *([f"Epoch: {self.epoch}"] if self.epoch else []),
            f"Summary: {text(self.summary or self.name)}",
            "License: see /usr/share/doc",
            "Vendor: testbed",
            # What the relations of the original say is all there is.
            "AutoReqProv: no",
            *(["BuildArch: noarch"] if self.arch == "noarch" else []),
        ]
        for tag, values in (
            ("Requires", self.requires),
            ("Recommends", self.recommends),
            ("Suggests", self.suggests),
            ("Provides", self.provides),
            ("Conflicts", self.conflicts),
            ("Obsoletes", self.obsoletes),
        ):
            lines += [f"{tag}: {value}" for value in dict.fromkeys(values)]
        lines += ["", "%description", text(self.description or self.summary or self.name)]
        for name, body in self.scriptlets.items():
            lines += ["", f"%{name}", text(body.strip())]
        lines += ["", "%files", *(entry.line() for entry in self.entries), ""]
        return "\n".join(lines)

    def build(self, root: Path, output: Path, work: Path, payload: str) -> Path:
        """Packs what lies in `root` with rpmbuild. `payload` is a compression as RPM names it, such as `w1.zstdio`."""
        spec = work / f"{self.name}.spec"
        spec.write_text(self.spec())
        settings = {
            "_topdir": str(work / "top"),
            "_rpmdir": str(output),
            "_rpmfilename": "%{NAME}-%{VERSION}-%{RELEASE}.%{ARCH}.rpm",
            "_binary_payload": payload,
            "_source_payload": payload,
            # SHA-256, as every release since 6 has it.
            "_binary_filedigest_algorithm": "8",
            "_build_id_links": "none",
            "__os_install_post": "%{nil}",
            "debug_package": "%{nil}",
            "use_source_date_epoch_as_buildtime": "1",
            "_unpackaged_files_terminate_build": "0" if self.partial else "1",
        }
        arguments = [word for name, value in settings.items() for word in ("--define", f"{name} {value}")]
        command = ["rpmbuild", "-bb", "--quiet", "--noprep", "--noclean", "--buildroot", str(root)]
        command += ["--target", f"{self.arch}-linux", *arguments, str(spec)]
        done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", check=False)
        made = output / self.file_name
        if done.returncode != 0 or not made.exists():
            raise RuntimeError(f"rpmbuild cannot make {self.name}:\n{done.stderr[-2000:]}")
        return made


def own_directories(entries: Iterable[Entry]) -> list[Entry]:
    """Entries without those that are listed twice; the first counts."""
    return list({entry.path: entry for entry in reversed(list(entries))}.values())[::-1]
