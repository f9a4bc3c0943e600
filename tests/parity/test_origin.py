"""OriginValidator, AllowedHostsOriginValidator and WebsocketDenier."""

from urllib.parse import urlparse

import pytest
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator, OriginValidator, WebsocketDenier
from channels.testing import HttpCommunicator, WebsocketCommunicator
from django.urls import path


class Watched(AsyncWebsocketConsumer):
    """Counts the connections that reach it."""

    connections = 0

    async def connect(self):
        type(self).connections += 1
        await self.accept()


@pytest.fixture(autouse=True)
def no_connections():
    Watched.connections = 0


async def is_let_through(application, *origins):
    headers = [(b"origin", origin.encode("latin1")) for origin in origins]
    communicator = WebsocketCommunicator(application, "/", headers=headers)
    connected, _ = await communicator.connect()
    assert Watched.connections == connected
    if connected:
        await communicator.disconnect()
    return connected


# The allowed origin, an Origin header, whether it is let through.
CASES = [
    ("example.com", "http://example.com", True),
    ("example.com", "https://example.com", True),
    ("example.com", "https://example.com:8443", True),
    ("example.com", "http://EXAMPLE.com", True),
    ("example.com", "http://www.example.com", False),
    ("example.com", "http://badexample.com", False),
    ("example.com", "http://example.com.evil.org", False),
    (".example.com", "http://example.com", True),
    (".example.com", "http://a.b.example.com", True),
    (".example.com", "http://badexample.com", False),
    ("http://example.com", "http://example.com", True),
    ("http://example.com", "http://example.com:80", True),
    ("http://example.com:80", "http://example.com", True),
    ("http://example.com", "https://example.com", False),
    ("http://example.com", "http://example.com:8000", False),
    ("https://example.com", "https://example.com:443", True),
    ("https://example.com:443", "https://example.com", True),
    ("https://example.com", "https://example.com:80", False),
    ("http://example.com:8000", "http://example.com:8000", True),
    ("http://example.com:8000", "http://example.com", False),
    ("http://.example.com", "http://www.example.com", True),
    ("http://.example.com", "http://example.com", True),
    ("http://.example.com", "https://www.example.com", False),
    ("http://.example.com:81", "http://a.example.com:81", True),
    ("ws://example.com", "ws://example.com:80", True),
    ("wss://example.com", "wss://example.com:443", True),
    ("custom://example.com:1", "custom://example.com:1", True),
    ("custom://example.com", "custom://example.com", True),
    ("127.0.0.1", "http://127.0.0.1:8000", True),
    ("http://127.0.0.1:8000", "http://127.0.0.1:8000", True),
    ("localhost", "http://localhost:3000", True),
    ("*", "http://anything.org", True),
    ("*", "null", True),
    ("example.com", "null", False),
    ("example.com", "", False),
    ("example.com", "example.com", False),
    ("example.com", "/example.com", False),
    ("example.com", "http://", False),
    ("example.com", "http://evil.org/example.com", False),
    ("example.com", "http://evil.org#example.com", False),
    ("example.com", "\xfc\xfe", False),
]


@pytest.mark.parametrize(("allowed", "origin", "expected"), CASES)
async def test_origins_are_compared(allowed, origin, expected):
    validator = OriginValidator(Watched.as_asgi(), ["http://unrelated.net", allowed])
    assert await is_let_through(validator, origin) is expected


async def test_a_missing_origin_is_refused():
    assert not await is_let_through(OriginValidator(Watched.as_asgi(), ["example.com"]))


async def test_a_missing_origin_passes_where_everything_does():
    assert await is_let_through(OriginValidator(Watched.as_asgi(), ["*"]))


async def test_nothing_passes_an_empty_list():
    assert not await is_let_through(OriginValidator(Watched.as_asgi(), []), "http://example.com")


async def test_a_refused_client_is_told_by_a_close():
    communicator = WebsocketCommunicator(OriginValidator(Watched.as_asgi(), ["a.com"]), "/")
    assert await communicator.connect() == (False, 1000)


async def test_other_protocols_are_an_error():
    communicator = HttpCommunicator(OriginValidator(Watched.as_asgi(), ["*"]), "GET", "/")
    with pytest.raises(ValueError, match="You cannot use OriginValidator on a non-WebSocket connection"):
        await communicator.get_response()


