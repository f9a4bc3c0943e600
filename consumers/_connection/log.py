"""What a connection's ending says in the log, and where an exception came from beneath its traceback."""

import logging
from contextlib import suppress
from weakref import WeakKeyDictionary

from starlette.websockets import WebSocketDisconnect

from ..types import Message, Scope
from .close_codes import CloseException

logger = logging.getLogger("consumers.connection")

MAX_PATH_LENGTH = 200
MAX_ADDRESS_LENGTH = 100
MAX_CONTENT_LENGTH = 1000
"""Characters; what a client chooses must not fill the log."""

MAX_LOGGED_TYPES = 100

_logged: WeakKeyDictionary[type, set[str]] = WeakKeyDictionary()


class _Note(str):
    """A note that `ConnectionLog` wrote; an exception that is raised again and again has only the last."""

    __slots__ = ()


def _short(value: object, most: int = 200) -> str:
    try:
        text = repr(value)
    except Exception:
        text = f"<{type(value).__name__}, whose repr() fails>"
    return text if len(text) <= most else f"{text[:most]}…"


class ConnectionLog:
    """Names a connection for the log, and says there how it ended.

    Args:
        consumer_class: its consumer's class.
        scope: its ASGI scope.
        logger: where to write.
    """

    __slots__ = ("_consumer_class", "_logger", "_scope")

    def __init__(self, consumer_class: type, scope: Scope, logger: logging.Logger = logger) -> None:
        self._logger = logger
        self._consumer_class = consumer_class
        self._scope = scope

    def __str__(self) -> str:
        """Return the consumer, the path and the client."""
        return f"{self._consumer_class.__name__} {self._where()}"

    def _where(self) -> str:
        # A client chooses the path, and behind a proxy its address: repr() keeps line breaks out of the log.
        client = self._scope.get("client")
        address = f" from {repr(f'{client[0]}:{client[1]}')[1:-1][:MAX_ADDRESS_LENGTH]}" if client else ""
        place = self._scope.get("path") or self._scope.get("channel", "")
        return f"at {_short(place, MAX_PATH_LENGTH)}{address}"

    def annotate(self, error: BaseException, doing: str | Message | None, show_content: bool = False) -> None:
        """Note beneath an exception's traceback where it comes from; an older note of this kind is taken away.

        Args:
            error: the exception.
            doing: the message that was being handled, or the name of what was running; None if nobody knows.
            show_content: whether to write the message itself.
        """
        if isinstance(doing, dict):
            kind = doing.get("type")
            method = kind.replace(".", "_") if isinstance(kind, str) else "dispatch"
            what = f"message {_short(doing, MAX_CONTENT_LENGTH)}" if show_content else f"message type {_short(kind)}"
            text = f"{self._consumer_class.__name__}.{_short(method)[1:-1]}() {self._where()}, {what}"
        else:
            text = f"{self}, {doing}" if doing else str(self)
        with suppress(Exception):  # an exception's class may allow no attributes, or make up its own
            notes = getattr(error, "__notes__", None) or ()
            others = [note for note in notes if not isinstance(note, _Note)]
            if doing is None and len(others) < len(notes):  # which knows more
                return
            error.__notes__ = [*others, _Note(text)]

    def limit_hit(self, code: int, limit: str, cancelled: int = 0, waiting: int = 0) -> None:
        lost = f"; handlers cancelled: {cancelled}, waiting messages dropped: {waiting}" if cancelled or waiting else ""
        self._logger.warning("%s is closed with %d: %s%s", self, code, limit, lost)

    def closed_by_exception(self, error: CloseException, code: int) -> None:
        """Say that an exception closed the connection, and what with if that is not its own code.

        A `WebSocketDisconnect` with a code that may be sent is the application's wish, and no warning.
        """
        level = logging.INFO if isinstance(error, WebSocketDisconnect) and error.code == code else logging.WARNING
        instead = "" if error.code == code else f" (in place of {error.code!r:.20}, which no close frame may carry)"
        # %r: the application may quote the client in its reason, line breaks and all.
        self._logger.log(level, "%s is closed with %d%s: %.200r", self, code, instead, error.reason)

    def closed_by_group(self, code: int, reason: str) -> None:
        logger.info("%s is closed with %d by close_group(): %.200r", self, code, reason)

    def handlers_still_run(self, seconds: float) -> None:
        self._logger.error("%s: handlers still run %s s after they were cancelled", self, seconds)

    def force_is_used(self, places: list[str]) -> None:
        more = f" and {len(places) - 1} more" if len(places) > 1 else ""
        ignore = "ignore their" if more else "ignores its"
        self._logger.error("%s: %s%s %s cancellation: asyncio's Task.cancel() follows", self, places[0], more, ignore)

    def clean_up_was_cut(self, seconds: float, disconnecting: bool) -> None:
        if disconnecting:
            self._logger.error("%s: disconnect() was cut short: cleanup_timeout (%s s) was over", self, seconds)
        else:
            why = "a handler still blocks its thread after cleanup_timeout"
            self._logger.error("%s: disconnect() was skipped: %s (%s s)", self, why, seconds)

    def undecided(self, seconds: float) -> None:
        text = "%s: connect() returned %g s ago, and the client still waits: call accept(), close() or deny()"
        self._logger.warning(text, self, seconds)

    def left_unanswered(self) -> None:
        self._logger.warning("%s: the client left; connect() had not called accept(), close() or deny()", self)

    def dropped(self, code: int, cancelled: int, waiting: int) -> None:
        # A client that leaves before an HTTP response is complete is an everyday event.
        level = logging.DEBUG if self._scope["type"] == "http" else logging.WARNING
        text = "%s ended with %d: handlers cancelled: %d, waiting messages dropped: %d"
        self._logger.log(level, text, self, code, cancelled, waiting)


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
