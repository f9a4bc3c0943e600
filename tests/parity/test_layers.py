"""Channel layers: InMemoryChannelLayer and what BaseChannelLayer gives it."""

import asyncio
import re
import time

import pytest
from channels.exceptions import ChannelFull
from channels.layers import BaseChannelLayer, InMemoryChannelLayer


@pytest.fixture
async def layer():
    layer = InMemoryChannelLayer(capacity=3)
    yield layer
    await layer.flush()
    await layer.close()


async def nothing_arrives(layer, channel):
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await layer.receive(channel)


async def test_a_message_arrives(layer):
    await layer.send("channel-1", {"type": "test.message", "text": "hello"})
    assert await layer.receive("channel-1") == {"type": "test.message", "text": "hello"}


async def test_messages_arrive_in_order_and_once(layer):
    for number in range(3):
        await layer.send("channel", {"type": "test", "number": number})
    assert [(await layer.receive("channel"))["number"] for _ in range(3)] == [0, 1, 2]
    await nothing_arrives(layer, "channel")


async def test_who_waits_gets_the_message(layer):
    waiting = asyncio.create_task(layer.receive("channel"))
    await asyncio.sleep(0)
    await layer.send("channel", {"type": "test"})
    assert await waiting == {"type": "test"}


async def test_channels_are_separate(layer):
    await layer.send("one", {"type": "test"})
    await nothing_arrives(layer, "two")
    assert await layer.receive("one") == {"type": "test"}


async def test_a_message_is_the_receivers_own(layer):
    message = {"type": "test", "list": [1]}
    await layer.send("channel", message)
    message["list"].append(2)
    received = await layer.receive("channel")
    assert received == {"type": "test", "list": [1]}
    assert received is not message


async def test_members_of_a_group_do_not_share_a_message(layer):
    await layer.group_add("group", "one")
    await layer.group_add("group", "two")
    await layer.group_send("group", {"type": "test", "list": []})
    (await layer.receive("one"))["list"].append(1)
    assert await layer.receive("two") == {"type": "test", "list": []}


async def test_new_channels_are_unique_and_usable(layer):
    names = {await layer.new_channel() for _ in range(10)}
    assert len(names) == 10
    for name in names:
        assert "!" in name
        assert layer.require_valid_channel_name(name)
    name = names.pop()
    await layer.send(name, {"type": "test"})
    assert await layer.receive(name) == {"type": "test"}


async def test_a_new_channel_may_have_a_prefix(layer):
    assert (await layer.new_channel("mine")).startswith("mine")


async def test_a_group_reaches_its_members(layer):
    for channel in ("one", "two", "three"):
        await layer.group_add("group", channel)
    await layer.group_add("group", "one")
    await layer.group_discard("group", "two")
    await layer.group_discard("group", "stranger")
    await layer.group_discard("nowhere", "one")
    await layer.group_send("group", {"type": "test"})
    assert await layer.receive("one") == {"type": "test"}
    assert await layer.receive("three") == {"type": "test"}
    await nothing_arrives(layer, "one")
    await nothing_arrives(layer, "two")


async def test_a_group_without_members_takes_messages(layer):
    await layer.group_send("nobody", {"type": "test"})


async def test_a_full_channel_raises(layer):
    for _ in range(3):
        await layer.send("channel", {"type": "test"})
    with pytest.raises(ChannelFull):
        await layer.send("channel", {"type": "test"})
    await layer.receive("channel")
    await layer.send("channel", {"type": "test"})


async def test_a_group_passes_full_members_over(layer):
    await layer.group_add("group", "full")
    await layer.group_add("group", "free")
    for number in range(3):
        await layer.send("full", {"type": "test", "number": number})
    await layer.group_send("group", {"type": "test", "number": 3})
    assert (await layer.receive("free"))["number"] == 3
    assert [(await layer.receive("full"))["number"] for _ in range(3)] == [0, 1, 2]
    await nothing_arrives(layer, "full")


async def test_a_message_expires():
    layer = InMemoryChannelLayer(expiry=0.05)
    await layer.send("channel", {"type": "test"})
    await asyncio.sleep(0.1)
    await nothing_arrives(layer, "channel")


async def test_flush_forgets_messages_and_groups(layer):
    await layer.group_add("group", "channel")
    await layer.send("channel", {"type": "test"})
    await layer.flush()
    await layer.group_send("group", {"type": "test"})
    await nothing_arrives(layer, "channel")


async def test_a_channel_that_a_receive_waits_on_is_shown(layer):
    receiving = asyncio.ensure_future(layer.receive("one"))
    await asyncio.sleep(0.01)
    assert list(layer.channels) == ["one"]
    assert layer.channels["one"].empty()
    await layer.send("one", {"type": "note"})
    assert await receiving == {"type": "note"}
    assert layer.channels == {}


