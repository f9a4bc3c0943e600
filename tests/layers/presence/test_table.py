"""The keys of one group, without anybody to tell."""

import pytest

from consumers.exceptions import PresenceFull
from consumers.layers._presence import Change
from consumers.layers._presence_table import PresenceTable

A, B = '{"a":1}', '{"b":2}'


def table(grace: float = 5) -> PresenceTable:
    return PresenceTable(grace)


def test_the_first_channel_is_a_join() -> None:
    keys = table()
    assert keys.track("one", "ann", A, 0) == [Change("joins", "ann", (A,))]
    assert len(keys) == 1
    assert keys.read() == {"ann": (A,)}
    assert keys.channels() == ["one"]


def test_equal_metas_are_one_and_come_in_the_order_of_the_channels() -> None:
    keys = table()
    keys.track("one", "ann", B, 0)
    assert keys.track("two", "ann", A, 0) == [Change("updates", "ann", (B, A))]
    assert keys.track("three", "ann", B, 0) == []
    assert keys.untrack("one", 0) == [Change("updates", "ann", (A, B))]
    assert keys.update("two", B) == [Change("updates", "ann", (B,))]
    assert keys.update("two", B) == []


def test_a_key_in_grace_is_there_without_metas() -> None:
    keys = table()
    keys.track("one", "ann", A, 0)
    assert keys.untrack("one", 1) == []
    assert keys.next_leave == 6
    assert keys.read() == {"ann": ()}
    assert len(keys) == 1
    assert keys.channels() == []
    assert keys.settle(5.9) == []
    assert keys.settle(6) == [Change("leaves", "ann")]
    assert len(keys) == 0
    assert keys.next_leave is None
    assert keys.settle(100) == []


def test_without_grace_a_key_leaves_at_once() -> None:
    keys = table(0)
    keys.track("one", "ann", A, 0)
    assert keys.untrack("one", 0) == [Change("leaves", "ann")]
    assert keys.read() == {}


def test_coming_back_is_no_change_unless_somebody_has_read() -> None:
    keys = table()
    keys.track("one", "ann", A, 0)
    keys.untrack("one", 1)
    assert keys.track("two", "ann", A, 2) == []
    assert keys.next_leave is None
    keys.untrack("two", 3)
    keys.read()
    assert keys.track("one", "ann", A, 4) == [Change("updates", "ann", (A,))]
    keys.read()
    assert keys.track("one", "ann", A, 5) == []


def test_coming_back_with_another_meta_is_an_update() -> None:
    keys = table()
    keys.track("one", "ann", A, 0)
    keys.untrack("one", 1)
    assert keys.track("two", "ann", B, 2) == [Change("updates", "ann", (B,))]


def test_keys_leave_in_the_order_in_which_their_graces_began() -> None:
    keys = table()
    for number, key in enumerate(("ann", "bob", "eve")):
        keys.track(key, key, A, 0)
        keys.untrack(key, number)
    keys.track("ann", "ann", A, 3)
    keys.untrack("ann", 4)
    assert keys.next_leave == 6
    assert keys.settle(7) == [Change("leaves", "bob"), Change("leaves", "eve")]
    assert keys.next_leave == 9


def test_a_channel_stands_for_one_key() -> None:
    keys = table(0)
    keys.track("one", "ann", A, 0)
    assert keys.track("one", "bob", A, 0) == [Change("leaves", "ann"), Change("joins", "bob", (A,))]
    assert keys.untrack("one", 0) == [Change("leaves", "bob")]
    assert keys.untrack("one", 0) == []


def test_a_full_key_takes_no_channel_and_changes_nothing() -> None:
    keys = table()
    for number in range(100):
        keys.track(str(number), "ann", A, 0)
    keys.track("more", "bob", B, 0)
    for channel in ("more", "new"):
        with pytest.raises(PresenceFull):
            keys.track(channel, "ann", A, 0)
    assert keys.read() == {"ann": (A,), "bob": (B,)}
    assert keys.track("5", "ann", B, 0) == [Change("updates", "ann", (A, B))]
    assert keys.untrack("new", 0) == []
