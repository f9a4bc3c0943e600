"""Foreign layers, and layers with a way of their own, as the rest of the library uses them: each is a `Layer`.

    a layer with the whole contract ─────────────▶ itself: messages are handed over
    a subclass with a `send()` of its own ───────▶ `AdaptedLayer`: messages are handed over, none is put back past it
    no `attach()`, or a subclass with a
    `receive()` or `new_channel()` of its own ───▶ `PumpedLayer`: a task of each connection calls `receive()`

Only here does the library look what a layer has; it does so once. Applications keep the layer that they configured.
"""

import inspect
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from functools import partial
from types import TracebackType
from typing import Any, Self

from ..exceptions import InvalidChannelLayerError
from ..limits import LimitedLayer
from ..types import Close, Deliver, Message, Room
from ._history import Joined
from ._options import given_options, require_id, require_last, without_history
from ._overrides import overrides
from ._parts import WhoIsThere
from ._presence import Presence, is_forged, note_forged
from .base import DEFAULT_CODE, Layer

BACKENDS = (
    "consumers.layers.InMemoryChannelLayer",
    "consumers.layers.memory.InMemoryChannelLayer",
    "consumers.layers.redis.RedisChannelLayer",
    "consumers.layers.redis.RedisPubSubChannelLayer",
)
"""The layers that have the whole contract."""

CONTRACT: frozenset[str] = Layer.__abstractmethods__
OPTIONAL = ("adopt", "close", "get_capacity", "held", "put_back", "require_valid_channel_name", "__aenter__")

OF_SOME_LAYERS = frozenset(name for name in vars(WhoIsThere) if not name.startswith("_"))
"""The methods of a layer that knows who is there."""

Pump = Callable[[], Coroutine[Any, Any, None]]


def is_layer(value: object) -> bool:
    """Tell a layer, of whatever kind, from something else."""
    return hasattr(value, "send")


def has_groups(layer: object) -> bool:
    """Tell whether a layer, or None, has groups; it may be one that a handler sees."""
    return hasattr(layer, "group_add")


def leaves_at_once(layer: object) -> bool:
    """Tell whether leaving a layer's groups never waits; it may be one that a handler sees."""
    return isinstance(layer, Layer) and layer.leaves_at_once


def knows_who_is_there(layer: object, method: str) -> bool:
    """Tell whether a layer, or None, has a method of `WhoIsThere`; it may be one that a handler sees."""
    found = getattr(layer, method, None)
    return callable(found) and getattr(found, "__func__", None) is not getattr(WhoIsThere, method)


def remembers(layer: Any, group: str) -> bool:
    """Tell whether a layer keeps a group's messages; it may be one that a handler sees."""
    layer = unlimited(layer)
    return (
        isinstance(layer, Layer)
        and layer.has_history
        and isinstance(group, str)  # else the layer will say what is wrong
        and layer.retention_of(group) is not None
    )


def unlimited(layer: Any) -> Any:
    """Return the layer that an application has configured, given the one that a handler sees."""
    return layer._layer if isinstance(layer, LimitedLayer) else layer


def sync_way(layer: object, name: str) -> Callable[..., Any] | None:
    """Return a layer's method that needs no event loop, such as `group_send_sync()`; None if it has none."""
    method = getattr(layer, name, None)
    return method if callable(method) else None


async def join(layer: Any, group: str, channel: str, since: str | None, last: int) -> Joined:
    """Add a channel to a group, as `Layer.group_add()`; the layer may be one that a handler sees.

    A foreign one, and one that overrides `group_add()` as Channels has it, recovers nothing.
    """
    require_last(last)
    options: dict[str, Any] = {} if since is None else {"since": since}
    if last:
        options["last"] = last
    if _refused(unlimited(layer), "group_add", options):
        await layer.group_add(group, channel)
        return without_history(since)
    joined = await layer.group_add(group, channel, **options)
    return joined if isinstance(joined, Joined) else without_history(since)


def is_member(layer: Any, group: str, channel: str) -> bool:
    """Tell whether a channel is in a group already; of a foreign layer nobody knows."""
    layer = unlimited(layer)
    return isinstance(layer, Layer) and group in layer.groups_of(channel)


