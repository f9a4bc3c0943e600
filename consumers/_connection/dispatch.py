"""Which method a layer's message may reach.

Applications pass client data on to groups, so a message's type may be chosen by a client. It must not reach
`close`, `websocket_disconnect` or any other method that the framework calls itself, whether the application
overrides that method or not.
"""

import inspect
import logging
from collections.abc import Callable, Mapping
from functools import partialmethod, singledispatchmethod
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from .._checks.classes import takes
from ..types import handler_name
from .request import OfRequest

logger = logging.getLogger("consumers.connection")

Dispatch = TypeVar("Dispatch", bound=Callable[..., Any])

FRAMEWORK_PACKAGES = frozenset({"consumers", "compat"})

# What only the server sends: not even a consumer that derives from the base alone, and so defines them, means others.
OF_THE_SERVER = frozenset(
    {"websocket_connect", "websocket_receive", "websocket_disconnect", "http_request", "http_disconnect"}
)

# What a layer tells every consumer, for those that want to know. `close_group()` ends a consumer in another way.
OPTIONAL = frozenset({"layer_gap", "consumers_close"})

_AROUND_FUNCTIONS = (staticmethod, classmethod, partialmethod, singledispatchmethod)

MAX_LOGGED_TYPES = 100

MAX_KNOWN_TYPES = 1000
"""Types remembered for a class: of a handler's name with many underscores a client can send as many spellings."""


class Known:
    """What is to be called for the messages of a class, as far as it has been found out.

    Attributes:
        is_direct: whether `dispatch()` only looks the handler up, so that it can be left out.
        takes_frames: whether for a client's frame `dispatch()` would do no more than call `websocket_receive()`.
        types: for a layer's messages, by type: the handler's name, where the same is true of it, else "dispatch".
    """

    __slots__ = ("is_direct", "takes_frames", "types")

    def __init__(self, is_direct: bool, takes_frames: bool) -> None:
        self.is_direct = is_direct
        self.takes_frames = takes_frames
        self.types: dict[str, str] = {}


_look_ups: set[object] = set()
_passing_on: set[object] = set()
_directly: WeakKeyDictionary[type, Known] = WeakKeyDictionary()
_by_dispatch: WeakKeyDictionary[type, Known] = WeakKeyDictionary()
_reserved: WeakKeyDictionary[type, frozenset[str]] = WeakKeyDictionary()
_methods: WeakKeyDictionary[type, set[str]] = WeakKeyDictionary()
_logged: WeakKeyDictionary[type, set[str]] = WeakKeyDictionary()


def is_framework(consumer_class: type) -> bool:
    """Tell whether a class is the framework's own."""
    return consumer_class.__module__.partition(".")[0] in FRAMEWORK_PACKAGES


def reserved_names(consumer_class: type) -> frozenset[str]:
    """Return the names that the framework's own classes among `consumer_class`'s bases define, and the server's.

    Those in its `_open_to_layers` are left out. So are the attributes of the request: they are no methods, and an
    application may have handlers of these names.
    """
    names = _reserved.get(consumer_class)
    if names is None:
        own = [base for base in consumer_class.__mro__ if is_framework(base)]
        defined = {
            name
            for base in own
            for name in (*vars(base), *inspect.get_annotations(base))
            if not isinstance(vars(base).get(name), OfRequest)
        }
        opened: frozenset[str] = getattr(consumer_class, "_open_to_layers", frozenset())
        names = _reserved[consumer_class] = frozenset((defined | OF_THE_SERVER) - opened)
    return names


def looks_up(dispatch: Dispatch) -> Dispatch:
    """Mark a class's `dispatch()` that only calls the handler: where nobody overrides it, the handler can be called."""
    _look_ups.add(dispatch)
    return dispatch


def passes_on(websocket_receive: Dispatch) -> Dispatch:
    """Mark a class's `websocket_receive()` that passes the data of a frame on to `receive()`, as `looks_up` does."""
    _passing_on.add(websocket_receive)
    return websocket_receive


def takes_text(consumer: Any) -> bool:
    """Tell whether for a text frame `websocket_receive()` would do no more than call `receive(text_data=text)`."""
    if getattr(consumer.websocket_receive, "__func__", None) not in _passing_on:
        return False
    return inspect.iscoroutinefunction(consumer.receive) and "text_data" in takes(type(consumer).receive)


