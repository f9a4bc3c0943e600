"""`ChannelsLiveServerTestCase`, with real clients."""

import socket
import threading
import urllib.error
import urllib.request
from contextlib import ExitStack
from unittest import mock

import pytest
from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from channels.routing import get_default_application
from channels.testing import ChannelsLiveServerTestCase
from django.contrib.sessions.backends.db import SessionStore
from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.db.backends.signals import connection_created
from django.test import Client, TransactionTestCase, override_settings
from websockets.exceptions import ConnectionClosed

from . import IS_COMPAT
from .clients import client
from .people.models import Person


class Live(ChannelsLiveServerTestCase):
    """A page, WebSockets, static files, the database and users."""

    def fetch(self, path):
        with urllib.request.urlopen(self.live_server_url + path, timeout=10) as answer:
            return answer.read().decode()

    def client_of(self, path, **headers):
        return client(self.live_server_ws_url + path, {"Origin": self.live_server_url, **headers})

    def test_the_addresses_have_the_host_and_a_port(self):
        assert self.live_server_url.startswith("http://localhost:")
        assert self.live_server_ws_url == self.live_server_url.replace("http", "ws")

    def test_pages_see_what_the_test_has_written(self):
        Person.objects.create(email="ann")
        assert self.fetch("/people/") == "ann"

    def test_websockets_see_what_the_test_has_written(self):
        Person.objects.create(email="ann")
        with self.client_of("/ws/") as websocket:
            websocket.send("ann")
            assert websocket.recv(10) == "1"
            Person.objects.all().delete()
            websocket.send("ann")
            assert websocket.recv(10) == "0"

    def test_the_database_is_flushed_between_tests(self):
        assert self.fetch("/people/") == ""

    def test_a_user_who_logged_in_is_known(self):
        browser = Client()
        browser.force_login(Person.objects.create(email="ann"))
        with self.client_of("/ws/visitor/", Cookie=f"sessionid={browser.session.session_key}") as websocket:
            assert websocket.recv(10) == "ann"

    def test_a_session_changed_while_connecting_reaches_the_client(self):
        with self.client_of("/ws/chooser/") as websocket:
            cookie = websocket.response.headers.get("Set-Cookie", "")
        if not IS_COMPAT:  # Channels sends cookies with HTTP responses only
            assert cookie == ""
            return
        key = cookie.partition(";")[0].removeprefix("sessionid=")
        assert SessionStore(key)["color"] == "blue"

    def test_another_origin_is_refused(self):
        with pytest.raises(Exception, match="403"):
            with client(self.live_server_ws_url + "/ws/", {"Origin": "http://evil.example"}):
                pass

    def test_static_files_are_served(self):
        assert "color: black" in self.fetch("/static/site.css")

    def test_there_is_a_port_of_its_own(self):
        assert int(self.live_server_url.rpartition(":")[2]) > 1024

    def test_settings_overridden_while_the_server_runs(self):
        with self.client_of("/ws/setting/") as websocket:
            with override_settings(SOME_SETTING="as overridden"):
                websocket.send("SOME_SETTING")
                # Channels' server is another process.
                assert websocket.recv(10) == ("as overridden" if IS_COMPAT else "None")
            websocket.send("SOME_SETTING")
            assert websocket.recv(10) == "None"

    def test_the_layer_in_memory_reaches_the_server(self):
        with self.client_of("/ws/") as websocket:
            websocket.send("ann")
            assert websocket.recv(10) == "0"
            async_to_sync(get_channel_layer().group_send)("greeters", {"type": "shout", "text": "hello"})
            if IS_COMPAT:
                assert websocket.recv(10) == "hello"
            else:  # that of another process
                with pytest.raises(TimeoutError):
                    websocket.recv(0.5)


class OnAnotherHost(ChannelsLiveServerTestCase):
    """Without static files, on an address."""

    host = "127.0.0.1"
    serve_static = False

    def test_the_host_is_in_the_address(self):
        assert self.live_server_url.startswith("http://127.0.0.1:")

    def test_the_host_is_an_allowed_one(self):
        with client(self.live_server_ws_url + "/ws/", {"Origin": self.live_server_url}) as websocket:
            websocket.send("ann")
            assert websocket.recv(10) == "0"

    def test_static_files_are_not_served(self):
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(self.live_server_url + "/static/site.css", timeout=10)


