"""What a consumer does in groups by itself: with its own channel, and on its own layer."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from .._sync import run_on_loop
from ..exceptions import InvalidChannelLayerError
from ..layers import _adapt
from ..layers._history import Joined
from ..layers.base import Layer
from ..layers.registry import channel_layers
from ..types import Message
from .framework import let_own_win


class HasChannel(Protocol):
    """A consumer, which has no channel layer if that is None."""

    channel_layer_alias: ClassVar[str]
    channel_layer: Layer | Any
    channel_name: str


class GroupMethods:
    """Shorter ways to the layer's methods, for the consumer's own channel. No message of a layer reaches them.

    Each raises InvalidChannelLayerError if the consumer has no channel layer, or one that lacks what it takes.
    """

    channel_layer_alias: ClassVar[str]
    channel_layer: Layer | Any
    channel_name: str
    _has_labels: bool = False
    """Whether the client knows groups by labels."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Let an application's handlers and methods of these names be its own, wherever it defines them."""
        super().__init_subclass__(**kwargs)
        let_own_win(cls, GROUP_METHODS)

    async def group_join(self, group: str, since: str | None = None, last: int = 0) -> Joined:
        """Add this connection to a group.

        Args:
            group: the group's name.
            since: a position, after which all messages are to follow (None). A layer without history recovers nothing.
            last: how many of the newest messages come first, without `since` or if that is not recovered (0).

        Returns:
            As the layer's `group_add()`.

        Raises:
            TypeError, ValueError: as the layer's `group_add()`.
            TooManyGroups: the connection is in as many groups as `max_groups` allows.
            InvalidChannelLayerError: there is no channel layer, or it has no groups.
        """
        layer = require_groups(self, "group_join()")
        return await _adapt.join(layer, group, self.channel_name, since, last)

    async def group_leave(self, group: str) -> None:
        """Remove this connection from a group; harmless if it is not in it. Its end does so, too.

        Args:
            group: the group's name.

        Raises:
            TypeError: the name is invalid.
            InvalidChannelLayerError: there is no channel layer, or it has no groups.
        """
        await require_groups(self, "group_leave()").group_discard(group, self.channel_name)

    async def group_send(
        self,
        group: str,
        message: Message,
        id: str | None = None,
        keep: bool = True,
        exclude: str | Iterable[str] = (),
    ) -> str | None:
        """Send a message to every member of a group.

        Args:
            group: the group's name.
            message: the message, a dict.
            id: names the message, 1 to 200 characters: one with the same `id` is not sent again for five minutes.
            keep: whether a group with history keeps the message (True).
            exclude: a channel that does not get it, or several (none). `self.channel_name` leaves out this connection.

        Returns:
            The message's position in the group's history; None if it is not kept.

        Raises:
            TypeError, ValueError: as the layer's `group_send()`.
            InvalidChannelLayerError: there is no channel layer, or it lacks groups, or one of the options.
        """
        return await send_to_group(self, "group_send()", group, message, id, keep, exclude)

    async def group_track(self, group: str, *, key: str, meta: dict[str, Any] | None = None) -> int:
        """Have this connection stand for a key, a user say, in a group, until it ends. Joins nothing.

        Args:
            group: the group's name.
            key: 1 to 200 characters.
            meta: what others are to know, a dict that JSON has; at most 4,096 bytes of it.

        Returns:
            The group's version, as the layer's `presence_track()`.

        Raises:
            TypeError, ValueError: a name, the key or the meta is wrong.
            PresenceFull: the key is in the group by 100 other connections. Unhandled, it closes with 1008.
            InvalidChannelLayerError: there is no channel layer, or it has no presence.
        """
        layer = _require_presence(self, "group_track()", "presence_track")
        version: int = await layer.presence_track(group, self.channel_name, key=key, meta=meta)
        return version

    async def group_update(self, group: str, *, meta: dict[str, Any] | None) -> int:
        """Give this connection another meta in a group; otherwise as `group_track()`.

        Args:
            group: the group's name.
            meta: what others are to know from now on; None: an empty dict.

        Raises:
            ValueError: this connection is not tracked in the group, or the meta is too large.
        """
        layer = _require_presence(self, "group_update()", "presence_update")
        version: int = await layer.presence_update(group, self.channel_name, meta=meta)
        return version

    async def group_untrack(self, group: str) -> None:
        """Have this connection stand for nobody in a group any more; harmless if it does not.

        Args:
            group: the group's name.

        Raises:
            TypeError: the name is invalid.
            InvalidChannelLayerError: there is no channel layer, or it has no presence.
        """
        await _require_presence(self, "group_untrack()", "presence_untrack").presence_untrack(group, self.channel_name)

    def _place_after(self, event: Mapping[str, Any]) -> tuple[str, str] | None:
        """Return a label and a position: where a client that knows an event's group by a label is when it has got it.

        None: it knows the group by no label.
        """
        return None


