"""Runs pip, or a check over what pip chose, as if the guest's interpreter ran it.

pip's --python-version chooses wheels for another interpreter, but environment markers
(`importlib-metadata; python_version < "3.10"`) are still evaluated for the one that runs pip. So the guest's
values are put in place first.

usage: MARKERS(json) pip ARGUMENTS…
       MARKERS(json) check FILE
"""

import json
import sys

from pip._vendor.packaging import markers
from pip._vendor.packaging.requirements import Requirement
from pip._vendor.packaging.utils import canonicalize_name

_guest = json.loads(sys.argv.pop(1))
_host = markers.default_environment
markers.default_environment = lambda: {**_host(), **_guest}


def check(path):
    """Prints, as JSON, every requirement that the distributions listed in `path` leave unsatisfied."""
    with open(path, encoding="utf-8") as file:
        bundle = json.load(file)
    dists = {canonicalize_name(dist["name"]): dist for dist in bundle["dists"]}
    problems, seen, queue = [], set(), []

    def need(requirer, text, extra):
        requirement = Requirement(text)
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            return
        name = canonicalize_name(requirement.name)
        have = dists.get(name, {}).get("version")
        if have is None or not requirement.specifier.contains(have, prereleases=True):
            problems.append({"requirer": requirer, "requirement": text, "have": have})
            return
        for wanted in ("", *sorted(requirement.extras)):
            if (name, wanted) not in seen:
                seen.add((name, wanted))
                queue.append((name, wanted))

    for root in bundle["roots"]:
        need("the recipe", root, "")
    while queue:
        name, extra = queue.pop(0)
        for text in dists[name]["requires"]:
            need(dists[name]["name"], text, extra)
    json.dump(problems, sys.stdout)


if __name__ == "__main__":
    mode = sys.argv.pop(1)
    if mode == "check":
        check(sys.argv[1])
    else:
        from pip._internal.cli.main import main

        sys.exit(main(sys.argv[1:]))