async def test_looking_at_what_has_expired_does_not_drop_it():
    layer = InMemoryChannelLayer(expiry=0.02)
    await layer.send("one", {"type": "note"})
    await asyncio.sleep(0.03)
    await layer.send("two", {"type": "note"})
    assert sorted(layer.channels) == ["one", "two"]
    assert layer.channels["one"].qsize() == 1
    assert await layer.receive("two") == {"type": "note"}
    assert layer.channels == {}


async def test_what_is_shown_follows_the_layer(layer):
    channels, groups = layer.channels, layer.groups
    assert (channels, groups) == ({}, {})
    await layer.send("one", {"type": "note"})
    await layer.group_add("room", "one")
    assert (list(channels), list(groups), list(groups["room"])) == (["one"], ["room"], ["one"])
    assert isinstance(channels, dict) and isinstance(groups, dict) and isinstance(groups["room"], dict)
    assert dict(groups).keys() == {"room"}


async def test_tests_may_take_names_out_of_channels_and_groups(layer):
    for channel in ("one", "two"):
        await layer.send(channel, {"type": "note"})
        await layer.group_add("room", channel)
        await layer.group_add("hall", channel)
    del layer.channels["one"]
    assert list(layer.channels) == ["two"]
    del layer.groups["room"]["one"]
    assert list(layer.groups["room"]) == ["two"]
    layer.groups.pop("hall")
    assert list(layer.groups) == ["room"]
    layer.channels.clear()
    layer.groups.clear()
    assert layer.channels == {} and layer.groups == {}
    await layer.group_send("room", {"type": "note"})
    assert layer.channels == {}


async def test_deleting_a_channel_leaves_the_message_to_who_waited_for_it(layer):
    receiving = asyncio.ensure_future(layer.receive("one"))
    await asyncio.sleep(0.01)
    await layer.send("one", {"type": "note"})
    del layer.channels["one"]
    assert await receiving == {"type": "note"}


async def test_tests_may_add_members_by_hand(layer):
    layer.groups.setdefault("room", {})["one"] = time.time()
    layer.groups["hall"] = {"one": time.time(), "two": time.time()}
    for group in ("room", "hall"):
        await layer.group_send(group, {"type": group})
    assert [(await layer.receive("one"))["type"] for _ in range(2)] == ["room", "hall"]
    assert await layer.receive("two") == {"type": "hall"}


async def test_tests_may_empty_a_layer_by_an_assignment(layer):
    await layer.send("one", {"type": "note"})
    await layer.group_add("room", "one")
    layer.channels = {}
    layer.groups = {}
    assert layer.channels == {} and layer.groups == {}


async def test_tests_may_take_messages_out_of_a_channel(layer):
    for number in range(2):
        await layer.send("one", {"type": "note", "number": number})
    queue = layer.channels["one"]
    assert [queue.get_nowait()[1]["number"] for _ in range(2)] == [0, 1]
    with pytest.raises(asyncio.QueueEmpty):
        queue.get_nowait()


async def test_tests_may_look_at_channels_and_groups(layer):
    assert len(layer.channels) == len(layer.groups) == 0
    await layer.group_add("group", "channel")
    assert "channel" in layer.groups["group"]
    assert list(layer.groups) == ["group"]
    await layer.send("channel", {"type": "test"})
    assert "channel" in layer.channels
    assert layer.channels["channel"].qsize() == 1
    assert not layer.channels["channel"].empty() and not layer.channels["channel"].full()
    await layer.receive("channel")
    await layer.group_discard("group", "channel")
    assert len(layer.channels) == len(layer.groups) == 0


VALID_CHANNELS = ["a", "valid-channel", "valid_channel", "valid.channel", "with!local", "ends!", "a" * 99, "1"]
INVALID_CHANNELS = ["", "a" * 100, "with space", "über", "a/b", "!a", "a!b!c", "a:b", 1, None, b"bytes"]
VALID_GROUPS = ["a", "valid-group", "valid_group", "valid.group", "a" * 99, "1"]
INVALID_GROUPS = ["", "a" * 100, "with space", "über", "a/b", "with!local", "a:b", 1, None, b"bytes"]


@pytest.mark.parametrize("name", VALID_CHANNELS)
async def test_valid_channel_names_are_taken(layer, name):
    assert layer.require_valid_channel_name(name) is True
    await layer.send(name, {"type": "test"})
    assert await layer.receive(name) == {"type": "test"}
    await layer.group_add("group", name)
    await layer.group_discard("group", name)


