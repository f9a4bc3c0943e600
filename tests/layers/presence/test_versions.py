"""A list's version says which messages it has in it, and what was gathered comes as few messages."""

from functools import partial

import anyio
import pytest

from consumers.layers.base import Layer

from ...support.contract import Mailbox, MakeLayer
from ...support.presence import Watcher, arrive, settle, shows, watch
from ...support.presence_model import Client, normal

pytestmark = pytest.mark.anyio


async def test_a_version_never_goes_back(make_layer: MakeLayer) -> None:
    layer = make_layer(0)
    watcher = await watch(layer, "room")
    versions = [(await layer.presence("room")).version]
    for number in range(3):
        name = layer.attach(Mailbox().deliver)
        versions.append(await layer.presence_track("room", name, key="ann", meta={"number": number}))
        versions.append(await layer.presence_track("room", name, key="ann", meta={"number": number}))
        versions.append(await layer.presence_update("room", name, meta={}))
        layer.detach(name)
        await shows(layer, "room", {})
        versions.append((await layer.presence("room")).version)
        await settle(layer, watcher)
    assert all(type(version) is int for version in versions)
    assert versions == sorted(versions)
    told = [message["version"] for message in watcher.messages]
    assert told == sorted(set(told))


async def test_every_change_makes_a_greater_version_and_no_change_makes_none(layer: Layer) -> None:
    name = layer.attach(Mailbox().deliver)
    first = await layer.presence_track("room", name, key="ann")
    assert await layer.presence_track("room", name, key="ann") == first
    assert await layer.presence_update("room", name, meta={}) == first
    await arrive(layer, "elsewhere", "bob")
    assert (await layer.presence("room")).version == first
    second = await layer.presence_update("room", name, meta={"a": 1})
    assert second > first
    assert (await layer.presence("room")).version == second


async def test_a_version_does_not_go_back_when_all_is_forgotten(make_layer: MakeLayer) -> None:
    layer = make_layer()
    name = await arrive(layer, "room", "ann")
    before = (await layer.presence("room")).version
    await layer.flush()
    assert await layer.presence_track("room", name, key="ann") > before
    assert (await layer.presence("room")).version > before


async def test_a_list_and_the_later_messages_are_the_truth_whenever_it_was_read(make_layer: MakeLayer) -> None:
    """With no grace at all, so that keys come and go within what is gathered; many read at every moment."""
    layer = make_layer(0)
    watcher = await watch(layer, "room")
    clients = [Client()]
    for number in range(12):
        name = await arrive(layer, "room", f"user.{number % 5}", {"number": number})
        for step in range(3):
            if step == 1:
                await layer.presence_update("room", name, meta={"number": -number})
            elif step == 2 and number % 4:
                layer.detach(name)
            client = Client()
            client.read(await layer.presence("room"))
            clients.append(client)
        if number % 5 == 4:
            await anyio.sleep(0.02)
    await settle(layer, watcher)
    truth = normal(await layer.presence("room"))
    for client in clients[1:]:
        for message in watcher.messages:
            client.hear(message)
        assert client.members == truth


async def test_who_comes_and_goes_within_what_is_gathered_stays_on_nobodys_list(make_layer: MakeLayer) -> None:
    layer = make_layer(0)
    member = await watch(layer, "room")
    name = await arrive(layer, "room", "ann")
    reader = await watch(layer, "room")
    assert reader.client.members == {"ann": [{}]}
    layer.detach(name)
    await settle(layer, member, reader)
    assert all(kind != "joins" for kind, _, _ in member.told)
    for watcher in (member, reader):
        assert watcher.members == {}


async def test_many_joins_are_few_messages(layer: Layer) -> None:
    watcher = await watch(layer, "room")
    names = [layer.attach(Mailbox().deliver) for _ in range(300)]
    begin = anyio.current_time()
    async with anyio.create_task_group() as tasks:
        for number, name in enumerate(names):
            tasks.start_soon(partial(layer.presence_track, "room", name, key=f"user.{number}"))
    await watcher.knows({f"user.{number}": [{}] for number in range(300)})
    seconds = anyio.current_time() - begin
    assert len(watcher.messages) <= seconds / 0.05 + 1


async def test_a_change_is_told_soon(layer: Layer) -> None:
    watcher = await watch(layer, "room")
    for number in range(3):
        begin = anyio.current_time()
        await arrive(layer, "room", f"user.{number}")
        await watcher.hears_of(f"user.{number}")
        assert anyio.current_time() - begin < 1


async def test_several_changes_of_one_key_are_told_as_one(layer: Layer) -> None:
    watcher = await watch(layer, "room")
    name = await arrive(layer, "room", "ann", {"number": 0})
    for number in range(1, 5):
        await layer.presence_update("room", name, meta={"number": number})
    await settle(layer, watcher)
    await watcher.is_told(("joins", "ann", [{"number": 4}]))


async def test_a_member_that_joins_while_changes_are_gathered_is_right(layer: Layer) -> None:
    first = await watch(layer, "room")
    await arrive(layer, "room", "ann", {"a": 1})
    late = Watcher(layer, "room")
    await layer.group_add("room", late.name)
    await arrive(layer, "room", "bob")
    late.client.read(await layer.presence("room"))
    name = await arrive(layer, "room", "eve")
    await layer.presence_update("room", name, meta={"b": 2})
    for watcher in (first, late):
        await watcher.knows({"ann": [{"a": 1}], "bob": [{}], "eve": [{"b": 2}]})
