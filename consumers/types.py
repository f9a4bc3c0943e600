"""What every other package uses: aliases, protocols, and the rules for close codes and for the type of a message.

ASGI's own aliases are Starlette's, so that both type-check together.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Literal, Protocol, TypedDict, TypeVar

from starlette.types import ASGIApp as ASGIApp
from starlette.types import Message as Message
from starlette.types import Receive as Receive
from starlette.types import Scope as Scope
from starlette.types import Send as Send

R = TypeVar("R")


def hook(method: Callable[..., R]) -> Callable[..., R]:
    """Mark a method that applications override, and return it as it is.

    To type checkers its arguments are open: an override takes those that it needs, such as `receive(self, text_data)`.
    What it returns is checked, so that an async consumer's is an `async def`.
    """
    return method


def hook_of_both(method: Callable[..., Any]) -> Callable[..., Any]:
    """Do as `hook` for an async method that is a plain one in sync consumers, which derive from the async ones."""
    return method


Deliver = Callable[[Message], int]
"""Takes a layer's message for a receiver, plain and immediate.

Returns how many of the layer's messages wait in the receiver's mailbox now, this one included (True counts
as 1), or 0 if it was full and did not take it.
"""

DeliverMany = Callable[[list[Any], Message], list[Any]]
"""Has many `Deliver` objects of one class take a message in one go, if they have room; returns those that did not.

It is called on their event loop, with a message of plain values of which each is to get a copy. Those that it returns,
in the order in which they were given, are called one by one next. Must not raise.
"""


class DeliversMany:
    """Base of a `Deliver` whose class has a faster way for many of its kind."""

    __slots__ = ()

    @staticmethod
    def deliver_many(receivers: list[Any], message: Message) -> list[Any]:
        """Do what `DeliverMany` says, with objects of this class; the base takes none."""
        return receivers

    @staticmethod
    def deliver_uncopied(receivers: list[Any], message: Message) -> list[Any]:
        """Do the same with a message that has values to change, for those who need no copy; the base takes none."""
        return receivers


Close = Callable[[int, str], object]
"""Closes a receiver with a code and a reason, plain and immediate: nothing that waits or runs there holds it up."""


Room = Callable[[], int]
"""Says how many more messages of groups with history a receiver takes, plain and immediate.

Once it has said 0, the receiver calls `resume()` of its layer when it has room again.
"""


class PresenceDiff(TypedDict):
    """The event of `presence_diff(self, event)`: what has changed in a group since the last one.

    A diff says of each key that it names how it is now, so nothing is wrong when it comes twice.
    """

    type: Literal["presence.diff"]
    """Always "presence.diff"."""

    group: str
    """The group's name."""

    joins: dict[str, list[dict[str, Any]]]
    """Who has come: all metas of each new key."""

    leaves: list[str]
    """The keys that have left."""

    updates: dict[str, list[dict[str, Any]]]
    """Who has other metas now: all metas of each such key."""

    version: int
    """The group's version, with these changes."""


class PresenceState(TypedDict):
    """The event of `presence_state(self, event)`: all who are in a group. It replaces what the member knows."""

    type: Literal["presence.state"]
    """Always "presence.state"."""

    group: str
    """The group's name."""

    members: dict[str, list[dict[str, Any]]]
    """The metas of each key; an empty list for one that is about to leave."""

    version: int
    """The group's version: which changes are in it."""


class PresenceCount(TypedDict):
    """The event of `presence_count(self, event)`: how many keys a group has that is too large for a list."""

    type: Literal["presence.count"]
    """Always "presence.count"."""

    group: str
    """The group's name."""

    count: int
    """How many keys there are, those that are about to leave included."""

    version: int
    """The group's version: which changes are in it."""


class LayerGap(TypedDict):
    """The event of `layer_gap(self, event)`: messages are lost, and what the member shows is to be loaded anew."""

    type: Literal["layer.gap"]
    """Always "layer.gap"."""

    group: str | None
    """The group's name; None: the connection to Redis was cut, and any group without history may lack some."""


class HistoryMark(TypedDict):
    """Where a message is in the history of its group."""

    group: str
    """The group's name."""

    position: str | None
    """The message's position; None if it is not kept."""

    replayed: bool
    """Whether the message was sent before the channel joined."""


class HistoryEvent(TypedDict):
    """What each message to a group with history has: the second argument of a handler of `@on_event`, for one.

    A subclass names what else a message of yours has: `class Said(HistoryEvent)`, with `text: str`.
    """

    history: HistoryMark
    """Where the message is. All members share it, and it refuses changes."""


MessageSource = Literal["client", "layer"]
"""Where a message for a consumer comes from."""

DropReason = Literal["mailbox_full", "no_handler", "limit", "ending", "handler_cancelled"]
"""Why no handler saw a message to its end; docs/reference/metrics.md explains each."""


Ends = Callable[[BaseException | None], object]
"""Sees the end of a call: gets what that raised, a cancellation included, or None if it returned."""


