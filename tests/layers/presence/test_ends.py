"""flush(), close(), and that nothing is left of those who have gone."""

from typing import Any

import anyio
import pytest

from consumers.layers.base import Layer

from ...support.contract import Mailbox, MakeLayer, needs
from ...support.history import until
from ...support.presence import SHORT, Watcher, arrive, nothing_left, settle, shows, watch

pytestmark = pytest.mark.anyio


async def test_flush_forgets_who_is_there_and_channels_can_be_tracked_again(layer: Layer) -> None:
    name, gone = await arrive(layer, "room", "ann"), await arrive(layer, "room", "bob")
    layer.detach(gone)
    await layer.flush()
    assert await layer.presence("room") == {}
    assert await layer.presence_count("room") == 0
    with pytest.raises(ValueError, match="is not tracked"):
        await layer.presence_update("room", name, meta={})
    watcher = await watch(layer, "room")
    await layer.presence_track("room", name, key="ann", meta={"a": 1})
    await watcher.is_told(("joins", "ann", [{"a": 1}]))
    await shows(layer, "room", {"ann": [{"a": 1}]})


async def test_who_was_in_grace_before_a_flush_does_not_leave_after_it(make_layer: MakeLayer) -> None:
    layer = make_layer(SHORT)
    layer.detach(await arrive(layer, "room", "ann"))
    await layer.flush()
    watcher = await watch(layer, "room")
    await arrive(layer, "room", "ann")
    other = await arrive(layer, "room", "bob")
    layer.detach(other)
    await watcher.knows({"ann": [{}]})
    await shows(layer, "room", {"ann": [{}]})
    assert [key for kind, key, _ in watcher.told if kind == "leaves"] == ["bob"]


async def test_a_layer_that_was_closed_can_be_used_again(layer: Layer) -> None:
    for _ in range(2):
        async with layer:
            watcher = await watch(layer, "room")
            name = await arrive(layer, "room", "ann")
            await watcher.knows({"ann": [{}]})
            assert await layer.group_count("room") == 1
            layer.detach(name)
            layer.detach(watcher.name)
            await layer.flush()


@pytest.mark.slow
@needs("memory")
async def test_nothing_is_left_of_ten_thousand_rooms(make_layer: MakeLayer) -> None:
    layer: Any = make_layer(SHORT)
    mailbox = Mailbox()
    names = [layer.attach(mailbox.deliver) for _ in range(10_000)]
    for number, name in enumerate(names):
        await layer.group_add(f"room.{number}", name)
        await layer.presence_track(f"room.{number}", name, key="ann", meta={"number": number})
    await layer.presence("room.5")
    for name in names:
        layer.detach(name)
    with anyio.fail_after(30):
        while not nothing_left(layer):
            await anyio.sleep(0.05)


@needs("memory")
@pytest.mark.parametrize("grace", [0, SHORT])
async def test_nothing_is_left_of_members_and_trackers_however_they_go(make_layer: MakeLayer, grace: float) -> None:
    layer: Any = make_layer(grace, max_list=2)
    member, full = await watch(layer, "room"), await watch(layer, "room", room=0)
    tracker = Watcher(layer, "room")
    await layer.presence_track("room", tracker.name, key="ann")
    names = [await arrive(layer, "room", f"user.{number}") for number in range(3)]
    await member.counts(4)
    for name in names[:2]:
        await layer.presence_untrack("room", name)
    await member.knows({"ann": [{}], "user.2": [{}]})
    await layer.presence_track("room", full.name, key="full")
    await layer.group_discard("room", member.name)
    layer.detach(member.name)
    await layer.presence_untrack("room", tracker.name)
    layer.detach(full.name)
    layer.detach(names[2])
    layer.detach(tracker.name)
    await until(lambda: nothing_left(layer))


@needs("memory")
async def test_a_full_member_that_goes_leaves_nothing_behind(
    make_layer: MakeLayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consumers.layers._presence_feed.RETRY", 0.1)
    layer: Any = make_layer(0)
    full, other = await watch(layer, "room", room=0), await watch(layer, "room")
    name = await arrive(layer, "room", "ann")
    await other.knows({"ann": [{}]})
    layer.detach(name)
    await other.knows({})
    layer.detach(other.name)
    layer.detach(full.name)
    await until(lambda: nothing_left(layer))


@needs("memory")
async def test_who_comes_and_goes_at_once_leaves_nothing_behind(make_layer: MakeLayer) -> None:
    layer: Any = make_layer(0)
    for number in range(10):
        layer.detach(await arrive(layer, f"room.{number}", "ann"))
    await until(lambda: nothing_left(layer))


@needs("memory")
async def test_a_flush_leaves_nothing_behind(make_layer: MakeLayer) -> None:
    layer: Any = make_layer(SHORT)
    watcher = await watch(layer, "room")
    await arrive(layer, "room", "ann")
    await settle(layer, watcher)
    layer.detach(await arrive(layer, "room", "bob"))
    await layer.flush()
    await until(lambda: nothing_left(layer))


@needs("memory")
async def test_what_a_group_was_told_is_forgotten_with_its_last_member_though_keys_are_in_grace(layer: Any) -> None:
    watcher = await watch(layer, "room")
    layer.detach(await arrive(layer, "room", "ann"))
    await watcher.knows({"ann": [{}]})
    assert layer._presence._feeds.groups().keys() == {"room"}
    await layer.group_discard("room", watcher.name)
    assert layer._presence._feeds.groups() == {}
    await shows(layer, "room", {"ann": []})
