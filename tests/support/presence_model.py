"""What presence is to do, as simply as it can be said: who is there, and what a client makes of what it is told."""

import json
from typing import Any

from consumers.layers._presence import Presence
from consumers.types import Message

Metas = list[dict[str, Any]]
Members = dict[str, Metas]


def in_order(metas: Metas) -> Metas:
    """Return metas in an order that does not depend on the layer's."""
    return sorted(metas, key=lambda meta: json.dumps(meta, sort_keys=True))


def normal(members: Any) -> Members:
    """Return plain members, each with its metas in one order."""
    return {key: in_order([dict(meta) for meta in metas]) for key, metas in members.items()}


class Client:
    """What somebody knows who reads the list and folds all later messages into it.

    Attributes:
        members: who is there; None: it has only been told how many there are.
        count: how many are.
        version: that of what it knows; -1: it knows nothing yet.
        told: the version of the last message.
        went_back: whether a message had a lower version than one before.
        changes: what it was told of each key, in order: kind, key and metas. With "state", the key is none.
    """

    def __init__(self) -> None:
        self.members: Members | None = None
        self.count = 0
        self.version = self.told = -1
        self.went_back = False
        self.changes: list[tuple[str, str, Any]] = []

    def read(self, snapshot: Presence) -> None:
        """Take a list that was read for what is true, unless a later one is known."""
        if snapshot.version >= self.version:
            self._replace(normal(snapshot), len(snapshot), snapshot.version)

    def hear(self, message: Message) -> None:
        """Fold a message."""
        version = message["version"]
        self.went_back |= version < self.told
        self.told = version
        match message["type"]:
            case "presence.state":
                self.changes.append(("state", "", normal(message["members"])))
                if version >= self.version:
                    self._replace(normal(message["members"]), len(message["members"]), version)
            case "presence.count":
                self.changes.append(("count", "", message["count"]))
                if version >= self.version:
                    self._replace(None, message["count"], version)
            case "presence.diff":
                self._fold(message, version)
            case other:
                raise AssertionError(f"a client is told nothing of {other!r}")

    def _replace(self, members: Members | None, count: int, version: int) -> None:
        self.members, self.count, self.version = members, count, version

    def _fold(self, diff: Message, version: int) -> None:
        joins, updates = normal(diff["joins"]), normal(diff["updates"])
        self.changes += [("joins", key, metas) for key, metas in joins.items()]
        self.changes += [("updates", key, metas) for key, metas in updates.items()]
        self.changes += [("leaves", key, None) for key in diff["leaves"]]
        if version <= self.version or self.members is None:
            return
        self.members |= joins | updates
        for key in diff["leaves"]:
            self.members.pop(key, None)
        self._replace(self.members, len(self.members), version)


class ModelGroup:
    """Who is in one group.

    Attributes:
        channels: of each channel that is tracked, its key and its meta.
        leaving: keys whose last channel has ended, and when they leave.
    """

    def __init__(self) -> None:
        self.channels: dict[str, tuple[str, dict[str, Any]]] = {}
        self.leaving: dict[str, float] = {}

    def present(self) -> set[str]:
        """Return the keys that have channels."""
        return {key for key, _ in self.channels.values()}

    def members(self) -> Members:
        """Return the list as it is to be: each key's metas, each once; none for those in grace."""
        members: Members = {key: [] for key in self.leaving}
        for key, meta in self.channels.values():
            metas = members.setdefault(key, [])
            if meta not in metas:
                metas.append(meta)
        return normal(members)


class PresenceModel:
    """Who is in which group, given the time; nothing here is told to anybody.

    Args:
        grace: seconds from the end of a key's last channel until it leaves.
    """

    def __init__(self, grace: float) -> None:
        self.grace = grace
        self.groups: dict[str, ModelGroup] = {}

    def group(self, name: str, now: float) -> ModelGroup:
        """Return a group, without those whose time has come."""
        found = self.groups.setdefault(name, ModelGroup())
        found.leaving = {key: until for key, until in found.leaving.items() if until > now}
        return found

    def track(self, name: str, channel: str, key: str, meta: dict[str, Any], now: float) -> None:
        """Have a channel stand for a key."""
        group = self.group(name, now)
        if group.channels.get(channel, (key, meta))[0] != key:
            self.untrack(name, channel, now)
        group.channels[channel] = key, meta
        group.leaving.pop(key, None)

    def update(self, name: str, channel: str, meta: dict[str, Any], now: float) -> bool:
        """Give a channel another meta; tell whether it is tracked."""
        group = self.group(name, now)
        if channel not in group.channels:
            return False
        group.channels[channel] = group.channels[channel][0], meta
        return True

    def untrack(self, name: str, channel: str, now: float) -> None:
        """Have a channel stand for nobody any more."""
        group = self.group(name, now)
        key, _ = group.channels.pop(channel, ("", {}))
        if key and key not in group.present() and self.grace > 0:
            group.leaving[key] = now + self.grace

    def end(self, channel: str, now: float) -> None:
        """Take note that a channel has ended."""
        for name in self.groups:
            self.untrack(name, channel, now)

    def is_known_to(self, client: Client, name: str, now: float) -> bool:
        """Tell whether a client that has been told all knows what is true.

        Nobody is told of a key that it has begun its grace. What is known of its metas does not count.
        """
        group = self.group(name, now)
        members = group.members()
        if client.members is None:
            return client.count == len(members)
        known = {key: [] if key in group.leaving else metas for key, metas in client.members.items()}
        return normal(known) == members and client.count == len(members)
