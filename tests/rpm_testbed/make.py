"""Makes a guest of Red Hat's family and its repositories. usage: make.py --cache DIR [--variant NAME] [--url URL]"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from testbed import archive, image, repository, state
from testbed.convert import Converter
from testbed.debian import Deb
from testbed.naming import Naming
from testbed.signing import Key
from testbed.variant import Variant

HERE = Path(__file__).resolve().parent
DIST = ".el9"
PAYLOAD = "w1.zstdio"


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


def build(cache: Path, naming: Naming, variant: Variant, url: str, key: Key, say: object) -> None:
    assert callable(say)
    packages = archive.Archive(cache / "debian")
    if not (cache / "debian.done").exists():
        packages = archive.fetch(cache / "debian")
        (cache / "debian.done").touch()
    say("Debian's packages are there")
    rpms, work = cache / "rpms", cache / "work"
    if not (cache / "rpms.done").exists():
        for directory in (rpms, work):
            directory.mkdir(exist_ok=True)
        converter = Converter(naming, DIST, PAYLOAD, rpms, work)
        largest_first = sorted(packages.debs, key=lambda path: -path.stat().st_size)
        with ProcessPoolExecutor(os.cpu_count()) as pool:
            converted = list(pool.map(partial(named, converter), largest_first))
        say("packages are converted")
        made = [(name, path) for name, path in converted if path is not None]
        made += states(packages, naming, rpms, work)
        key.sign_packages([path for _, path in made])
        in_guest = packages.installed() | {"setup", "testbed-configured"}
        names = [path.name for name, path in made if name in in_guest]
        (cache / "guest.list").write_text("".join(f"{name}\n" for name in names))
        (cache / "rpms.done").touch()
        say("packages are signed")
    guest = [rpms / name for name in (cache / "guest.list").read_text().split()]
    (cache / "key.asc").write_text(key.public())
    place = cache / variant.key
    place.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix="image-") as image_directory:
        here = Path(image_directory)
        root = here / "release"
        root.mkdir()
        release = variant.release(url, key.public(), root).build(root, place, here, PAYLOAD)
        key.sign_packages([release])
        others = [path for path in rpms.glob("*.rpm") if path not in guest]
        repository.make(place / "repository" / variant.repositories[0], [*guest, release], key)
        repository.make(
            place / "repository" / variant.repositories[1], others, key, (HERE / "modules.yaml").read_text()
        )
        say("repositories are made")
        kernel = next(path for path in guest if path.name.startswith("kernel-core-"))
        first = [path for path in guest if path.name.startswith(("setup-", "base-files-"))]
        query = ["rpm", "-qp", "--qf", "[%{FILENAMES}\n]", str(kernel)]
        listed = subprocess.run(query, check=True, capture_output=True, text=True).stdout.splitlines()
        version = next(one.removeprefix("/boot/vmlinuz-") for one in listed if one.startswith("/boot/vmlinuz-"))
        parts = image.Parts(
            first, [path for path in [*guest, release] if path not in first], version, cache / "key.asc"
        )
        output = place / "image.qcow2"
        image.make(variant, parts, here, output)
    say(f"{output} is made")


def named(converter: Converter, path: Path) -> tuple[str, Path | None]:
    return Deb.open(path).name, converter.convert(path)


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
