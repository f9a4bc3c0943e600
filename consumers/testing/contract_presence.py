"""What a channel layer does that knows who is there; one that does not says so."""

from collections.abc import Callable
from typing import Any

import anyio

from ..exceptions import InvalidChannelLayerError
from ..layers.base import Layer
from .contract_options import STRANGER, OptionsContract
from .mailbox import PATIENCE, Mailbox, refuses

WRONG_KEYS: tuple[Any, ...] = (None, 5, b"ann", "", "a" * 201)
WRONG_METAS: tuple[Any, ...] = (5, "{}", [], {"a": b"bytes"}, {"a": float("nan")}, {"a": "x" * 4096})

PRESENCE = ("presence.diff", "presence.state", "presence.count")


def told_of(mailbox: Mailbox, key: str) -> list[tuple[str, Any]]:
    """Return what a receiver was told of a key: the kind of each change, and its metas."""
    changes = []
    for message in mailbox.messages:
        if message["type"] == "presence.diff":
            changes += [(kind, message[kind][key]) for kind in ("joins", "updates") if key in message[kind]]
            changes += [("leaves", None)] * (key in message["leaves"])
    return changes


class PresenceContract(OptionsContract):
    """Tests of members, counts and presence. A layer without them has only to say so."""

    async def hears_of(self, mailbox: Mailbox, key: str) -> list[tuple[str, Any]]:
        """Wait until a receiver has been told something of a key; return it."""
        with anyio.fail_after(PATIENCE):
            while not told_of(mailbox, key):
                await mailbox.holds(len(mailbox.messages) + 1)
        return told_of(mailbox, key)

    async def is_there(self, layer: Layer, members: dict[str, list[Any]]) -> None:
        """Wait until these are the members of the group "room"."""
        with anyio.fail_after(PATIENCE):
            while True:
                found = await layer.presence("room")
                if found == members:
                    break
                await anyio.sleep(0.01)
        assert await layer.presence_count("room") == len(members)

    async def test_a_layer_that_does_not_know_who_is_there_says_so(self) -> None:
        async with self.layer() as layer:
            if layer.can_have_presence:
                return
            calls: list[tuple[Callable[..., Any], tuple[str, ...], dict[str, Any]]] = [
                (layer.group_count, ("room",), {}),
                (layer.group_channels, ("room",), {}),
                (layer.presence_track, ("room", STRANGER), {"key": "ann"}),
                (layer.presence_update, ("room", STRANGER), {"meta": {}}),
                (layer.presence_untrack, ("room", STRANGER), {}),
                (layer.presence, ("room",), {}),
                (layer.presence_count, ("room",), {}),
            ]
            for method, names, options in calls:

                async def call(method: Any = method, names: Any = names, options: Any = options) -> None:
                    await method(*names, **options)

                await refuses(InvalidChannelLayerError, call)

    async def test_the_channels_of_a_group_are_known(self) -> None:
        async with self.layer() as layer:
            if not layer.can_have_presence:
                return
            name, _ = await self.member(layer, "room")
            other, _ = await self.member(layer, "room", "elsewhere")
            assert await layer.group_channels("room") == {name, other}
            assert await layer.group_count("room") == 2
            layer.detach(name)
            assert await layer.group_channels("room") == {other}
            assert await layer.group_count("nowhere") == 0

    async def test_members_and_those_who_are_tracked_are_told_of_keys(self) -> None:
        async with self.layer() as layer:
            if not layer.can_have_presence:
                return
            _, member = await self.member(layer, "room")
            name, tracked = await self.member(layer)
            same, _ = await self.member(layer)
            version = await layer.presence_track("room", name, key="ann", meta={"a": 1})
            for mailbox in (member, tracked):
                assert await self.hears_of(mailbox, "ann") == [("joins", [{"a": 1}])]
            await layer.presence_track("room", same, key="ann", meta={"a": 1})
            await layer.presence_track("room", same, key="bob")
            await self.hears_of(member, "bob")
            assert told_of(member, "ann") == [("joins", [{"a": 1}])]
            assert await layer.presence_update("room", name, meta=None) > version
            await self.is_there(layer, {"ann": [{}], "bob": [{}]})
            found = await layer.presence("room")
            assert found.version > version
            assert layer.groups_of(name) == frozenset()

    async def test_a_channel_that_ends_stands_for_nobody(self) -> None:
        async with self.layer() as layer:
            if not layer.can_have_presence:
                return
            name, _ = await self.member(layer)
            other, _ = await self.member(layer)
            await layer.presence_track("room", name, key="ann")
            await layer.presence_track("room", other, key="bob")
            layer.detach(name)
            await layer.presence_untrack("room", other)
            await layer.presence_untrack("room", other)
            await self.is_there(layer, {"ann": [], "bob": []})  # they are in grace
            await refuses(RuntimeError, self.track, layer, name, "ann")
            await layer.presence_track("room", other, key="ann")
            await self.is_there(layer, {"ann": [{}], "bob": []})

    async def test_a_wrong_key_or_meta_is_refused_and_nobody_is_tracked(self) -> None:
        async with self.layer() as layer:
            if not layer.can_have_presence:
                return
            name, _ = await self.member(layer)
            for key in WRONG_KEYS:
                await refuses(ValueError if isinstance(key, str) else TypeError, self.track, layer, name, key)
            for meta in WRONG_METAS:
                error = ValueError if meta == {"a": "x" * 4096} else TypeError
                await refuses(error, self.track, layer, name, "ann", meta)
            await self.is_there(layer, {})

    async def test_what_only_a_layer_says_is_dropped_when_somebody_else_says_it(self) -> None:
        async with self.layer() as layer:
            if not layer.can_have_presence:
                return
            name, mailbox = await self.member(layer, "room")
            for kind in (*PRESENCE, "layer.gap"):
                for spelling in (kind, kind.replace(".", "_")):
                    await layer.send(name, {"type": spelling, "group": "room"})
                    await layer.group_send("room", {"type": spelling, "group": "room"})
            await layer.send(name, {"type": "test"})
            assert await mailbox.holds(1) == [{"type": "test"}]

    async def track(self, layer: Layer, channel: str, key: Any, meta: Any = None) -> None:
        """Have a channel stand for a key in the group "room"."""
        await layer.presence_track("room", channel, key=key, meta=meta)
