"""The chat in `ported_chat`, which imports Channels, as a part of the example's application."""

from starlette.responses import PlainTextResponse

import compat
from consumers.types import ASGIApp


def load() -> ASGIApp:
    """Return the chat's application; where Channels itself is installed, one that answers with what to do."""
    try:
        compat.install()
    except RuntimeError as error:
        return PlainTextResponse(f"The ported chat cannot run here.\n{error}.\n", 503)
    from .ported_chat.asgi import application

    ported: ASGIApp = application
    return ported


application = load()
