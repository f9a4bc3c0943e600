"""What a process makes of what it hears and reads, apart from Redis."""

from typing import Any

import pytest

from consumers.layers._history import NOBODY, Position, Retention
from consumers.layers.redis.history_scripts import LogReply, keys_of
from consumers.layers.redis.known_log import LOOKED_AT, AtHand, KnownLog, Told

EPOCH = "e" * 16


def place(offset: int, timeline: str = "a") -> Position:
    """Return a place; of one offset there is one on each timeline."""
    return Position(EPOCH, f"{timeline}{offset:015d}", offset)


def told(offset: int, timeline: str = "a") -> Told:
    return Told(place(offset, timeline), place(offset - 1, timeline).tag, 1)


def kept(newest: Position, *entries: Position, proven: bool = True, before_first: Position | None = None) -> LogReply:
    return LogReply(newest, proven, before_first or place(0), 60.0, [(entry, b"x") for entry in entries])


def decode(payload: bytes) -> tuple[Any, frozenset[str]]:
    return {"type": "test"}, NOBODY


def take(known: KnownLog, proof: Position | None, answer: LogReply) -> int | None:
    return known.read(proof, answer, known.decoded(answer))


@pytest.fixture
def known() -> KnownLog:
    """Return what is known at message 3."""
    known = KnownLog(keys_of("asgi", "room"), Retention(100, 60), decode, AtHand())
    take(known, None, kept(place(3)))
    return known


def test_what_follows_is_added_and_a_hole_is_to_be_read(known: KnownLog) -> None:
    log = known.log
    assert log is not None
    assert known.hear(told(4), {"type": "test"}, NOBODY) is None
    assert known.hear(told(6), {"type": "test"}, NOBODY) == 5
    assert log.place == place(4)
    assert take(known, place(4), kept(place(6), place(5), place(6))) is None
    assert log.place == place(6)
    assert log.generation == 0


def test_what_is_heard_again_is_there_already(known: KnownLog) -> None:
    assert known.hear(told(4), {"type": "test"}, NOBODY) is None
    assert known.hear(told(4), {"type": "test"}, NOBODY) is None
    assert known.hear(told(4, "b"), {"type": "test"}, NOBODY) == 5


def test_what_was_read_after_redis_went_back_is_not_put_behind_what_was_heard_before(known: KnownLog) -> None:
    """Asked at 3, Redis answers when it has gone back to 3, and on to 6; 4 and 5 of before were heard meanwhile."""
    log, proof = known.log, place(3)
    assert log is not None
    for offset in (4, 5):
        assert known.hear(told(offset), {"type": "test"}, NOBODY) is None
    answer = kept(place(6, "b"), *(place(offset, "b") for offset in (4, 5, 6)))
    assert take(known, proof, answer) == 6
    assert log.place == place(5)
    assert take(known, place(5), kept(place(6, "b"), place(6, "b"), proven=False)) is None
    assert (log.generation, log.place) == (1, place(6, "b"))


def test_what_was_read_goes_on_from_what_was_heard_meanwhile(known: KnownLog) -> None:
    log, proof = known.log, place(3)
    assert log is not None
    assert known.hear(told(4), {"type": "test"}, NOBODY) is None
    assert take(known, proof, kept(place(6), place(4), place(5), place(6))) is None
    assert (log.generation, log.place) == (0, place(6))


TAG = "a" * 16
KEEP = Retention(size=10, ttl=60)
BEGIN = Position(EPOCH, TAG, 0)


def known_log(at_hand: AtHand) -> KnownLog:
    """Make one of a group that has had no messages yet."""
    known = KnownLog(keys_of("asgi", "chat"), KEEP, lambda payload: ({"type": "test"}, NOBODY), at_hand)
    known.read(None, LogReply(BEGIN, proven=False, before_first=BEGIN, seconds=0, entries=[]), [])
    return known


def hear(known: KnownLog, *offsets: int) -> None:
    for offset in offsets:
        known.hear(Told(Position(EPOCH, TAG, offset), TAG, 10), {"type": "test"}, NOBODY)


def test_a_late_reply_of_an_empty_log_does_not_drop_what_was_heard_since() -> None:
    known = known_log(AtHand())
    assert known.log is not None
    hear(known, 1)
    known.read(BEGIN, LogReply(BEGIN, proven=True, before_first=BEGIN, seconds=0, entries=[]), [])
    known.expire()
    assert known.log.proves(BEGIN)
    assert known.log.entries[1].message


def test_what_left_the_log_is_not_kept_at_hand() -> None:
    at_hand = AtHand()
    quiet, busy = known_log(at_hand), known_log(at_hand)
    hear(quiet, 1, 2, 3)
    hear(busy, *range(1, 20_000))
    assert 3 < len(at_hand) <= LOOKED_AT
    assert quiet.log is not None
    assert [offset for offset, entry in quiet.log.entries.items() if entry.message] == [1, 2, 3]
