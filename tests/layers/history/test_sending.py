"""Sending to groups with history: ids, what is not kept, who is excluded, reading the log, and what is never kept."""

from typing import Any

import pytest

from consumers import Joined
from consumers.layers.base import Layer

from ...support.contract import MakeLayer, receive
from ...support.history import SIZE, join, numbers, say

pytestmark = pytest.mark.anyio


# Ids


async def test_a_message_with_a_known_id_is_not_sent_again(layer: Layer) -> None:
    _, mailbox, _ = await join(layer, "room")
    first = await say(layer, "room", 1, id="one")
    assert await say(layer, "room", 2, id="two") != first
    assert await say(layer, "room", 99, id="one") == first
    await say(layer, "room", 3)
    assert numbers(await mailbox.holds(3)) == [1, 2, 3]
    assert numbers((await layer.history("room")).messages) == [1, 2, 3]


async def test_an_id_is_of_one_group(layer: Layer) -> None:
    [one] = await say(layer, "room", 1, id="same")
    [other] = await say(layer, "room.other", 2, id="same")
    assert one != other
    assert numbers((await layer.history("room.other")).messages) == [2]


async def test_an_id_is_known_when_its_message_is_kept_no_more(layer: Layer) -> None:
    first = await say(layer, "room", 0, id="early")
    await say(layer, "room", *range(1, SIZE + 5))
    assert await say(layer, "room", 99, id="early") == first
    assert numbers((await layer.history("room")).messages) == list(range(5, SIZE + 5))


@pytest.mark.parametrize("id", ["", "a" * 201, 5, b"bytes", ["list"], True])
async def test_a_wrong_id_is_refused(layer: Layer, id: Any) -> None:
    before = await layer.position("room")
    with pytest.raises((TypeError, ValueError), match="id must"):
        await say(layer, "room", 1, id=id)
    assert await layer.position("room") == before


@pytest.mark.parametrize("id", ["a", "a" * 200, "ä \n* %", "0"])
async def test_an_id_is_any_text(layer: Layer, id: str) -> None:
    assert await say(layer, "room", 1, id=id) == await say(layer, "room", 2, id=id)


async def test_an_id_needs_a_message_that_is_kept(layer: Layer) -> None:
    with pytest.raises(ValueError, match="keep=False"):
        await say(layer, "room", 1, id="one", keep=False)


# Not kept


async def test_what_is_not_kept_has_no_position_and_moves_none(layer: Layer) -> None:
    _, mailbox, joined = await join(layer, "room")
    assert await say(layer, "room", 1, keep=False) == [None]
    assert await layer.position("room") == joined.position
    [position] = await say(layer, "room", 2)
    await say(layer, "room", 3, keep=False)
    one, two, three = await mailbox.holds(3)
    assert numbers([one, two, three]) == [1, 2, 3]
    assert one["history"] == three["history"] == {"group": "room", "position": None, "replayed": False}
    _, later, joined = await join(layer, "room", since=joined.position)
    assert joined == Joined(position, True, 1)
    await say(layer, "room", 4)
    assert numbers(await later.holds(2)) == [2, 4]
    assert numbers((await layer.history("room")).messages) == [2, 4]


# Excluded


@pytest.mark.parametrize(
    "kind_of", [str, lambda name: [name], lambda name: {name, "nobody"}, lambda name: iter([name])]
)
@pytest.mark.parametrize("keep", [True, False])
async def test_who_is_excluded_gets_nothing(layer: Layer, kind_of: Any, keep: bool) -> None:
    name, excluded, _ = await join(layer, "room")
    _, other, _ = await join(layer, "room")
    await say(layer, "room", 1, exclude=kind_of(name), keep=keep)
    await say(layer, "room", 2)
    assert numbers(await other.holds(2)) == [1, 2]
    assert numbers(await excluded.holds(1)) == [2]
    assert set((await other.holds(2))[0]) == {"type", "number", "history"}


async def test_who_is_excluded_gets_nothing_when_it_comes_back_either(layer: Layer) -> None:
    name, mailbox, joined = await join(layer, "room")
    await layer.group_discard("room", name)
    await say(layer, "room", 1, 2, exclude=name)
    await say(layer, "room", 3)
    await say(layer, "room", 4, exclude=name)
    back = await layer.group_add("room", name, since=joined.position)
    assert (back.recovered, back.missed) == (True, 1)
    _, other, other_joined = await join(layer, "room", last=4)
    assert other_joined.missed == 4
    await say(layer, "room", 5)
    assert numbers(await other.holds(5)) == [1, 2, 3, 4, 5]
    assert numbers(await mailbox.holds(2)) == [3, 5]


async def test_who_comes_back_by_another_channel_is_not_excluded(layer: Layer) -> None:
    name, _, joined = await join(layer, "room")
    layer.detach(name)
    await say(layer, "room", 1, exclude=name)
    _, mailbox, back = await join(layer, "room", since=joined.position)
    assert back.missed == 1
    assert numbers(await mailbox.holds(1)) == [1]


# Reading


