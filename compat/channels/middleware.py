"""The base of Channels' middleware."""

from typing import Any

from consumers.types import ASGIApp, Receive, Scope, Send


class BaseMiddleware:
    """ASGI middleware that calls the application inside it with a copy of the scope.

    One instance serves all connections: what belongs to one of them goes into its scope.

    Args:
        inner: the ASGI application.
    """

    def __init__(self, inner: ASGIApp) -> None:
        self.inner = inner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> Any:
        """Override to change the scope, then call this."""
        return await self.inner(dict(scope), receive, send)
