"""How long handlers and operations take, and what the errors that they raise are called."""

import logging
from time import perf_counter
from typing import Any, Protocol

from .._connection.failures import as_disconnect, without_cancellations
from ..exceptions import AcceptConnection, DenyConnection, StopConsumer
from . import semconv

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

    def record(self, attributes: Attributes, began: float, error: BaseException | None) -> None:
        """Record the time since `began`, a `perf_counter()`, and what was raised."""
        seconds = perf_counter() - began
        try:
            if error is not None and (kind := error_type(error)):
                attributes = {**attributes, semconv.ERROR_TYPE: kind}
            self._record(seconds, attributes)
        except Exception:
            if not self._has_failed:
                self._has_failed = True
                logger.exception("OpenTelemetry could not record a duration; no more such failures are logged")


def error_type(error: BaseException) -> str | None:
    """Return what an exception is called in measurements; None if it is no error."""
    if isinstance(error, BaseExceptionGroup):
        try:
            error = without_cancellations(error)
        except BaseException:  # nothing else is in it
            return semconv.CANCELLED
    if isinstance(error, ANSWERS) or as_disconnect(error) is not None:
        return None
    name = type(error).__name__
    return semconv.CANCELLED if name in CANCELLATIONS and not isinstance(error, Exception) else name
