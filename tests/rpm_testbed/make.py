"""Makes a guest of Red Hat's family and its repositories. usage: make.py --cache DIR [--variant NAME] [--url URL]"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from testbed import archive, image, oldrpm, repository, state
from testbed.convert import Converter
from testbed.debian import Deb
from testbed.naming import Naming
from testbed.signing import Key
from testbed.variant import Variant

HERE = Path(__file__).resolve().parent
DIST = ".el9"
PAYLOAD = "w1.zstdio"
# Programs that have no part in the packages.
IMAGE_ONLY = ("disk.py", "image.py", "inside.py", "oldrpm.py", "repository.py", "variant.py")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--variant", default="rocky-9")
    parser.add_argument("--url", default="http://localhost:8790")
    arguments = parser.parse_args()
    started = time.monotonic()

    def say(what: str) -> None:
        print(f"{time.monotonic() - started:6.1f} s  {what}", flush=True)

    cache: Path = arguments.cache.resolve()
    cache.mkdir(parents=True, exist_ok=True)
    naming = Naming.read(HERE / "names.toml")
    variant = Variant.read(HERE / "variants.toml", arguments.variant)
    # All variants share the packages, which are signed once.
    key = Key(cache / "gpg")
    try:
        build(cache, naming, variant, arguments.url, key, say)
    finally:
        key.close()


def build(cache: Path, naming: Naming, variant: Variant, url: str, key: Key, say: Callable[[str], None]) -> None:
    debian = cache / "debian"
    packages = archive.Archive(debian)
    inputs = digest(*packages.inputs)
    if stale(debian, inputs, keep=True):
        packages = archive.fetch(debian)
        done(debian, inputs)
    say("Debian's packages are there")
    rpms = cache / "rpms"
    sources = [path.read_bytes() for path in sorted((HERE / "testbed").glob("*.py")) if path.name not in IMAGE_ONLY]
    inputs = digest(inputs.encode(), (HERE / "names.toml").read_bytes(), *sources)
    if stale(rpms, inputs):
        guest_names = convert(packages, naming, rpms, cache, key, say)
        (cache / "guest.list").write_text("".join(f"{name}\n" for name in guest_names))
        done(rpms, inputs)
        say("packages are signed")
    guest = [rpms / name for name in (cache / "guest.list").read_text().split()]
    (cache / "key.asc").write_text(key.public())
    place = cache / variant.key
    if variant.database == "bdb":
        guest = with_old_rpm(guest, cache, naming, key, oldrpm.versions(debian / "status"))
        say("an rpm that writes Berkeley DB is there")
    guest = [path for path in guest if name_of(path) not in variant.without]
    every = [path.read_bytes() for path in sorted(HERE.rglob("*")) if path.suffix in (".py", ".toml", ".yaml")]
    inputs = digest(inputs.encode(), variant.key.encode(), url.encode(), *every)
    if not stale(place, inputs):
        say(f"{place}/image.qcow2 is there")
        return
    place.mkdir()
    with tempfile.TemporaryDirectory(dir=cache, prefix="image-") as image_directory:
        here = Path(image_directory)
        root = here / "release"
        root.mkdir()
        release = variant.release(url, key.public(), root).build(root, place, here, PAYLOAD)
        key.sign_packages([release])
        all_names = {name_of(path) for path in guest}
        others = [path for path in rpms.glob("*.rpm") if name_of(path) not in (*all_names, *variant.without)]
        base, *more = variant.repositories
        modules = (HERE / "modules.yaml").read_text() if variant.modular else None
        repository.make(place / "repository" / variant.path(base), [*guest, release], key, sqlite=bool(variant.vault))
        # What the guest does not consist of is in the second; real systems' others are without interest here.
        repository.make(place / "repository" / variant.path(more[0]), others, key, modules, bool(variant.vault))
        for name in more[1:]:
            repository.make(place / "repository" / variant.path(name), [], key)
        say("repositories are made")
        first = [path for path in guest if path.name.startswith(("setup-", "base-files-"))]
        parts = image.Parts(
            first, [path for path in [*guest, release] if path not in first], kernel(guest), cache / "key.asc"
        )
        output = place / "image.qcow2"
        image.make(variant, parts, here, output, say)
    done(place, inputs)
    say(f"{output} is made")


def convert(
    packages: archive.Archive, naming: Naming, rpms: Path, cache: Path, key: Key, say: Callable[[str], None]
) -> list[str]:
    """Makes all RPMs and signs them. Returns the names of those that the guest consists of."""
    configured = state.Configured.read(packages.directory)
    rpms.mkdir()
    with tempfile.TemporaryDirectory(dir=cache, prefix="rpms-") as directory:
        work = Path(directory)
        converter = Converter(naming, DIST, PAYLOAD, rpms, work, configured)
        largest_first = sorted(packages.debs, key=lambda path: -path.stat().st_size)
        with ProcessPoolExecutor(os.cpu_count(), initializer=_start, initargs=(converter,)) as pool:
            converted = list(pool.map(_convert, largest_first))
        say("packages are converted")
        made = [(name, path) for name, paths in converted for path in paths]
        made += states(packages, naming, rpms, work)
    key.sign_packages([path for _, path in made])
    in_guest = packages.installed() | {"setup", "testbed-configured"}
    return [path.name for name, path in made if name in in_guest]


def with_old_rpm(guest: list[Path], cache: Path, naming: Naming, key: Key, versions: dict[str, str]) -> list[Path]:
    """The guest's packages with an rpm that writes Berkeley DB in place of today's."""
    rpms = cache / "rpms-old"
    sources = [HERE / "testbed" / name for name in ("oldrpm.py", "convert.py", "spec.py")]
    inputs = digest(repr(sorted(versions.items())).encode(), *(path.read_bytes() for path in sources))
    if stale(rpms, inputs):
        rpms.mkdir()
        with tempfile.TemporaryDirectory(dir=cache, prefix="rpms-") as directory:
            work = Path(directory)
            work.chmod(0o711)
            converter = Converter(naming, DIST, PAYLOAD, rpms, work)
            for deb in oldrpm.fetch(work / "debs"):
                converter.convert(oldrpm.renamed(deb, work, versions))
        key.sign_packages(sorted(rpms.glob("*.rpm")))
        done(rpms, inputs)
    old = sorted(rpms.glob("*.rpm"))
    replaced = {name_of(path) for path in old}
    return [*(path for path in guest if name_of(path) not in replaced), *old]


def name_of(rpm: Path) -> str:
    """The name of a package, by its file."""
    return rpm.name.rsplit("-", 2)[0]


_converter: Converter


def _start(converter: Converter) -> None:
    """Gives a process its converter, once: it knows every path of the configured system."""
    global _converter
    _converter = converter


def _convert(path: Path) -> tuple[str, list[Path]]:
    return Deb.open(path).name, _converter.convert(path)


def digest(*inputs: bytes) -> str:
    """What stands for all inputs."""
    found = hashlib.sha256()
    for one in inputs:
        found.update(hashlib.sha256(one).digest())
    return found.hexdigest()


def stale(directory: Path, inputs: str, keep: bool = False) -> bool:
    """Whether a directory has to be made; takes away what other inputs, or half a run, have left, unless told."""
    stamp = directory.with_name(f"{directory.name}.done")
    if stamp.exists() and stamp.read_text() == inputs:
        return False
    stamp.unlink(missing_ok=True)
    if not keep and directory.exists():
        shutil.rmtree(directory)
    return True


def done(directory: Path, inputs: str) -> None:
    """Says that a directory is whole."""
    directory.with_name(f"{directory.name}.done").write_text(inputs)


def kernel(guest: list[Path]) -> str:
    """The version of the guest's kernel."""
    package = next(path for path in guest if path.name.startswith("kernel-core-"))
    query = ["rpm", "-qp", "--qf", "[%{FILENAMES}\n]", str(package)]
    listed = subprocess.run(query, check=True, capture_output=True, text=True).stdout.splitlines()
    return next(one.removeprefix("/boot/vmlinuz-") for one in listed if one.startswith("/boot/vmlinuz-"))


def states(packages: archive.Archive, naming: Naming, rpms: Path, work: Path) -> list[tuple[str, Path]]:
    """The packages of what belongs to no other."""
    query = ["rpm", "-qp", "--qf", "[%{FILENAMES}\n]", *map(str, rpms.glob("*.rpm"))]
    owned = frozenset(subprocess.run(query, check=True, capture_output=True, text=True).stdout.splitlines())
    users = state.Users.read(packages.state)
    made: list[tuple[str, Path]] = []
    with tempfile.TemporaryDirectory(dir=work) as directory:
        for describe, wanted in ((state.setup, state.ACCOUNTS), (state.configured, None)):
            root = Path(directory) / describe.__name__
            root.mkdir()
            entries = state.State(naming, packages.state).unpack(root, wanted, owned, users)
            rpm = describe(DIST, entries)
            made.append((rpm.name, rpm.build(root, rpms, Path(directory), PAYLOAD)))
    return made


if __name__ == "__main__":
    main()
