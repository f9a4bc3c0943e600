"""When a key leaves: once, after its grace, and not if it comes back."""

import anyio
import pytest

from consumers.layers.base import Layer

from ...support.contract import Mailbox, MakeLayer
from ...support.presence import SHORT, Watcher, arrive, settle, shows, watch

pytestmark = pytest.mark.anyio

ANN, OTHER = {"name": "Ann"}, {"name": "other"}


@pytest.mark.parametrize("how", ["untrack", "detach"])
@pytest.mark.parametrize("grace", [0, SHORT])
async def test_a_key_leaves_once_after_its_grace(make_layer: MakeLayer, how: str, grace: float) -> None:
    layer = make_layer(grace)
    watcher = await watch(layer, "room")
    name = await arrive(layer, "room", "ann", ANN)
    await settle(layer, watcher)
    begin = anyio.current_time()
    if how == "untrack":
        await layer.presence_untrack("room", name)
    layer.detach(name)
    await watcher.is_told(("joins", "ann", [ANN]), ("leaves", "ann", None))
    assert anyio.current_time() - begin >= grace * 0.9
    await shows(layer, "room", {})
    await settle(layer, watcher)
    await watcher.is_told(("joins", "ann", [ANN]), ("leaves", "ann", None))


async def test_a_key_in_grace_is_listed_without_metas_and_counts(layer: Layer) -> None:
    watcher = await watch(layer, "room")
    name = await arrive(layer, "room", "ann", ANN)
    await arrive(layer, "room", "bob")
    layer.detach(name)
    await shows(layer, "room", {"ann": [], "bob": [{}]})
    assert await layer.presence_count("room") == 2
    await settle(layer, watcher)
    await watcher.is_told(("joins", "ann", [ANN]), ("joins", "bob", [{}]))


async def test_coming_back_within_the_grace_is_told_to_nobody(make_layer: MakeLayer) -> None:
    layer = make_layer(SHORT)
    watcher = await watch(layer, "room")
    name = await arrive(layer, "room", "ann", ANN)
    for _ in range(3):
        layer.detach(name)
        name = await arrive(layer, "room", "ann", ANN)
    await shows(layer, "room", {"ann": [ANN]})
    gone = await arrive(layer, "room", "bob")
    layer.detach(gone)  # what is to happen at the end of an earlier grace has happened when this leaves
    await watcher.is_told(("joins", "ann", [ANN]), ("joins", "bob", [{}]), ("leaves", "bob", None))
    await shows(layer, "room", {"ann": [ANN]})


async def test_coming_back_with_another_meta_is_an_update(layer: Layer) -> None:
    watcher = await watch(layer, "room")
    layer.detach(await arrive(layer, "room", "ann", ANN))
    await settle(layer, watcher)
    await arrive(layer, "room", "ann", OTHER)
    await watcher.is_told(("joins", "ann", [ANN]), ("updates", "ann", [OTHER]))


async def test_who_has_read_the_list_during_a_grace_hears_of_the_return(layer: Layer) -> None:
    early = await watch(layer, "room")
    name = await arrive(layer, "room", "ann", ANN)
    await settle(layer, early)
    layer.detach(name)
    await shows(layer, "room", {"ann": []})
    late = await watch(layer, "room")
    assert late.members == {"ann": []}
    await arrive(layer, "room", "ann", ANN)
    for watcher in (early, late):
        await settle(layer, watcher)
        assert watcher.members == {"ann": [ANN]}
    assert [change[0] for change in early.told if change[1] == "ann"] == ["joins", "updates"]


async def test_coming_back_after_the_grace_is_a_join(make_layer: MakeLayer) -> None:
    layer = make_layer(0)
    watcher = await watch(layer, "room")
    for _ in range(2):
        layer.detach(await arrive(layer, "room", "ann", ANN))
        await shows(layer, "room", {})
        await settle(layer, watcher)
    name = await arrive(layer, "room", "ann", ANN)
    await watcher.knows({"ann": [ANN]})
    await shows(layer, "room", {"ann": [ANN]})
    assert watcher.told[-1] == ("joins", "ann", [ANN])
    assert await layer.presence_track("room", name, key="ann", meta=ANN) > 0


async def test_the_grace_begins_with_the_end_of_the_last_channel(make_layer: MakeLayer) -> None:
    layer = make_layer(SHORT)
    watcher = await watch(layer, "room")
    first, second = await arrive(layer, "room", "ann", ANN), await arrive(layer, "room", "ann", ANN)
    layer.detach(first)
    layer.detach(await arrive(layer, "room", "bob"))
    await watcher.is_told(("joins", "ann", [ANN]), ("joins", "bob", [{}]), ("leaves", "bob", None))
    await shows(layer, "room", {"ann": [ANN]})
    begin = anyio.current_time()
    layer.detach(second)
    await shows(layer, "room", {"ann": []})
    await watcher.knows({})
    assert anyio.current_time() - begin >= SHORT * 0.9


async def test_each_of_several_keys_leaves_in_its_time(make_layer: MakeLayer) -> None:
    layer = make_layer(SHORT)
    watcher = await watch(layer, "room")
    names = [await arrive(layer, "room", f"user.{number}") for number in range(3)]
    for name in names:
        layer.detach(name)
        await anyio.sleep(SHORT / 5)
    await watcher.knows({})
    leaves = [key for kind, key, _ in watcher.told if kind == "leaves"]
    assert leaves == ["user.0", "user.1", "user.2"]
    await shows(layer, "room", {})


async def test_the_key_that_a_channel_no_longer_stands_for_leaves_after_its_grace(make_layer: MakeLayer) -> None:
    layer = make_layer(SHORT)
    watcher = await watch(layer, "room")
    name = await arrive(layer, "room", "guest", ANN)
    await layer.presence_track("room", name, key="ann", meta=ANN)
    await watcher.knows({"ann": [ANN]})  # nobody does anything meanwhile
    assert watcher.told[-1] == ("leaves", "guest", None)


async def test_a_channel_that_ends_is_tracked_in_no_group(make_layer: MakeLayer) -> None:
    layer = make_layer(0)
    watchers = [await watch(layer, f"room.{number}") for number in range(5)]
    name = layer.attach(Mailbox().deliver)
    for watcher in watchers:
        await layer.presence_track(watcher.group, name, key=f"ann in {watcher.group}")
        await arrive(layer, watcher.group, "bob")
    await settle(layer, *watchers)
    layer.detach(name)
    layer.detach(name)
    for watcher in watchers:
        await shows(layer, watcher.group, {"bob": [{}]})
        await watcher.knows({"bob": [{}]})
        assert sum(kind == "leaves" for kind, _, _ in watcher.told) == 1


async def test_a_member_that_is_tracked_and_ends_is_neither(make_layer: MakeLayer) -> None:
    layer = make_layer(0)
    watcher = await watch(layer, "room")
    both = Watcher(layer, "room")
    await layer.group_add("room", both.name)
    await layer.presence_track("room", both.name, key="ann")
    await watcher.knows({"ann": [{}]})
    layer.detach(both.name)
    await watcher.knows({})
    assert await layer.group_channels("room") == {watcher.name}
    got = len(both.messages)
    await arrive(layer, "room", "bob")
    await watcher.knows({"bob": [{}]})
    assert len(both.messages) == got
