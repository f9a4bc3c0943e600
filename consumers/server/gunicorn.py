"""A worker class for gunicorn: `gunicorn -k consumers.server.GunicornWorker main:app`."""

from uvicorn_worker import UvicornWorker

from .protocol import WebSocketProtocol
from .settings import SETTINGS


class GunicornWorker(UvicornWorker):  # type: ignore[misc]
    """uvicorn's worker, with `WebSocketProtocol` and the settings for WebSockets that `serve()` has.

    It needs the packages `gunicorn` and `uvicorn-worker`. It does not drain: the how-to "Deployment"
    has what to add.
    """

    CONFIG_KWARGS = {
        **UvicornWorker.CONFIG_KWARGS,
        **{name: value for name, value in SETTINGS.items() if name.startswith("ws_")},
        "ws": WebSocketProtocol,
    }
    """What `uvicorn.Config` is made with in each worker."""
