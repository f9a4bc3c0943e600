"""How many groups a connection may be in."""

from typing import Any

import anyio
import pytest

from consumers import InMemoryChannelLayer, TooManyGroups

from ..support.limited import CLIENT, Counter, Lines, closed
from ..support.wire import connected, connecting

pytestmark = pytest.mark.anyio


async def test_one_group_too_many_raises_and_unhandled_closes_with_1008(
    layer: InMemoryChannelLayer, lines: Lines
) -> None:
    class Member(Counter):
        groups = ["first"]
        max_groups = 3

        async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
            what, group = str(text_data).split()
            if what == "join":
                await self.channel_layer.group_add(group, self.channel_name)
            elif what == "leave":
                await self.channel_layer.group_discard(group, self.channel_name)
            else:
                with pytest.raises(TooManyGroups, match="in 3 groups, as many as max_groups allows"):
                    await self.channel_layer.group_add(group, self.channel_name)
            await self.send(f"{what} done")

    async with connected(Member.as_asgi(), client=CLIENT) as wire:
        for step in ("join b", "join b", "join c", "try d", "leave b", "leave b", "join d", "try e"):
            wire.text(step)
            assert (await wire.next_text()).endswith("done")
        assert set(layer.groups) == {"first", "c", "d"}
        wire.text("join e")
        assert await closed(wire) == (1008, "too many groups")
    assert Member.codes == [1008]
    assert not layer.groups
    assert not layer.channels
    assert "Member at '/ws' from 192.0.2.1:5 is closed with 1008: more than max_groups (3)" in lines.only()


async def test_groups_that_are_joined_at_once_are_counted_and_close_with_1008(
    layer: InMemoryChannelLayer, lines: Lines
) -> None:
    """What leaves the handler then is a group of exceptions."""

    class Member(Counter):
        max_groups = 1

        async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
            async with anyio.create_task_group() as tasks:
                for group in ("a", "b", "c"):
                    tasks.start_soon(self.channel_layer.group_add, group, self.channel_name)

    async with connected(Member.as_asgi()) as wire:
        wire.text("join")
        assert await closed(wire) == (1008, "too many groups")
    assert Member.codes == [1008]
    assert "more than max_groups (1)" in lines.only()


async def test_a_group_that_somebody_else_took_it_out_of_takes_no_place(layer: InMemoryChannelLayer) -> None:
    class Member(Counter):
        max_groups = 1

        async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
            await self.channel_layer.group_add(str(text_data), self.channel_name)
            await self.send(self.channel_name)

    async with connected(Member.as_asgi()) as wire:
        wire.text("first")
        await layer.group_discard("first", await wire.next_text())
        wire.text("second")
        name = await wire.next_text()
        assert layer.groups == {"second": {name}}
        wire.text("third")
        assert (await closed(wire))[0] == 1008


async def test_a_join_that_fails_beside_another_of_the_same_group_leaves_that_one_its_place(
    monkeypatch: pytest.MonkeyPatch, layer: InMemoryChannelLayer, lines: Lines
) -> None:
    class Member(Counter):
        max_groups = 1

        async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self.join)
                await anyio.wait_all_tasks_blocked()
                monkeypatch.undo()
                await self.channel_layer.group_add("first", self.channel_name)
                joined.set()
            await self.channel_layer.group_add("second", self.channel_name)

        async def join(self) -> None:
            with pytest.raises(OSError, match="lost"):
                await self.channel_layer.group_add("first", self.channel_name)

    async def fail(group: str, channel: str) -> None:
        await joined.wait()
        raise OSError("lost")

    joined = anyio.Event()
    async with connected(Member.as_asgi()) as wire:
        monkeypatch.setattr(layer, "group_add", fail)
        wire.text("join")
        assert await closed(wire) == (1008, "too many groups")
    assert "more than max_groups (1)" in lines.only()


async def test_a_group_that_could_not_be_joined_takes_no_place(layer: InMemoryChannelLayer) -> None:
    class Member(Counter):
        max_groups = 1

        async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
            with pytest.raises(TypeError):
                await self.channel_layer.group_add("no name", self.channel_name)
            await self.channel_layer.group_add("other", "somebody.else")
            await self.channel_layer.group_add("valid", self.channel_name)
            await self.channel_layer.group_send("valid", {"type": "note"})

        async def note(self, event: Any) -> None:
            await self.send("noted")

    async with connected(Member.as_asgi()) as wire:
        wire.text("go")
        assert await wire.next_text() == "noted"


async def test_groups_of_an_instance_beyond_the_limit_reject_the_handshake(
    layer: InMemoryChannelLayer, lines: Lines
) -> None:
    class Member(Counter):
        max_groups = 2

        def __init__(self) -> None:
            self.groups = ["a", "b", "c"]

    async with connecting(Member.as_asgi()) as wire:
        assert (await closed(wire))[0] == 1008
    assert "is closed with 1008: more than max_groups (2)" in lines.only()
    assert not layer.groups
