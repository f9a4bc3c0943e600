"""What the processes write down: records of one size, in the order of events."""

import enum
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

FORMAT = struct.Struct("<BxHIIId")

AT_ONCE = 1 << 20
"""Records read from a file at a time."""


class Kind(enum.IntEnum):
    """What a record says; what its fields hold."""

    # A server's; `conn` is a connection.
    OPENING = 1  # the connection's application begins
    OPENED = 2  # its consumer is attached to the layer
    JOINING = 3  # it begins to join `room`
    JOINED = 4  # it is in `room`
    NOT_JOINED = 5  # it could not join `room`
    LEAVING = 6  # it begins to leave `room`
    ENDING = 7  # it takes no more messages of the layer's
    WAITING = 8  # the log says: `a` messages that waited were dropped, `b` handlers were cancelled
    COUNTS = 9  # at its end: `a` events were read from the client, `b` were handled
    ENDED = 10  # at its end: `a` messages found its mailbox full, `b` frames of `GOT` were sent to the client
    PUBLISH = 11  # it begins to send message `a` to `room`
    PUBLISHED = 12  # the layer took message `a`
    REFUSED = 13  # the layer raised a clear error for message `a`
    UNKNOWN = 14  # the sender was cancelled, or Redis did not answer: message `a` may arrive or not
    GOT = 15  # its handler has message `b` of connection `a`; of connection 0, a gap
    # A server's, of its process.
    ARRIVED = 20  # message `b` of connection `a` for `room` is handed to the room's members
    DOWN = 21  # the layer has lost Redis
    GAP = 22  # the layer tells its receivers of a gap
    # The clients'.
    CAME = 30  # the client has got message `b` of connection `a`; of connection 0, a gap
    LEFT = 31  # the client has written `a` frames; `b` is 1 if it closed in order and got the server's close frame


class Record(NamedTuple):
    """One event."""

    kind: int
    room: int
    conn: int
    a: int
    b: int
    at: float


class Recorder:
    """Writes records to a file.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb", buffering=1 << 16)

    def __call__(self, kind: int, conn: int = 0, a: int = 0, b: int = 0, room: int = 0) -> None:
        """Write down an event that happens now, by a clock that all processes share."""
        self._file.write(FORMAT.pack(kind, room, conn, a, b, time.monotonic()))

    def flush(self) -> None:
        """Write out what is buffered."""
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read(path: Path) -> Iterator[Record]:
    """Yield a file's records."""
    with path.open("rb") as file:
        while data := file.read(AT_ONCE * FORMAT.size):
            yield from map(Record._make, FORMAT.iter_unpack(data))


def message(conn: int, number: int) -> int:
    """Return what a message is known by: its sender, and its number among the sender's."""
    return conn << 32 | number
