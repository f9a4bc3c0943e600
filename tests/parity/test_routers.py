"""ProtocolTypeRouter, ChannelNameRouter and the default application."""

import pytest
from channels.routing import ChannelNameRouter, ProtocolTypeRouter, URLRouter, get_default_application
from django.urls import path


async def served(scope, receive, send):
    return f"served {scope['type']}"


async def other(scope, receive, send):
    return "other"


async def test_the_type_of_the_scope_chooses():
    router = ProtocolTypeRouter({"websocket": served, "http": other})
    assert await router({"type": "websocket"}, None, None) == "served websocket"
    assert await router({"type": "http"}, None, None) == "other"
    assert router.application_mapping == {"websocket": served, "http": other}


async def test_an_unknown_type_is_an_error():
    with pytest.raises(ValueError, match="No application configured for scope type 'http'"):
        await ProtocolTypeRouter({"websocket": served})({"type": "http"}, None, None)


async def test_the_channel_chooses():
    router = ChannelNameRouter({"work": served, "play": other})
    assert await router({"type": "channel", "channel": "work"}, None, None) == "served channel"
    assert await router({"type": "channel", "channel": "play"}, None, None) == "other"
    assert router.application_mapping == {"work": served, "play": other}


async def test_an_unknown_channel_is_an_error():
    with pytest.raises(ValueError, match="No application configured for channel name 'rest'"):
        await ChannelNameRouter({"work": served})({"type": "channel", "channel": "rest"}, None, None)


async def test_a_scope_without_a_channel_is_an_error():
    with pytest.raises(ValueError, match="ChannelNameRouter got a scope"):
        await ChannelNameRouter({"work": served})({"type": "http"}, None, None)


async def test_routers_combine():
    router = ProtocolTypeRouter(
        {
            "websocket": URLRouter([path("ws/", served)]),
            "channel": ChannelNameRouter({"work": other}),
        }
    )
    assert await router({"type": "websocket", "path": "/ws/"}, None, None) == "served websocket"
    assert await router({"type": "channel", "channel": "work"}, None, None) == "other"


def test_the_default_application_is_that_of_the_setting():
    from tests.parity.applications import application

    assert get_default_application() is application


@pytest.mark.parametrize(
    "name", ["tests.parity.applications.nothing", "tests.parity.nowhere.application", "application", None]
)
def test_an_application_that_is_not_there_is_an_error(change_settings, name):
    change_settings(ASGI_APPLICATION=name)
    with pytest.raises(Exception, match=r"ASGI_APPLICATION"):
        get_default_application()
