"""What presence is made of: its options and limits, what is checked, what callers and members get.

A *key*, a user say, is in a group by one or more channels, its tabs. Each channel has a *meta*: a small dict.
"""

import json
import logging
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, NamedTuple, TypedDict

from ..types import Message
from ._frozen import FrozenDict, FrozenList, frozen

logger = logging.getLogger("consumers.layers")

MAX_KEY_LENGTH = 200
"""Characters of a key."""

MAX_META_BYTES = 4096
"""Bytes of a meta, as JSON."""

MAX_META_DEPTH = 32
"""Dicts and lists in one another, the meta itself included."""

MAX_CHANNELS = 100
"""Channels of one key in one group."""

GATHER = 0.05
"""Seconds of changes that members get in one message."""

DIFF = "presence.diff"
STATE = "presence.state"
COUNT = "presence.count"

Meta = dict[str, Any]


class PresenceRule(TypedDict, total=False):
    """The `presence` option of a layer; see `PresenceOptions`."""

    grace: float
    lease: float
    max_list: int


@dataclass(frozen=True, slots=True)
class PresenceOptions:
    """The `presence` option of a layer.

    Attributes:
        grace: seconds after the end of its last channel that a key leaves (5). Who comes back before has not left.
        lease: seconds until other processes take one for dead that was killed, or hangs (15). Only Redis needs it.
        max_list: how many keys a group may have for its members to be told which these are (1,000). Beyond that they
            are told how many there are.
    """

    grace: float = 5.0
    lease: float = 15.0
    max_list: int = 1000


MAX_GRACE = 24 * 3600
LEASE_BOUNDS = (1, 3600)


def presence_options(rule: object) -> PresenceOptions:
    """Return what the `presence` option of a layer says; None: the defaults.

    Raises:
        TypeError, ValueError: if it is something else; the message names what is wrong.
    """
    if rule is None:
        return PresenceOptions()
    names = [field.name for field in fields(PresenceOptions)]
    if not isinstance(rule, Mapping):
        raise TypeError(f'presence must be a dict such as {{"grace": 5, "lease": 15}}, not {rule!r:.80}')
    for name in rule:
        if name not in names:
            raise TypeError(f"presence has no option {name!r:.80}: there are {', '.join(names)}")
    options = PresenceOptions(**rule)
    _require_seconds("grace", options.grace, 0, MAX_GRACE)
    _require_seconds("lease", options.lease, *LEASE_BOUNDS)
    count = options.max_list
    if isinstance(count, bool) or not isinstance(count, int) or count < 0:
        raise ValueError(f'presence["max_list"] must be a number of keys, 0 or more, not {count!r:.80}')
    return options


def _require_seconds(name: str, value: object, least: float, most: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise ValueError(f'presence["{name}"] must be a number of seconds from {least} to {most:,}, not {value!r:.80}')


def require_key(key: object) -> str:
    """Return the `key` argument of `presence_track()`.

    Raises:
        TypeError: if it is no str.
        ValueError: if its length is wrong, or UTF-8 has no bytes for it.
    """
    if not isinstance(key, str):
        raise TypeError(f"key must be a str, such as a user's id, not {type(key).__name__}: {key!r:.80}")
    if not 1 <= len(key) <= MAX_KEY_LENGTH:
        raise ValueError(f"key must have 1 to {MAX_KEY_LENGTH} characters, not {len(key)}: {key!r:.40}")
    try:
        key.encode()
    except UnicodeEncodeError:
        raise ValueError(f"key must be text that UTF-8 has bytes for, which {key!r:.80} is not") from None
    return key


def meta_as_json(meta: object) -> str:
    """Return the `meta` argument of `presence_track()`, None for an empty one, as JSON.

    Raises:
        TypeError: if it is no dict, or has something in it that JSON has not.
        ValueError: if it is too large, or nested too deeply.
    """
    if meta is None:
        return "{}"
    if not isinstance(meta, dict):
        raise TypeError(f'meta must be a dict, such as {{"name": "Ann"}}, not {type(meta).__name__}: {meta!r:.80}')
    _require_json("meta", meta, MAX_META_DEPTH)
    # sorted, so that equal metas are one text
    text = json.dumps(meta, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    size = len(text.encode())
    if size > MAX_META_BYTES:
        raise ValueError(
            f"meta must have at most {MAX_META_BYTES:,} bytes as JSON, not {size:,}: keep the rest elsewhere"
        )
    return text


def _require_json(what: str, value: object, levels: int) -> None:
    """Check that JSON has a value, which is so many dicts and lists deep at most.

    Args:
        what: what the error calls the value.
        value: the value.
        levels: how deep.

    Raises:
        TypeError: if JSON has it not.
        ValueError: if it is deeper.
    """
    if isinstance(value, dict | list | tuple):
        if not levels:
            raise ValueError(f"meta must have at most {MAX_META_DEPTH} dicts and lists in one another: flatten it")
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            if isinstance(value, dict):
                _require_text(f"a key of {what}", key)
            _require_json(f"{what}[{key!r:.40}]", item, levels - 1)
    elif isinstance(value, str):
        _require_text(what, value)
    elif not (value is None or isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))):
        raise TypeError(f"{what:.200} must be something that JSON has, such as text, not {value!r:.80}")


