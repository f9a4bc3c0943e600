"""What a process makes of what it hears and reads, in whichever order that comes."""

from consumers.layers._history import NOBODY, Keep, Position
from consumers.layers.redis.history_scripts import Kept, keys_of
from consumers.layers.redis.known_log import FEWEST_AT_HAND, AtHand, KnownLog, Told

EPOCH, TAG = "e" * 16, "a" * 16
KEEP = Keep(size=10, ttl=60)
BEGIN = Position(EPOCH, TAG, 0)


def known_log(at_hand: AtHand) -> KnownLog:
    """Make one of a group that has had no messages yet."""
    known = KnownLog(keys_of("asgi", "chat"), KEEP, lambda payload: ({"type": "test"}, NOBODY), at_hand)
    known.read(None, Kept(BEGIN, proven=False, before_first=BEGIN, seconds=0, entries=[]), [])
    return known


def hear(known: KnownLog, *offsets: int) -> None:
    for offset in offsets:
        known.hear(Told(Position(EPOCH, TAG, offset), TAG, 10), {"type": "test"}, NOBODY)


def test_a_late_reply_of_an_empty_log_does_not_drop_what_was_heard_since() -> None:
    known = known_log(AtHand())
    assert known.log is not None
    hear(known, 1)
    known.read(BEGIN, Kept(BEGIN, proven=True, before_first=BEGIN, seconds=0, entries=[]), [])
    known.expire()
    assert known.log.proves(BEGIN)
    assert known.log.entries[1].message


def test_what_left_the_log_is_not_kept_at_hand() -> None:
    at_hand = AtHand()
    quiet, busy = known_log(at_hand), known_log(at_hand)
    hear(quiet, 1, 2, 3)
    hear(busy, *range(1, 20_000))
    assert 3 < len(at_hand) <= 2 * FEWEST_AT_HAND
    assert quiet.log is not None
    assert [offset for offset, entry in quiet.log.entries.items() if entry.message] == [1, 2, 3]
