"""Which method a message reaches: one table for each consumer class, and what calls the method.

Applications pass client data on to groups, so a layer's message may have a type that a client has chosen. It must not
reach `close`, `websocket_disconnect` or any other method that the framework calls itself, whether the application
overrides that method or not.
"""

import inspect
from collections.abc import Awaitable, Callable, Mapping
from difflib import get_close_matches
from functools import partialmethod, singledispatchmethod
from types import FunctionType
from typing import Any, NoReturn
from weakref import WeakKeyDictionary, ref

from .._checks import connecting
from .._checks.classes import takes
from ..types import ConnectionObserver, Message, handler_name
from .frames import FRAME, Frames
from .framework import definers, is_framework
from .groups import GROUP_METHODS
from .log import log_once
from .observed import Dispatches, ObservedConsumer
from .request import OfRequest
from .shared import Relay, relay_of

# What only the server sends: not even a consumer that derives from the base alone, and so defines them, means others.
OF_THE_SERVER = frozenset(
    {"websocket_connect", "websocket_receive", "websocket_disconnect", "http_request", "http_disconnect"}
)

# What a layer tells every consumer, for those that want to know. `close_group()` ends a consumer in another way.
OPTIONAL = frozenset({"layer_gap", "presence_diff", "presence_state", "presence_count", "consumers_close"})

MOST_SPELLINGS = 1000
"""How many types one class' table remembers at most; others are worked out each time."""

_AROUND_FUNCTIONS = (staticmethod, classmethod, partialmethod, singledispatchmethod)


class HandlerNames(dict[str, str | None]):
    """The names of handlers by the types of messages; None for a type without a handler, which is not kept.

    Args:
        handlers: the names. One of them has a few spellings as a type, such as "chat.message" and "chat_message".
    """

    def __init__(self, handlers: frozenset[str]) -> None:
        self._handlers = handlers

    def __missing__(self, kind: str) -> str | None:
        name = kind.replace(".", "_")
        if name not in self._handlers:
            return None
        if len(self) < MOST_SPELLINGS:  # of a long name there are more, and a client may choose them
            self[kind] = name
        return name


NO_HANDLERS = HandlerNames(frozenset())


class DispatchTable:
    """What the messages of one consumer class reach, made by `as_asgi()`.

    It has names, not functions: what replaces a method later, on the class or on an instance, is called. Only `find()`
    and `accepts()` see what is added later under a name that was none.

    Attributes:
        methods: the names of all methods, which can be looked up without running code of the application's.
        reserved: the names that no message of a layer may reach.
        handlers: of the methods, those for a layer's messages: functions that take one event.
        names: their names by the types of messages.
        direct: the same for those that are coroutine functions, for which `dispatch()` has nothing to check.
        relays: of the handlers, those that only pass something on: what that is.
        connects_with: the parameters of `connect()`, and whether each has to be given.
    """

    __slots__ = (
        "_passing_on",
        "_text_receiver",
        "connects_with",
        "direct",
        "handlers",
        "methods",
        "names",
        "relays",
        "reserved",
    )

    def __init__(self, consumer_class: type) -> None:
        attributes = {name: value for base in reversed(consumer_class.__mro__) for name, value in vars(base).items()}
        self.methods = frozenset(name for name, value in attributes.items() if _is_method(value))
        self.reserved = _reserved_names(consumer_class)
        self.handlers = frozenset(
            name
            for name in self.methods - self.reserved
            if not name.startswith("_") and _is_handler(attributes[name], consumer_class)
        )
        self.names = HandlerNames(self.handlers)
        self.direct = HandlerNames(frozenset(name for name in self.handlers if _is_async_function(attributes[name])))
        self.relays: dict[str, Relay] = {
            name: relay for name in self.handlers if (relay := relay_of(attributes[name])) is not None
        }
        self.connects_with = {
            name: taken.parameter.default is inspect.Parameter.empty
            for name, taken in connecting.parameters(consumer_class).items()
        }
        # Methods of the framework's that only pass a message on: `dispatch()` to the handler, unless it awaits
        # something itself, and `websocket_receive()` to `receive()`.
        self._passing_on: dict[str, object] = {}
        if _is_frameworks(consumer_class, "dispatch") and not _is_async_function(attributes["dispatch"]):
            self._passing_on["dispatch"] = attributes["dispatch"]
        if _is_frameworks(consumer_class, "websocket_receive"):
            self._passing_on["websocket_receive"] = attributes["websocket_receive"]
        receive = attributes.get("receive")
        is_text_receiver = _is_async_function(receive) and "text_data" in takes(receive)
        # Weak: a method that calls `super()` refers to its class, which would be kept for ever, as the key of this.
        self._text_receiver = ref(receive) if is_text_receiver else None

    def passes_on(self, consumer: Any, name: str) -> bool:
        """Tell whether a consumer's method is one that only passes a message on, so that it can be left out."""
        own = self._passing_on.get(name)
        return own is not None and getattr(getattr(consumer, name), "__func__", None) is own

    def gives_text(self, consumer: Any) -> bool:
        """Tell whether for a text frame `websocket_receive()` would do no more than call `receive(text_data=text)`."""
        own = self._text_receiver
        return (
            own is not None
            and getattr(consumer.receive, "__func__", None) is own()
            and self.passes_on(consumer, "websocket_receive")
        )

    def find(self, consumer: Any, name: str) -> Callable[..., Any] | None:
        """Return a consumer's method of this name; None if it has none.

        A client may choose the name. So nothing of the application's runs for the look-up: no property, no
        `__getattr__()`, no class that would be made an instance of.
        """
        if name in self.methods or name in OF_THE_SERVER:  # the server chooses no other names
            return _callable(getattr(consumer, name, None))
        for base in type(consumer).__mro__:
            if name in vars(base):
                attribute = vars(base)[name]
                if _is_method(attribute):  # added to the class later
                    return _callable(getattr(consumer, name))
                if hasattr(type(attribute), "__get__"):
                    return None  # nor is what a cached property has kept
                break
        return _callable(vars(consumer).get(name))

    def accepts(self, consumer: Any, message: Mapping[str, Any], strict: bool) -> bool:
        """Tell whether a layer's message may be dispatched; if not, log its type once.

        Args:
            consumer: the object whose method would handle the message.
            message: the layer's message.
            strict: let unknown and malformed types pass, for `dispatch()` to raise ValueError as Channels does.
        """
        try:
            name = handler_name(message)
        except ValueError as error:
            if not strict:
                log_once(type(consumer), str(error)[:200])
            return strict
        if name in self.reserved:
            if name in _closed(type(consumer)):
                why = "the handler of a model, which no message as a dict reaches: use group_send_message()"
            else:
                why = "a method of the framework, which no message reaches: choose another"
            log_once(type(consumer), f"type {name!r} names {why}")
            return False
        handler = self.find(consumer, name)
        if handler is not None and (strict or _takes_an_event(handler)):
            return True
        if handler is not None:
            log_once(
                type(consumer),
                f"type {name!r} names what cannot be called with one event, as `{name}(self, event)` can",
            )
            return False
        if name in OPTIONAL:
            return False
        if not strict:
            short = name[:80]
            instead = ", or set raw_frames = True" if name == "websocket_send" else ""
            for other in get_close_matches(short, self.handlers, 1, 0.85):
                instead = f", or did you mean {other!r}?"
            log_once(type(consumer), f"no handler for type {short!r}: define `{short}(self, event)`{instead}")
        return strict


