"""How much one connection may ask for: the limits' names, values and checks.

What a client gets that goes beyond one of them is decided in `_connection.enforce`; here is only what they are.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from .exceptions import TooManyGroups

COUNTS = ("rate_burst", "max_message_size", "max_groups")
NUMBERS = {
    "rate_limit": "messages per second",
    "handshake_timeout": "seconds",
    "idle_timeout": "seconds",
    "send_timeout": "seconds",
}


class Limits:
    """The limits that are off, which is None, until somebody sets them: on a class, or by `configure()` for all."""

    rate_limit: float | None = None
    """Messages per second that the client may send; beyond it the connection is closed with 1008. None: no limit."""

    rate_burst: int | None = None
    """How many messages may come at once (1008). None: as many as `rate_limit` allows in five seconds."""

    max_message_size: int | None = None
    """Bytes of one message of the client's, of a text those of its UTF-8 (1009). None: no limit."""

    max_groups: int | None = None
    """How many groups the connection may be in. One more raises `TooManyGroups` (1008). None: no limit."""

    handshake_timeout: float | None = None
    """Seconds until the handshake must have been answered, `connect()` included. None: no limit.

    The client gets HTTP 503, or 403 from a server without the ASGI extension `websocket.http.response`.
    """

    idle_timeout: float | None = None
    """Seconds without any message of the client (1001). A server's pings are none. None: no limit."""

    send_timeout: float | None = None
    """Seconds that one send may wait for a client that does not read (1013, if that can leave). None: no limit."""


def configure(**values: float | None) -> None:
    """Set limits for every consumer and every `BaseWSEndpoint` of this process whose class sets no other value.

    New connections have them, also those of applications that `as_asgi()` has returned before.

    Args:
        values: attributes of `Limits` by name; None switches one off.

    Raises:
        TypeError: there is no limit of this name.
        ValueError: a value cannot work.
    """
    unknown = sorted(values.keys() - {*COUNTS, *NUMBERS})
    if unknown:
        raise TypeError(f"there is no limit {unknown[0]!r}: there are {', '.join([*NUMBERS, *COUNTS])}")
    _check_values("limits.configure(): ", values)
    for name, value in values.items():
        setattr(Limits, name, value)


def check(limited_class: type[Limits]) -> None:
    """Raise ValueError for a limit that cannot work, before a client finds out."""
    name = limited_class.__name__
    _check_values(f"{name}.", {limit: getattr(limited_class, limit) for limit in (*COUNTS, *NUMBERS)})
    groups = getattr(limited_class, "groups", None) or ()
    if limited_class.max_groups is not None and len(set(groups)) > limited_class.max_groups:
        raise ValueError(
            f"{name}.groups has {len(set(groups))} names, and {name}.max_groups is {limited_class.max_groups}: raise it"
        )


def _check_values(owner: str, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        check_value(owner, name, value)


def check_value(owner: str, name: str, value: Any) -> None:
    """Raise ValueError for a value that cannot work.

    Args:
        owner: what has the limit, for the error.
        name: the limit's name.
        value: its value; None is no limit.
    """
    if value is None:
        return
    if name in COUNTS:
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"{owner}{name} must be an int of 1 or more, or None for no limit, not {value!r}")
    elif isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise ValueError(
            f"{owner}{name} must be a number of {NUMBERS[name]} above 0, or None for no limit, not {value!r}"
        )


class LimitedLayer:
    """A channel layer as one connection sees it that may be in so many groups only.

    Args:
        layer: the layer, whose other methods and attributes are this one's.
        channel_name: the connection's channel.
        max_groups: in how many groups it may be.
        groups_of: the layer's, if it has one: somebody else may take the channel out of groups.
    """

    def __init__(
        self,
        layer: Any,
        channel_name: str,
        max_groups: int,
        groups_of: Callable[[str], frozenset[str]] | None,
    ) -> None:
        self._layer = layer
        self._channel_name = channel_name
        self._max_groups = max_groups
        self._groups_of = groups_of
        self._joined: set[str] = set()
        self._joining: Counter[str] = Counter()  # calls that are under way, by group

    def __getattr__(self, name: str) -> Any:
        return getattr(self._layer, name)

    async def group_add(self, group: str, channel: str, *arguments: Any, **options: Any) -> Any:
        """Add a channel to a group, as the layer's own `group_add()`.

        Raises:
            TooManyGroups: it is this connection's, which is in as many groups as it may be.
        """
        if channel != self._channel_name:
            return await self._layer.group_add(group, channel, *arguments, **options)
        self._require_place(group)
        self._joining[group] += 1  # before it is joined: of several handlers at once only one may take the last place
        try:
            joined = await self._layer.group_add(group, channel, *arguments, **options)
            self._joined.add(group)
            return joined
        finally:
            self._joining[group] -= 1
            if not self._joining[group]:
                del self._joining[group]

    async def group_discard(self, group: str, channel: str) -> None:
        """Remove a channel from a group."""
        await self._layer.group_discard(group, channel)
        if channel == self._channel_name:
            self._joined.discard(group)

    def _require_place(self, group: str) -> None:
        if self._groups_of is not None and len(self._places(group)) > self._max_groups:
            self._joined &= self._groups_of(self._channel_name)
        if len(self._places(group)) > self._max_groups:
            raise TooManyGroups(self._max_groups)

    def _places(self, group: str) -> set[str]:
        """Return the groups that the connection is in, or is about to be, with this one."""
        return {group, *self._joined, *self._joining}
