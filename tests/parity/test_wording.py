"""The texts of errors, as far as programs and tests may match them."""

import re

import pytest
from channels.auth import UserLazyObject
from channels.consumer import get_handler_name
from channels.exceptions import InvalidChannelLayerError
from channels.generic.http import AsyncHttpConsumer
from channels.layers import InMemoryChannelLayer, channel_layers
from channels.routing import ChannelNameRouter, ProtocolTypeRouter, URLRouter
from channels.sessions import CookieMiddleware
from channels.testing import HttpCommunicator, WebsocketCommunicator
from channels.worker import Worker
from django.urls import path


async def application(scope, receive, send):
    """Serve nothing."""


async def receive():
    raise AssertionError


async def send(event):
    raise AssertionError


@pytest.mark.parametrize("kind", ["_private", ".private", "__init__"])
def test_a_type_with_a_leading_underscore(kind):
    with pytest.raises(ValueError, match=r"Malformed type in message \(leading underscore\)"):
        get_handler_name({"type": kind})


def test_a_message_without_a_type():
    with pytest.raises(ValueError, match="Incoming message has no 'type' attribute"):
        get_handler_name({"text": "x"})


@pytest.mark.parametrize(
    ("router", "scope", "text"),
    [
        (ProtocolTypeRouter({}), {"type": "http"}, "No application configured for scope type 'http'"),
        (ChannelNameRouter({}), {"type": "channel", "channel": "a"}, "No application configured for channel name 'a'"),
        (ChannelNameRouter({}), {"type": "channel"}, "ChannelNameRouter got a scope without a 'channel' key"),
        (URLRouter([path("a", application)]), {"type": "http", "path": "/b"}, "No route found for path 'b'."),
        (URLRouter([]), {"type": "channel"}, "No 'path' key in connection scope, cannot route URLs"),
        (
            CookieMiddleware(application),
            {"type": "channel"},
            "CookieMiddleware was passed a scope that did not have a headers key",
        ),
    ],
)
async def test_a_scope_that_leads_nowhere(router, scope, text):
    with pytest.raises(ValueError, match=f"^{re.escape(text)}"):
        await router(scope, receive, send)


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({"CONFIG": {}}, "No BACKEND specified for default"),
        ({"BACKEND": "no.such.Layer"}, "Cannot import BACKEND 'no.such.Layer' specified for default"),
    ],
)
def test_a_layer_that_cannot_be_made(change_settings, config, text):
    with pytest.raises(InvalidChannelLayerError, match=f"^{re.escape(text)}"):
        change_settings(CHANNEL_LAYERS={"default": config})  # without Django, this refuses it already
        channel_layers.make_backend("default")


def test_a_layer_without_a_configuration_for_tests():
    with pytest.raises(InvalidChannelLayerError, match="No TEST_CONFIG specified for default"):
        channel_layers.make_test_backend("default")


def test_a_worker_without_a_layer():
    with pytest.raises(ValueError, match="Channel layer is not valid"):
        Worker(application, ["a"], None)


def test_a_user_that_is_not_known_yet():
    with pytest.raises(ValueError, match="Accessing scope user before it is ready"):
        UserLazyObject().is_authenticated  # noqa: B018


async def test_a_frame_of_neither_text_nor_bytes():
    with pytest.raises(AssertionError, match="You must supply exactly one of text_data or bytes_data"):
        await WebsocketCommunicator(application, "/").send_to()


@pytest.mark.parametrize("call", ["send", "group_send"])
async def test_a_message_that_is_no_dict(call):
    with pytest.raises(AssertionError, match=r"(?i)message is not a dict"):
        await getattr(InMemoryChannelLayer(), call)("one", "text")


async def test_a_body_that_is_no_bytes():
    class Text(AsyncHttpConsumer):
        async def handle(self, body):
            await self.send_body("text")

    with pytest.raises(AssertionError, match="Body is not bytes"):
        await HttpCommunicator(Text.as_asgi(), "GET", "/").get_response()


@pytest.mark.parametrize(
    ("frame", "text"),
    [
        ({}, "The response needs exactly one of 'text' or 'bytes'"),
        ({"text": "a", "bytes": b"b"}, "The response needs exactly one of 'text' or 'bytes'"),
        ({"text": 7}, "Text frame payload is not str, it is <class 'int'>"),
        ({"bytes": "b"}, "Binary frame payload is not bytes, it is <class 'str'>"),
        ({"bytes": b"b"}, "JSON data is not a text frame, it is <class 'bytes'>"),
    ],
)
async def test_a_frame_that_is_not_as_it_should_be(frame, text):
    async def sending(scope, receive, send):
        await send({"type": "websocket.send", **frame})

    with pytest.raises(AssertionError, match=f"^{re.escape(text)}"):
        await WebsocketCommunicator(sending, "/").receive_json_from()
