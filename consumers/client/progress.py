"""How far a client has come in each of its groups, and whether it has got what it had missed."""

from collections.abc import Mapping
from typing import Any


class Progress:
    """The positions of a client, by label, as of what it has received.

    Args:
        since: those that it begins with.

    Attributes:
        positions: the newest position of each label.
    """

    def __init__(self, since: Mapping[str, str]) -> None:
        self.positions = dict(since)
        self._known: set[str] = set()  # labels that were joined by some connection
        self._joined: set[str] = set()  # those of this one
        self._asked: frozenset[str] = frozenset()
        self._awaited: dict[str, str | None] = {}  # where each group was when it was joined; None: it is not yet

    @property
    def is_recovered(self) -> bool:
        """Whether all that was missed has come."""
        return not self._awaited

    def connect(self) -> None:
        """Begin a connection that asks to go on from `positions`."""
        self._asked = frozenset(self.positions)
        self._joined.clear()
        self._awaited = dict.fromkeys(self._asked)

    def joined(self, message: Mapping[str, Any]) -> bool:
        """Take note of a `joined`; return whether something is missing.

        A group that the client was in, and had no position of, is such a case: the server does not know that the client
        was there before.
        """
        label, position, missed = message["label"], message.get("position"), message.get("missed")
        is_recovered = bool(message.get("recovered"))
        if not isinstance(position, str):
            position = None
        was_away = label in self._known and label not in self._joined and label not in self._asked
        self._known.add(label)
        self._joined.add(label)
        if position is None or not is_recovered:
            self.positions.pop(label, None)
        if position is not None and not missed:  # else the messages that follow say it
            self.positions[label] = position
        if position is not None and missed and label in self._awaited:
            self._awaited[label] = position
        else:
            self._awaited.pop(label, None)
        return was_away or not is_recovered

    def arrived(self, label: str, position: str) -> None:
        """Take note of the place of a message."""
        self.positions[label] = position
        if self._awaited.get(label) == position:
            del self._awaited[label]
