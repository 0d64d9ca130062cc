#!/usr/bin/env python3
"""Proves an image with a real control plane of Trove on this machine: docs/proving.md."""

import sys
from pathlib import Path

# Whoever calls this may have an older one.
if sys.version_info < (3, 11):  # noqa: UP036
    print("error: Python 3.11 or newer is needed to prove images", file=sys.stderr)
    sys.exit(7)
sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))

from proving.cli import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
