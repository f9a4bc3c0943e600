"""Which method a layer's message may reach.

Applications pass client data on to groups, so a message's type may be chosen by a client. It must not reach
`close`, `websocket_disconnect` or any other method that the framework calls itself, whether the application
overrides that method or not.
"""

import inspect
import logging
from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary

from .events import handler_name

logger = logging.getLogger("consumers.connection")

FRAMEWORK_PACKAGES = frozenset({"consumers", "compat"})

# {"type": "send.json", ...} sent to a group reaches every client as it is: a common idiom in Channels projects.
REACHABLE_IN_FRAMEWORK = frozenset({"send_json"})

MAX_LOGGED_TYPES = 100

_reserved: WeakKeyDictionary[type, frozenset[str]] = WeakKeyDictionary()
_logged: WeakKeyDictionary[type, set[str]] = WeakKeyDictionary()


def reserved_names(consumer_class: type) -> frozenset[str]:
    """Return the names that the framework's own classes among `consumer_class`'s bases define."""
    names = _reserved.get(consumer_class)
    if names is None:
        own = [base for base in consumer_class.__mro__ if base.__module__.partition(".")[0] in FRAMEWORK_PACKAGES]
        defined = {name for base in own for name in (*vars(base), *inspect.get_annotations(base))}
        names = _reserved[consumer_class] = frozenset(defined - REACHABLE_IN_FRAMEWORK)
    return names


def accepts(consumer: object, message: Mapping[str, Any], strict: bool) -> bool:
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
            _log_once(type(consumer), repr(message.get("type", "(none)"))[:80], str(error)[:200])
        return strict
    if name in reserved_names(type(consumer)):
        _log_once(type(consumer), repr(name), "it names a method of the framework")
        return False
    if not strict and not callable(getattr(consumer, name, None)):
        _log_once(type(consumer), repr(name[:80]), f"define `{name[:80]}(self, event)` to handle it")
        return False
    return True


def _log_once(consumer_class: type, kind: str, why: str) -> None:
    logged = _logged.setdefault(consumer_class, set())
    if kind in logged or len(logged) > MAX_LOGGED_TYPES:
        return
    logged.add(kind)
    more = " (further types are not logged)" if len(logged) > MAX_LOGGED_TYPES else ""
    # The type may come from a client: its repr() keeps line breaks out of the log.
    logger.warning("%s dropped a layer message of type %s: %s%s", consumer_class.__name__, kind, why, more)