class Wrapper:
    """Answers one path itself."""

    def __init__(self, application):
        self.application = application

    async def __call__(self, scope, receive, send):
        if scope["path"] == "/wrapped":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"wrapped"})
        else:
            await self.application(scope, receive, send)


class WithAWrapperOfItsOwn(ChannelsLiveServerTestCase):
    """The wrapper for static files may be another."""

    static_wrapper = Wrapper

    def test_the_wrapper_is_used(self):
        with urllib.request.urlopen(self.live_server_url + "/wrapped", timeout=10) as answer:
            assert answer.read() == b"wrapped"


class Noting(ChannelsLiveServerTestCase.ProtocolServerProcess):
    """The usual server, which notes what is done with it."""

    noted = []

    def __init__(self, host, get_application, **options):
        self.noted.append(("made", host))
        super().__init__(host, get_application, **options)

    def start(self):
        self.noted.append("started")
        super().start()

    def terminate(self):
        self.noted.append("terminated")
        super().terminate()


class WithAServerOfItsOwn(TransactionTestCase):
    """The server may be another, with the interface of a process."""

    def test_the_server_is_used_and_ended(self):
        class Case(ChannelsLiveServerTestCase):
            ProtocolServerProcess = Noting

        Noting.noted.clear()
        Case.setUpClass()
        try:
            with urllib.request.urlopen(Case().live_server_url + "/people/", timeout=10) as answer:
                assert answer.status == 200
        finally:
            Case.tearDownClass()
            Case.doClassCleanups()
        assert Noting.noted == [("made", "localhost"), "started", "terminated"]

    def test_a_server_can_be_started_by_hand(self):
        server = ChannelsLiveServerTestCase.ProtocolServerProcess("127.0.0.1", get_default_application)
        server.start()
        try:
            assert server.ready.wait(timeout=30) and server.is_alive()
            with socket.create_connection(("127.0.0.1", server.port.value), timeout=5):
                pass
        finally:
            server.terminate()
            server.join()
        assert not server.is_alive()


class Refusing(TransactionTestCase):
    """A database in memory belongs to one connection."""

    def test_a_database_in_memory_is_refused(self):
        class InMemory(ChannelsLiveServerTestCase):
            pass

        with mock.patch.object(connections["default"], "is_in_memory_db", return_value=True):
            with pytest.raises(ImproperlyConfigured, match=r"in.memory database") as refused:
                InMemory.setUpClass()
        if IS_COMPAT:  # and says what to write
            assert 'DATABASES[\'default\']["TEST"] = {"NAME":' in str(refused.value)


class Ending(TransactionTestCase):
    """What is left of a server."""

    def setUp(self):
        class Case(ChannelsLiveServerTestCase):
            pass

        Case.setUpClass()
        self.case = Case()
        self.stops = ExitStack()
        self.stops.callback(Case.doClassCleanups)
        self.stops.callback(Case.tearDownClass)
        self.addCleanup(self.stops.close)

    def connect(self):
        return client(self.case.live_server_ws_url + "/ws/", {"Origin": self.case.live_server_url})

    def test_a_client_that_stays_is_disconnected(self):
        with self.connect() as websocket:
            self.stops.close()
            with pytest.raises(ConnectionClosed) as closed:
                websocket.recv(10)
        frame = closed.value.rcvd
        assert (frame and frame.code) == (1012 if IS_COMPAT else None)  # Channels kills its server

    def test_no_connection_to_the_database_is_left_in_this_process(self):
        opened = []

        def note(connection, **signal):
            opened.append(connection)

        connection_created.connect(note)
        self.addCleanup(connection_created.disconnect, note)
        with mock.patch.dict(connections.settings["default"], CONN_MAX_AGE=None), self.connect() as websocket:
            websocket.send("ann")
            assert websocket.recv(10) == "0"
            used = [wrapper.connection is not None for wrapper in opened]
            self.stops.close()
        assert used == ([True] if IS_COMPAT else [])
        assert all(wrapper.connection is None for wrapper in opened)

    def test_the_layers_are_closed_with_the_server(self):
        closed = []

        async def close():
            closed.append(threading.current_thread())

        with mock.patch.object(get_channel_layer(), "close", close, create=True):
            self.stops.close()
        if IS_COMPAT:  # on the server's own loop
            assert [thread.name for thread in closed] == ["live server"]
        else:  # the server's process is killed
            assert closed == []

    def test_the_port_is_free_again(self):
        port = int(self.case.live_server_url.rpartition(":")[2])
        self.stops.close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=5)
