"""Whether a virtual processor really starts with KVM, which /dev/kvm alone does not tell."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from proving.errors import HostError

# Enterprise Linux has it out of the way.
PROGRAMS = (f"qemu-system-{os.uname().machine}", "qemu-kvm", "/usr/libexec/qemu-kvm")
EXIT_PORT = 0xF4
# The device ends qemu with (value << 1) | 1.
VALUE = 0x21


def qemu() -> str:
    for name in PROGRAMS:
        found = shutil.which(name)
        if found:
            return found
    raise HostError("no qemu here", "`make setup` installs it")


def boot_sector() -> bytes:
    """Two instructions, `mov al, VALUE` and `out EXIT_PORT, al`, then a halt."""
    code = bytes([0xB0, VALUE, 0xE6, EXIT_PORT, 0xF4])
    return code.ljust(510, b"\0") + b"\x55\xaa"


def runs(program: str, accelerator: str, seconds: float = 20) -> bool:
    """Whether a virtual processor runs a boot sector to its end."""
    with tempfile.TemporaryDirectory(prefix="tib-prove-") as scratch:
        disk = Path(scratch) / "boot.raw"
        disk.write_bytes(boot_sector())
        command = [program, "-nodefaults", "-display", "none", "-no-reboot", "-machine", f"pc,accel={accelerator}"]
        command += ["-m", "16", "-drive", f"if=ide,format=raw,file={disk}"]
        command += ["-device", f"isa-debug-exit,iobase={EXIT_PORT:#x},iosize=1"]
        try:
            ended = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds)
        except subprocess.TimeoutExpired:
            return False
        return ended.returncode == (VALUE << 1) | 1


def choose(program: str, wanted: str) -> str:
    """`kvm` or `tcg`."""
    if wanted == "tcg":
        return "tcg"
    works = os.access("/dev/kvm", os.R_OK | os.W_OK) and runs(program, "kvm")
    if wanted == "kvm" and not works:
        raise HostError("KVM does not work here", "leave it to the program to choose, or look at `tib doctor`")
    return "kvm" if works else "tcg"
