"""Groups too large for a list, and members that have no room."""

import anyio
import pytest

from consumers.layers import _presence_feed
from consumers.layers.base import Layer

from ...support.contract import MakeLayer
from ...support.presence import Watcher, arrive, shows, watch

pytestmark = pytest.mark.anyio


async def test_beyond_max_list_members_are_told_only_how_many_are_there(make_layer: MakeLayer) -> None:
    layer = make_layer(0, max_list=3)
    watcher = await watch(layer, "room")
    names = []
    for number in range(5):
        names.append(await arrive(layer, "room", f"user.{number}"))
        await (
            watcher.counts(number + 1) if number >= 3 else watcher.knows({f"user.{n}": [{}] for n in range(number + 1)})
        )
    event = watcher.messages[-1]
    version = event["version"]
    assert type(version) is int
    assert event == {"type": "presence.count", "group": "room", "count": 5, "version": version}
    assert await layer.presence_count("room") == 5
    layer.detach(names[0])
    await watcher.counts(4)
    layer.detach(names[1])
    await watcher.knows({f"user.{number}": [{}] for number in range(2, 5)})
    kinds = [message["type"] for message in watcher.messages]
    assert kinds == ["presence.diff"] * 3 + ["presence.count"] * 3 + ["presence.state"]
    layer.detach(names[2])
    await watcher.knows({f"user.{number}": [{}] for number in range(3, 5)})
    assert watcher.messages[-1]["type"] == "presence.diff"


async def test_the_whole_list_has_a_type_a_group_and_a_version(make_layer: MakeLayer) -> None:
    layer = make_layer(0, max_list=1)
    watcher = await watch(layer, "room")
    await arrive(layer, "room", "ann", {"name": "Ann"})
    name = await arrive(layer, "room", "bob")
    await watcher.counts(2)
    layer.detach(name)
    await watcher.knows({"ann": [{"name": "Ann"}]})
    event = watcher.messages[-1]
    version = event["version"]
    assert type(version) is int
    assert event == {
        "type": "presence.state",
        "group": "room",
        "members": {"ann": [{"name": "Ann"}]},
        "version": version,
    }


async def test_a_layer_may_tell_no_lists_at_all(make_layer: MakeLayer) -> None:
    layer = make_layer(0, max_list=0)
    watcher = await watch(layer, "room")
    name = await arrive(layer, "room", "ann")
    await watcher.counts(1)
    await layer.presence_update("room", name, meta={"a": 1})
    layer.detach(name)
    await watcher.knows({})
    assert {message["type"] for message in watcher.messages} <= {"presence.count", "presence.state"}


async def test_who_tracks_and_has_been_told_a_count_is_told_the_list_when_it_is_short_again(
    make_layer: MakeLayer,
) -> None:
    """A member has come and gone meanwhile."""
    layer = make_layer(0, max_list=2)
    tracker = Watcher(layer, "room")
    await layer.presence_track("room", tracker.name, key="ann")
    names = [await arrive(layer, "room", f"user.{number}") for number in range(2)]
    await tracker.counts(3)
    layer.detach((await watch(layer, "room")).name)
    layer.detach(names[0])
    await tracker.knows({"ann": [{}], "user.1": [{}]})


async def test_coming_below_and_going_beyond_max_list_again_and_again(make_layer: MakeLayer) -> None:
    layer = make_layer(0, max_list=2)
    watcher = await watch(layer, "room")
    names = [await arrive(layer, "room", f"user.{number}") for number in range(2)]
    for _ in range(3):
        third = await arrive(layer, "room", "third")
        await watcher.counts(3)
        layer.detach(third)
        await watcher.knows({"user.0": [{}], "user.1": [{}]})
        await layer.presence_update("room", names[0], meta={"a": 1})
        await watcher.knows({"user.0": [{"a": 1}], "user.1": [{}]})
        await layer.presence_update("room", names[0], meta={})
        await watcher.knows({"user.0": [{}], "user.1": [{}]})
    third = await arrive(layer, "room", "third")
    layer.detach(third)
    await shows(layer, "room", {"user.0": [{}], "user.1": [{}]})
    await layer.presence_update("room", names[0], meta={"last": True})
    await watcher.knows({"user.0": [{"last": True}], "user.1": [{}]})


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_presence_feed, "RETRY", 0.1)
    monkeypatch.setattr(_presence_feed, "LONGEST_RETRY", 0.2)


@pytest.mark.usefixtures("soon")
async def test_a_member_that_was_full_is_told_the_whole_list_when_it_has_room(layer: Layer) -> None:
    full, healthy = await watch(layer, "room", room=1), await watch(layer, "room")
    await arrive(layer, "room", "ann")
    await full.knows({"ann": [{}]})
    await arrive(layer, "room", "bob")
    await healthy.knows({"ann": [{}], "bob": [{}]})
    assert len(full.messages) == 1
    full.room = 1000
    await full.knows({"ann": [{}], "bob": [{}]})
    assert [message["type"] for message in full.messages] == ["presence.diff", "presence.state"]
    await arrive(layer, "room", "eve")
    for watcher in (full, healthy):
        await watcher.knows({"ann": [{}], "bob": [{}], "eve": [{}]})
    assert all(message["type"] == "presence.diff" for message in healthy.messages)


@pytest.mark.usefixtures("soon")
async def test_a_member_that_stays_full_costs_the_others_nothing_and_is_right_in_the_end(layer: Layer) -> None:
    full, healthy = await watch(layer, "room", room=0), await watch(layer, "room")
    for number in range(4):
        await arrive(layer, "room", f"user.{number}")
        await healthy.hears_of(f"user.{number}")
        await anyio.sleep(0.1)
    assert all(message["type"] == "presence.diff" for message in healthy.messages)
    assert full.messages == []
    full.room = 1000
    await full.knows({f"user.{number}": [{}] for number in range(4)})


@pytest.mark.usefixtures("soon")
async def test_who_tracks_and_was_full_is_told_the_whole_list_too(layer: Layer) -> None:
    tracker = Watcher(layer, "room", room=0)
    await layer.presence_track("room", tracker.name, key="ann")
    watcher = await watch(layer, "room")
    await arrive(layer, "room", "bob")
    await watcher.hears_of("bob")
    layer.detach(watcher.name)  # the group has no members any more
    tracker.room = 1000
    await tracker.knows({"ann": [{}], "bob": [{}]})


@pytest.mark.usefixtures("soon")
async def test_a_full_member_of_a_large_group_is_told_the_count(make_layer: MakeLayer) -> None:
    layer = make_layer(0, max_list=1)
    full, healthy = await watch(layer, "room", room=0), await watch(layer, "room")
    names = [await arrive(layer, "room", key) for key in ("ann", "bob")]
    await healthy.counts(2)
    full.room = 1000
    await full.counts(2)
    layer.detach(names[1])
    for watcher in (full, healthy):
        await watcher.knows({"ann": [{}]})


async def test_a_member_whose_deliver_raises_keeps_nothing_from_the_others(
    layer: Layer, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(message: object) -> int:
        raise RuntimeError("a receiver that always fails")

    await layer.group_add("room", layer.attach(broken))
    watcher = await watch(layer, "room")
    await arrive(layer, "room", "ann")
    await watcher.knows({"ann": [{}]})
    assert "could not take a message" in caplog.text
