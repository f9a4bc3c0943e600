"""One server's records: who was a member when, what was due to whom, what came."""

from array import array
from collections import defaultdict
from dataclasses import dataclass, field
from math import inf

from .account import Account
from .records import Kind, Record, message

GAP = 0
"""Stands for an announcement of a gap among the messages that a handler got."""


@dataclass
class Stay:
    """A connection's time in a room, from when it was certain to be in until it began to leave."""

    conn: int
    joined: float
    left: float = inf


@dataclass
class Member:
    """A connection, as its server sees it.

    Attributes:
        stays: the rooms it is in; None for one that it is joining.
        due: what its mailbox was offered and its handler has not got; the event, times two, plus 1 if it was a member
            for certain then, and not just joining.
        got: what its handler has got.
        early_gaps: how many gaps it has got that were perhaps announced too early for it. All look alike.
    """

    is_attached: bool = False
    is_ending: bool = False
    stays: dict[int, Stay | None] = field(default_factory=dict)
    due: dict[int, int] = field(default_factory=dict)
    got: "array[int]" = field(default_factory=lambda: array("Q"))
    latest: int = 0
    early_gaps: int = 0
    waiting: int = 0
    read: int = 0
    handled: int = 0

    def next_gap(self) -> int:
        """Return the name of the gap that it is told of next: one from before its latest message comes no more."""
        gaps = [name for name in self.due if name < 0]
        return next((name for name in gaps if self.due[name] >> 1 > self.latest), gaps[0] if gaps else 0)


@dataclass
class Closing:
    """What a server says at the end of a connection."""

    read: int
    sent: int
    got: "array[int]"