def _require_text(what: str, value: object) -> None:
    try:
        if isinstance(value, str):
            value.encode()
            return
    except UnicodeEncodeError:
        pass
    raise TypeError(f"{what:.200} must be text that UTF-8 has bytes for, not {value!r:.80}")


class Presence(dict[str, list[Meta]]):
    """Who is in a group: keys, each with the metas of its channels; an empty list for one that is about to leave.

    Equal metas of one key are one.

    Attributes:
        version: which changes it has in it: all up to this version, of `presence.diff` say.
    """

    def __init__(self, members: Mapping[str, Iterable[str]], version: int) -> None:
        super().__init__((key, metas_of(texts)) for key, texts in members.items())
        self.version = version


Kind = Literal["joins", "leaves", "updates"]


class Change(NamedTuple):
    """What has become of one key.

    Attributes:
        kind: what.
        key: the key.
        metas: all of its metas, each as JSON; none if it has left.
    """

    kind: Kind
    key: str
    metas: tuple[str, ...] = ()


def metas_of(texts: Iterable[str]) -> list[Meta]:
    """Return metas, given each as JSON. What is none, as others may have written it, is left out and logged."""
    return [meta for text in texts if (meta := _meta_of(text)) is not None]


def _meta_of(text: str) -> Meta | None:
    try:
        meta = json.loads(text)
        if isinstance(meta, dict):
            _require_json("meta", meta, MAX_META_DEPTH)
            return meta
    except (TypeError, ValueError, RecursionError):
        pass
    logger.warning("A meta of presence was left out: no layer has written %.80r", text)
    return None


def diff(group: str, changes: Iterable[Change], version: int) -> Message:
    """Return what tells a group's members of changes."""
    found: dict[Kind, dict[str, Any]] = {"joins": {}, "updates": {}, "leaves": {}}
    for change in changes:
        found[change.kind][change.key] = metas_of(change.metas)
    joins, updates, leaves = frozen(found["joins"]), frozen(found["updates"]), FrozenList(found["leaves"])
    return {"type": DIFF, "group": group, "joins": joins, "leaves": leaves, "updates": updates, "version": version}


def state(group: str, members: Mapping[str, Iterable[str]], version: int) -> Message:
    """Return what tells a group's members who is there; replaces what they know."""
    known = FrozenDict((key, frozen(metas_of(texts))) for key, texts in members.items())
    return {"type": STATE, "group": group, "members": known, "version": version}


def counted(group: str, count: int, version: int) -> Message:
    """Return what tells the members of a group that is too large for a list how many keys are there."""
    return {"type": COUNT, "group": group, "count": count, "version": version}


OF_LAYERS = frozenset(
    spelling for kind in ("layer.gap", DIFF, STATE, COUNT) for spelling in (kind, kind.replace(".", "_"))
)
"""The types of what only layers tell consumers, in each spelling that reaches the same handler."""


def is_forged(message: object) -> bool:
    """Tell a message which claims that a layer has made it; an application, or its client, has sent it."""
    kind = message.get("type") if isinstance(message, dict) else None
    return isinstance(kind, str) and kind in OF_LAYERS


FORGED = "only a layer sends messages of type {!r}; choose another type"


def note_forged(message: Message, to: str) -> None:
    """Log that such a message is dropped.

    Args:
        message: the message.
        to: whom it was sent to.
    """
    logger.warning("A message to %.200s was dropped: %s", to, FORGED.format(message["type"]))


def not_tracked(group: str, channel: str) -> ValueError:
    """Return the error for a channel that is to be updated and is not tracked."""
    return ValueError(
        f"channel {channel!r:.200} is not tracked in group {group!r:.200}: track it first, with group_track() or "
        "presence_track()"
    )
