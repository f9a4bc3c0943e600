"""The file of a Unix domain socket, which outlives the process that has made it."""

import os
import socket
import stat
from contextlib import suppress


class SocketFile:
    """The file of a socket that this process listens on.

    Args:
        path: where it is.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._identity = _identity_of(path)

    def remove(self) -> None:
        """Remove it, unless another process has put its own in its place."""
        with suppress(OSError):
            if _identity_of(self._path) == self._identity:
                os.remove(self._path)


def remove_stale(path: str) -> None:
    """Remove the socket of a process that was killed, or nobody could listen there."""
    with suppress(OSError):
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            return
        with socket.socket(socket.AF_UNIX) as probe:
            probe.setblocking(False)  # who has no room for one more is there
            try:
                probe.connect(path)
            except ConnectionRefusedError:
                os.remove(path)


def _identity_of(path: str) -> tuple[int, int]:
    found = os.stat(path)
    return found.st_dev, found.st_ino
