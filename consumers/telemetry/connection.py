"""One connection's measurements."""

from collections.abc import Callable
from functools import partial
from time import perf_counter
from weakref import WeakKeyDictionary

from ..types import DropReason, Ends, MessageSource, Scope
from . import semconv
from .counters import Counters
from .durations import Attributes, Durations


class ConnectionMeter:
    """Counts one connection and its messages, and times its handlers: a `ConnectionObserver`.

    Args:
        owner: the consumer's or the endpoint's class.
        scope: the connection's.
        counters: what it is counted in.
        durations: what its handlers' times are recorded with.
    """

    __slots__ = ("_counters", "_counts", "_durations", "_handlers", "_other", "_owner", "waiting")

    waiting: Callable[[], int]

    def __init__(self, owner: type, scope: Scope, counters: Counters, durations: Durations) -> None:
        self._owner = owner
        self._counters = counters
        self._counts = counters.counts_for(owner, scope)
        self._durations = durations
        self._handlers, self._other = _attributes_of(owner)

    def opened(self, waiting: Callable[[], int]) -> None:
        self.waiting = waiting
        self._counters.opened(self._counts, self)

    def closed(self, code: int | None, is_rejected: bool = False) -> None:
        label = ""
        if code is not None:
            label = semconv.REJECTED if is_rejected else semconv.close_label(code, self._counters.told_apart)
        self._counters.closed(self._counts, label, self)

    def received(self, source: MessageSource) -> None:
        self._counts.received[source] += 1

    def sent(self) -> None:
        self._counts.sent += 1

    def dropped(self, reason: DropReason, count: int = 1) -> None:
        self._counts.dropped[reason] += count

    def begins(self, name: str | None) -> Ends:
        attributes = self._handlers.get(name)
        if attributes is None:
            attributes = self._other
            if name is not None and _has_method(self._owner, name):
                attributes = self._handlers[name] = {**self._other, semconv.HANDLER: name}
        return partial(self._durations.record, attributes, perf_counter())


_known: WeakKeyDictionary[type, tuple[dict[str | None, Attributes], Attributes]] = WeakKeyDictionary()


def _attributes_of(owner: type) -> tuple[dict[str | None, Attributes], Attributes]:
    """Return what names the handlers of a class, as far as they are known, and what does for all else."""
    found = _known.get(owner)
    if found is None:
        found = _known[owner] = {}, {semconv.CONSUMER: owner.__name__, semconv.HANDLER: semconv.OTHER}
    return found


def _has_method(owner: type, name: str) -> bool:
    """Tell whether a class has a method; a client may have chosen the name, so only these are told apart."""
    return callable(next((vars(base)[name] for base in owner.__mro__ if name in vars(base)), None))
