"""A live server for Django's tests with a browser or another real client."""

from asgiref.sync import sync_to_async
from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.test import TransactionTestCase
from django.test.utils import modify_settings

from consumers.layers.registry import channel_layers
from consumers.types import ASGIApp

from ..routing import get_default_application
from .server import ServerThread


class ChannelsLiveServerTestCase(TransactionTestCase):  # type: ignore[misc]
    """Serves ASGI_APPLICATION with uvicorn while the class' tests run, on a free port.

    The server is a thread of the test process (Channels starts another process), with an event loop of its own. So it
    has the test's settings, `override_settings` included, the test database and the in-memory channel layer. It has
    connections to the database of its own, hence sees only what is committed.

    Attributes:
        host: the host to listen on, which is added to ALLOWED_HOSTS.
        serve_static: whether to serve static files as well.
        static_wrapper: what does that: called with the application, it returns another.
    """

    host = "localhost"
    static_wrapper = ASGIStaticFilesHandler
    serve_static = True

    _server: ServerThread

    @property
    def live_server_url(self) -> str:
        """The server's address for HTTP."""
        return f"http://{self.host}:{self._server.port}"

    @property
    def live_server_ws_url(self) -> str:
        """The server's address for WebSockets."""
        return f"ws://{self.host}:{self._server.port}"

    @classmethod
    def setUpClass(cls) -> None:
        """Start the server.

        Raises:
            ImproperlyConfigured: a database is in memory, or ASGI_APPLICATION cannot be imported.
            RuntimeError: the server does not start.
        """
        for connection in connections.all():
            if connection.vendor == "sqlite" and connection.is_in_memory_db():
                raise ImproperlyConfigured(
                    f"{cls.__name__} cannot use the in-memory database {connection.alias!r}: the server needs "
                    f'connections of its own. Set DATABASES[{connection.alias!r}]["TEST"] = {{"NAME": BASE_DIR / '
                    '"test.sqlite3"}'
                )
        super().setUpClass()
        hosts = modify_settings(ALLOWED_HOSTS={"append": cls.host})
        hosts.enable()
        cls.addClassCleanup(hosts.disable)
        cls._server = ServerThread(cls._application(), cls.host, _clean_up)
        cls._server.start()
        cls.addClassCleanup(cls._server.stop)

    @classmethod
    def _application(cls) -> ASGIApp:
        application: ASGIApp = get_default_application()
        return cls.static_wrapper(application) if cls.serve_static else application


async def _clean_up() -> None:
    """End what belongs to the server's loop, and to the thread that consumers and Django's views share."""
    await channel_layers.close()
    await sync_to_async(connections.close_all)()  # the database will be deleted