_tables: WeakKeyDictionary[type, DispatchTable] = WeakKeyDictionary()


def table_of(consumer_class: type) -> DispatchTable:
    """Return the table of a class, made the first time."""
    table = _tables.get(consumer_class)
    if table is None:
        table = _tables[consumer_class] = DispatchTable(consumer_class)
    return table


class Dispatcher:
    """Calls what handles each of one consumer's messages.

    Args:
        consumer: the consumer.
        frames: what sends raw frames, if the class passes them on.
        observer: the connection's, if it has one.
    """

    __slots__ = ("_consumer", "_direct", "_frames", "_gives_text", "_observer", "_table", "_target")

    def __init__(self, consumer: Any, frames: Frames | None, observer: ConnectionObserver | None) -> None:
        self._consumer = consumer
        self._frames = frames
        self._observer = observer
        self._target: Dispatches = consumer if observer is None else ObservedConsumer(consumer, observer)
        self._table = table_of(type(consumer))
        # What is called without `dispatch()`, and without `websocket_receive()`, which would only pass a message on.
        self._direct = NO_HANDLERS
        self._gives_text: bool | None = False  # None: to be seen at the first text, before which it may be replaced

    def release(self) -> None:
        """Let go of the consumer; what refers to this may live on."""
        del self._consumer, self._target

    def connected(self) -> None:
        """Note that `connect()` has returned, which may have replaced `dispatch()` on the instance."""
        if self._observer is None and self._table.passes_on(self._consumer, "dispatch"):
            self._direct = self._table.direct
            self._gives_text = None

    @property
    def has_raw_frames(self) -> bool:
        """Whether raw frames are passed on."""
        return self._frames is not None

    def dispatch(self, message: Message) -> Awaitable[None]:
        """Have the consumer handle a message of the connection's own, which tells of its end."""
        return self._target.dispatch(message)

    def call(self, message: Message, is_clients: bool) -> Awaitable[None] | None:
        """Call what handles a message; return what it returned, to be awaited at once. None: there is no handler.

        Args:
            message: the message.
            is_clients: whether it came from the client, rather than from the layer.

        Raises:
            TypeError: what was called is a plain function.
        """
        consumer: Any = self._consumer
        handling: Awaitable[None] | None
        kind = message.get("type")
        if is_clients:
            if self._gives_text is None:
                self._gives_text = self._table.gives_text(consumer)
            if self._gives_text and kind == "websocket.receive" and (text := message.get("text")) is not None:
                handling = consumer.receive(text_data=text)
                return self._refuse_plain("receive") if handling is None else handling
        elif type(kind) is str and (name := self._direct[kind]) is not None:
            handling = getattr(consumer, name)(message)
            return self._refuse_plain(name) if handling is None else handling
        elif self._frames is not None and kind == FRAME:
            return self._frames.send(message, consumer)
        elif not self._may_dispatch(message):
            if self._observer is not None and not _is_optional(message):
                self._observer.dropped("no_handler")
            return None
        handling = self._target.dispatch(message)
        return self._refuse_plain("dispatch") if handling is None else handling

    def _may_dispatch(self, message: Message) -> bool:
        """Tell whether a layer's message may be dispatched; if not, log its type once."""
        kind, consumer = message.get("type"), self._consumer
        if type(kind) is str and self._table.names[kind] is not None:
            return True
        return self._table.accepts(consumer, message, consumer.strict_types)

    def _refuse_plain(self, name: str) -> NoReturn:
        """Refuse a method that has returned None instead of something to await: it is a plain `def`."""
        raise TypeError(f"{type(self._consumer).__name__}.{name}() must be `async def`: this is an async consumer")


