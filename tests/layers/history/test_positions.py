"""What members of groups with history get, where it is in the order, and what joining since a position brings."""

import copy
import json
import pickle
import re
from collections.abc import Callable
from typing import Any

import pytest

from consumers import Joined
from consumers.layers.base import Layer

from ...support.contract import MakeLayer, needs
from ...support.history import SIZE, join, numbers, say

pytestmark = pytest.mark.anyio

POSITION = re.compile(r"[A-Za-z0-9_-]+-[A-Za-z0-9_-]+\.[0-9]+")


def offsets(positions: list[str]) -> list[int]:
    return [int(position.rpartition(".")[2]) for position in positions]


# The message


async def test_every_message_says_where_it_is(layer: Layer) -> None:
    _, one, joined = await join(layer, "room")
    _, other, _ = await join(layer, "room")
    positions = await say(layer, "room", 1, 2, 3)
    for mailbox in (one, other):
        assert [message["history"] for message in await mailbox.holds(3)] == [
            {"group": "room", "position": position, "replayed": False} for position in positions
        ]
    assert offsets([joined.position, *positions]) == [0, 1, 2, 3]
    assert all(len(position) <= 64 and POSITION.fullmatch(position) for position in positions)
    assert len({position.rpartition(".")[0] for position in positions}) == 3  # each has a tag of its own


async def test_the_mark_refuses_changes_and_is_json(layer: Layer) -> None:
    _, mailbox, _ = await join(layer, "room")
    _, other, _ = await join(layer, "room")
    [position] = await say(layer, "room", 1)
    mark: Any = (await mailbox.holds(1))[0]["history"]
    changes: list[Callable[[], Any]] = [
        lambda: mark.update(group="other"),
        lambda: mark.__setitem__("group", "other"),
        lambda: mark.__delitem__("group"),
        lambda: mark.pop("group"),
        lambda: mark.popitem(),
        lambda: mark.clear(),
        lambda: mark.setdefault("new", 1),
        lambda: mark.__ior__({"group": "other"}),
    ]
    for change in changes:
        with pytest.raises(TypeError, match=r"copy it with dict\(\)"):
            change()
    plain = {"group": "room", "position": position, "replayed": False}
    for same in (json.loads(json.dumps(mark)), dict(mark), copy.copy(mark), copy.deepcopy(mark)):
        assert same == plain
    again = pickle.loads(pickle.dumps(mark))
    assert again == plain
    assert type(again) is type(mark)
    assert (await other.holds(1))[0]["history"] is mark


async def test_a_members_changes_are_seen_by_no_other_and_not_kept(layer: Layer) -> None:
    _, one, _ = await join(layer, "room")
    _, other, _ = await join(layer, "room")
    message = {"type": "test", "value": {"deep": [1]}}
    await layer.group_send("room", message)
    message["value"]["deep"].append("sender")  # type: ignore[index]
    (await one.holds(1))[0]["value"]["deep"].append("member")
    assert (await other.holds(1))[0]["value"] == {"deep": [1]}
    for _ in range(2):
        _, later, _ = await join(layer, "room", last=1)
        [replayed] = await later.holds(1)
        assert replayed["value"] == {"deep": [1]}
        replayed["value"]["deep"].append("later")
        [kept] = (await layer.history("room")).messages
        assert kept["value"] == {"deep": [1]}
        kept["value"]["deep"].append("reader")


async def test_a_message_must_not_have_the_layers_keys(layer: Layer) -> None:
    _, mailbox, joined = await join(layer, "room")
    for message in ({"type": "test", "history": 1}, {"type": "test", "consumers.exclude": ["a"]}):
        for options in ({}, {"keep": False}):
            with pytest.raises(ValueError, match="must not have a key"):
                await layer.group_send("room", message, **options)  # type: ignore[arg-type]
    await say(layer, "room", 1)
    assert numbers(await mailbox.holds(1)) == [1]
    assert await layer.position("room") != joined.position


async def test_an_event_of_one_group_is_sent_on_without_its_mark(layer: Layer) -> None:
    _, mailbox, _ = await join(layer, "room")
    _, other, _ = await join(layer, "plain")
    await say(layer, "room", 1)
    event = (await mailbox.holds(1))[0]
    await layer.group_send("plain", event)
    assert (await other.holds(1))[0]["history"]["group"] == "room"
    with pytest.raises(ValueError, match="'history'"):
        await layer.group_send("room", event)


# Joining


async def test_who_asks_for_nothing_gets_what_is_new(layer: Layer) -> None:
    positions = await say(layer, "room", 1, 2)
    _, mailbox, joined = await join(layer, "room")
    assert joined == Joined(positions[-1], True, 0)
    await say(layer, "room", 3)
    assert numbers(await mailbox.holds(1)) == [3]