class Station:
    """Follows one server's records, in their order.

    Args:
        index: which server.
        account: where to count.

    Attributes:
        arrivals: the messages that came to the process, and when, in order.
        stays: all stays by room.
        closings: the connections that have ended.
        windows: when Redis was lost, when its gap had been announced, and the last arrival (an index) before it.
    """

    def __init__(self, index: int, account: Account) -> None:
        self.index = index
        self.account = account
        self.arrivals: list[tuple[int, float]] = []
        self.stays: dict[int, list[Stay]] = defaultdict(list)
        self.closings: dict[int, Closing] = {}
        self.windows: list[tuple[float, float, int]] = []
        self._down: tuple[float, int] | None = None
        self._members: dict[int, Member] = {}
        self._rooms: dict[int, dict[int, Member]] = defaultdict(dict)
        self._numbers: dict[int, int] = {}
        self._events = 0
        self._do = {
            Kind.OPENING: self._opening,
            Kind.OPENED: self._opened,
            Kind.JOINING: self._joining,
            Kind.JOINED: self._joined,
            Kind.NOT_JOINED: self._leaving,
            Kind.LEAVING: self._leaving,
            Kind.ENDING: self._ending,
            Kind.WAITING: self._waiting,
            Kind.COUNTS: self._counts,
            Kind.ENDED: self._ended,
            Kind.GOT: self._got,
            Kind.ARRIVED: self._arrived,
            Kind.DOWN: self._lost,
            Kind.GAP: self._gap,
        }

    def take(self, record: Record) -> None:
        """Follow the next record."""
        self._do[Kind(record.kind)](record)

    def close(self) -> None:
        """See that everything has come to its end."""
        if self._members:
            self.account.blame("connection without an end", str(list(self._members)[:5]), len(self._members))
        if self._down is not None:
            self.account.blame("loss of Redis without a gap", f"server {self.index}")

    # Members

    def _opening(self, record: Record) -> None:
        self._members[record.conn] = Member()
        self.account.counts["connections"] += 1

    def _opened(self, record: Record) -> None:
        self._members[record.conn].is_attached = True

    def _joining(self, record: Record) -> None:
        member = self._members[record.conn]
        if not member.is_ending:
            member.stays[record.room] = None
            self._rooms[record.room][record.conn] = member

    def _joined(self, record: Record) -> None:
        member = self._members[record.conn]
        if record.room in member.stays:
            member.stays[record.room] = stay = Stay(record.conn, record.at)
            self.stays[record.room].append(stay)

    def _leaving(self, record: Record) -> None:
        self._leave(self._members[record.conn], record.conn, record.room, record.at)

    def _leave(self, member: Member, conn: int, room: int, at: float) -> None:
        stay = member.stays.pop(room, None)
        if stay is not None:
            stay.left = at
        self._rooms[room].pop(conn, None)

    def _ending(self, record: Record) -> None:
        member = self._members[record.conn]
        member.is_ending = True
        for room in list(member.stays):
            self._leave(member, record.conn, room, record.at)

    # What is due, and what comes

    def _arrived(self, record: Record) -> None:
        if self._numbers.get(record.a, 0) >= record.b:
            self.account.blame("out of order at a server", f"number {record.b} of {record.a} at server {self.index}")
        self._numbers[record.a] = record.b
        self._events += 1
        name = message(record.a, record.b)
        self.arrivals.append((name, record.at))
        for member in self._rooms[record.room].values():
            member.due[name] = self._events << 1 | (member.stays[record.room] is not None)

    def _lost(self, record: Record) -> None:
        if self._down is None:
            self._down = (record.at, len(self.arrivals))

    def _gap(self, record: Record) -> None:
        down, arrived = self._down or (record.at, len(self.arrivals))
        self._down = None
        self.windows.append((down, record.at, arrived))
        self._events += 1
        for member in self._members.values():
            if not member.is_ending:
                member.due[-self._events] = self._events << 1 | member.is_attached

    def _got(self, record: Record) -> None:
        member = self._members[record.conn]
        if record.a:
            name = message(record.a, record.b)
            member.got.append(name)
        else:
            name = member.next_gap()
            member.early_gaps += name < 0 and not member.due[name] & 1
            member.got.append(GAP)
        due = member.due.pop(name, None)
        if due is None:
            self.account.blame("got twice or without being a member", f"{record}")
            return
        event, certain = due >> 1, due & 1
        self.account.counts["copies delivered" if certain else "copies delivered while joining"] += 1
        if event <= member.latest:
            self.account.blame("out of order at a receiver", f"{record}")
        member.latest = event

    # Ends

    def _waiting(self, record: Record) -> None:
        if member := self._members.get(record.conn):
            member.waiting += record.a

    def _counts(self, record: Record) -> None:
        member = self._members[record.conn]
        member.read, member.handled = record.a, record.b

    def _ended(self, record: Record) -> None:
        member, counts = self._members.pop(record.conn), self.account.counts
        for room in list(member.stays):
            self._leave(member, record.conn, room, record.at)
        self.closings[record.conn] = Closing(member.read, record.b, member.got)
        frames = member.read - member.handled
        counts["client messages handled"] += member.handled - 1
        counts["client messages waiting at the end, counted in the log"] += frames
        certain = sum(due & 1 for due in member.due.values())
        certain -= min(member.early_gaps, sum(due & 1 for name, due in member.due.items() if name < 0))
        uncertain = len(member.due) - certain
        dropped, ended = record.a, member.waiting - frames
        counts["copies dropped by a full mailbox, counted"] += dropped
        counts["copies waiting at the end, counted in the log"] += ended
        counts["copies missed while joining"] += max(0, len(member.due) - dropped - ended)
        if certain > dropped + ended:
            text = f"connection {record.conn}: {certain} missed, {dropped} dropped, {ended} waiting"
            self.account.blame("copies missed and not counted", text, certain - dropped - ended)
        if dropped + ended > certain + uncertain:
            text = f"connection {record.conn}: {certain} + {uncertain} missed, {dropped} dropped, {ended} waiting"
            self.account.blame("copies counted and not missed", text, dropped + ended - certain - uncertain)
