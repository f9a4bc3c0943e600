"""The soak in short, and whether its ledger sees what it is there to see."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from . import report
from .ledger import Ledger
from .records import Kind, Recorder
from .rolling import rolling_restart
from .run import Options, soak

CLIENTS = 250 if os.environ.get("CI") else 150
SHORT = Options(seconds=8, clients=CLIENTS, kills=2, outage=0.5, ping=1.0)


def test_every_message_of_a_soak_is_accounted_for_and_nothing_is_left(tmp_path: Path) -> None:
    outcome = asyncio.run(soak(SHORT, tmp_path, print))
    text = "\n".join(report.lines(outcome))
    assert report.verdict(outcome) == [], text
    assert any(look["shared"] for look in outcome.looks), text
    counts = outcome.account.counts
    for what in (
        "copies delivered",
        "copies dropped by a full mailbox, counted",
        "copies lost in a window that layer.gap announced",
        "messages refused with an error",
        "client messages waiting at the end, counted in the log",
        "frames sent to connections that broke, never received",
    ):
        assert counts[what] > 0, f"the clients did not bring about: {what}\n{text}"


@pytest.mark.slow
def test_nobody_misses_a_message_or_gets_one_twice_while_two_workers_are_replaced() -> None:
    outcome = asyncio.run(rolling_restart(clients=60, rate=20, seconds=1, say=print))
    assert outcome.wrong == [], outcome
    counts = outcome.counts
    assert counts["connections resumed"] >= 60
    assert counts["messages caught up with"] > 0


Line = tuple[Kind, int, int, int, int]
"""A record: its kind, the connection, `a`, `b` and the room."""

SPEAKER, LISTENER, ROOM = 1, 2, 7

COMING: list[Line] = [
    line
    for conn in (SPEAKER, LISTENER)
    for line in (
        (Kind.OPENING, conn, 0, 0, 0),
        (Kind.OPENED, conn, 0, 0, 0),
        *([(Kind.JOINING, conn, 0, 0, ROOM), (Kind.JOINED, conn, 0, 0, ROOM)] if conn == LISTENER else []),
    )
]


def said(number: int) -> list[Line]:
    return [
        (Kind.PUBLISH, SPEAKER, number, 0, ROOM),
        (Kind.PUBLISHED, SPEAKER, number, 0, ROOM),
        (Kind.ARRIVED, 0, SPEAKER, number, ROOM),
        (Kind.GOT, LISTENER, SPEAKER, number, 0),
    ]


def going(dropped: int = 0, waiting: int = 0, sent: int = 2) -> list[Line]:
    return [
        (Kind.ENDING, LISTENER, 0, 0, 0),
        (Kind.WAITING, LISTENER, waiting, 0, 0),
        (Kind.COUNTS, LISTENER, 1, 1, 0),
        (Kind.ENDED, LISTENER, dropped, sent, 0),
        (Kind.ENDING, SPEAKER, 0, 0, 0),
        (Kind.COUNTS, SPEAKER, 3, 3, 0),
        (Kind.ENDED, SPEAKER, 0, 0, 0),
    ]


def came(*numbers: int) -> list[Line]:
    return [
        *((Kind.CAME, LISTENER, SPEAKER, number, 0) for number in numbers),
        (Kind.LEFT, LISTENER, 0, 1, 0),
        (Kind.LEFT, SPEAKER, 2, 1, 0),
    ]


LOST, BACK = (Kind.DOWN, 0, 0, 0, 0), (Kind.GAP, 0, 0, 0, 0)
TOLD: list[Line] = [(Kind.GOT, conn, 0, 0, 0) for conn in (SPEAKER, LISTENER)]
FIRST, SECOND = said(1), said(2)
EARLY: list[Line] = [*COMING[:3], LOST, BACK, TOLD[0], *COMING[3:]]
"""The listener is about to be attached while a gap is announced."""

ALL = [*COMING, *FIRST, *SECOND]

STORIES: dict[str, tuple[list[Line], list[Line], str | None]] = {
    "all is well": ([*ALL, *going()], came(1, 2), None),
    "a handler missed one": ([*COMING, *FIRST[:3], *SECOND, *going(sent=1)], came(2), "copies missed and not counted"),
    "it was counted": ([*COMING, *FIRST[:3], *SECOND, *going(dropped=1, sent=1)], came(2), None),
    "it was in the log": ([*COMING, *FIRST[:3], *SECOND, *going(waiting=1, sent=1)], came(2), None),
    "more was counted": ([*ALL, *going(dropped=1)], came(1, 2), "copies counted and not missed"),
    "one came twice": ([*ALL, SECOND[3], *going(sent=3)], came(1, 2, 2), "got twice or without being a member"),
    "a handler's order": (
        [*COMING, *FIRST[:3], *SECOND[:3], SECOND[3], FIRST[3], *going()],
        came(2, 1),
        "out of order at a receiver",
    ),
    "a server's order": ([*COMING, *SECOND, *FIRST, *going()], came(2, 1), "out of order at a server"),
    "one never came": ([*COMING, *FIRST[:2], *SECOND, *going(sent=1)], came(2), "messages that never came to a server"),
    "it was lost with Redis": (
        [*COMING, LOST, *FIRST[:2], BACK, *TOLD, *SECOND, *going(sent=2)],
        [(Kind.CAME, LISTENER, 0, 0, 0), *came(2)],
        None,
    ),
    "nobody told the receiver": (
        [*COMING, LOST, *FIRST[:2], BACK, TOLD[0], *SECOND, *going(sent=1)],
        came(2),
        "copies missed and not counted",
    ),
    "nobody told of the gap": ([*ALL, LOST, *going()], came(1, 2), "loss of Redis without a gap"),
    "it was lost after the gap": (
        [*COMING, LOST, BACK, *TOLD, *FIRST[:2], *SECOND, *going(sent=2)],
        [(Kind.CAME, LISTENER, 0, 0, 0), *came(2)],
        "messages that never came to a server",
    ),
    "a gap came before it listened": (
        [*EARLY, *FIRST, LOST, BACK, *TOLD, *SECOND, *going(sent=3)],
        [(Kind.CAME, LISTENER, SPEAKER, 1, 0), (Kind.CAME, LISTENER, 0, 0, 0), *came(2)],
        None,
    ),
    "two gaps came, one before it listened": (
        [*EARLY, LOST, BACK, *TOLD, *FIRST, *SECOND, *going(sent=3)],
        [(Kind.CAME, LISTENER, 0, 0, 0), *came(1, 2)],
        None,
    ),
    "it was not told of the second gap": (
        [*COMING, LOST, BACK, *TOLD, *FIRST, LOST, BACK, TOLD[0], *SECOND, *going(sent=3)],
        [(Kind.CAME, LISTENER, 0, 0, 0), *came(1, 2)],
        "copies missed and not counted",
    ),
    "a frame was lost": ([*ALL, *going()], came(1), "frames not received"),
    "a frame's order": ([*ALL, *going()], came(2, 1), "frames out of order, or not those sent"),
    "a connection never ended": (ALL, came(), "connection without an end"),
}


def write(path: Path, lines: Sequence[Line]) -> None:
    record = Recorder(path)
    for kind, conn, a, b, room in lines:
        record(kind, conn, a, b, room)
    record.close()


@pytest.mark.parametrize("story", STORIES)
def test_the_ledger_tells_what_is_left_over(story: str, tmp_path: Path) -> None:
    server, clients, blamed = STORIES[story]
    write(tmp_path / "server-0.records", server)
    write(tmp_path / "clients.records", clients)
    account = Ledger(tmp_path, servers=1).settle(overfull=0)
    assert set(account.left_over) == ({blamed} if blamed else set()), account