def known(consumer: Any) -> Known:
    """Return what is known of a consumer's class; `accepts()` adds to it."""
    is_direct = getattr(consumer.dispatch, "__func__", None) in _look_ups
    of_classes = _directly if is_direct else _by_dispatch
    found = of_classes.get(type(consumer))
    if found is None:
        takes_frames = is_direct and _is_async(consumer, "websocket_receive")
        found = of_classes[type(consumer)] = Known(is_direct, takes_frames)
    return found


def _is_async(consumer: Any, name: str) -> bool:
    """Tell whether a method needs none of the checks of `dispatch()`."""
    method = getattr(consumer, name, None)
    return inspect.iscoroutinefunction(method) or getattr(method, "__module__", "").startswith("consumers.")


def _remember(consumer: Any, kind: str, name: str) -> None:
    found = known(consumer)
    if len(found.types) < MAX_KNOWN_TYPES:
        found.types[kind] = name if found.is_direct and _is_async(consumer, name) else "dispatch"


def find(consumer: Any, name: str) -> Callable[..., Any] | None:
    """Return a consumer's handler, None if it has none of this name.

    A client may choose the name. So nothing of the application's runs for the look-up: no property, no
    `__getattr__()`, no class that would be made an instance of.
    """
    if name in OF_THE_SERVER or name in _methods.get(type(consumer), ()):  # the server chooses no other names
        return _callable(getattr(consumer, name, None))
    for base in type(consumer).__mro__:
        if name in vars(base):
            attribute = vars(base)[name]
            if _is_method(attribute):
                _methods.setdefault(type(consumer), set()).add(name)
                return _callable(getattr(consumer, name))
            if hasattr(type(attribute), "__get__"):
                return None  # nor is what a cached property has kept
            break
    return _callable(vars(consumer).get(name))


def _callable(attribute: Any) -> Callable[..., Any] | None:
    return attribute if callable(attribute) and not issubclass(type(attribute), type) else None


def _is_method(attribute: Any) -> bool:
    """Tell what becomes a method when it is looked up from what runs code of its own then, such as a property."""
    # By type(), as a proxy may run code to tell its `__class__`.
    while issubclass(kind := type(attribute), _AROUND_FUNCTIONS):
        attribute = attribute.__func__ if issubclass(kind, staticmethod | classmethod) else attribute.func
    return callable(attribute) and not issubclass(kind, type) and not hasattr(kind, "__set__")


def accepts(consumer: Any, message: Mapping[str, Any], strict: bool) -> bool:
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
    if name in reserved_names(type(consumer)):
        log_once(
            type(consumer), f"type {name!r} names a method of the framework, which no message reaches: choose another"
        )
        return False
    handler = find(consumer, name)
    if handler is not None and (strict or _takes_an_event(handler)):
        if name not in vars(consumer):
            _remember(consumer, message["type"], name)
        return True
    if handler is not None:
        log_once(
            type(consumer), f"type {name!r} names what cannot be called with one event, as `{name}(self, event)` can"
        )
        return False
    if name in OPTIONAL:
        return False
    if not strict:
        instead = ", or set raw_frames = True" if name == "websocket_send" else ""
        log_once(type(consumer), f"no handler for type {name[:80]!r}: define `{name[:80]}(self, event)`{instead}")
        return False
    return True


def _takes_an_event(handler: Callable[..., Any]) -> bool:
    """Tell a handler from an application's other methods, which a client's choice must not call."""
    try:
        inspect.signature(handler, follow_wrapped=False).bind(None)
    except TypeError:
        return False
    except ValueError:  # it has no signature
        return True
    return True


def log_once(consumer_class: type, why: str) -> None:
    """Log why a layer's message was dropped: a warning the first time for a class and reason, then at level DEBUG."""
    # What a client has chosen is in `why` as its repr(), which keeps line breaks out of the log.
    logged = _logged.setdefault(consumer_class, set())
    is_known = why in logged or len(logged) > MAX_LOGGED_TYPES
    more = ""
    if not is_known:
        logged.add(why)
        more = " (more types are logged at level DEBUG only)" if len(logged) > MAX_LOGGED_TYPES else ""
    level = logging.DEBUG if is_known else logging.WARNING
    logger.log(level, "%s dropped a layer message: %s%s", consumer_class.__name__, why, more)
