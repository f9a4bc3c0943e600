"""The account: what became of every message, told from the records of all processes.

A message makes copies, one for each member of its room. What is owed to whom is known exactly inside a server, where
one event loop notes everything in order, and between servers by an argument: a server's connection to Redis brings
messages in the order in which they were published. Whoever was a member from before a message was published until
after a *later* one had arrived at its server must have got it, or its server has announced a gap.
"""

from array import array
from bisect import bisect_left
from collections import defaultdict
from dataclasses import dataclass
from itertools import accumulate
from math import inf
from pathlib import Path

from .account import Account
from .records import Kind, message, read
from .station import Closing, Station

OUTCOMES = {
    Kind.PUBLISHED: "messages taken by the layer",
    Kind.REFUSED: "messages refused with an error",
    Kind.UNKNOWN: "messages whose sender was cancelled or got no answer in time",
}


@dataclass
class Published:
    """A message on its way into the layer."""

    room: int
    began: float
    ended: float = inf
    outcome: int = Kind.UNKNOWN


class Ledger:
    """Reads the records of a soak.

    Args:
        folder: where they are.
        servers: how many servers there were.
    """

    def __init__(self, folder: Path, servers: int) -> None:
        self.account = Account()
        self._folder = folder
        self._published: dict[int, Published] = {}
        self._stations = [Station(index, self.account) for index in range(servers)]

    def settle(self, overfull: int) -> Account:
        """Compare everything with everything.

        Args:
            overfull: how many messages full queues in Redis refused, as the servers' layers say.
        """
        for station in self._stations:
            self._follow(station)
            self.account.windows.append([(down, up) for down, up, _ in station.windows])
        for entry in self._published.values():
            self.account.counts[OUTCOMES[Kind(entry.outcome)]] += 1
        self.account.ways = [self._ways(station) for station in self._stations]
        missed = sum(self._check_arrivals(station) for station in self._stations)
        self.account.counts["messages refused by a full queue, counted"] = overfull
        if missed > overfull:
            self.account.blame("messages that never came to a server", f"{overfull} counted", missed - overfull)
        self._check_clients()
        return self.account

    def _follow(self, station: Station) -> None:
        for record in read(self._folder / f"server-{station.index}.records"):
            if record.kind == Kind.PUBLISH:
                self._published[message(record.conn, record.a)] = Published(record.room, record.at)
            elif record.kind in OUTCOMES:
                entry = self._published[message(record.conn, record.a)]
                entry.ended, entry.outcome = record.at, record.kind
            else:
                station.take(record)
        station.close()

    # From server to server

    def _ways(self, station: Station) -> tuple[float, float, float]:
        seconds = sorted(at - self._published[name].began for name, at in station.arrivals) or [0.0]
        return seconds[len(seconds) // 2], seconds[len(seconds) * 99 // 100], seconds[-1]

    def _check_arrivals(self, station: Station) -> int:
        """Find what a server should have got; return how many messages it has missed outside of all windows."""
        came = {name for name, _ in station.arrivals}
        began = [self._published[name].began for name, _ in station.arrivals]
        latest = list(accumulate(began, max))
        windows = [(latest[arrived - 1] if arrived else -inf, up) for _, up, arrived in station.windows]
        counts, missed = self.account.counts, 0
        for name, entry in self._published.items():
            if name in came:
                if entry.outcome == Kind.REFUSED:
                    counts["messages refused that arrived nevertheless"] += 1
                continue
            if entry.outcome != Kind.PUBLISHED:
                continue
            index = bisect_left(latest, entry.ended)
            later = station.arrivals[index][1] if index < len(latest) else inf
            stays = [stay for stay in station.stays[entry.room] if stay.joined < entry.began < stay.left]
            owed = sum(stay.left > later for stay in stays)
            counts["copies uncertain: the member left while they were on their way"] += len(stays) - owed
            if not owed:
                continue
            if any(start <= entry.ended and entry.began <= end for start, end in windows):
                counts["copies lost in a window that layer.gap announced"] += owed
            else:
                missed += 1
                text = f"{entry} at server {station.index}, {owed} copies"
                self.account.examples.append(f"not arrived: {text}")
        return missed

    # From server to client

    def _check_clients(self) -> None:
        closings = {conn: closing for station in self._stations for conn, closing in station.closings.items()}
        came: dict[int, array[int]] = defaultdict(lambda: array("Q"))
        left: dict[int, tuple[int, bool]] = {}
        for record in read(self._folder / "clients.records"):
            if record.kind == Kind.CAME:
                came[record.conn].append(message(record.a, record.b))
            elif record.kind == Kind.LEFT:
                left[record.conn] = (record.a, bool(record.b))
        for conn, closing in closings.items():
            self._check_client(conn, closing, came.pop(conn, array("Q")), *left.get(conn, (0, False)))
        for conn, frames in came.items():
            self.account.blame("frames from nowhere", f"connection {conn}", len(frames))

    def _check_client(self, conn: int, closing: Closing, came: "array[int]", written: int, in_order: bool) -> None:
        counts, read = self.account.counts, closing.read - 1
        counts["client messages written"] += written
        counts["client messages of connections that broke, never read"] += written - read
        counts["frames sent"] += closing.sent
        counts["frames received"] += len(came)
        counts["frames sent to connections that broke, never received"] += closing.sent - len(came)
        if came != closing.got[: len(came)]:
            self.account.blame("frames out of order, or not those sent", f"connection {conn}")
        if in_order and written != read:
            self.account.blame("client messages not read", f"connection {conn}: {written} written, {read} read")
        if in_order and closing.sent != len(came):
            self.account.blame("frames not received", f"connection {conn}: {closing.sent} sent, {len(came)} received")
