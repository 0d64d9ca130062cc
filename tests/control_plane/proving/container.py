"""A database's container, made from Debian's packages without root and without a container engine.

The packages are unpacked, not installed: none of their scripts runs. The tree becomes the one layer of an image in the
form of an OCI layout, which the registry serves.
"""

from __future__ import annotations

import copy
import gzip
import hashlib
import io
import json
import os
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from proving.databases import Database
from proving.errors import HostError
from proving.processes import run_recorded
from proving.settings import HERE, Places, clean_environment
from proving.virtualenv import locked

SCRIPTS = HERE / "container"
# Counts up with what this file does to a tree, so that no older container is taken from the cache.
FORMAT = 1
# The user whom the agent runs databases as. PostgreSQL looks its name up.
USER = 1001
PASSWD = f"root:x:0:0:root:/root:/bin/sh\ndatabase:x:{USER}:{USER}:database:/var/lib:/bin/sh\n"
GROUP = f"root:x:0:\ndatabase:x:{USER}:\n"

# What no database reads.
UNWANTED = (
    "boot/",
    "dev/",
    "usr/share/doc/",
    "usr/share/i18n/",
    "usr/share/locale/",
    "usr/share/man/",
    "usr/share/perl",
    "usr/lib/x86_64-linux-gnu/perl",
    "usr/lib/aarch64-linux-gnu/perl",
    "usr/share/zoneinfo/right/",
    "usr/share/zoneinfo/posix/",
    "var/cache/",
    "var/lib/apt/",
    "var/lib/dpkg/",
)
DIRECTORIES = ("usr/local", "usr/local/bin", "etc/mysql", "etc/postgresql", "run/mysqld", "run/postgresql")
MEDIA = "application/vnd.oci.image"


def provide(database: Database, suite: str, mirror: str, places: Places, say: Callable[[str], None]) -> Path:
    """The layout of the database's image, made if need be. Its parent is what the registry serves."""
    version = database.version(suite)
    recipe = json.dumps(
        [FORMAT, database.all_packages(suite), database.hooks, database.unwanted, UNWANTED, PASSWD, mirror]
    )
    scripts = b"".join(path.read_bytes() for path in sorted(SCRIPTS.glob("*.sh")))
    digest = hashlib.sha256(recipe.encode() + scripts).hexdigest()[:12]
    target = places.cache / f"container-{database.name}-{version}-{suite}-{digest}" / database.name
    with locked(target.parent):
        if (target / "index.json").is_file():
            return target
        say(f"unpacking {database.name} {version} from Debian's packages ({suite})")
        shutil.rmtree(target.parent, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix="container-", dir=places.cache) as scratch:
            tree = Path(scratch) / "tree.tar"
            _unpack(database, suite, mirror, tree, places)
            with tarfile.open(tree) as source:
                write_layout(target, layer(source, database), configuration(database, suite), version)
    return target


def _unpack(database: Database, suite: str, mirror: str, tree: Path, places: Places) -> None:
    if shutil.which("mmdebstrap") is None:
        raise HostError("no mmdebstrap here", "`make setup` installs it")
    packages = ",".join(database.all_packages(suite))
    mode = "root" if os.getuid() == 0 else "unshare"
    command = ["mmdebstrap", f"--mode={mode}", "--variant=extract", f"--include={packages}"]
    command += [f"--extract-hook={hook}" for hook in database.hooks]
    command += [suite, str(tree), *([mirror] if mirror else [])]
    # Not below a home: the tree belongs to another user, the root of a namespace, who may not go there.
    environment = {"TMPDIR": "/var/tmp", **clean_environment()}
    log = places.logs / "mmdebstrap.log"
    if run_recorded("mmdebstrap", command, environment, places.pids, log) != 0:
        last = [line for line in log.read_text(errors="replace").splitlines() if line.strip()][-3:]
        hint = "it needs Debian's archive, subordinate IDs and user namespaces: see docs/host.md"
        raise HostError(f"the packages of {database.name} could not be unpacked:\n  " + "\n  ".join(last), hint)


