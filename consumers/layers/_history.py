"""What groups with history are made of: which groups they are, positions in them, and what callers get."""

import fnmatch
import re
import secrets
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn, Self

from ..types import Message

_Kept = Mapping[str, Any]
History = Mapping[str, _Kept] | Mapping[re.Pattern[str], _Kept] | Mapping[str | re.Pattern[str], _Kept] | None
"""The `history` option of a layer; see `HistoryRules`."""

HISTORY = "history"
"""The key of an event that says where it is in its group's history."""

EXCLUDE = "consumers.exclude"
"""The key of a message in Redis that names the channels which do not get it."""

MOST_EPOCH_SECONDS = 24 * 3600
"""Seconds that positions of a group count after its last message or join, if its messages are kept no longer."""

MOST_ID_SECONDS = 300
"""Seconds that the `id` of a message is known, if its group keeps messages so long."""

MAX_ID_LENGTH = 200

MAX_SIZE = 100_000
"""Messages of one group that can be kept."""

_POSITION = re.compile(r"([0-9a-f]{16})-([0-9a-f]{16})\.(0|[1-9][0-9]{0,15})")


Channels = frozenset[str]
NOBODY: Channels = frozenset()


class Joined(NamedTuple):
    """What `group_add()` returns.

    Attributes:
        position: the newest place in the group's history; None if it has none.
        recovered: whether nothing is missing: all that came after `since` follows. True without `since`.
        missed: how many messages that came before are handed over first.
    """

    position: str | None
    recovered: bool
    missed: int


class Page(NamedTuple):
    """What `history()` returns.

    Attributes:
        messages: messages, oldest first.
        position: the place of the last of them; without any, the newest place. None if the group has no history.
        recovered: whether nothing is missing between `since` and these messages. True without `since`.
    """

    messages: list[dict[str, Any]]
    position: str | None
    recovered: bool


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


class Mark(dict[str, Any]):
    """`event["history"]`: one for all members, so it refuses changes. It is a dict, and so it is JSON."""

    def __init__(self, group: str, position: str | None, replayed: bool) -> None:
        super().__init__(group=group, position=position, replayed=replayed)

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise TypeError(f"event[{HISTORY!r}] is shared by all members of the group: copy it with dict() to change it")

    __setitem__ = __delitem__ = update = setdefault = pop = popitem = clear = __ior__ = _refuse

    def __copy__(self) -> "Mark":
        return self

    def __deepcopy__(self, _: object) -> "Mark":
        return self

    def __reduce__(self) -> tuple[type["Mark"], tuple[Any, ...]]:
        return Mark, (self["group"], self["position"], self["replayed"])


@dataclass(frozen=True, slots=True)
class Keep:
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
        return max(self.ttl, MOST_EPOCH_SECONDS)

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
        self._rules = [(_as_regex(pattern), _checked(pattern, keep)) for pattern, keep in (history or {}).items()]
        self._found: dict[str, Keep | None] = {}

    def __bool__(self) -> bool:
        return bool(self._rules)

    def keep(self, group: str) -> Keep | None:
        """Return what is kept of a group; None if it has no history."""
        if not self._rules:
            return None
        try:
            return self._found[group]
        except KeyError:
            keep = next((keep for pattern, keep in self._rules if pattern.match(group)), None)
            if len(self._found) >= MOST_NAMES:
                self._found.clear()
            self._found[group] = keep
            return keep


EXAMPLE = '{"size": 1000, "ttl": 3600}'

MOST_NAMES = 10_000
"""How many groups' names a layer remembers the rules of."""


def _as_regex(pattern: object) -> re.Pattern[str]:
    if isinstance(pattern, str):
        return re.compile(fnmatch.translate(pattern))
    if isinstance(pattern, re.Pattern) and isinstance(pattern.pattern, str):
        return pattern
    raise TypeError(f"history has globs or compiled regular expressions of text as keys, not {pattern!r:.80}")


def _checked(pattern: object, keep: object) -> Keep:
    name = pattern.pattern if isinstance(pattern, re.Pattern) else pattern
    what = f"history[{name!r}]"
    if not isinstance(keep, Mapping) or keep.keys() != {"size", "ttl"}:
        raise TypeError(f"{what} must be a dict such as {EXAMPLE}, not {keep!r:.80}")
    size, ttl = keep["size"], keep["ttl"]
    if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= MAX_SIZE:
        raise ValueError(f'{what}["size"] must be an int from 1 to {MAX_SIZE:,} (messages), not {size!r:.80}')
    if isinstance(ttl, bool) or not isinstance(ttl, int | float) or not 0 < ttl <= sys.float_info.max:
        raise ValueError(f'{what}["ttl"] must be a number of seconds above 0, not {ttl!r:.80}')
    return Keep(size, ttl)


