"""What a connection's ending says in the log."""

import logging

from .types import Scope

logger = logging.getLogger("consumers.connection")


class Journal:
    """Names a connection for the log, and says there how it ended.

    Args:
        consumer_class: its consumer's class.
        scope: its ASGI scope.
    """

    __slots__ = ("_consumer_class", "_scope")

    def __init__(self, consumer_class: type, scope: Scope) -> None:
        self._consumer_class = consumer_class
        self._scope = scope

    def __str__(self) -> str:
        """Return the consumer, the path and the client.

        What the client has chosen is cut, and as its repr, which keeps line breaks out of the log. Behind a proxy its
        address may be of its choice too.
        """
        client = self._scope.get("client")
        address = f" from {repr(str(client[0]))[1:-1]:.60}:{client[1]}" if client else ""
        place = self._scope.get("path") or self._scope.get("channel", "")
        return f"{self._consumer_class.__name__} at {place!r:.200}{address}"

    def limit_hit(self, code: int, limit: str) -> None:
        logger.warning("%s is closed with %d: %s", self, code, limit)

    def refused(self, code: int, reason: str) -> None:
        # %r: the application may quote the client in its reason, line breaks and all.
        logger.warning("%s is closed with %d: %.200r", self, code, reason)

    def handlers_still_run(self, seconds: float) -> None:
        logger.error("%s: handlers still run %s s after they were cancelled", self, seconds)

    def clean_up_was_cut(self, seconds: float, disconnecting: bool) -> None:
        if disconnecting:
            logger.error("%s: disconnect() was cut short: cleanup_timeout (%s s) was over", self, seconds)
        else:
            why = "a handler still blocks its thread after cleanup_timeout"
            logger.error("%s: disconnect() was skipped: %s (%s s)", self, why, seconds)

    def left_unanswered(self) -> None:
        logger.warning("%s: the client left; connect() had not called accept(), close() or deny()", self)

    def dropped(self, code: int, cancelled: int, waiting: int) -> None:
        # A client that leaves before an HTTP response is complete is an everyday event.
        level = logging.DEBUG if self._scope["type"] == "http" else logging.WARNING
        text = "%s ended with %d: handlers cancelled: %d, waiting messages dropped: %d"
        logger.log(level, text, self, code, cancelled, waiting)