def _is_optional(message: Message) -> bool:
    """Tell what a layer sends to all consumers: who has no handler for it misses nothing."""
    try:
        return handler_name(message) in OPTIONAL
    except ValueError:
        return False


def _is_frameworks(consumer_class: type, name: str) -> bool:
    """Tell whether a class has a method, and has it from the framework."""
    found = definers(consumer_class, name)
    return bool(found) and is_framework(found[0])


def _reserved_names(consumer_class: type) -> frozenset[str]:
    """Return the names that the framework's own classes among `consumer_class`'s bases define, and the server's.

    With those in its `_closed_to_layers`. Those in its `_open_to_layers` are left out. So are the attributes of the
    request: they are no methods, and an application may have handlers of these names. It may have one of a name of
    `GroupMethods`, too.
    """
    own = [base for base in consumer_class.__mro__ if is_framework(base)]
    defined = {
        name
        for base in own
        for name in (*vars(base), *inspect.get_annotations(base))
        if not isinstance(vars(base).get(name), OfRequest)
    }
    opened: frozenset[str] = getattr(consumer_class, "_open_to_layers", frozenset())
    handled = {name for name in GROUP_METHODS if _has_own_handler(consumer_class, name)}
    return frozenset((defined | OF_THE_SERVER) - opened - handled) | _closed(consumer_class)


def _closed(consumer_class: type) -> frozenset[str]:
    """Return the names of an application's methods that no message of a layer may reach."""
    closed: frozenset[str] = getattr(consumer_class, "_closed_to_layers", frozenset())
    return closed


def _has_own_handler(consumer_class: type, name: str) -> bool:
    """Tell whether an application has a handler of this name, rather than a way of its own to join a group, say."""
    if _is_frameworks(consumer_class, name):
        return False
    try:
        parameters = list(inspect.signature(getattr(consumer_class, name)).parameters)
    except (TypeError, ValueError):  # it cannot be called, or has no signature
        return False
    return "group" not in parameters[:2]


def _callable(attribute: Any) -> Callable[..., Any] | None:
    return attribute if callable(attribute) and not issubclass(type(attribute), type) else None


def _is_method(attribute: Any) -> bool:
    """Tell what becomes a method when it is looked up from what runs code of its own then, such as a property."""
    # By type(), as a proxy may run code to tell its `__class__`.
    while issubclass(kind := type(attribute), _AROUND_FUNCTIONS):
        attribute = attribute.__func__ if issubclass(kind, staticmethod | classmethod) else attribute.func
    return callable(attribute) and not issubclass(kind, type) and not hasattr(kind, "__set__")


def _is_async_function(attribute: Any) -> bool:
    return type(attribute) is FunctionType and inspect.iscoroutinefunction(attribute)


def _is_handler(attribute: Any, consumer_class: type) -> bool:
    """Tell whether a function takes one event. Other descriptors may need an instance: `accepts()` asks them."""
    kind = type(attribute)
    if kind in (staticmethod, classmethod):
        function = attribute.__func__
    else:
        function = attribute.func if kind is partialmethod else attribute
    return type(function) is FunctionType and _takes_an_event(attribute.__get__(object(), consumer_class))


def _takes_an_event(handler: Callable[..., Any]) -> bool:
    """Tell a handler from an application's other methods, which a client's choice must not call."""
    try:
        inspect.signature(handler, follow_wrapped=False).bind(None)
    except TypeError:
        return False
    except ValueError:  # it has no signature
        return True
    return True