async def test_what_was_missed_comes_first_then_what_is_new(layer: Layer) -> None:
    positions = await say(layer, "room", *range(1, 6))
    _, mailbox, joined = await join(layer, "room", since=positions[1])
    assert joined == Joined(positions[-1], True, 3)
    positions += await say(layer, "room", 6, 7)
    messages = await mailbox.holds(5)
    assert numbers(messages) == [3, 4, 5, 6, 7]
    assert [message["history"]["position"] for message in messages] == positions[2:]
    assert [message["history"]["replayed"] for message in messages] == [True, True, True, False, False]


async def test_the_newest_position_misses_nothing(layer: Layer) -> None:
    first = await layer.position("room")
    _, mailbox, joined = await join(layer, "room", since=first)
    assert joined == Joined(first, True, 0)
    [position] = await say(layer, "room", 1)
    _, other, joined = await join(layer, "room", since=position)
    assert joined == Joined(position, True, 0)
    _, third, joined = await join(layer, "room", since=first)
    assert joined == Joined(position, True, 1)
    await say(layer, "room", 2)
    assert numbers(await mailbox.holds(2)) == [1, 2]
    assert numbers(await other.holds(1)) == [2]
    assert numbers(await third.holds(2)) == [1, 2]


@pytest.mark.parametrize(("last", "expected"), [(1, [3]), (2, [2, 3]), (3, [1, 2, 3]), (1000, [1, 2, 3])])
async def test_the_newest_messages_come_first(layer: Layer, last: int, expected: list[int]) -> None:
    positions = await say(layer, "room", 1, 2, 3)
    _, mailbox, joined = await join(layer, "room", last=last)
    assert joined == Joined(positions[-1], True, len(expected))
    await say(layer, "room", 4)
    messages = await mailbox.holds(len(expected) + 1)
    assert numbers(messages) == [*expected, 4]
    assert [message["history"]["replayed"] for message in messages] == [True] * len(expected) + [False]


async def test_since_counts_where_both_are_asked_for(layer: Layer) -> None:
    positions = await say(layer, "room", *range(1, 6))
    _, mailbox, joined = await join(layer, "room", since=positions[2], last=4)
    assert joined == Joined(positions[-1], True, 2)
    _, unknown, joined = await join(layer, "room", since="unknown", last=2)
    assert joined == Joined(positions[-1], False, 2)
    _, new, joined = await join(layer, "room", since=None, last=1)
    assert joined == Joined(positions[-1], True, 1)
    await say(layer, "room", 6)
    assert numbers(await mailbox.holds(3)) == [4, 5, 6]
    assert numbers(await unknown.holds(3)) == [4, 5, 6]
    assert numbers(await new.holds(2)) == [5, 6]


async def test_a_position_recovers_while_the_log_reaches_back_exactly(layer: Layer) -> None:
    first = await layer.position("room")
    positions = await say(layer, "room", *range(1, SIZE + 1))
    _, mailbox, joined = await join(layer, "room", since=first)  # all that is kept was missed
    assert joined == Joined(positions[-1], True, SIZE)
    positions += await say(layer, "room", SIZE + 1)
    assert numbers(await mailbox.holds(SIZE + 1)) == list(range(1, SIZE + 2))
    _, late, joined = await join(layer, "room", since=first)
    assert joined == Joined(positions[-1], False, 0)
    _, _, joined = await join(layer, "room", since=positions[0])
    assert joined == Joined(positions[-1], True, SIZE)
    _, _, joined = await join(layer, "room", last=SIZE + 1)
    assert joined == Joined(positions[-1], True, SIZE)
    await say(layer, "room", SIZE + 2)
    assert numbers(await late.holds(1)) == [SIZE + 2]


async def test_a_member_cannot_ask_for_what_it_has_missed(layer: Layer) -> None:
    [position] = await say(layer, "room", 1)
    name, mailbox, _ = await join(layer, "room")
    for options in ({"since": position}, {"since": "unknown"}, {"last": 1}):
        with pytest.raises(ValueError, match="is in group 'room' already"):
            await layer.group_add("room", name, **options)
    assert await layer.group_add("room", name) == Joined(position, True, 0)
    await say(layer, "room", 2)
    assert numbers(await mailbox.holds(1)) == [2]


async def test_who_has_left_may_ask_again(layer: Layer) -> None:
    name, mailbox, joined = await join(layer, "room")
    for rounds in range(3):
        await layer.group_discard("room", name)
        await say(layer, "room", rounds)
        joined = await layer.group_add("room", name, since=joined.position)
        assert joined.recovered
        assert joined.missed == 1
        assert numbers(await mailbox.holds(rounds + 1)) == list(range(rounds + 1))


