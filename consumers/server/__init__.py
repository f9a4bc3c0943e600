"""`serve()` runs uvicorn with this library's settings. `drain()` sends clients away before a server ends.

`WebSocketProtocol` is for `uvicorn.run(app, ws=WebSocketProtocol)`, `GunicornWorker` for
`gunicorn -k consumers.server.GunicornWorker`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .draining import drain as drain
from .serving import serve as serve

if TYPE_CHECKING:
    from .gunicorn import GunicornWorker as GunicornWorker
    from .protocol import WebSocketProtocol as WebSocketProtocol

__all__ = ["GunicornWorker", "WebSocketProtocol", "drain", "serve"]

_NEEDS = {
    "WebSocketProtocol": ("protocol", "uvicorn: pip install 'starlette-consumers[server]'"),
    "GunicornWorker": ("gunicorn", "gunicorn: pip install 'starlette-consumers[server]' gunicorn uvicorn-worker"),
}
"""What is imported when somebody asks for it, as draining needs no uvicorn: its module, and what that needs."""


def __getattr__(name: str) -> Any:
    if name not in _NEEDS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, needed = _NEEDS[name]
    try:
        return getattr(import_module(f".{module}", __name__), name)
    except ImportError as error:
        raise ImportError(f"consumers.server.{name} needs {needed}") from error