def test_the_validator_keeps_what_it_is_given():
    application = Watched.as_asgi()
    validator = OriginValidator(application, ["a.com", "*"])
    assert validator.application is application
    assert validator.allowed_origins == ["a.com", "*"]


async def test_allowed_hosts_come_from_the_settings():
    validator = AllowedHostsOriginValidator(Watched.as_asgi())
    assert isinstance(validator, OriginValidator)
    assert list(validator.allowed_origins)[:2] == ["example.com", ".example.org"]  # pytest-django adds one
    assert await is_let_through(validator, "https://example.com:444")


@pytest.mark.parametrize(
    ("origin", "expected"),
    [("http://a.example.org", True), ("http://a.example.com", False), ("http://localhost", False)],
)
async def test_allowed_hosts_may_have_subdomains(origin, expected):
    assert await is_let_through(AllowedHostsOriginValidator(Watched.as_asgi()), origin) is expected


@pytest.mark.parametrize(
    ("origin", "expected"),
    [("http://localhost:8000", True), ("http://127.0.0.1", True), ("http://example.com", False)],
)
async def test_in_debug_mode_the_local_hosts_are_allowed(change_settings, origin, expected):
    change_settings(DEBUG=True, ALLOWED_HOSTS=[])
    assert await is_let_through(AllowedHostsOriginValidator(Watched.as_asgi()), origin) is expected


async def test_without_allowed_hosts_nothing_passes(change_settings):
    change_settings(DEBUG=False, ALLOWED_HOSTS=[])
    assert not await is_let_through(AllowedHostsOriginValidator(Watched.as_asgi()), "http://localhost")


async def test_it_stands_in_front_of_a_router():
    application = ProtocolTypeRouter(
        {"websocket": AllowedHostsOriginValidator(URLRouter([path("", Watched.as_asgi())]))}
    )
    assert await is_let_through(application, "http://example.com")


class Parsed(OriginValidator):
    """Lets secure origins through, whoever they are."""

    def valid_origin(self, parsed_origin):
        return parsed_origin is not None and parsed_origin.scheme == "https"


@pytest.mark.parametrize(("origins", "expected"), [(["https://x.com"], True), (["http://a.com"], False), ([], False)])
async def test_valid_origin_may_be_overridden(origins, expected):
    assert await is_let_through(Parsed(Watched.as_asgi(), ["http://a.com"]), *origins) is expected


class MissingAllowed(OriginValidator):
    """Lets programs, which send no Origin, through."""

    def valid_origin(self, parsed_origin):
        return parsed_origin is None or super().valid_origin(parsed_origin)


@pytest.mark.parametrize(("origins", "expected"), [([], True), (["http://a.com"], True), (["http://b.com"], False)])
async def test_an_override_may_ask_the_base(origins, expected):
    assert await is_let_through(MissingAllowed(Watched.as_asgi(), ["a.com"]), *origins) is expected


class Endings(OriginValidator):
    def match_allowed_origin(self, parsed_origin, pattern):
        return parsed_origin.hostname.endswith(pattern)


@pytest.mark.parametrize(("origin", "expected"), [("http://x.test", True), ("http://x.com", False)])
async def test_match_allowed_origin_may_be_overridden(origin, expected):
    assert await is_let_through(Endings(Watched.as_asgi(), [".test"]), origin) is expected


@pytest.mark.parametrize(
    ("origin", "port"),
    [
        ("http://a.com", 80),
        ("ws://a.com", 80),
        ("https://a.com", 443),
        ("wss://a.com", 443),
        ("http://a.com:8000", 8000),
        ("custom://a.com", None),
    ],
)
def test_ports_have_defaults(origin, port):
    assert OriginValidator(Watched.as_asgi(), []).get_origin_port(urlparse(origin)) == port


def test_the_parts_of_the_decision_may_be_called():
    validator = OriginValidator(Watched.as_asgi(), ["http://a.com"])
    assert validator.valid_origin(urlparse("http://a.com")) is True
    assert validator.valid_origin(None) is False
    assert validator.validate_origin(urlparse("http://b.com")) is False
    assert validator.match_allowed_origin(urlparse("http://b.com"), "b.com") is True
    assert validator.match_allowed_origin(None, "b.com") is False


async def test_the_denier_denies():
    communicator = WebsocketCommunicator(WebsocketDenier.as_asgi(), "/")
    assert await communicator.connect() == (False, 1000)
    await communicator.disconnect(1006)