def _wanted(members: tarfile.TarFile, unwanted: tuple[str, ...]) -> Iterator[tuple[str, tarfile.TarInfo]]:
    for member in members:
        name = member.name.removeprefix("./")
        if name not in ("", ".") and not name.startswith(unwanted) and not member.isdev():
            renamed = copy.copy(member)
            renamed.name = name
            if member.islnk():
                renamed.linkname = member.linkname.removeprefix("./")
            yield name, renamed


def layer(source: tarfile.TarFile, database: Database) -> bytes:
    """The tree without what nobody reads, with the entry point and the few files that installing would have made."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as target:
        names: set[str] = set()

        def add(name: str, mode: int, kind: bytes = tarfile.REGTYPE, content: bytes = b"", link: str = "") -> None:
            info = tarfile.TarInfo(name)
            info.mode, info.type, info.linkname, info.size = mode, kind, link, len(content)
            target.addfile(info, io.BytesIO(content))
            names.add(name)

        replaced = ("etc/passwd", "etc/group", "var/run")
        for name, member in _wanted(source, UNWANTED + database.unwanted):
            if name not in replaced:
                names.add(name)
                target.addfile(member, source.extractfile(member) if member.isreg() else None)
        add("etc/passwd", 0o644, content=PASSWD.encode())
        add("etc/group", 0o644, content=GROUP.encode())
        for name in ("run", "tmp", "var/tmp"):
            if name not in names:
                add(name, 0o755 if name == "run" else 0o1777, tarfile.DIRTYPE)
        for name in DIRECTORIES:
            if name not in names:
                add(name, 0o755, tarfile.DIRTYPE)
        # Links that the packages' scripts would have set; and where packages have all in /usr, links to that.
        links = {"var/run": "/run", "usr/bin/awk": "gawk"}
        for top in ("bin", "sbin", "lib", "lib64"):
            if not any(name == top or name.startswith(f"{top}/") for name in names):
                links[top] = f"usr/{top}"
        for name, link in links.items():
            if name not in names:
                add(name, 0o777, tarfile.SYMTYPE, link=link)
        add("usr/local/bin/entrypoint.sh", 0o755, content=(SCRIPTS / f"{database.name}.sh").read_bytes())
        check = SCRIPTS / f"{database.name}-healthcheck.sh"
        if check.is_file():
            add("usr/local/bin/healthcheck.sh", 0o755, content=check.read_bytes())
    return buffer.getvalue()


def configuration(database: Database, suite: str) -> dict[str, Any]:
    return {
        "Env": [f"PATH={database.search_path(suite)}", "LANG=C.UTF-8"],
        "Entrypoint": ["entrypoint.sh"],
        "Cmd": [database.command],
        "ExposedPorts": {f"{database.port}/tcp": {}},
    }


def write_layout(target: Path, tree: bytes, config: dict[str, Any], tag: str) -> None:
    """An OCI layout with one image of one layer. Its index comes last: without it there is no layout."""
    blobs = target / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def blob(content: bytes, media_type: str) -> dict[str, Any]:
        digest = hashlib.sha256(content).hexdigest()
        (blobs / digest).write_bytes(content)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)}

    architecture = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
    rootfs = {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(tree).hexdigest()]}
    whole = {"architecture": architecture, "os": "linux", "config": config, "rootfs": rootfs}
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{MEDIA}.manifest.v1+json",
        "config": blob(json.dumps(whole).encode(), f"{MEDIA}.config.v1+json"),
        "layers": [blob(gzip.compress(tree, 6, mtime=0), f"{MEDIA}.layer.v1.tar+gzip")],
    }
    described = blob(json.dumps(manifest).encode(), f"{MEDIA}.manifest.v1+json")
    described["annotations"] = {"org.opencontainers.image.ref.name": tag}
    (target / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    temporary = target / "index.json.part"
    temporary.write_text(json.dumps({"schemaVersion": 2, "manifests": [described]}))
    temporary.replace(target / "index.json")
