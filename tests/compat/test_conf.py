"""Settings without Django."""

from typing import Any

import pytest

import compat
from compat import conf
from compat.channels.layers import BaseChannelLayer, InMemoryChannelLayer, get_channel_layer
from compat.channels.routing import get_default_application
from compat.channels.security.websocket import AllowedHostsOriginValidator
from consumers import InvalidChannelLayerError
from consumers.layers.redis import RedisChannelLayer, RedisPubSubChannelLayer
from consumers.types import Message, Receive, Scope, Send


@pytest.fixture(autouse=True)
def nothing_configured(monkeypatch: pytest.MonkeyPatch, no_layer: None) -> None:
    monkeypatch.setattr(conf, "_configured", {})


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Serve nothing."""


def test_channel_layers_are_configured_by_channels_own_names() -> None:
    compat.configure(
        CHANNEL_LAYERS={"default": {"BACKEND": "channels.layers.InMemoryChannelLayer", "CONFIG": {"capacity": 7}}}
    )
    layer = get_channel_layer()
    assert isinstance(layer, InMemoryChannelLayer)
    assert layer.capacity == 7


def test_native_layers_can_be_configured_too() -> None:
    compat.configure(CHANNEL_LAYERS={"default": {"BACKEND": "consumers.layers.InMemoryChannelLayer"}})
    assert get_channel_layer() is not None


@pytest.mark.parametrize(
    ("backend", "native", "checks_names"),
    [
        ("channels_redis.core.RedisChannelLayer", RedisChannelLayer, True),
        ("channels_redis.pubsub.RedisPubSubChannelLayer", RedisPubSubChannelLayer, False),
    ],
)
def test_redis_layers_are_configured_by_their_names_in_channels_redis(
    backend: str, native: type[BaseChannelLayer], checks_names: bool
) -> None:
    config = {"hosts": [("127.0.0.1", 6379)], "prefix": "mysite"}
    compat.configure(CHANNEL_LAYERS={"default": {"BACKEND": backend, "CONFIG": config}})
    layer: Any = get_channel_layer()
    assert issubclass(type(layer), native)
    assert issubclass(type(layer), BaseChannelLayer)
    assert (layer.prefix, layer.validate_names) == ("mysite", checks_names)


def test_a_wrong_shape_is_refused_and_changes_nothing() -> None:
    with pytest.raises(InvalidChannelLayerError, match="No BACKEND"):
        compat.configure(CHANNEL_LAYERS={"default": {}}, DEBUG=True)
    assert conf.setting("DEBUG") is None


def test_an_unknown_setting_is_refused_with_what_was_meant() -> None:
    with pytest.raises(TypeError, match=r"knows no setting 'CHANNEL_LAYER'; did you mean CHANNEL_LAYERS\?"):
        compat.configure(CHANNEL_LAYER={}, DEBUG=True)
    assert conf.setting("DEBUG") is None


def test_a_later_call_changes_only_what_it_names() -> None:
    compat.configure(DEBUG=True, ALLOWED_HOSTS=["a.example"])
    compat.configure(ALLOWED_HOSTS=["b.example"])
    assert (conf.setting("DEBUG"), conf.setting("ALLOWED_HOSTS")) == (True, ["b.example"])


def test_allowed_hosts_come_from_the_settings() -> None:
    compat.configure(ALLOWED_HOSTS=["example.com"])
    assert AllowedHostsOriginValidator(application).allowed_origins == ["example.com"]


def test_debug_without_allowed_hosts_allows_this_machine() -> None:
    compat.configure(DEBUG=True, ALLOWED_HOSTS=[])
    assert AllowedHostsOriginValidator(application).allowed_origins == ["localhost", "127.0.0.1", "[::1]"]


@pytest.mark.anyio
async def test_hosts_that_were_allowed_when_the_application_was_made_stay_allowed() -> None:
    served = []

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        served.append(scope["headers"][0][1])

    async def send(event: Message) -> None:
        """Take a rejection."""

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    compat.configure(DEBUG=True, ALLOWED_HOSTS=[])
    validator = AllowedHostsOriginValidator(serve)
    compat.configure(DEBUG=False, ALLOWED_HOSTS=["testserver"])  # as a test runner does
    for host in (b"http://localhost", b"http://testserver", b"http://elsewhere"):
        await validator({"type": "websocket", "path": "/", "headers": [(b"origin", host)]}, receive, send)
    assert served == [b"http://localhost", b"http://testserver"]


def test_missing_allowed_hosts_are_said_when_the_application_is_made() -> None:
    with pytest.raises(ValueError, match=r"no setting ALLOWED_HOSTS: call compat.configure\(ALLOWED_HOSTS="):
        AllowedHostsOriginValidator(application)


def test_the_default_application_is_imported() -> None:
    compat.configure(ASGI_APPLICATION=f"{__name__}.application")
    assert get_default_application() is application


@pytest.mark.parametrize(
    ("dotted", "problem"),
    [
        (None, "Cannot find ASGI_APPLICATION setting: it must be like 'mysite.asgi.application', not None"),
        (
            "application",
            "Cannot find ASGI_APPLICATION setting: it must be like 'mysite.asgi.application', not 'application'",
        ),
        ("no.such.module.application", "Cannot import ASGI_APPLICATION module 'no.such.module': No module named 'no'"),
        (f"{__name__}.nothing", f"Cannot find 'nothing' in ASGI_APPLICATION module {__name__}"),
    ],
)
def test_a_default_application_that_is_not_there_is_named(dotted: object, problem: str) -> None:
    compat.configure(ASGI_APPLICATION=dotted)
    with pytest.raises(ValueError, match=problem):
        get_default_application()
