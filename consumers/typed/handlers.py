"""`@on` and `@on_event`: which methods of a class handle messages, as their decorators have noted it."""

import inspect
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FrameType, FunctionType
from typing import Any, Literal, TypeVar, get_type_hints, overload

from pydantic import BaseModel

from .._checks.uncalled import MARK, is_marked
from .._connection.framework import is_framework
from ..limits import check_value

H = TypeVar("H", bound=Callable[..., Any])

_WORD = re.compile(r"[^\W\d]\w*")


@dataclass(frozen=True, slots=True)
class Mark:
    """What a decorator has noted.

    Attributes:
        source: whose messages the method handles.
        names: what the annotations mention of a function in which the class is defined.
        rate_limit: as of `on()`.
        rate_burst: as of `on()`.
    """

    source: Literal["client", "layer"]
    names: dict[str, Any]
    rate_limit: float | None = None
    rate_burst: int | None = None

    @property
    def decorator(self) -> str:
        """What the decorator is written as."""
        return "@on" if self.source == "client" else "@on_event"


@overload
def on(handler: H, /) -> H: ...
@overload
def on(*, rate_limit: float | None = None, rate_burst: int | None = None) -> Callable[[H], H]: ...
def on(handler: Any = None, /, *, rate_limit: float | None = None, rate_burst: int | None = None) -> Callable[..., Any]:
    """Mark a method as the handler of those messages of the client's whose model, or union of models, it takes.

    What it returns, one of the class' `sends`, is the answer. No message of a layer reaches it.

    Args:
        handler: the method.
        rate_limit: messages per second that the client may send it. Beyond it the client gets the error
            "rate_limited", and the method is not called. None: no limit.
        rate_burst: how many of them may come at once. None: as many as `rate_limit` allows in five seconds.

    Raises:
        TypeError: it is no method.
        ValueError: a limit cannot work.
    """
    check_value("@on: ", "rate_limit", rate_limit)
    check_value("@on: ", "rate_burst", rate_burst)
    if handler is None:
        return lambda method: _marked(method, "client", rate_limit, rate_burst)
    method: Callable[..., Any] = handler
    return _marked(method, "client", rate_limit, rate_burst)


def on_event(handler: H, /) -> H:
    """Mark a method as the handler of those models, sent to the consumer's groups, that it takes.

    It gets the model, and, as a second argument if it has one, the layer's event: `event["history"]`, say. Only
    `group_send_message()` sends such a model; no message of a client's reaches the method.

    Args:
        handler: the method.

    Raises:
        TypeError: it is no method.
    """
    return _marked(handler, "layer")


def _marked(
    handler: H,
    source: Literal["client", "layer"],
    rate_limit: float | None = None,
    rate_burst: int | None = None,
) -> H:
    if not isinstance(handler, FunctionType):
        raise TypeError(f"@on and @on_event are for a consumer's methods, not for {handler!r:.200}")
    if hasattr(handler, MARK):
        raise TypeError(f"{handler.__qualname__}() has a decorator of this kind already: write one")
    mark = Mark(source, _local_names(handler), rate_limit, rate_burst)
    setattr(handler, MARK, mark)
    return handler


def _local_names(handler: FunctionType) -> dict[str, Any]:
    """Return what a method's annotations, as text, mention of the functions that its class is defined in."""
    parts = handler.__qualname__.split(".")
    words = {word for text in handler.__annotations__.values() if isinstance(text, str) for word in _WORD.findall(text)}
    found: dict[str, Any] = {}
    if "<locals>" not in parts or not words:
        return found
    frame: FrameType | None = sys._getframe()
    while frame is not None and frame.f_globals.get("__name__") == __name__:
        frame = frame.f_back
    for _ in range(len(parts) - parts.count("<locals>") - 1):  # the class' body, and the functions around it
        if frame is None:
            break
        there = frame.f_locals
        found |= {word: there[word] for word in words - found.keys() if word in there}
        frame = frame.f_back
    return found


def marked_names(consumer_class: type) -> frozenset[str]:
    """Return the names that are, or in a base were, methods with a mark."""
    return frozenset(name for base in consumer_class.__mro__ for name, value in vars(base).items() if is_marked(value))


def marked_methods(consumer_class: type) -> Iterator[tuple[str, FunctionType, Mark]]:
    """Yield the methods of a class that handle messages. One that is None in a subclass is taken away.

    Raises:
        TypeError: a method without a mark is in the place of one that has it.
    """
    for name in sorted(marked_names(consumer_class)):
        method = inspect.getattr_static(consumer_class, name)
        mark = getattr(method, MARK, None)
        if mark is not None and isinstance(method, FunctionType):
            yield name, method, mark
        elif method is not None:
            raise TypeError(
                f"{consumer_class.__name__}.{name} replaces the handler of a base class: write @on, or @on_event, "
                f"above it too, or {name} = None to have none"
            )


def unmarked_methods(consumer_class: type) -> Iterator[tuple[str, str, type[BaseModel]]]:
    """Yield the name, the class's name and the model for each method of the application's that only takes one model."""
    own = [base for base in consumer_class.__mro__ if not is_framework(base)]
    for name, owner in {name: base for base in reversed(own) for name in vars(base)}.items():
        method = vars(owner)[name]
        if name.startswith("_") or type(method) is not FunctionType or hasattr(method, MARK):
            continue
        if method.__code__.co_argcount != 2 or name in marked_names(consumer_class):
            continue
        annotation = method.__annotations__.get(method.__code__.co_varnames[1])
        model = vars(sys.modules[owner.__module__]).get(annotation) if isinstance(annotation, str) else annotation
        if isinstance(model, type) and issubclass(model, BaseModel):
            yield name, owner.__name__, model


def hints_of(called: str, method: FunctionType, mark: Mark) -> dict[str, Any]:
    """Return what a method's parameters, and its result as "return", are annotated with.

    Raises:
        TypeError: a name in them stands for nothing.
    """
    try:
        return get_type_hints(method, localns=mark.names or None, include_extras=True)
    except NameError as error:
        raise TypeError(
            f"{called}: {error}: define or import it above the class, where the program sees it too, and not "
            "only under TYPE_CHECKING"
        ) from None