def excluded_channels(exclude: str | Iterable[str]) -> Channels:
    """Return the channels that `group_send()` is to leave out.

    Raises:
        TypeError: if it is neither a channel's name nor several.
    """
    if not exclude:
        return NOBODY
    if isinstance(exclude, str):
        return frozenset((exclude,))
    names = list(exclude) if isinstance(exclude, Iterable) else [None]
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"exclude must be a channel's name, or several in a list, not {exclude!r:.80}")
    return frozenset(map(str, names))


def given_options(id: str | None, keep: bool, exclude: str | Iterable[str]) -> dict[str, Any]:
    """Return the options of `group_send()` that differ from their defaults: not every layer takes them."""
    options: dict[str, Any] = {}
    if id is not None:
        options["id"] = id
    if not keep:
        options["keep"] = keep
    if exclude:
        options["exclude"] = exclude
    return options


def take_excluded(message: Any) -> Channels:
    """Take out of a message that has come from Redis, where anybody may write, the channels that do not get it."""
    names = message.pop(EXCLUDE, ()) if isinstance(message, dict) else ()
    if not isinstance(names, list | tuple):
        return NOBODY
    return frozenset(name for name in names if isinstance(name, str))


def checked_exclusion(id: object, keep: bool, exclude: str | Iterable[str]) -> Channels:
    """Check the options of a `group_send()` to a group without history.

    Returns:
        The channels that do not get the message.

    Raises:
        TypeError: if `exclude` is neither a channel's name nor several, or `id` is no str.
        ValueError: if there is an `id`.
    """
    require_id(id, None, keep)
    return excluded_channels(exclude)


def require_id(id: object, keep: Keep | None, is_kept: bool) -> None:
    """Check the `id` argument of `group_send()`.

    Args:
        id: the argument; None is none.
        keep: what the group keeps.
        is_kept: whether the message is to be kept.

    Raises:
        TypeError, ValueError: if it is none, or the message has no place in a history.
    """
    if id is None:
        return
    if not isinstance(id, str):
        raise TypeError(f"id must be a str, not {id!r:.80}")
    if not 1 <= len(id) <= MAX_ID_LENGTH:
        raise ValueError(f"id must have 1 to {MAX_ID_LENGTH} characters, not {len(id)}: {id!r:.40}")
    if keep is None:
        raise ValueError("id needs a group with history: name the group in the layer's `history` option")
    if not is_kept:
        raise ValueError("id needs a message that is kept: leave keep=False or the id out")


def require_unmarked(message: Message, keep: Keep | None) -> None:
    """Check that an application's message has none of the keys that the layers set.

    Raises:
        ValueError: if it has one.
    """
    if keep is not None and HISTORY in message:
        raise ValueError(f"a message to a group with history must not have a key {HISTORY!r}: the layer sets it")
    if EXCLUDE in message:
        raise ValueError(f"a message must not have a key {EXCLUDE!r}: use group_send(..., exclude=…)")


def unkept(group: str, message: Message) -> Message:
    """Return a message as members of a group with history get it that is not kept."""
    return {**message, HISTORY: Mark(group, None, replayed=False)}


def require_last(last: object) -> None:
    """Check the `last` argument of `group_add()`.

    Raises:
        ValueError: if it is no number of messages.
    """
    if isinstance(last, bool) or not isinstance(last, int) or last < 0:
        raise ValueError(f"last must be a number of messages, 0 or more, not {last!r:.80}")


def require_new(group: str, channel: str, since: str | None, last: int) -> None:
    """Check that a channel which is a member already does not ask for what it has missed.

    Raises:
        ValueError: if it does.
    """
    if since is not None or last:
        raise ValueError(
            f"channel {channel!r:.200} is in group {group!r:.200} already, and gets what is new: leave `since` and "
            "`last` out, or group_discard() it first"
        )


def require_limit(limit: object) -> None:
    """Check the `limit` argument of `history()`.

    Raises:
        ValueError: if it is no number of messages.
    """
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        raise ValueError(f"limit must be a number of messages, 1 or more, not {limit!r:.80}")


def without_history(since: object, last: object = 0) -> Joined:
    """Return what joining a group without history returns.

    Raises:
        ValueError: if `last` is no number of messages.
    """
    require_last(last)
    return Joined(None, since is None, 0)
