"""What one process knows of the log of a group, and what it makes of what it hears and reads.

    heard, and it follows the newest place ──────────────────────► handed over
    heard, and it is further on: a hole ──► read from there ─────► handed over, in order
    heard, and it does not follow ──► read ──► Redis proves the place ────────► it was read before it was heard
                                          └──► it does not: an older copy of ─► one gap for each member
                                               Redis' data, or a new log

Whatever is heard twice, or is read and heard, has one offset, and so it is handed over once. Nothing here awaits; the
lock of the process' groups is held, if nothing else is said.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from .._history import Channels, Position, Retention
from .._log import Entry, Log
from .history_scripts import GroupKeys, LogReply

FOLLOWS = ""
"""In place of the tag of the message before: Redis itself has said that this one follows."""

NEVER = 10**16
"""An offset that no message has: reading from it returns the newest place, and no messages."""

MOST_BYTES = 32 * 1024 * 1024
"""How much of messages a process keeps at hand, for members that lag or join."""

OVERHEAD = 1000
"""Bytes that a message takes besides its payload, about: the dicts and numbers that it is made of."""

LOOKED_AT = 1000
"""Messages at hand of which it is seen, at least, which the logs have dropped themselves."""

Decode = Callable[[bytes], tuple[Any, Channels]]
"""Returns the message of a payload, and the channels that do not get it; no dict if no member can have it."""


class Told(NamedTuple):
    """Where a payload belongs.

    Attributes:
        place: its place.
        previous: the tag of the message before it.
        length: its bytes. A payload of another length is somebody else's.
    """

    place: Position
    previous: str
    length: int

    @classmethod
    def parse(cls, data: bytes) -> "Told | None":
        """Return what a message on a control channel tells; None if it tells nothing: anybody may publish there."""
        try:
            text, previous, length = data.decode().split(" ")
            place = Position.parse(text)
            return None if place is None else cls(place, previous, int(length))
        except ValueError:
            return None


class AtHand:
    """The messages that a process keeps at hand, of all its groups: the newest, as many as there is room for."""

    def __init__(self) -> None:
        self._entries: deque[tuple[Log, Entry]] = deque()  # the oldest first
        self._bytes = 0
        self._look_at = LOOKED_AT

    def __len__(self) -> int:
        return len(self._entries)

    def note(self, log: Log, entry: Entry) -> None:
        """Take note of a message that a log has, and make room for it."""
        self._entries.append((log, entry))
        self._bytes += entry.size + OVERHEAD
        if len(self._entries) > self._look_at:
            self.let_go()
        while self._bytes > MOST_BYTES and len(self._entries) > 1:
            other, oldest = self._entries.popleft()
            self._bytes -= oldest.size + OVERHEAD
            if other.has(oldest) and oldest.place.offset != other.place.offset:
                del other.entries[oldest.place.offset]

    def let_go(self) -> None:
        """Let go of what the logs have dropped themselves."""
        self._entries = deque((log, entry) for log, entry in self._entries if log.has(entry))
        self._bytes = sum(entry.size + OVERHEAD for _, entry in self._entries)
        self._look_at = max(2 * len(self._entries), LOOKED_AT)


class KnownLog:
    """One group's log, as far as this process knows it.

    Args:
        keys: the group's names in Redis.
        retention: how much is reply.
        decode: makes a message of a payload.
        at_hand: what the process keeps at hand.

    Attributes:
        log: the log; None until it was read.
        is_behind: whether Redis had more than is known here when it was read last.
    """

    __slots__ = ("_ahead", "_at_hand", "_decode", "_expires", "is_behind", "keys", "log", "retention")

    def __init__(self, keys: GroupKeys, retention: Retention, decode: Decode, at_hand: AtHand) -> None:
        self.keys = keys
        self.retention = retention
        self.log: Log | None = None
        self.is_behind = False
        self._decode = decode
        self._at_hand = at_hand
        self._ahead: dict[int, tuple[str, Entry]] = {}  # what does not follow yet: the tag of the one before, and it
        self._expires = 0.0

    @property
    def following(self) -> int:
        """The offset of the next message."""
        return NEVER if self.log is None else self.log.place.offset + 1

    def expire(self) -> None:
        """Drop the messages that Redis has dropped by now."""
        if self.log is not None and self._expires <= time.monotonic():
            self.log.trim(0)

    def hear(self, told: Told, message: Any, excluded: Channels) -> int | None:
        """Take a message; return the offset from which the log has to be read, if it has to be."""
        place, log = told.place, self.log
        if log is None or (place.epoch == log.place.epoch and place.offset > log.place.offset):
            self._ahead[place.offset] = told.previous, _entry(place, message, excluded, told.length)
            return self._drain()
        return None if log.proves(place) else self.following

    def decoded(self, reply: LogReply) -> list[Entry]:
        """Return what Redis has answered that is not at hand; the lock is not held, as decoding may call the layer."""
        at_hand = {} if self.log is None else self.log.entries
        entries = []
        for place, payload in reply.entries:
            present = at_hand.get(place.offset)
            if payload is None:
                entries.append(Entry(place, None))
            elif present is None or present.message is None or present.place != place:
                entries.append(_entry(place, *self._decode(payload), len(payload)))
        return entries

    def read(self, proof: Position | None, reply: LogReply, entries: Iterable[Entry]) -> int | None:
        """Take what was read; return the offset from which the log has to be read next, if it has to be.

            what Redis says of the newest place here     | what is done
            ---------------------------------------------|-----------------------------------------
            it is proven                                 | go on
            it is not, but is not the newest here by now | ask again
            it is of another epoch                       | a gap, then all of the new log
            it is of this epoch: Redis went back         | a gap, then what comes next
            it has left the log                          | a gap, then the oldest that is kept

        Args:
            proof: what was the newest place here when Redis was asked; None: nothing was known.
            reply: what Redis has answered.
            entries: what `decoded()` has made of it.
        """
        log, self.is_behind, safe_until = self.log, True, NEVER
        expires = time.monotonic() + reply.seconds
        if log is not None and log.place != proof:  # what was heard since Redis was asked may live longer
            expires = max(expires, self._expires)
        if log is None or proof is None:
            log = self._begin(reply.place)
        elif not reply.proven and log.place != proof:  # it has gone on meanwhile
            return self.following
        elif not reply.proven and reply.place.epoch != proof.epoch:
            log.reset(reply.before_first)  # members have nothing of this log yet
            self._ahead.clear()
        elif not reply.proven and proof.offset >= reply.first - 1:
            log.reset(reply.place)  # members may have some of these messages
            self._ahead.clear()
        elif log.place not in (proof, *(place for place, _ in reply.entries)):
            safe_until = proof.offset  # what was heard since may be of a log that Redis has gone back from
        log.begin_at(max(log.first, reply.first) if reply.proven else reply.first)
        self._expires = expires
        if log.place.offset < log.first - 1:  # what followed has left the log
            log.place = reply.before_first
        for entry in entries:
            if entry.place.offset <= safe_until:
                self._add(log, entry)
        wanted = self._drain()
        self.is_behind = log.place.epoch == reply.place.epoch and log.place.offset < reply.place.offset
        return self.following if self.is_behind else wanted

    def _begin(self, place: Position) -> Log:
        """Begin to follow the log, with what has been heard already."""
        self.log = Log(place)
        self._ahead = {
            offset: (previous, entry)
            for offset, (previous, entry) in self._ahead.items()
            if offset > place.offset and entry.place.epoch == place.epoch
        }
        return self.log

    def _add(self, log: Log, entry: Entry) -> None:
        offset = entry.place.offset
        present = log.entries.get(offset)
        if present is not None and (present.message is not None or entry.message is None):
            return
        if offset > log.place.offset:
            self._ahead.setdefault(offset, (FOLLOWS, entry))
        elif offset >= log.first - 1:
            log.entries[offset] = entry
            self._at_hand.note(log, entry)

    def _drain(self) -> int | None:
        """Add to the log what follows; return the offset from which it has to be read, if something else does not."""
        log, ahead = self.log, self._ahead
        if log is None:
            return None
        while (following := ahead.pop(log.place.offset + 1, None)) is not None:
            previous, entry = following
            if previous not in (FOLLOWS, log.place.tag):
                ahead.clear()
                return self.following
            log.append(entry)
            log.trim(self.retention.size)
            if previous != FOLLOWS:
                self._expires = time.monotonic() + self.retention.ttl
            self._at_hand.note(log, entry)
        if len(ahead) > self.retention.size:  # they are in the log
            ahead.clear()
            return self.following
        return self.following if ahead else None


def _entry(place: Position, message: Any, excluded: Channels, size: int) -> Entry:
    return Entry(place, message if isinstance(message, dict) else {}, excluded, size)
