"""The client of a `BaseWSEndpoint` that is measured."""

import functools
from collections.abc import Callable
from typing import Any, ClassVar, cast

from .._connection.client import ClientWebSocket
from .._connection.enforce import Enforcer
from .._connection.sender import Owner
from ..limits import Limits
from ..types import CloseCode, Message, Receive, Scope, Send
from . import table
from .connection import close_code, counting_send, is_data
from .counters import Counters, Counts
from .durations import Durations

TIMED = ("on_connect", "_background_handler", "on_disconnect")

MESSAGE_LIMITS = frozenset({CloseCode.POLICY_VIOLATION, CloseCode.MESSAGE_TOO_BIG})
"""The close codes of limits that one message goes beyond."""


class ObservedClient(ClientWebSocket):
    """Counts one connection of an endpoint and its messages, and times the endpoint's methods.

    Attributes:
        counters: what it is counted in.
        durations: what the methods' times are recorded with.
    """

    counters: ClassVar[Counters]
    durations: ClassVar[Durations]

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        limits: Limits,
        enforcer: Enforcer | None,
        owner: Owner,
        close_timeout: float,
    ) -> None:
        self._counts = counts = self.counters.counts_for(type(limits), scope)
        self._endpoint = cast(Any, limits)  # an endpoint is its own limits
        self._is_accepted = False

        self._endpoints_owner = owner
        super().__init__(scope, receive, counting_send(send, counts), limits, enforcer, self, close_timeout)
        for name in TIMED:
            attributes = {table.CONSUMER: type(limits).__name__, table.HANDLER: name}
            vars(limits)[name] = self.durations.timed(limits, name, attributes)
        vars(limits)["on_disconnect"] = self._last(self._endpoint.on_disconnect, counts)
        self.counters.opened(counts)

    def _on_sender_change(self, close_code: int | None) -> None:
        self._is_accepted = self._is_accepted or close_code is None
        self._endpoints_owner._on_sender_change(close_code)

    async def receive(self) -> Message:
        """Return the client's next event; one beyond a limit ends the connection."""
        message = await super().receive()
        if is_data(message):
            self._counts.received[table.CLIENT] += 1
            ending = self._endpoint._ending
            if ending is not None:  # it is not handled then
                self._counts.drop(table.LIMIT if ending[0] in MESSAGE_LIMITS else table.ENDING)
        return message

    def _last(self, on_disconnect: Callable[..., Any], counts: Counts) -> Callable[..., Any]:
        """Return `on_disconnect()`, the last that an endpoint does, as one that counts the connection as closed."""

        @functools.wraps(on_disconnect)
        async def on_last(websocket: Any, code: int) -> None:
            try:
                await on_disconnect(websocket, code)
            finally:
                self.counters.closed(counts, close_code(self._sender, self._is_accepted, code))

        return on_last