class CallObserver(Protocol):
    """Sees the begin and the end of calls. No observer's method may raise, or take long."""

    def begins(self, name: str | None) -> Ends:
        """See a call that is about to begin; return what sees its end.

        Args:
            name: the method's name. A client may have chosen it, in the type of a message, so there may be no such
                method. None: the type names none.
        """


class ConnectionObserver(CallObserver, Protocol):
    """Sees one connection. The calls are those of its handlers, `disconnect()` included."""

    def opened(self, waiting: Callable[[], int]) -> None:
        """See the connection begin.

        Args:
            waiting: returns how many messages wait for handlers now. Any thread may call it.
        """

    def closed(self, code: int | None, is_rejected: bool = False) -> None:
        """See the end of the connection, after `disconnect()`; nothing comes after it.

        Args:
            code: the close code; None for a protocol without one.
            is_rejected: whether the application refused the handshake.
        """

    def received(self, source: MessageSource) -> None:
        """See a message for the consumer come."""

    def sent(self) -> None:
        """See that the server took a message for the client."""

    def dropped(self, reason: DropReason, count: int = 1) -> None:
        """See that messages reach no handler, or not its end."""


class Observer(Protocol):
    """Sees connections begin, and layers come into use; see `consumers.telemetry`."""

    def connection(self, owner: type, scope: Scope) -> ConnectionObserver:
        """Return what sees a new connection to its end.

        Args:
            owner: the consumer's or the endpoint's class.
            scope: the connection's.
        """

    def layer(self, layer: Any) -> None:
        """Hear of a layer that `channel_layers` has from now on, perhaps not for the first time."""


class CloseCode:
    """The close codes of RFC 6455, section 7.4.1, and of its registry, that are used here; each is an int."""

    NORMAL_CLOSURE = 1000
    """Nobody has more to say."""

    GOING_AWAY = 1001
    """The page was left, or the client was silent for `idle_timeout`."""

    UNSUPPORTED_DATA = 1003
    """The client sent text where binary is taken, or the other way round."""

    NO_STATUS_RECEIVED = 1005
    """The close frame had no code. It is never sent."""

    ABNORMAL_CLOSURE = 1006
    """There was no close frame. It is never sent."""

    INVALID_PAYLOAD = 1007
    """What the client sent does not parse, as JSON for instance."""

    POLICY_VIOLATION = 1008
    """The client did what it must not do."""

    MESSAGE_TOO_BIG = 1009
    """A message was larger than it may be."""

    INTERNAL_ERROR = 1011
    """A handler failed."""

    SERVICE_RESTART = 1012
    """The server stops; another one takes the client."""

    TRY_AGAIN_LATER = 1013
    """The server, or this connection, has too much to do."""


MAX_REASON_BYTES = 123  # RFC 6455, 5.5: a control frame carries 125 bytes, the code takes two

MAX_TYPE_LENGTH = 200  # characters; a client may have chosen the type


def handler_name(message: Mapping[str, Any]) -> str:
    """Return the name of the method that handles `message`: its type, with `_` for every `.`.

    Raises:
        ValueError: the message has no type, or one that is no text, begins with an underscore, or names no method.
    """
    try:
        return _method_name(message["type"])
    except KeyError:
        raise ValueError("Incoming message has no 'type' attribute") from None
    except TypeError:  # it cannot be hashed
        raise ValueError(f"Malformed type in message: {message['type']!r:.80} is not a str") from None


@lru_cache(maxsize=1024)
def _method_name(kind: object) -> str:
    if not isinstance(kind, str):
        raise ValueError(f"Malformed type in message: {kind!r:.80} is not a str")
    if len(kind) > MAX_TYPE_LENGTH:
        raise ValueError(f"Malformed type in message: {len(kind)} characters, {kind[:20]!r}…")
    name = kind.replace(".", "_")
    if name.startswith("_"):
        raise ValueError(f"Malformed type in message (leading underscore): {kind!r}")
    if not name.isidentifier():
        raise ValueError(f"Malformed type in message (no method's name): {kind!r}")
    return name


def is_sendable(code: int) -> bool:
    """Tell whether an endpoint may put close code `code` into a frame (RFC 6455, 7.4).

    Args:
        code: the code.
    """
    return 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999


def private_code(code: int) -> int:
    """Return the code of RFC 6455's private use that stands for a standard one: 4008 for 1008, and so on."""
    return 3000 + code


def cut_reason(reason: str | None) -> str:
    """Return the reason of a close, cut to 123 bytes of UTF-8 at a character's border."""
    return (reason or "").encode(errors="replace")[:MAX_REASON_BYTES].decode(errors="ignore")


def check_close_code(code: object) -> None:
    """Raise ValueError if `code` may not be sent in a close frame, naming the codes that may."""
    if not isinstance(code, int) or not is_sendable(code):
        raise ValueError(
            f"close code {code!r} cannot be sent: use 1000-1003, 1007-1014, or 3000-4999 for codes of your own"
        )