@pytest.mark.parametrize("last", [-1, True, 1.5, "1", None])
async def test_last_is_a_number_of_messages(layer: Layer, last: Any) -> None:
    with pytest.raises(ValueError, match="last must be"):
        await join(layer, "room", last=last)
    with pytest.raises(ValueError, match="last must be"):
        await join(layer, "plain", last=last)


# What is no position


def changed(position: str) -> list[Any]:
    """Return what looks like a position of the group's and is none."""
    head, _, offset = position.rpartition(".")
    epoch, _, tag = head.partition("-")
    foreign, other = "0" * len(tag), "0" * len(epoch)
    return [
        f"{epoch}-{foreign}.{offset}",
        f"{other}-{tag}.{offset}",
        f"{tag}-{epoch}.{offset}",
        *(f"{head}.{wrong}" for wrong in ("0", "1", "3", "99", "-1", "-2", f"0{offset}", "9" * 16, "9" * 400, "", "x")),
        f"{head}.{offset}\n",
        f" {position}",
        f"{position} ",
        f"{position}.{offset}",
        position.upper() if position.upper() != position else f"{position}x",
        position.replace(".", ""),
        f"{head}.٢",
        position.encode(),
        [position],
        {"position": position},
    ]


NO_POSITIONS: list[Any] = [
    "",
    "null",
    "undefined",
    "0",
    "-1",
    ".",
    "-.",
    "\x00",
    "ä" * 64,
    "a" * 10_000,
    "*",
    "room",
    "\ud800",
    0,
    2,
    -1,
    1.5,
    True,
    b"",
    (),
    object(),
]


async def is_refused(layer: Layer, since: Any) -> None:
    before = await layer.position("room")
    name, mailbox, joined = await join(layer, "room", since=since)
    assert joined == Joined(before, False, 0), since
    page = await layer.history("room", since=since)
    assert page == ([], before, False), since
    assert await layer.position("room") == before
    [position] = await say(layer, "room", 1)
    assert numbers(await mailbox.holds(1)) == [1], since
    layer.detach(name)
    assert position != before


async def test_what_is_no_position_is_not_recovered(layer: Layer) -> None:
    await say(layer, "room", 1, 2)
    for since in NO_POSITIONS:
        await is_refused(layer, since)


async def test_a_position_that_was_made_up_is_not_recovered(layer: Layer) -> None:
    _, position = await say(layer, "room", 1, 2)
    for since in changed(position):
        await is_refused(layer, since)


async def test_a_position_of_another_group_or_layer_is_not_recovered(layer: Layer, make_layer: MakeLayer) -> None:
    await say(layer, "room", 1, 2)
    for foreign in await say(layer, "room.other", 1, 2):
        await is_refused(layer, foreign)
    await layer.flush()
    old = await say(layer, "room", 1, 2)
    await layer.flush()
    await say(layer, "room", 1, 2)
    for foreign in old:
        await is_refused(layer, foreign)


# Groups without history


async def test_a_group_without_history_has_no_positions(layer: Layer) -> None:
    _, mailbox, joined = await join(layer, "plain")
    assert joined == Joined(None, True, 0)
    _, _, joined = await join(layer, "plain", since="anything", last=5)
    assert joined == Joined(None, False, 0)
    assert await say(layer, "plain", 1) == [None]
    assert await say(layer, "plain", 2, keep=False) == [None]
    assert await mailbox.holds(2) == [{"type": "test", "number": 1}, {"type": "test", "number": 2}]
    assert await layer.position("plain") is None
    assert await layer.history("plain") == ([], None, True)
    assert await layer.history("plain", since="anything") == ([], None, False)


async def test_a_group_without_history_takes_no_id(layer: Layer) -> None:
    with pytest.raises(ValueError, match="id needs a group with history"):
        await say(layer, "plain", 1, id="one")


async def test_a_group_without_history_may_use_the_key(layer: Layer) -> None:
    _, mailbox, _ = await join(layer, "plain")
    await layer.group_send("plain", {"type": "test", "history": "of mankind"})
    assert (await mailbox.holds(1))[0]["history"] == "of mankind"


# Which groups


@needs("memory")
async def test_the_first_rule_that_matches_counts(make_layer: MakeLayer) -> None:
    rules = {
        "chat.vip": {"size": 3, "ttl": 60},
        re.compile(r"chat\.\d+$"): {"size": 2, "ttl": 60},
        "chat.*": {"size": 1, "ttl": 60},
    }
    layer = make_layer(history=rules)
    for group, size in (("chat.vip", 3), ("chat.7", 2), ("chat.x", 1), ("chat.7x", 1), ("chats", 0), ("a.chat.7", 0)):
        await say(layer, group, *range(9))
        assert len((await layer.history(group)).messages) == size, group
