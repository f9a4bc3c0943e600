"""A live server for Django's tests with a browser or another real client."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.db.backends.base.creation import TEST_DATABASE_PREFIX
from django.test import TransactionTestCase
from django.test.utils import modify_settings

from consumers.layers.registry import channel_layers
from consumers.types import ASGIApp

from ..routing import get_default_application
from .server import ServerThread


class UvicornThread(ServerThread):
    """The live server. Its arguments are those of Daphne's process, which Channels has in its place.

    Args:
        host: the host to listen on.
        get_application: returns the application.
        kwargs: nothing: Channels' are arguments of Daphne's.
        setup: called first.
        teardown: called when the server has ended.

    Raises:
        TypeError: there are `kwargs`.
    """

    def __init__(
        self,
        host: str,
        get_application: Callable[[], ASGIApp],
        kwargs: Mapping[str, Any] | None = None,
        setup: Callable[[], object] | None = None,
        teardown: Callable[[], object] | None = None,
    ) -> None:
        if kwargs:
            raise TypeError(f"{', '.join(kwargs)}: the live server runs uvicorn, which has none of Daphne's arguments")
        if setup is not None:
            setup()
        super().__init__(get_application(), host, _clean_up)
        self._teardown = teardown

    def join(self) -> None:
        super().join()
        if self._teardown is not None:
            self._teardown()


def make_application(*, static_wrapper: Callable[[ASGIApp], ASGIApp] | None) -> ASGIApp:
    """Return the application of the setting, perhaps with another around it; a server's process can be given this."""
    application: ASGIApp = get_default_application()
    return application if static_wrapper is None else static_wrapper(application)


def set_database_connection() -> None:
    """Have a server's process, which has no test database of its own, use that of the tests."""
    database = settings.DATABASES["default"]
    database["NAME"] = database["TEST"]["NAME"] or f"{TEST_DATABASE_PREFIX}{database['NAME']}"


class ChannelsLiveServerTestCase(TransactionTestCase):  # type: ignore[misc]
    """Serves ASGI_APPLICATION with uvicorn while the class' tests run, on a free port.

    The server is a thread of the test process (Channels starts another process), with an event loop of its own. So it
    has the test's settings, `override_settings` included, the test database and the in-memory channel layer. It has
    connections to the database of its own, hence sees only what is committed.

    Attributes:
        host: the host to listen on, which is added to ALLOWED_HOSTS.
        serve_static: whether to serve static files as well.
        static_wrapper: what does that: called with the application, it returns another.
        ProtocolServerProcess: the server's class. Another one has its interface, which is that of Daphne's process.
    """

    host = "localhost"
    ProtocolServerProcess: type[Any] = UvicornThread
    static_wrapper = ASGIStaticFilesHandler
    serve_static = True

    _server_process: Any
    _port: int

    @property
    def live_server_url(self) -> str:
        """The server's address for HTTP."""
        return f"http://{self.host}:{self._port}"

    @property
    def live_server_ws_url(self) -> str:
        """The server's address for WebSockets."""
        return f"ws://{self.host}:{self._port}"

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
        get_application = partial(make_application, static_wrapper=cls.static_wrapper if cls.serve_static else None)
        is_thread = issubclass(cls.ProtocolServerProcess, UvicornThread)
        options = {} if is_thread else {"setup": set_database_connection}
        server = cls._server_process = cls.ProtocolServerProcess(cls.host, get_application, **options)
        server.start()
        cls.addClassCleanup(server.join)
        cls.addClassCleanup(server.terminate)  # which is called first
        while not server.ready.wait(timeout=1):
            if not server.is_alive():
                raise RuntimeError("The live server did not start")
        cls._port = server.port.value


async def _clean_up() -> None:
    """End what belongs to the server's loop, and to the thread that consumers and Django's views share."""
    await channel_layers.close()
    await sync_to_async(connections.close_all)()  # the database will be deleted
