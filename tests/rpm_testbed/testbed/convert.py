"""Debian's packages as RPMs, made by an ordinary user: owners and modes are said in the spec file."""

from __future__ import annotations

import os
import shutil
import tarfile
import tempfile
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

from testbed import scriptlets
from testbed.debian import Deb, Relation, Version, merged
from testbed.naming import UNITS, Naming, is_below
from testbed.spec import Entry, Rpm
from testbed.state import Configured

# RPM's word for each of Debian's operators.
_OPERATORS = {"<<": "<", "<=": "<=", "=": "=", ">=": ">=", ">>": ">"}
# How Debian's packages say "this version, or what was only compiled again".
_ANY_REBUILD = "+b+~"


class Converter:
    """Makes RPMs of packages. `dist` is what each release ends with, such as `.el9`; `payload` as RPM names it."""

    def __init__(
        self, naming: Naming, dist: str, payload: str, output: Path, work: Path, configured: Configured | None = None
    ) -> None:
        self.naming = naming
        self.dist = dist
        self.payload = payload
        self.output = output
        self.work = work
        self.configured = configured or Configured({})

    def convert(self, path: Path) -> list[Path]:
        """Makes the RPMs of a Debian package, its main one first; none of one that the system is to be without."""
        deb = Deb.open(path)
        if deb.name in self.naming.dropped:
            return []
        with tempfile.TemporaryDirectory(dir=self.work) as directory:
            work = Path(directory)
            root = work / "root"
            root.mkdir()
            rpm = self.describe(deb)
            rpm.entries = Files(self.naming, deb, root, self.configured).unpack()
            extra = self.naming.extra(deb.name)
            all_rpms = [rpm, *split(rpm, extra.split)]
            rpm.scriptlets = scriptlets.of(extra, rpm.entries, root)
            os.environ["SOURCE_DATE_EPOCH"] = str(int(path.stat().st_mtime))
            return [one.build(root, self.output, work, self.payload) for one in all_rpms]

    def describe(self, deb: Deb) -> Rpm:
        """What a package says of itself, without its files."""
        version, extra, name = deb.version, self.naming.extra(deb.name), self.naming.package(deb.name)
        summary, _, description = deb.fields.get("Description", deb.name).partition("\n")
        provides = self._all(deb, "Provides")
        # What goes by a name of Red Hat's is required by Debian's name, too.
        if name != deb.name:
            provides.append(f"{deb.name} = {version.rpm(self.dist)}")
        own = {one.name for group in deb.relations("Provides") for one in group} | {deb.name}
        return Rpm(
            name=name,
            epoch=version.epoch,
            version=version.upstream,
            release=f"{version.revision or '0'}{self.dist}",
            arch="noarch" if deb.fields["Architecture"] == "all" else "x86_64",
            summary=summary,
            description="\n".join("" if line.strip() == "." else line for line in description.splitlines()),
            requires=[*self._all(deb, "Pre-Depends"), *self._all(deb, "Depends"), *extra.requires],
            recommends=self._all(deb, "Recommends"),
            suggests=self._all(deb, "Suggests"),
            provides=[*provides, *extra.provides],
            # A package may conflict with a name of its own: no other of that name beside it. RPM refuses it. What it
            # breaks only says in which order Debian upgrades.
            conflicts=[self._one(one) for group in deb.relations("Conflicts") for one in group if one.name not in own],
            obsoletes=list(extra.obsoletes),
        )

    def _all(self, deb: Deb, field: str) -> list[str]:
        unwanted = self.naming.dropped | set(self.naming.extra(deb.name).not_requires)
        found = []
        for group in deb.relations(field):
            if any(one.name in unwanted for one in group):
                continue
            words = [self._one(one) for one in group]
            found.append(words[0] if len(words) == 1 else "(" + " or ".join(words) + ")")
        return found

    def _one(self, relation: Relation) -> str:
        if not relation.operator:
            return relation.name
        operator, text = _OPERATORS[relation.operator], relation.version
        if relation.operator == "<<" and text.endswith(_ANY_REBUILD):
            # To RPM the tag, which comes next, is newer than that. All rebuilds come before it.
            operator, text = "<=", text.removesuffix(_ANY_REBUILD)
        version = Version.parse(text)
        if relation.operator == "=" and not version.revision:
            # A name that is provided has a version without a release, which fits any.
            epoch = f"{version.epoch}:" if version.epoch else ""
            return f"{relation.name} = {epoch}{version.upstream}"
        # All releases bear the tag, so what is not equal must be asked without it, which is older.
        return f"{relation.name} {operator} {version.rpm(self.dist if operator in ('=', '<=', '>') else '')}"


