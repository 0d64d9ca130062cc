"""Makes packages that stand in for a vendor's. usage: make.py --out DIR NAME

DIR gets the package files and the index `Packages`; whoever serves them signs and lays them out. What a person brings
is put into DIR/artifacts, by the name of the recipe's artifact.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from standins import deb, tar
from standins.model import Datastore

HERE = Path(__file__).resolve().parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("name")
    arguments = parser.parse_args()
    datastore = Datastore.read(HERE / "data" / f"{arguments.name}.toml")
    out: Path = arguments.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    artifacts = out / "artifacts"
    artifacts.mkdir(exist_ok=True)
    for package in datastore.packages:
        if package.artifact:
            print(deb.build(package, artifacts).rename(artifacts / package.artifact).name)
        else:
            print(deb.build(package, out).name)
    for archive in datastore.archives:
        print(tar.build(archive, artifacts).name)
    deb.index(out)


if __name__ == "__main__":
    main()
