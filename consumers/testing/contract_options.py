"""What every channel layer does with the options of `group_add()` and `group_send()`, in groups without history."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from ..layers._history import EXCLUDE, MAX_ID_LENGTH, Joined
from ..layers.base import Layer
from ..types import Close, Deliver
from .mailbox import Mailbox, receive, refuses

STRANGER = "specific.stranger!c.0"
"""A channel that there is not."""

WRONG_EXCLUDES: tuple[Any, ...] = (5, True, b"name", ["name", 5], [b"name"], [None], [["name"]])
WRONG_IDS: tuple[Any, ...] = (5, b"id", ["id"])
IDS_WITHOUT_USE: tuple[Any, ...] = ("id", "", "a" * (MAX_ID_LENGTH + 1))
WRONG_LASTS: tuple[Any, ...] = (-1, 1.5, "1", True, None)


class OptionsContract:
    """Tests of options, and what all tests of `LayerContract` need."""

    def make_layer(self) -> Layer:
        """Return a new layer for one test; that closes it. Layers may share a server, whose groups are empty then."""
        raise NotImplementedError(f"{type(self).__name__} needs a make_layer() that returns a new layer")

    async def attach(self, layer: Layer, deliver: Deliver, close: Close | None = None) -> str:
        """Attach a receiver; override it where a layer has to await something first."""
        return layer.attach(deliver, close)

    @asynccontextmanager
    async def layer(self) -> AsyncIterator[Layer]:
        """Make a layer for a block of code."""
        layer = self.make_layer()
        try:
            yield layer
        finally:
            await layer.close()

    async def member(self, layer: Layer, *groups: str, room: int = 1_000_000) -> tuple[str, Mailbox]:
        """Attach a mailbox, and add it to groups."""
        mailbox = Mailbox(room)
        name = await self.attach(layer, mailbox.deliver, mailbox.close)
        for group in groups:
            await layer.group_add(group, name)
        return name, mailbox

    # Exclusion

    async def test_an_excluded_channel_misses_the_message_and_no_other(self) -> None:
        async with self.layer() as layer:
            name, mailbox = await self.member(layer, "room")
            _, other = await self.member(layer, "room")
            await layer.group_send("room", {"type": "first"}, exclude=name)
            await layer.group_send("room", {"type": "second"})
            assert await mailbox.holds(1) == [{"type": "second"}]
            assert await other.holds(2) == [{"type": "first"}, {"type": "second"}]

    async def test_several_channels_may_be_excluded_in_whatever_iterable(self) -> None:
        async with self.layer() as layer:
            name, mailbox = await self.member(layer, "room")
            channel = await layer.new_channel()
            await layer.group_add("room", channel)
            _, other = await self.member(layer, "room")
            names = [name, channel, STRANGER]
            for exclude in (names, tuple(names), set(names), dict.fromkeys(names), iter(names)):
                await layer.group_send("room", {"type": "hidden"}, exclude=exclude)
            await layer.group_send("room", {"type": "seen"})
            assert await mailbox.holds(1) == [{"type": "seen"}]
            assert await receive(layer, channel) == {"type": "seen"}
            assert await other.holds(6) == [{"type": "hidden"}] * 5 + [{"type": "seen"}]

    async def test_excluding_nobody_or_a_stranger_changes_nothing(self) -> None:
        async with self.layer() as layer:
            _, mailbox = await self.member(layer, "room")
            outsider, _ = await self.member(layer, "elsewhere")
            for exclude in ((), [], "", STRANGER, [outsider], iter(())):
                await layer.group_send("room", {"type": "test"}, exclude=exclude)
            assert await mailbox.holds(6) == [{"type": "test"}] * 6

    async def test_everybody_may_be_excluded(self) -> None:
        async with self.layer() as layer:
            name, mailbox = await self.member(layer, "room")
            other_name, other = await self.member(layer, "room")
            await layer.group_send("room", {"type": "test"}, exclude=[name, other_name])
            for each, channel in ((mailbox, name), (other, other_name)):
                await layer.send(channel, {"type": "direct"})
                assert await each.holds(1) == [{"type": "direct"}]

    async def test_a_wrong_exclude_is_refused_and_nothing_is_sent(self) -> None:
        async with self.layer() as layer:
            _, mailbox = await self.member(layer, "room")
            for wrong in WRONG_EXCLUDES:
                await refuses(TypeError, layer.group_send, "room", {"type": "lost"}, None, True, wrong)
            await layer.group_send("room", {"type": "test"})
            assert await mailbox.holds(1) == [{"type": "test"}]

    async def test_a_message_with_the_layers_own_key_is_refused(self) -> None:
        async with self.layer() as layer:
            name, mailbox = await self.member(layer, "room")
            for value in ([name], [], None):
                await refuses(ValueError, layer.group_send, "room", {"type": "lost", EXCLUDE: value})
                await refuses(ValueError, layer.send, name, {"type": "lost", EXCLUDE: value})
            await layer.send(name, {"type": "test"})
            assert await mailbox.holds(1) == [{"type": "test"}]

    # Groups without history

    async def test_joining_a_group_without_history_hands_over_nothing(self) -> None:
        async with self.layer() as layer:
            _, first = await self.member(layer, "room")
            await layer.group_send("room", {"type": "old"})
            await first.holds(1)
            name, mailbox = await self.member(layer)
            assert await layer.group_add("room", name) == Joined(None, True, 0)
            assert await layer.group_add("room", name, last=5) == Joined(None, True, 0)
            for since in ("x", ""):
                assert await layer.group_add("room", name, since=since) == Joined(None, False, 0)
            await layer.group_send("room", {"type": "new"})
            assert await mailbox.holds(1) == [{"type": "new"}]

    async def test_a_wrong_last_is_refused_and_nobody_joins(self) -> None:
        async with self.layer() as layer:
            name, _ = await self.member(layer)
            for wrong in WRONG_LASTS:
                await refuses(ValueError, layer.group_add, "room", name, None, wrong)
            assert layer.groups_of(name) == frozenset()

    async def test_a_message_to_a_group_without_history_has_no_position_and_no_id(self) -> None:
        async with self.layer() as layer:
            _, mailbox = await self.member(layer, "room")
            for error, ids in ((TypeError, WRONG_IDS), (ValueError, IDS_WITHOUT_USE)):
                for wrong in ids:
                    await refuses(error, layer.group_send, "room", {"type": "lost"}, wrong)
            for keep in (True, False):
                position: object = await layer.group_send("room", {"type": "test"}, keep=keep)
                assert position is None
            assert await mailbox.holds(2) == [{"type": "test"}] * 2