async def test_the_newest_are_read_oldest_first(layer: Layer) -> None:
    positions = await say(layer, "room", *range(1, 6))
    page = await layer.history("room")
    assert numbers(page.messages) == [1, 2, 3, 4, 5]
    assert [message["history"]["position"] for message in page.messages] == positions
    assert all(message["history"]["replayed"] and message["history"]["group"] == "room" for message in page.messages)
    assert page[1:] == (positions[-1], True)
    page = await layer.history("room", limit=2)
    assert numbers(page.messages) == [4, 5]
    assert page[1:] == (positions[-1], True)


async def test_pages_follow_each_other(layer: Layer) -> None:
    position: str | None = await layer.position("room")
    positions = await say(layer, "room", *range(1, 6))
    read = []
    for expected in ([1, 2], [3, 4], [5], []):
        page = await layer.history("room", since=position, limit=2)
        assert numbers(page.messages) == expected
        assert page.recovered
        read += page.messages
        position = page.position
    assert position == positions[-1]
    assert [message["history"]["position"] for message in read] == positions


async def test_a_page_since_what_is_kept_no_more_is_not_recovered(layer: Layer) -> None:
    early = await layer.position("room")
    positions = await say(layer, "room", *range(SIZE + 1))
    assert await layer.history("room", since=early) == ([], positions[-1], False)
    page = await layer.history("room", since=positions[0])
    assert page.recovered
    assert numbers(page.messages) == list(range(1, SIZE + 1))


async def test_an_empty_log_has_a_position_to_join_since(layer: Layer) -> None:
    position = await layer.position("room")
    assert position == await layer.position("room")
    assert await layer.history("room") == ([], position, True)
    await say(layer, "room", 1)
    _, mailbox, joined = await join(layer, "room", since=position)
    assert joined.recovered
    assert numbers(await mailbox.holds(1)) == [1]


async def test_no_limit_is_too_large(layer: Layer) -> None:
    [before, _] = await say(layer, "room", 1, 2)
    assert numbers((await layer.history("room", limit=10**30)).messages) == [1, 2]
    assert numbers((await layer.history("room", since=before, limit=10**30)).messages) == [2]


@pytest.mark.parametrize("limit", [0, -1, True, 1.5, "1", None])
async def test_a_limit_is_a_number_of_messages(layer: Layer, limit: Any) -> None:
    for group in ("room", "plain"):
        with pytest.raises(ValueError, match="limit must be"):
            await layer.history(group, limit=limit)


@pytest.mark.parametrize("group", ["", "a b", None, "a" * 100])
async def test_a_wrong_name_is_refused(layer: Layer, group: Any) -> None:
    with pytest.raises(TypeError, match="Group name must be"):
        await layer.history(group)
    with pytest.raises(TypeError, match="Group name must be"):
        await layer.position(group)


# Never kept, and forgotten


async def test_closing_a_group_is_not_kept(layer: Layer) -> None:
    _, mailbox, joined = await join(layer, "room")
    await layer.close_group("room", 4001, "bye")
    assert await mailbox.is_closed() == (4001, "bye")
    assert await layer.position("room") == joined.position
    _, later, again = await join(layer, "room", since=joined.position, last=5)
    assert again == Joined(joined.position, True, 0)
    await say(layer, "room", 1)
    assert numbers(await later.holds(1)) == [1]


async def test_after_a_flush_all_begins_anew(layer: Layer) -> None:
    _, mailbox, _ = await join(layer, "room")
    [old] = await say(layer, "room", 1, id="one")
    await mailbox.holds(1)
    await layer.flush()
    assert (await layer.history("room")).messages == []
    [new] = await say(layer, "room", 2, id="one")
    assert new != old
    _, later, joined = await join(layer, "room", since=old, last=5)
    assert joined == Joined(new, False, 1)
    await say(layer, "room", 3)
    assert numbers(await later.holds(2)) == [2, 3]
    assert numbers(mailbox.messages) == [1]


# Channels whose messages are stored


async def test_a_stored_channel_is_replayed_and_goes_on(layer: Layer) -> None:
    channel = await layer.new_channel()
    positions = await say(layer, "room", 1, 2)
    joined = await layer.group_add("room", channel, last=1)
    assert joined == Joined(positions[-1], True, 1)
    await say(layer, "room", 3)
    messages = [await receive(layer, channel) for _ in range(2)]
    assert numbers(messages) == [2, 3]
    assert [message["history"]["replayed"] for message in messages] == [True, False]
    assert messages[0]["history"]["position"] == positions[-1]
    with pytest.raises(ValueError, match="already"):
        await layer.group_add("room", channel, since=positions[0])


async def test_what_a_stored_channel_holds_is_bounded_as_ever(make_layer: MakeLayer) -> None:
    layer = make_layer(capacity=3)
    channel = await layer.new_channel()
    await layer.group_add("room", channel)
    _, mailbox, _ = await join(layer, "room")
    await say(layer, "room", *range(5))
    await mailbox.holds(5)
    assert numbers([await receive(layer, channel) for _ in range(3)]) == [0, 1, 2]
    await say(layer, "room", 5)
    assert numbers([await receive(layer, channel)]) == [5]