def options_for(layer: Any, id: str | None, keep: bool, exclude: str | Iterable[str]) -> dict[str, Any]:
    """Return the options of a `group_send()` as a layer takes them; it may be one that a handler sees.

    Raises:
        InvalidChannelLayerError: if the layer lacks one that makes a difference.
    """
    options = given_options(id, keep, exclude)
    layer = unlimited(layer)
    for name in _refused(layer, "group_send", options):
        if name != "keep":
            raise lacking(layer, f"group_send({name}=…)")
        del options[name]  # nothing is kept there anyhow
    return options


def _refused(layer: Any, method: str, options: Iterable[str]) -> list[str]:
    """Return those of some options that a layer's method does not take."""
    if not options or (isinstance(layer, Layer) and not overrides(type(layer), method)):
        return []
    taken = inspect.signature(getattr(layer, method)).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in taken.values()):
        return []
    return [name for name in options if name not in taken]


def adapt(layer: Any) -> Layer:
    """Return a layer's whole contract: the layer itself, or an adapter of it."""
    if _has_to_be_pumped(layer):
        return PumpedLayer(layer)
    is_whole = isinstance(layer, Layer) and not _goes_its_own_way(layer)
    return layer if is_whole else AdaptedLayer(layer)


async def attach_connection(
    layer: Layer, deliver: Deliver, close: Close, room: Room, wait_for_room: Callable[[], Awaitable[object]]
) -> tuple[str, Pump | None]:
    """Have a connection get a layer's messages.

    Args:
        layer: what `adapt()` has returned.
        deliver, close, room: the connection's, for `Layer.attach()`.
        wait_for_room: returns when the connection has room for one more message.

    Returns:
        The name of the connection's channel, and what has to run as long as the connection does, or None.
    """
    if layer.has_history:
        return layer.attach(deliver, close, room), None
    if type(layer) is not PumpedLayer:
        return layer.attach(deliver, close), None
    name = await layer.open_channel(close)
    return name, partial(layer.pump, name, deliver, wait_for_room)


def lacking(layer: object, call: str, what: str = "The channel layer") -> InvalidChannelLayerError:
    """Return the error for a call, such as "flush()", that a layer does not take."""
    name = f"{type(layer).__module__}.{type(layer).__qualname__}"
    return InvalidChannelLayerError(f"{what} is a {name}, which has no {call}: configure one of {', '.join(BACKENDS)}")