GROUP_METHODS = tuple(name for name in vars(GroupMethods) if name.startswith("group_"))
"""The names of these methods. An application's own of the same name win."""


class PlainGroupMethods(GroupMethods):
    """The same for worker threads. In an async background task of a sync consumer they are to be awaited."""

    if TYPE_CHECKING:  # pyright would take what is assigned for the async methods; the results are plain or awaitable

        def group_join(self, group: str, since: str | None = None, last: int = 0) -> Any: ...
        def group_leave(self, group: str) -> Any: ...
        def group_send(
            self,
            group: str,
            message: Message,
            id: str | None = None,
            keep: bool = True,
            exclude: str | Iterable[str] = (),
        ) -> Any: ...
        def group_track(self, group: str, *, key: str, meta: dict[str, Any] | None = None) -> Any: ...
        def group_update(self, group: str, *, meta: dict[str, Any] | None) -> Any: ...
        def group_untrack(self, group: str) -> Any: ...
    else:
        group_join = run_on_loop(GroupMethods.group_join)
        group_leave = run_on_loop(GroupMethods.group_leave)
        group_send = run_on_loop(GroupMethods.group_send)
        group_track = run_on_loop(GroupMethods.group_track)
        group_update = run_on_loop(GroupMethods.group_update)
        group_untrack = run_on_loop(GroupMethods.group_untrack)


async def send_to_group(
    consumer: HasChannel,
    call: str,
    group: str,
    message: Message,
    id: str | None,
    keep: bool,
    exclude: str | Iterable[str],
) -> str | None:
    """Send as a consumer's `group_send()` does, past what an application calls so.

    Args:
        consumer: the consumer.
        call: what the application has called, for the error.
        group: as of `group_send()`.
        message: as of `group_send()`.
        id: as of `group_send()`.
        keep: as of `group_send()`.
        exclude: as of `group_send()`.
    """
    layer = require_groups(consumer, call)
    options = _adapt.options_for(layer, id, keep, exclude)
    position: str | None = await layer.group_send(group, message, **options)
    return position


def require_groups(consumer: HasChannel, what: str) -> Any:
    """Return a consumer's channel layer, which must have groups.

    Args:
        consumer: the consumer.
        what: what needs them, such as "group_join()".

    Raises:
        InvalidChannelLayerError: there is no layer, or it has no groups.
    """
    if not _adapt.has_groups(consumer.channel_layer):
        raise _lacking(consumer, what, "groups")
    return consumer.channel_layer


def _require_presence(consumer: HasChannel, what: str, method: str) -> Any:
    if not _adapt.knows_who_is_there(consumer.channel_layer, method):
        raise _lacking(consumer, what, "presence")
    return consumer.channel_layer


def _lacking(consumer: HasChannel, what: str, feature: str) -> InvalidChannelLayerError:
    if consumer.channel_layer is None:
        but = channel_layers.missing(consumer.channel_layer_alias)
    else:
        kind = type(_adapt.unlimited(consumer.channel_layer)).__qualname__
        layers = ", ".join(_adapt.BACKENDS)
        but = f"{consumer.channel_layer_alias!r} is a {kind}, which has none: configure one of {layers}"
    return InvalidChannelLayerError(f"{type(consumer).__name__}.{what} needs a channel layer with {feature}, but {but}")
