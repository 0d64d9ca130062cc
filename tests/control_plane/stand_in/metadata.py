"""One connection to the metadata service, HTTP on stdin and stdout: metadata.py TREE

TREE holds `openstack/latest/…`. Every version is served as the latest one."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import BinaryIO

VERSIONS = "2012-08-10\n2018-08-27\nlatest"
LONGEST_LINE = 8192


def answer(tree: Path, path: str) -> tuple[int, bytes]:
    """Status and body for the path of a request."""
    parts = [part for part in path.split("?")[0].split("/") if part]
    if ".." in parts or "\0" in path or parts[:1] != ["openstack"]:
        return 404, b""
    if len(parts) == 1:
        return 200, VERSIONS.encode()
    parts[1] = "latest"
    target = tree.joinpath(*parts)
    if target.is_file():
        return 200, target.read_bytes()
    if target.is_dir():
        return 200, "\n".join(sorted(os.listdir(target))).encode()
    return 404, b""


def read_request(stream: BinaryIO) -> tuple[str, bool] | None:
    """The path, and whether the connection is to stay."""
    words = stream.readline(LONGEST_LINE).split()
    if len(words) != 3 or words[0] != b"GET":
        return None
    stays = words[2] == b"HTTP/1.1"
    while (line := stream.readline(LONGEST_LINE)) not in (b"\r\n", b"\n", b""):
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"connection" and value.strip().lower() == b"close":
            stays = False
    return words[1].decode("ascii", "replace"), stays


def serve(tree: Path, requests: BinaryIO, answers: BinaryIO) -> list[str]:
    """Answers until the guest has no more requests, and returns a line for each."""
    log = []
    while (request := read_request(requests)) is not None:
        path, stays = request
        status, body = answer(tree, path)
        log.append(f"{status} {path}")
        reason = "OK" if status == 200 else "Not Found"
        head = f"HTTP/1.1 {status} {reason}\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n"
        head += f"Connection: {'keep-alive' if stays else 'close'}\r\n\r\n"
        answers.write(head.encode() + body)
        answers.flush()
        if not stays:
            break
    return log


if __name__ == "__main__":
    root = Path(sys.argv[1])
    lines = serve(root, sys.stdin.buffer, sys.stdout.buffer)
    with open(root.parent / "metadata.log", "a") as file:
        file.writelines(line + "\n" for line in lines)