class AdaptedLayer(Layer):
    """A layer that lacks a part of the contract, or has a way of its own.

    What it lacks raises InvalidChannelLayerError, except for what others can do without.

    Args:
        layer: the layer.
    """

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self._layer = layer
        has = {name for name in (*CONTRACT, *OPTIONAL) if callable(getattr(layer, name, None))}
        self.lacks = CONTRACT - has
        if _goes_its_own_way(layer):  # it may encrypt, or store elsewhere; put_back() would go past that
            has -= {"put_back", "held"}
        self._has = frozenset(has)

    def attach(self, deliver: Deliver, close: Close | None = None, room: Room | None = None) -> str:
        if close is None or "close_group" in self.lacks:  # then attach() may take no `close`
            return str(self._method("attach")(deliver))
        return str(self._layer.attach(deliver, close))

    def detach(self, name: str) -> None:
        if "detach" in self._has:
            self._layer.detach(name)

    def adopt(self, name: str, close: Close) -> None:
        if "adopt" in self._has:
            self._layer.adopt(name, close)

    def groups_of(self, channel: str) -> frozenset[str]:
        return frozenset(self._method("groups_of")(channel))

    async def close_group(self, group: str, code: int = DEFAULT_CODE, reason: str = "") -> None:
        await self._method("close_group")(group, code, reason)

    async def send(self, channel: str, message: Message) -> None:
        await self._method("send")(channel, message)

    async def receive(self, channel: str) -> dict[str, Any]:
        message: dict[str, Any] = await self._method("receive")(channel)
        return message

    async def new_channel(self, prefix: str = "specific.") -> str:
        return str(await self._method("new_channel")(prefix))

    async def group_add(self, group: str, channel: str, since: str | None = None, last: int = 0) -> Joined:
        joined = without_history(since, last)
        await self._method("group_add")(group, channel)
        return joined

    async def group_discard(self, group: str, channel: str) -> None:
        await self._method("group_discard")(group, channel)

    async def group_send(
        self,
        group: str,
        message: Message,
        id: str | None = None,
        keep: bool = True,
        exclude: str | Iterable[str] = (),
    ) -> str | None:
        require_id(id, None, keep)
        send = self._method("group_send")
        await send(group, message, **options_for(self._layer, None, keep, exclude))
        return None

    async def flush(self) -> None:
        await self._method("flush")()

    async def group_count(self, group: str) -> int:
        return int(await self._part("group_count")(group))

    async def group_channels(self, group: str) -> frozenset[str]:
        return frozenset(await self._part("group_channels")(group))

    async def presence_track(self, group: str, channel: str, *, key: str, meta: dict[str, Any] | None = None) -> int:
        return int(await self._part("presence_track")(group, channel, key=key, meta=meta))

    async def presence_update(self, group: str, channel: str, *, meta: dict[str, Any] | None) -> int:
        return int(await self._part("presence_update")(group, channel, meta=meta))

    async def presence_untrack(self, group: str, channel: str) -> None:
        await self._part("presence_untrack")(group, channel)

    async def presence(self, group: str) -> Presence:
        there: Presence = await self._part("presence")(group)
        return there

    async def presence_count(self, group: str) -> int:
        return int(await self._part("presence_count")(group))

    def held(self, channel: str) -> int:
        return int(self._layer.held(channel)) if "held" in self._has else 0

    async def put_back(self, channel: str, message: Message) -> None:
        if "put_back" in self._has:
            await self._layer.put_back(channel, message)
        else:
            await super().put_back(channel, message)

    def get_capacity(self, channel: str) -> int:
        own = "get_capacity" in self._has
        capacity: int = self._layer.get_capacity(channel) if own else super().get_capacity(channel)
        return capacity

    def require_valid_channel_name(self, name: object, receive: bool = False) -> bool:
        if "require_valid_channel_name" in self._has:
            self._layer.require_valid_channel_name(name)
        return True  # a foreign one has rules that nobody knows

    async def close(self) -> None:
        if "close" in self._has:
            await self._layer.close()

    async def __aenter__(self) -> Self:
        if "__aenter__" in self._has:  # not those of channels_redis, say
            await self._layer.__aenter__()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def _method(self, name: str) -> Any:
        if name in self.lacks:
            raise lacking(self._layer, f"{name}()")
        return getattr(self._layer, name)  # now: telemetry may have put another in its place

    def _part(self, name: str) -> Any:
        """Return a method of `WhoIsThere`, which no layer has to have."""
        if not knows_who_is_there(self._layer, name):
            raise lacking(self._layer, f"{name}()")
        return getattr(self._layer, name)


class PumpedLayer(AdaptedLayer):
    """A layer that has to be asked for its messages; what there is no room for waits in it.

    Args:
        layer: the layer.
    """

    def attach(self, deliver: Deliver, close: Close | None = None, room: Room | None = None) -> str:
        raise RuntimeError(f"a {type(self._layer).__qualname__} has to be pumped: await attach_connection()")

    async def open_channel(self, close: Close) -> str:
        """Return the name of a new channel for a consumer, which `close` closes where the layer can have it closed."""
        name = str(await self._layer.new_channel())  # a foreign one may take no prefix
        self.adopt(name, close)
        return name

    async def pump(self, name: str, deliver: Deliver, wait_for_room: Callable[[], Awaitable[object]]) -> None:
        """Hand over what comes to a channel, until this is cancelled.

        Args:
            name: the channel, one of `new_channel()`.
            deliver: takes a message.
            wait_for_room: returns when there is room for one.

        Raises:
            Exception: what the layer's `receive()` has raised.
        """
        has_presence = knows_who_is_there(self._layer, "presence")  # then it is the layer that tells of it
        while True:
            await wait_for_room()
            message = await self._layer.receive(name)
            if is_forged(message) and not has_presence:
                note_forged(message, f"channel {name}")
            else:
                deliver(message)


def _has_to_be_pumped(layer: Any) -> bool:
    """Tell whether a layer's consumers are to call its `new_channel()` and `receive()`, as Channels' do."""
    cls = type(layer)
    is_replaced = overrides(cls, "receive", "new_channel") and not overrides(cls, "attach")
    return is_replaced or not hasattr(layer, "attach")


def _goes_its_own_way(layer: Any) -> bool:
    """Tell whether a layer's `put_back()` would go past a `send()` or `receive()` that an application has replaced."""
    cls = type(layer)
    takes_back = getattr(cls, "put_back", Layer.put_back) is not Layer.put_back
    return takes_back and overrides(cls, "send", "receive") and not overrides(cls, "put_back")
