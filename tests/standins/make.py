"""Makes packages that stand in for a vendor's. usage: make.py --out DIR --system SYSTEM [--tree NAME=DIR]… NAME

SYSTEM is a release such as `debian-12` or `rocky-9`. DIR gets the package files, and for Debian's family the index
`Packages`; whoever serves them signs and lays them out. What a person brings is put into DIR/artifacts, by the name of
the recipe's artifact. A directory of --tree is what the data calls by that name in `trees`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
# The testbed writes spec files.
sys.path.insert(0, str(HERE.parent / "rpm_testbed"))

from standins import deb, rpm, tar  # noqa: E402
from standins.model import Datastore, kind  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--system", required=True)
    parser.add_argument("--tree", action="append", default=[], metavar="NAME=DIR")
    parser.add_argument("name")
    arguments = parser.parse_args()
    datastore = Datastore.read(HERE / "data" / f"{arguments.name}.toml", arguments.system)
    out: Path = arguments.out.resolve()
    artifacts = out / "artifacts"
    artifacts.mkdir(parents=True, exist_ok=True)
    trees = {name: Path(directory) for name, _, directory in (given.partition("=") for given in arguments.tree)}
    is_deb = kind(arguments.system) == "deb"
    build = deb.build if is_deb else rpm.build
    for package in datastore.packages:
        if package.artifact:
            print(build(package, artifacts, trees).rename(artifacts / package.artifact).name)
        else:
            print(build(package, out, trees).name)
    for archive in datastore.archives:
        print(tar.build(archive, artifacts).name)
    if is_deb:
        deb.index(out)


if __name__ == "__main__":
    main()
