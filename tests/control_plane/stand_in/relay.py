"""One connection of a guest, on stdin and stdout, to a port of this host's loopback: relay.py PORT"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
from collections.abc import Callable


def copy(read: Callable[[], bytes], write: Callable[[bytes], object], done: Callable[[], object]) -> None:
    """Until either end is closed."""
    with contextlib.suppress(OSError):
        while data := read():
            write(data)
    done()


def main(port: int) -> None:
    connection = socket.create_connection(("127.0.0.1", port))

    def finish() -> None:
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_WR)

    def write(data: bytes) -> None:
        while data:
            data = data[os.write(1, data) :]

    upstream = threading.Thread(target=copy, args=(lambda: os.read(0, 65536), connection.sendall, finish), daemon=True)
    upstream.start()
    # What the host's service ends, ends the connection.
    copy(lambda: connection.recv(65536), write, lambda: os._exit(0))


if __name__ == "__main__":
    main(int(sys.argv[1]))
