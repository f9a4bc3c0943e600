"""Joining a group in a block of code that may fail, several times at once, with leaving in between."""

from contextlib import ExitStack
from typing import Any

import pytest

from consumers.layers._local import LocalChannels

MEMBER = frozenset({"channel"})
NOBODY: frozenset[str] = frozenset()


@pytest.fixture
def clock() -> list[float]:
    return [0.0]


@pytest.fixture
def local(clock: list[float]) -> LocalChannels:
    return LocalChannels(lambda name: 10, 60, 100, "attached!", lambda: clock[0])


class Join:
    """One `joining()` under way, that is ended by hand."""

    def __init__(self, local: LocalChannels) -> None:
        self._block = local.joining("group", "channel")
        self._block.__enter__()

    def succeed(self) -> None:
        self._block.__exit__(None, None, None)

    def fail(self) -> None:
        assert not self._block.__exit__(LookupError, LookupError("why it failed"), None)


def test_a_member_is_there_while_it_joins_and_afterwards(local: LocalChannels) -> None:
    join = Join(local)
    assert local.members("group") == MEMBER
    join.succeed()
    assert local.members("group") == MEMBER


def test_a_join_that_fails_is_undone(local: LocalChannels) -> None:
    Join(local).fail()
    assert local.members("group") == NOBODY
    assert not local.has_group("group")


def test_a_member_that_fails_to_join_once_more_stays(local: LocalChannels) -> None:
    local.group_add("group", "channel")
    Join(local).fail()
    assert local.members("group") == MEMBER


@pytest.mark.parametrize("ends", ["sf", "fs", "fsf", "sff", "ffs"])
def test_of_several_joins_one_that_succeeds_is_enough(local: LocalChannels, ends: str) -> None:
    for join, end in [(Join(local), end) for end in ends]:
        join.succeed() if end == "s" else join.fail()
        assert local.members("group") == MEMBER


def test_the_last_of_several_joins_that_fail_undoes_them(local: LocalChannels) -> None:
    first, second = Join(local), Join(local)
    first.fail()
    assert local.members("group") == MEMBER
    second.fail()
    assert local.members("group") == NOBODY


def discard(local: LocalChannels, clock: list[float]) -> None:
    local.group_discard("group", "channel")


def flush(local: LocalChannels, clock: list[float]) -> None:
    local.flush()


def expire(local: LocalChannels, clock: list[float]) -> None:
    clock[0] += 100
    assert local.groups() == {}


@pytest.mark.parametrize("leave", [discard, flush, expire])
@pytest.mark.parametrize("end", ["succeed", "fail"])
def test_leaving_has_the_last_word_over_the_joins_under_way(
    local: LocalChannels, clock: list[float], leave: Any, end: str
) -> None:
    joins = Join(local), Join(local)
    leave(local, clock)
    for join in joins:
        getattr(join, end)()
        assert local.members("group") == NOBODY


@pytest.mark.parametrize("leave", [discard, flush, expire])
def test_a_join_after_leaving_stands_for_itself(local: LocalChannels, clock: list[float], leave: Any) -> None:
    local.group_add("group", "channel")
    early, other = Join(local), Join(local)
    early.succeed()
    leave(local, clock)
    late = Join(local)
    other.succeed()
    assert local.members("group") == MEMBER
    late.fail()
    assert local.members("group") == NOBODY


def test_a_plain_addition_meanwhile_stays(local: LocalChannels) -> None:
    join = Join(local)
    local.group_add("group", "channel")
    join.fail()
    assert local.members("group") == MEMBER


def test_joins_of_other_channels_and_groups_are_others(local: LocalChannels) -> None:
    with ExitStack() as stack:
        for group, channel in (("group", "other"), ("other", "channel")):
            stack.enter_context(local.joining(group, channel))
        Join(local).fail()
    assert local.groups() == {"group": frozenset({"other"}), "other": MEMBER}


def test_nothing_is_remembered_of_joins_that_have_ended(local: LocalChannels) -> None:
    for end in ("succeed", "fail"):
        joins = Join(local), Join(local)
        getattr(joins[0], end)()
        local.group_discard("group", "channel")
        getattr(joins[1], end)()
    assert local._joinings == {}
