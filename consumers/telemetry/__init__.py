"""Counters and gauges through OpenTelemetry's API: `pip install 'starlette-consumers[opentelemetry]'`.

Nothing here is at work, or even imported, until `instrument()` is called.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentelemetry.metrics import MeterProvider

__all__ = ["instrument", "uninstrument"]

_active: Any = None


def instrument(meter_provider: "MeterProvider | None" = None, close_codes: "Iterable[int]" = ()) -> None:
    """Measure every connection that begins from now on, and every channel layer that is in use.

    docs/reference/metrics.md has the table of what is measured. Call it once, when the application starts. A second
    call with the same arguments does nothing.

    Args:
        meter_provider: whose meter to use. None: OpenTelemetry's global one, which may be set later.
        close_codes: close codes of 3000 to 4999 that are told apart (none). All others are "3xxx" or "4xxx", as clients
            choose them, too.

    Raises:
        ImportError: `opentelemetry-api` is not installed.
        RuntimeError: `instrument()` has been called with other arguments before.
        TypeError, ValueError: a close code is no int, or not of 3000 to 4999.
    """
    global _active
    try:
        from .instrumentor import Instrumentor
    except ImportError as error:
        if (error.name or "").partition(".")[0] != "opentelemetry":
            raise
        raise ImportError(
            f"consumers.telemetry needs opentelemetry-api ({error}): pip install 'starlette-consumers[opentelemetry]'",
            name=error.name,
        ) from error
    instrumentor = Instrumentor(meter_provider, close_codes)
    if _active is None:
        instrumentor.turn_on()
        _active = instrumentor
    elif _active != instrumentor:
        raise RuntimeError("instrument() was called before with other arguments: call uninstrument() first")


def uninstrument() -> None:
    """Measure no new connection and no layer any more; harmless if nothing is measured.

    Connections that are measured go on being so until they end, so that those that are open are counted down.
    """
    global _active
    if _active is not None:
        _active.turn_off()
        _active = None
