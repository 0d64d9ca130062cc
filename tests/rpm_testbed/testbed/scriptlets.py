"""What RPMs do when they are installed and removed: users, presets of units, the linker's cache."""

from __future__ import annotations

import shlex
from pathlib import Path

from testbed.naming import UNITS, Extra
from testbed.spec import Entry

_KINDS = (".service", ".socket", ".timer", ".path", ".mount", ".target")


def of(extra: Extra, entries: list[Entry], root: Path) -> dict[str, str]:
    """The scriptlets of a package, by their names."""
    found: dict[str, list[str]] = {}
    found["pre"] = [line for user in extra.users for line in _user(user)]
    units = _units(entries, root)
    if units:
        # As systemd's own macros have it.
        names = shlex.join(units)
        found["post"] = [f'if [ "$1" = 1 ]; then systemctl --no-reload preset {names} >/dev/null 2>&1 || :; fi']
        found["preun"] = [f'if [ "$1" = 0 ]; then systemctl --no-reload disable --now {names} >/dev/null 2>&1 || :; fi']
        found["postun"] = ["systemctl daemon-reload >/dev/null 2>&1 || :"]
    for name, text in extra.scriptlets.items():
        found.setdefault(name, []).append(text)
    return {name: "\n".join(lines) for name, lines in found.items() if lines}


def _user(user: dict[str, str]) -> list[str]:
    """A system's user and the group of the same name."""
    name = user["name"]
    home, shell = user.get("home", "/"), user.get("shell", "/sbin/nologin")
    words = ["useradd", "-r", "-g", name, "-d", home, "-s", shell, "-c", user.get("comment", name), name]
    return [
        f"getent group {name} >/dev/null || groupadd -r {name}",
        f"getent passwd {name} >/dev/null || {shlex.join(words)}",
    ]


def _units(entries: list[Entry], root: Path) -> list[str]:
    """Units that can be enabled: they say by whom they are wanted."""
    found = []
    for entry in entries:
        directory, _, name = entry.path.rpartition("/")
        if directory != UNITS or not name.endswith(_KINDS) or entry.link or "@." in name:
            continue
        text = (root / entry.path.lstrip("/")).read_text(errors="replace")
        if "[Install]" in text:
            found.append(name)
    return sorted(found)
