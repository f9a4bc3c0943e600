"""Methods of a consumer that nothing calls: hooks that are misspelt, or those of another class.

A method may be the handler of a layer's message, or be called by the application. So one is suspected only if its name
is one slip away from a hook that the class has not overridden, or if it cannot be a handler, and if no code reads it.
"""

import inspect
from collections.abc import Collection, Iterator
from types import FunctionType

from .misspelt import is_read, is_typo

OF_ENDPOINTS = {
    "on_receive": "receive(self, text_data=None, bytes_data=None)",
    "on_disconnect": "disconnect(self, code)",
}
"""Methods of Starlette's endpoints, which have more arguments than a handler, and what to write in their place."""


OF_LAYERS = frozenset({"layer_gap", "presence_diff", "presence_state", "presence_count"})
"""The handlers of what layers send by themselves."""


MARK = "__consumers_mark__"
"""The attribute of a typed consumer's method that says what it handles. `functools.wraps()` copies it."""


def uncalled(consumer_class: type, framework: type, hooks: Collection[str]) -> Iterator[str]:
    """Yield, for each method that seems to wait for a call in vain, what to write.

    Args:
        consumer_class: the application's class.
        framework: the framework's class that it derives from.
        hooks: the names of the methods that the framework calls.
    """
    own = [base for base in consumer_class.__mro__ if base not in framework.__mro__]
    defined = {name: base for base in reversed(own) for name in vars(base)}
    missing = {hook for hook in hooks if hasattr(framework, hook) and hook not in defined}
    missing |= OF_LAYERS - defined.keys()
    for name, owner in defined.items():
        function = vars(owner)[name]
        if name.startswith("_") or type(function) is not FunctionType or hasattr(framework, name):
            continue
        called = f"{owner.__name__}.{name}()"
        text = None
        hook = next((hook for hook in sorted(missing) if is_typo(name, hook)), None)
        if hook is not None:
            text = f"{called} is never called: did you mean {hook}()?"
        elif name in OF_ENDPOINTS and _needed(function) > 2:
            text = f"{called} is never called, as this is no endpoint of Starlette's: write {OF_ENDPOINTS[name]}"
        elif name == "receive_json" and hasattr(framework, "sends"):
            text = f"{called} is never called: a typed consumer has a method with @on for each model that it takes"
        elif name == "receive_json" and {"receive", "websocket_receive"} <= missing:
            text = (
                f"{called} is never called: derive {owner.__name__} from {framework.__name__.replace('Web', 'JsonWeb')}"
            )
        if text is not None and not is_read(name, consumer_class):
            yield text


def unread(consumer_class: type, framework: type) -> Iterator[str]:
    """Yield, for each method with a mark that only a typed consumer reads, what to write; see `uncalled()`."""
    typed = [base for base in consumer_class.__mro__ if base.__module__ == "consumers.typed.consumer"]
    if framework in typed or not hasattr(framework, "receive"):
        return
    name = consumer_class.__name__
    kind = "TypedConsumer" if framework.__name__.startswith("Async") else "SyncTypedConsumer"
    instead = f"write {typed[0].__name__} as its first base" if typed else f"derive {name} from {kind}"
    for method in dir(consumer_class):
        if is_marked(inspect.getattr_static(consumer_class, method)):
            yield f"{name}.{method}() has @on or @on_event, which this class does not read: {instead}"


def is_marked(value: object) -> bool:
    """Tell whether a class attribute has a mark. None of its code runs: it may be a proxy, which has any attribute."""
    return inspect.getattr_static(value, MARK, None) is not None


def _needed(function: FunctionType) -> int:
    """Return how many arguments a method needs, itself included."""
    return function.__code__.co_argcount - len(function.__defaults__ or ())
