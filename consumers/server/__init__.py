"""`serve()` runs uvicorn with this library's settings. `drain()` sends clients away before a server ends.

`WebSocketProtocol` is for `uvicorn.run(app, ws="consumers.server:WebSocketProtocol")`.
"""

from typing import TYPE_CHECKING, Any

from .draining import drain as drain
from .serving import serve as serve

if TYPE_CHECKING:
    from .protocol import WebSocketProtocol as WebSocketProtocol

__all__ = ["WebSocketProtocol", "drain", "serve"]


def __getattr__(name: str) -> Any:
    """Import uvicorn's part when somebody asks for it: draining needs no uvicorn."""
    if name != "WebSocketProtocol":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from .protocol import WebSocketProtocol
    except ImportError as error:
        raise ImportError(
            "consumers.server.WebSocketProtocol needs uvicorn: pip install 'starlette-consumers[server]'"
        ) from error
    return WebSocketProtocol
