"""What groups with history are made of: which groups they are, positions in them, and what callers get."""

import fnmatch
import logging
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

from ._frozen import FrozenDict

logger = logging.getLogger("consumers.layers")

_Rule = Mapping[str, Any]
History = Mapping[str, _Rule] | Mapping[re.Pattern[str], _Rule] | Mapping[str | re.Pattern[str], _Rule] | None
"""The `history` option of a layer; see `HistoryRules`."""

HISTORY = "history"
"""The key of an event that says where it is in its group's history."""

EXCLUDE = "consumers.exclude"
"""The key of a message in Redis that names the channels which do not get it."""

MIN_EPOCH_SECONDS = 24 * 3600
"""Seconds that positions count at least, after the last message or join."""

MOST_ID_SECONDS = 300
"""Seconds that the `id` of a message is known, if its group keeps messages so long."""

MAX_ID_LENGTH = 200

MAX_SIZE = 100_000
"""Messages of one group that can be kept."""

MAX_TTL = 100 * 366 * 24 * 3600
"""Seconds for which messages can be kept: Redis cannot have some far larger numbers."""

_POSITION = re.compile(r"([0-9a-f]{16})-([0-9a-f]{16})\.(0|[1-9][0-9]{0,15})")


Channels = frozenset[str]
NOBODY: Channels = frozenset()


class Joined(NamedTuple):
    """What `group_add()` returns."""

    position: str | None
    """The newest place in the group's history; None if it has none."""

    recovered: bool
    """Whether nothing is missing: all that came after `since` follows. True without `since`."""

    missed: int
    """How many messages that came before are handed over first."""


class Page(NamedTuple):
    """What `history()` returns."""

    messages: list[dict[str, Any]]
    """Messages, oldest first."""

    position: str | None
    """The place of the last of them; without any, the newest place. None if the group has no history."""

    recovered: bool
    """Whether nothing is missing between `since` and these messages. True without `since`."""


class Position(NamedTuple):
    """A place in a group's history. Clients keep it as text, and may send any.

    Attributes:
        epoch: tells this history of the group from earlier ones; 16 hexadecimal digits.
        tag: tells the message from any other that has, or had, this offset; 16 hexadecimal digits.
        offset: the number of the message; 0 before the first.
    """

    epoch: str
    tag: str
    offset: int

    def __str__(self) -> str:
        return f"{self.epoch}-{self.tag}.{self.offset}"

    def following(self, tag: str) -> "Position":
        """Return the place of the next message, which has a tag of its own."""
        return Position(self.epoch, tag, self.offset + 1)

    @classmethod
    def parse(cls, text: object) -> Self | None:
        """Return the position that a client names, or None if this is none."""
        match = _POSITION.fullmatch(text) if isinstance(text, str) else None
        return cls(match[1], match[2], int(match[3])) if match else None


def new_tag() -> str:
    """Return an epoch or a tag: nobody can guess it."""
    return secrets.token_hex(8)


class Mark(FrozenDict):
    """`event["history"]`, one for all members."""

    _what = f"event[{HISTORY!r}]"

    def __init__(self, group: str, position: str | None, replayed: bool) -> None:
        super().__init__(group=group, position=position, replayed=replayed)

    def __reduce__(self) -> Any:
        return Mark, (self["group"], self["position"], self["replayed"])


@dataclass(frozen=True, slots=True)
class Retention:
    """How much of a group's messages is kept.

    Attributes:
        size: how many messages.
        ttl: for how many seconds after the newest.
    """

    size: int
    ttl: float

    @property
    def epoch_seconds(self) -> float:
        """For how many seconds after the last message or join positions count."""
        return max(self.ttl, MIN_EPOCH_SECONDS)

    @property
    def id_seconds(self) -> float:
        """For how many seconds the id of a message is known."""
        return min(self.ttl, MOST_ID_SECONDS)


class HistoryRules:
    """The `history` option of a layer.

    Args:
        history: for globs ("chat.*") or compiled regular expressions of groups' names, what is kept:
            {"size": messages, "ttl": seconds after the newest}. The first that matches counts.

    Raises:
        TypeError, ValueError: if it is something else; the message names what is wrong.
    """

    def __init__(self, history: History) -> None:
        if history is not None and not isinstance(history, Mapping):
            raise TypeError(f'history must be a dict such as {{"chat.*": {EXAMPLE}}}, not {history!r:.80}')
        self._rules = [(_as_regex(pattern), _checked(pattern, rule)) for pattern, rule in (history or {}).items()]
        self._found: dict[str, Retention | None] = {}
        self._patterns = ", ".join(repr(getattr(pattern, "pattern", pattern)) for pattern in history or {})
        self._has_warned = False

    def __bool__(self) -> bool:
        return bool(self._rules)

    def joined_without(self, group: str, since: object, last: int) -> Joined:
        """Return what joining a group without history returns."""
        if since is not None or last:
            self.warn_of(group)
        return Joined(None, since is None, 0)

    def warn_of(self, group: str) -> None:
        """Say in the log, once, that a group has no history which somebody has asked for."""
        if not self._has_warned:
            self._has_warned = True
            has = f"has only {self._patterns}" if self._rules else "is not set"
            logger.warning("Group %.200r has no history to hand over: the layer's `history` option %s", group, has)

    def retention_of(self, group: str) -> Retention | None:
        """Return what is kept of a group; None if it has no history."""
        if not self._rules:
            return None
        try:
            return self._found[group]
        except KeyError:
            retention = next((retention for pattern, retention in self._rules if pattern.match(group)), None)
            if len(self._found) >= MOST_NAMES:
                self._found.clear()
            self._found[group] = retention
            return retention


EXAMPLE = '{"size": 1000, "ttl": 3600}'

MOST_NAMES = 10_000
"""How many groups' names a layer remembers the rules of."""


def _as_regex(pattern: object) -> re.Pattern[str]:
    if isinstance(pattern, str):
        return re.compile(fnmatch.translate(pattern))
    if isinstance(pattern, re.Pattern) and isinstance(pattern.pattern, str):
        return pattern
    raise TypeError(f"history has globs or compiled regular expressions of text as keys, not {pattern!r:.80}")


def _checked(pattern: object, rule: object) -> Retention:
    name = pattern.pattern if isinstance(pattern, re.Pattern) else pattern
    what = f"history[{name!r}]"
    if not isinstance(rule, Mapping):
        raise TypeError(f"{what} must be a dict such as {EXAMPLE}, not {rule!r:.80}")
    for key in rule.keys() - {"size", "ttl"}:
        raise TypeError(f"{what} has an unknown key {key!r:.80}: it must be a dict such as {EXAMPLE}")
    for key in {"size", "ttl"} - rule.keys():
        raise TypeError(f"{what} needs {key!r}, too: it must be a dict such as {EXAMPLE}")
    size, ttl = rule["size"], rule["ttl"]
    if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= MAX_SIZE:
        raise ValueError(f'{what}["size"] must be an int from 1 to {MAX_SIZE:,} (messages), not {size!r:.80}')
    if isinstance(ttl, bool) or not isinstance(ttl, int | float) or not 0 < ttl <= MAX_TTL:
        raise ValueError(f'{what}["ttl"] must be a number of seconds above 0, at most {MAX_TTL:,}, not {ttl!r:.80}')
    return Retention(size, ttl)
