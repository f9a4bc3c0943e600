"""Calls that Channels and `compat` are known to answer differently, and what each of them answers."""

import asyncio
import contextlib
import inspect

from channels.generic.websocket import AsyncWebsocketConsumer
from channels.layers import InMemoryChannelLayer, channel_layers
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import OriginValidator
from channels.testing import ApplicationCommunicator, WebsocketCommunicator
from django.urls import path

from tests.parity.setup import settings

PROBES = {}
"""Coroutine functions by their names; each returns what happened, in a word."""


def probe(function):
    PROBES[function.__name__] = function
    return function


async def outcome(probe):
    """Return what the probe returned, or the name of what it raised."""
    try:
        return [await probe()]
    except (Exception, asyncio.CancelledError) as error:
        return [type(error).__name__]


async def idle(scope, receive, send):
    await receive()


async def connected(application, **options):
    return (await WebsocketCommunicator(application, "/", **options).connect())[0]


@probe
async def MessageThatIsNoDict():
    await InMemoryChannelLayer().send("channel", "text")


@probe
async def NameThatEndsInALineBreak():
    InMemoryChannelLayer().require_valid_channel_name("channel\n")
    return "accepted"


@probe
async def LocalNameOfOtherLetters():
    InMemoryChannelLayer().require_valid_channel_name("channel!über")
    return "accepted"


@probe
async def CapacitiesByPattern():
    return str(InMemoryChannelLayer(channel_capacity={"a*": 7}).get_capacity("abc"))


@probe
async def ExpiredMessageOfAGroupMember():
    layer = InMemoryChannelLayer(expiry=0.02)
    await layer.group_add("group", "channel")
    await layer.group_send("group", {"type": "old"})
    await asyncio.sleep(0.05)
    await layer.group_send("group", {"type": "new"})
    return "member" if "channel" in layer.groups["group"] else "removed"


@probe
async def GroupsChangedByHand():
    InMemoryChannelLayer().groups["group"] = {}
    return "changed"


@probe
async def UnknownKeyInTheConfiguration():
    layer = {"BACKEND": "channels.layers.InMemoryChannelLayer", "CONFIGS": {"capacity": 1}}
    with settings(CHANNEL_LAYERS={"default": layer}):
        return type(channel_layers["default"]).__name__


@probe
async def SetToNone():
    old = channel_layers.set("default", None)
    layer = channel_layers["default"]
    channel_layers.set("default", old)
    return type(layer).__name__


@probe
async def EmptyTextFrameOfATest():
    await WebsocketCommunicator(idle, "/").send_to(text_data="")
    return "sent"


@probe
async def TwoKindsOfDataInATestsFrame():
    await WebsocketCommunicator(idle, "/").send_to(text_data="a", bytes_data=b"b")


@probe
async def ApplicationAfterATestsTimeout():
    communicator = ApplicationCommunicator(idle, {"type": "test"})
    with contextlib.suppress(TimeoutError):
        await communicator.receive_output(timeout=0.01)
    await communicator.send_input({"type": "go"})
    await communicator.wait()
    return "lives"


@probe
async def TwoOriginHeaders():
    headers = [(b"origin", b"http://evil.org"), (b"origin", b"http://a.com")]
    return str(await connected(OriginValidator(AsyncWebsocketConsumer.as_asgi(), ["a.com"]), headers=headers))


@probe
async def OriginWithAnImpossiblePort():
    headers = [(b"origin", b"http://a.com:99999")]
    return str(await connected(OriginValidator(AsyncWebsocketConsumer.as_asgi(), ["http://a.com"]), headers=headers))


@probe
async def OriginWithAPath():
    headers = [(b"origin", b"http://a.com/path")]
    return str(await connected(OriginValidator(AsyncWebsocketConsumer.as_asgi(), ["a.com"]), headers=headers))


@probe
async def RootPathThatEndsInsideAName():
    async def served(scope, receive, send):
        return "served"

    router = URLRouter([path("other/", served)])
    return await router({"type": "http", "path": "/rootother/", "root_path": "/root"}, None, None)


@probe
async def RouteToAClass():
    ProtocolTypeRouter({"websocket": AsyncWebsocketConsumer})
    return "accepted"


@probe
async def ApplicationIsAFunction():
    return str(inspect.isfunction(AsyncWebsocketConsumer.as_asgi()))


@probe
async def HookOfTheWrongKind():
    class Wrong(AsyncWebsocketConsumer):
        def receive(self, wrong):
            pass

    Wrong.as_asgi()
    return "accepted"


@probe
async def GroupsThatAreText():
    class Wrong(AsyncWebsocketConsumer):
        groups = "room"

    Wrong.as_asgi()
    return "accepted"
