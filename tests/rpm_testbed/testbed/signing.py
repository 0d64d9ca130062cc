"""The testbed's own key, and what is signed by it."""

from __future__ import annotations

import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

NAME = "testbed"


class Key:
    """A key of gpg's in a home of its own. Its path must be short: the agent's socket lies in it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._gpg = ["gpg", "--batch", "--quiet", "--no-tty", "--pinentry-mode", "loopback", "--passphrase", ""]
        self._gpg += ["--homedir", str(home)]
        if not (home / "pubring.kbx").exists():
            home.mkdir(mode=0o700, exist_ok=True)
            # All releases of rpm know RSA.
            self._run("--quick-generate-key", NAME, "rsa3072", "sign", "never")

    def _run(self, *arguments: str) -> bytes:
        done = subprocess.run([*self._gpg, *arguments], check=True, stdout=subprocess.PIPE)
        return done.stdout

    def public(self) -> str:
        """The public key, armoured."""
        return self._run("--armor", "--export", NAME).decode()

    def sign_packages(self, packages: list[Path]) -> None:
        """Signs RPMs in their headers, as many at a time as there are processors."""
        if not packages:
            return
        # Without its path rpm does not find the program.
        gpg = shutil.which("gpg")
        if gpg is None:
            raise RuntimeError("gpg is not installed")
        settings = {"__gpg": gpg, "_gpg_name": NAME, "_gpg_path": str(self.home), "_gpg_digest_algo": "sha256"}
        words = [word for name, value in settings.items() for word in ("--define", f"{name} {value}")]
        count = min(os.cpu_count() or 1, len(packages))

        def sign(some: list[Path]) -> None:
            command = ["rpmsign", "--addsign", *words, *map(str, some)]
            done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", check=False)
            if done.returncode != 0:
                raise RuntimeError(f"rpmsign cannot sign {len(some)} packages:\n{done.stderr[-2000:]}")

        with ThreadPoolExecutor(count) as pool:
            list(pool.map(sign, [packages[start::count] for start in range(count)]))

    def sign_file(self, path: Path) -> None:
        """Writes a detached signature beside a file."""
        self._run("--yes", "--armor", "--detach-sign", str(path))

    def close(self) -> None:
        """Ends the agent."""
        subprocess.run(["gpgconf", "--homedir", str(self.home), "--kill", "all"], check=False)