def split(rpm: Rpm, parts: dict[str, list[str]]) -> list[Rpm]:
    """Takes files out of a package that Red Hat has in others: patterns of their paths by the other's name."""
    made = []
    for name, patterns in parts.items():
        taken = [one for one in rpm.entries if any(fnmatchcase(one.path, pattern) for pattern in patterns)]
        if not taken:
            raise RuntimeError(f"{rpm.name} has no file that fits {', '.join(patterns)}")
        rpm.entries = [one for one in rpm.entries if one not in taken]
        version = f"{rpm.epoch}:{rpm.version}" if rpm.epoch else rpm.version
        requires = [f"{rpm.name} = {version}-{rpm.release}"]
        other = replace(rpm, name=name, entries=taken, requires=requires, recommends=[], suggests=[], provides=[])
        made.append(replace(other, conflicts=[], obsoletes=[], scriptlets={}, partial=True))
        rpm.partial = True
    return made


class Files:
    """The files of a package, as they are unpacked below `root`."""

    def __init__(self, naming: Naming, deb: Deb, root: Path, configured: Configured) -> None:
        self.naming = naming
        self.deb = deb
        self.root = root
        self.extra = naming.extra(deb.name)
        self.configured = configured
        # Directories of the package that are links in the configured system.
        self.linked: list[str] = []
        self.entries: dict[str, Entry] = {}

    def unpack(self) -> list[Entry]:
        with self.deb.files() as archive:
            for member in archive:
                self._member(archive, member)
        self._add()
        return list(self.entries.values())

    def _wanted(self, path: str) -> bool:
        return not any(path == one or path.startswith(one + "/") for one in self.extra.without)

    def _member(self, archive: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        original = "/" + member.name.removeprefix("./").strip("/")
        path = self.naming.path(original)
        if path is None or path == "/" or not self._wanted(path):
            return
        if is_below(path, tuple(self.linked)):
            return
        place = self._place(path)
        now = self.configured.get(merged(original) or "")
        if member.isdir() and now is not None and now.target is not None:
            self.linked.append(path)
            place.symlink_to(now.target)
            self.entries[path] = Entry(path, 0o777, link=True)
            return
        if member.isdir():
            place.mkdir(exist_ok=True)
        elif member.issym():
            place.unlink(missing_ok=True)
            place.symlink_to(member.linkname)
        elif member.islnk():
            first = self.naming.path("/" + member.linkname.removeprefix("./"))
            assert first is not None
            place.unlink(missing_ok=True)
            os.link(self.root / first.lstrip("/"), place, follow_symlinks=False)
        elif member.isreg():
            content = archive.extractfile(member)
            assert content is not None
            with place.open("wb") as stream:
                shutil.copyfileobj(content, stream, 1 << 20)
            if path.startswith(f"{UNITS}/") and place.name != original.rpartition("/")[2]:
                _drop_alias(place)
            os.utime(place, (member.mtime, member.mtime))
        else:
            raise RuntimeError(f"{self.deb.path} has {original}, which is neither file nor directory nor link")
        flags = self._flags(original, path, member)
        if now is not None and now.target is None:
            names, mode = [now.owner, now.group], now.mode
            if now.capabilities:
                flags = (f"caps({now.capabilities})", *flags)
        else:
            names, mode = [member.uname or "root", member.gname or "root"], member.mode & 0o7777
        owner, group = self.extra.owners.get(path, names)
        self.entries[path] = Entry(path, mode, owner, group, flags, member.issym())

    def _flags(self, original: str, path: str, member: tarfile.TarInfo) -> tuple[str, ...]:
        if member.isdir():
            return ("dir",)
        if original in self.deb.conffiles:
            return ("config(noreplace)",)
        return ("doc",) if path.startswith(("/usr/share/doc/", "/usr/share/man/")) else ()

    def _add(self) -> None:
        """What Red Hat's package has beyond Debian's."""
        for path, target in self.extra.links.items():
            self._place(path).symlink_to(target)
            self.entries[path] = Entry(path, 0o777, link=True)
        for path, pairs in self.extra.replace.items():
            place = self._place(path)
            content = place.read_text()
            for old, new in pairs:
                # A comment may hold the same words.
                if (count := content.count(old)) != 1:
                    raise RuntimeError(f"{self.deb.name}: {path} has {old!r} {count} times, not once")
                content = content.replace(old, new)
            place.write_text(content)
        for path, content in self.extra.text.items():
            self._place(path).write_text(content)
            flags = ("config(noreplace)",) if path.startswith("/etc/") else ()
            mode = 0o755 if content.startswith("#!") else 0o644
            owner, group = self.extra.owners.get(path, ["root", "root"])
            self.entries[path] = Entry(path, mode, owner, group, flags)
        for one in self.extra.directories:
            self._place(one["path"]).mkdir(exist_ok=True)
            owner, group = one.get("owner", "root"), one.get("group", "root")
            self.entries[one["path"]] = Entry(one["path"], one.get("mode", 0o755), owner, group, ("dir",))

    def _place(self, path: str) -> Path:
        place = self.root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        return place


def _drop_alias(unit: Path) -> None:
    """Takes a unit's other name out of it if that has become its first: systemd enables no link."""
    lines = unit.read_text().splitlines(keepends=True)
    unit.write_text("".join(line for line in lines if line.strip() != f"Alias={unit.name}"))
