"""What FastAPI is given to answer an HTTP request with, where an endpoint is a consumer."""

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send


class Answer(Response):
    """The consumer itself.

    Args:
        application: what `as_asgi()` has returned.
    """

    def __init__(self, application: ASGIApp) -> None:
        super().__init__()
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._application(scope, receive, send)