@pytest.mark.parametrize("name", INVALID_CHANNELS, ids=repr)
async def test_invalid_channel_names_are_refused(layer, name):
    with pytest.raises(TypeError, match="Channel name must be a valid unicode string"):
        layer.require_valid_channel_name(name)
    for use in (layer.send(name, {"type": "test"}), layer.receive(name), layer.group_add("group", name)):
        with pytest.raises(TypeError):
            await use


@pytest.mark.parametrize("name", VALID_GROUPS)
async def test_valid_group_names_are_taken(layer, name):
    assert layer.require_valid_group_name(name) is True
    await layer.group_add(name, "channel")
    await layer.group_send(name, {"type": "test"})
    assert await layer.receive("channel") == {"type": "test"}


@pytest.mark.parametrize("name", INVALID_GROUPS, ids=repr)
async def test_invalid_group_names_are_refused(layer, name):
    with pytest.raises(TypeError, match="Group name must be a valid unicode string"):
        layer.require_valid_group_name(name)
    for use in (layer.group_add(name, "c"), layer.group_discard(name, "c"), layer.group_send(name, {"type": "test"})):
        with pytest.raises(TypeError):
            await use


def test_a_name_to_receive_from_ends_at_its_mark():
    layer = BaseChannelLayer()
    assert layer.require_valid_channel_name("specific!", receive=True)
    with pytest.raises(TypeError):
        layer.require_valid_channel_name("specific!name", receive=True)


def test_lists_of_names_are_checked():
    layer = BaseChannelLayer()
    assert layer.valid_channel_names(["a", "b!c"]) is True
    with pytest.raises(TypeError):
        layer.valid_channel_names(["a", "b c"])
    for names in ([], "name"):
        with pytest.raises(AssertionError):
            layer.valid_channel_names(names)


def test_type_and_length_are_checked():
    layer = BaseChannelLayer()
    assert layer.match_type_and_length("a" * 99) is True
    assert layer.match_type_and_length("a" * 100) is False
    assert layer.match_type_and_length(1) is False
    assert layer.MAX_NAME_LENGTH == 100


@pytest.mark.parametrize("noun", ["Channel", "Group"])
def test_an_error_begins_with_the_layers_own_text(noun):
    layer = BaseChannelLayer()
    expected = layer.invalid_name_error.format(noun)
    for name in ("a" * 101, "no spaces", 7):
        with pytest.raises(TypeError, match=expected):
            getattr(layer, f"require_valid_{noun.lower()}_name")(name)


def test_deprecated_checks_warn():
    layer = BaseChannelLayer()
    with pytest.warns(DeprecationWarning, match="valid_channel_name is deprecated, use require_valid_channel_name"):
        assert layer.valid_channel_name("a")
    with pytest.warns(DeprecationWarning, match="valid_group_name is deprecated, use require_valid_group_name"):
        assert layer.valid_group_name("a")


def test_a_name_is_cut_behind_its_mark():
    layer = BaseChannelLayer()
    assert layer.non_local_name("specific!name") == "specific!"
    assert layer.non_local_name("name") == "name"


def test_the_defaults():
    layer = InMemoryChannelLayer()
    assert (layer.expiry, layer.group_expiry, layer.capacity) == (60, 86400, 100)
    assert layer.get_capacity("anything") == 100
    assert set(layer.extensions) == {"groups", "flush"}


def test_capacities_are_found_by_pattern():
    layer = BaseChannelLayer(capacity=5)
    layer.channel_capacity = layer.compile_capacities({"http.*": 10, re.compile(r"^ws\.[0-9]+$"): 20, "*": 30})
    capacities = [layer.get_capacity(name) for name in ("http.request", "ws.1", "ws.a")]
    assert capacities == [10, 20, 30]


@pytest.mark.parametrize(
    "call",
    [
        lambda layer: layer.send("a", {}),
        lambda layer: layer.receive("a"),
        lambda layer: layer.new_channel(),
        lambda layer: layer.flush(),
        lambda layer: layer.group_add("a", "b"),
        lambda layer: layer.group_discard("a", "b"),
        lambda layer: layer.group_send("a", {}),
    ],
)
async def test_the_base_implements_nothing(call):
    with pytest.raises(NotImplementedError):
        await call(BaseChannelLayer())


async def test_a_layer_of_ones_own_is_a_subclass(layer):
    class Counting(InMemoryChannelLayer):
        sent = 0

        async def group_send(self, group, message):
            self.sent += 1
            await super().group_send(group, message)

    layer = Counting()
    await layer.group_add("group", "channel")
    await layer.group_send("group", {"type": "test"})
    assert (await layer.receive("channel"), layer.sent) == ({"type": "test"}, 1)
