"""What the tests of presence share."""

from itertools import count
from typing import Any

import anyio

from consumers.layers._presence import is_forged
from consumers.layers.base import Layer
from consumers.testing.mailbox import PATIENCE, Mailbox
from consumers.types import Message

from .presence_model import Client, Members, in_order, normal

LONG = 600
"""Seconds of a grace that no test outlasts."""

SHORT = 0.3
"""Seconds of a grace that a test waits for, and in which it can do something."""

_numbers = count()


class Watcher(Mailbox):
    """A receiver that folds what it is told of one group, as a client would.

    Args:
        layer: its layer.
        group: the group.
        room: how many messages it takes.

    Attributes:
        name: its channel's.
        client: what it knows.
    """

    def __init__(self, layer: Layer, group: str, room: int = 1_000_000) -> None:
        super().__init__(room)
        self.group = group
        self.client = Client()
        self.name = layer.attach(self.deliver, self.close)

    def deliver(self, message: Message) -> int:
        taken = super().deliver(message)
        if taken and is_forged(message) and message["group"] == self.group:
            self.client.hear(message)
        return taken

    @property
    def told(self) -> list[tuple[str, str, Any]]:
        """What it was told of each key, in order, without what `settle()` brought about."""
        return [change for change in self.client.changes if not change[1].startswith("fence.")]

    @property
    def members(self) -> Members | None:
        """Who is there, to its knowledge, beside those that `settle()` has made come."""
        return None if self.client.members is None else without_fences(self.client.members)

    async def is_told(self, *changes: tuple[str, str, Any]) -> None:
        """Wait until this is exactly what it was told."""
        await self._until(lambda: len(self.told) >= len(changes))
        assert self.told == [(kind, key, _normal(what)) for kind, key, what in changes]

    async def knows(self, members: Members) -> None:
        """Wait until this is who it takes to be there."""
        await self._until(lambda: self.members == normal(members))

    async def counts(self, number: int) -> None:
        """Wait until it has been told only that so many are there."""
        await self._until(lambda: self.client.members is None and self.client.count == number)

    async def hears_of(self, key: str) -> None:
        """Wait until it has been told something of a key."""
        await self._until(lambda: any(change[1] == key for change in self.client.changes))


def _normal(what: Any) -> Any:
    if isinstance(what, list):
        return in_order(what)
    return normal(what) if isinstance(what, dict) else what


async def watch(layer: Layer, group: str, room: int = 1_000_000) -> Watcher:
    """Have a member watch a group, from what is true now."""
    watcher = Watcher(layer, group, room)
    await layer.group_add(group, watcher.name)
    watcher.client.read(await layer.presence(group))
    return watcher


async def arrive(layer: Layer, group: str, key: str, meta: dict[str, Any] | None = None) -> str:
    """Have a new channel, no member of the group, stand for a key; return its name."""
    name = layer.attach(Mailbox().deliver)
    await layer.presence_track(group, name, key=key, meta=meta)
    return name


async def settle(layer: Layer, *watchers: Watcher) -> None:
    """Wait until all that was done before is told to these."""
    for watcher in watchers:
        key = f"fence.{next(_numbers)}"
        await arrive(layer, watcher.group, key)
        await watcher.hears_of(key)


def without_fences(members: Members) -> Members:
    return {key: metas for key, metas in members.items() if not key.startswith("fence.")}


async def shows(layer: Layer, group: str, members: Members) -> None:
    """Wait until this is the list of a group, and the count says so too."""
    found: Any = None
    with anyio.move_on_after(PATIENCE):
        while True:
            found = normal(await layer.presence(group))
            if without_fences(found) == normal(members):
                assert await layer.presence_count(group) == len(found)
                return
            await anyio.sleep(0.01)
    raise AssertionError(f"{group} has {found}, not {members}")


def nothing_left(layer: Any) -> bool:
    """Tell whether a layer in memory keeps nothing of anybody's presence."""
    presence = layer._presence
    tables = presence._tables, presence._groups_of, presence._leaving, presence._feeds._feeds, presence._timers._waiting
    return not any(tables) and not layer.groups
