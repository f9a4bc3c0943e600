"""A worker class for gunicorn: `gunicorn -k consumers.server.GunicornWorker main:app`."""

from uvicorn_worker import UvicornWorker

from .protocol import WebSocketProtocol
from .settings import SETTINGS


class GunicornWorker(UvicornWorker):  # type: ignore[misc]
    """uvicorn's worker, with `WebSocketProtocol` and the settings for WebSockets that `serve()` has.

    It needs the packages `gunicorn` and `uvicorn-worker`. It does not drain: see docs/howto/deployment.md.
    """

    CONFIG_KWARGS = {
        **UvicornWorker.CONFIG_KWARGS,
        **{name: value for name, value in SETTINGS.items() if name.startswith("ws_")},
        "ws": WebSocketProtocol,
    }
