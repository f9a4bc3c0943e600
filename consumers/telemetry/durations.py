"""How long handlers and operations take: what is awaited, or called, is timed, and what it raises is named."""

import functools
import logging
from collections.abc import Callable
from time import perf_counter
from types import MethodType
from typing import Any, Protocol

from .._connection.failures import as_disconnect, without_cancellations
from ..exceptions import AcceptConnection, DenyConnection, StopConsumer
from . import table

logger = logging.getLogger("consumers.telemetry")

Attributes = dict[str, str]

ANSWERS = (StopConsumer, AcceptConnection, DenyConnection)
"""What is raised and is no error."""

CANCELLATIONS = frozenset({"CancelledError", "Cancelled", "GeneratorExit"})


class HasRecord(Protocol):
    """OpenTelemetry's histogram."""

    def record(self, amount: float, attributes: Any = None) -> None: ...


class Durations:
    """Records how long something took; a meter that fails is logged once, and harms nobody.

    Args:
        histogram: what the seconds are recorded with.
    """

    def __init__(self, histogram: HasRecord) -> None:
        self._record = histogram.record
        self._has_failed = False

    def record(self, began: float, attributes: Attributes, error: BaseException | None = None) -> None:
        """Record the time since `began`, a `perf_counter()`, and what was raised."""
        seconds = perf_counter() - began
        try:
            if error is not None and (kind := error_type(error)):
                attributes = {**attributes, table.ERROR_TYPE: kind}
            self._record(seconds, attributes)
        except Exception:
            if not self._has_failed:
                self._has_failed = True
                logger.exception("OpenTelemetry could not record a duration; no more such failures are logged")

    def timed(self, owner: object, name: str, attributes: Attributes | Callable[..., Attributes]) -> Callable[..., Any]:
        """Return a method that does as an object's asynchronous one, and records its time.

        Args:
            owner: the object.
            name: the method's name; it is async, or returns what is to be awaited.
            attributes: the attributes of every call, or what returns those of a call with these arguments.
        """
        function = getattr(owner, name)

        async def call(_owner: object, *args: Any, **kwargs: Any) -> Any:
            found = attributes(*args) if callable(attributes) else attributes
            began = perf_counter()
            try:
                result = await function(*args, **kwargs)
            except BaseException as error:
                self.record(began, found, error)
                raise
            self.record(began, found)
            return result

        return _as_method(owner, function, call)

    def timed_sync(self, owner: object, name: str, attributes: Attributes) -> Callable[..., Any]:
        """Return a method that does as an object's plain one, and records its time; see `timed()`."""
        function = getattr(owner, name)

        def call(_owner: object, *args: Any, **kwargs: Any) -> Any:
            began = perf_counter()
            try:
                result = function(*args, **kwargs)
            except BaseException as error:
                self.record(began, attributes, error)
                raise
            self.record(began, attributes)
            return result

        return _as_method(owner, function, call)


def is_timed(function: object) -> bool:
    """Tell whether a method is one of those that `Durations` returns."""
    return getattr(function, "consumers_telemetry", False) is True


def _as_method(owner: object, function: Callable[..., Any], call: Callable[..., Any]) -> Callable[..., Any]:
    functools.update_wrapper(call, function)
    vars(call)["consumers_telemetry"] = True
    del call.__wrapped__  # type: ignore[attr-defined]  # which has one argument less: it is bound
    return MethodType(call, owner)


def error_type(error: BaseException) -> str | None:
    """Return what an exception is called in measurements; None if it is no error."""
    if isinstance(error, BaseExceptionGroup):
        try:
            error = without_cancellations(error)
        except BaseException:  # nothing else is in it
            return table.CANCELLED
    if isinstance(error, ANSWERS) or as_disconnect(error) is not None:
        return None
    name = type(error).__name__
    return table.CANCELLED if name in CANCELLATIONS and not isinstance(error, Exception) else name
