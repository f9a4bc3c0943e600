"""Connections that do everything a connection may do, in every consumer class; for `test_cancellation`."""

import json
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import anyio
from asgiref.sync import async_to_sync
from starlette.websockets import WebSocket

from consumers import (
    AsyncConsumer,
    AsyncHttpConsumer,
    AsyncJsonWebsocketConsumer,
    AsyncWebsocketConsumer,
    BaseWSEndpoint,
    JsonWebsocketConsumer,
    StopConsumer,
    SyncConsumer,
    WebsocketConsumer,
)
from consumers.types import Message

from .faults import note, pause, place

DISCONNECT: Message = {"type": "websocket.disconnect", "code": 1000}
BODY: dict[str, list[Message]] = {
    "": [{"type": "http.request", "body": b"body", "more_body": more} for more in (True, True, False)]
}


async def slowly() -> None:
    """Take a while, whatever happens."""
    try:
        for _ in range(3):
            await pause()
    finally:
        with anyio.CancelScope(shield=True):
            await pause()
        note("no more")


async def for_ever() -> None:
    """Wait until cancelled, and take a while to end."""
    try:
        await anyio.sleep_forever()
    finally:
        with anyio.CancelScope(shield=True):
            await pause()
        note("no more")


def script(encode: Callable[[str], str] = str) -> dict[str, list[Message]]:
    """What a WebSocket client sends, by what it gets: a message at a time, the last two without waiting."""

    def text(content: str) -> Message:
        return {"type": "websocket.receive", "text": encode(content)}

    return {
        "": [{"type": "websocket.connect"}],
        "websocket.accept": [text("one")],
        "one": [text("group")],
        "to the group": [text("direct")],
        "to one": [text("discard")],
        "discarded": [text("slow"), text("last"), DISCONNECT],
    }


class Acts:
    """What the async consumers do; they define `reply(text)`."""

    channel_layer: Any
    channel_name: str
    start_background_task: Any
    reply: Any

    async def begin(self) -> None:
        await self.channel_layer.group_add("room", self.channel_name)
        self.start_background_task(self.tick)
        await pause()

    async def tick(self) -> None:
        await pause()
        place("tick")
        await self.channel_layer.group_send("everyone", {"type": "chat.message", "text": "tick"})
        await for_ever()

    async def act(self, text: str) -> None:
        await pause()
        place(text)
        match text:
            case "one":
                await self.reply("one")
            case "group":
                await self.channel_layer.group_send("room", {"type": "chat.message", "text": "to the group"})
            case "direct":
                await self.channel_layer.send(self.channel_name, {"type": "chat.message", "text": "to one"})
            case "discard":
                await self.channel_layer.group_discard("room", self.channel_name)
                await self.reply("discarded")
            case "slow":
                await slowly()
                await self.channel_layer.group_add("room", self.channel_name)

    async def chat_message(self, event: Message) -> None:
        await pause()
        await self.reply(event["text"])

    async def finish(self, code: int) -> None:
        note(("disconnect", code))
        await pause()
        place("disconnect")
        await self.channel_layer.group_send("room", {"type": "chat.message", "text": "bye"})
        await pause()
        note("disconnected")


class Plain(Acts, AsyncConsumer):
    async def websocket_connect(self, message: Message) -> None:
        note("connect")
        await self.channel_layer.group_add("everyone", self.channel_name)
        await self.begin()
        await self.send({"type": "websocket.accept"})

    async def websocket_receive(self, message: Message) -> None:
        await self.act(message["text"])

    async def websocket_disconnect(self, message: Message) -> None:
        await self.finish(message["code"])
        raise StopConsumer

    async def reply(self, text: str) -> None:
        await self.send({"type": "websocket.send", "text": text})


class Socket(Acts, AsyncWebsocketConsumer):
    groups = ["everyone"]

    async def websocket_connect(self, message: Message) -> None:
        note("connect")  # here, for the class's groups are joined before connect()
        await super().websocket_connect(message)

    async def connect(self) -> None:
        await self.begin()
        await self.accept()

    async def receive(self, text_data: str) -> None:
        await self.act(text_data)

    async def disconnect(self, code: int) -> None:
        await self.finish(code)

    async def reply(self, text: str) -> None:
        await self.send(text)


class ManyTasks(Socket):
    max_tasks = 3


class Json(Acts, AsyncJsonWebsocketConsumer):
    groups = ["everyone"]
    raw_frames = True

    async def websocket_connect(self, message: Message) -> None:
        note("connect")
        await super().websocket_connect(message)

    async def connect(self) -> None:
        await self.begin()
        await self.accept()

    async def tick(self) -> None:
        for _ in range(20):  # sent while the worker handles, and while it waits
            await pause()
            await self.group_send_json("everyone", "tick")
        await for_ever()

    async def receive_json(self, content: str, **kwargs: Any) -> None:
        await self.act(content)

    async def disconnect(self, code: int) -> None:
        await self.finish(code)

    async def reply(self, text: str) -> None:
        await self.send_json(text)


class Http(AsyncHttpConsumer):
    """Answers while messages of its layer arrive, which takes a second task."""

    max_tasks = 2
    disconnect_timeout = 0.01  # what `handle()` waits for never comes

    async def http_request(self, message: Message) -> None:
        if "connect" not in vars(self):
            vars(self)["connect"] = True
            note("connect")
        await pause()
        await super().http_request(message)

    async def handle(self, body: bytes) -> None:
        self.arrived = anyio.Event()
        await self.channel_layer.group_add("room", self.channel_name)
        self.start_background_task(self.push)
        await self.send_headers()
        await self.send_body(b"part", more_body=True)
        await self.arrived.wait()
        place("arrived")
        await self.send_body(b"end")

    async def push(self) -> None:
        await pause()
        await self.channel_layer.group_send("room", {"type": "chat.message"})
        await for_ever()

    async def chat_message(self, event: Message) -> None:
        await pause()
        place("chat_message")
        self.arrived.set()

    async def disconnect(self) -> None:
        note(("disconnect", None))
        await pause()
        place("disconnect")
        await pause()
        note("disconnected")


class Endpoint(BaseWSEndpoint):
    encoding = "text"

    async def on_connect(self, websocket: WebSocket) -> None:
        note("connect")
        await pause()
        place("on_connect")
        await websocket.accept()
        await self.on_receive(websocket, "for ever")

    async def _register_background_task(self, task_id: str, websocket: WebSocket, data: str) -> None:
        await pause()
        place("register")
        note(("registered", task_id))

    async def _background_handler(self, task_id: str, websocket: WebSocket, data: str) -> None:
        await pause()
        place("handle")
        if data == "for ever":
            await for_ever()
        replies = {"group": "to the group", "direct": "to one", "discard": "discarded"}
        await websocket.send_text(replies.get(data, data))

    async def _unregister_background_task(self, task_id: str, websocket: WebSocket, task_result: Any) -> None:
        note(("unregistered", task_id))
        await pause()
        place("unregister")

    async def on_disconnect(self, websocket: WebSocket, close_code: int) -> None:
        note(("disconnect", close_code))
        await pause()
        place("disconnect")
        await pause()
        note("disconnected")


class SyncActs(SyncConsumer):
    """What the sync consumers do."""

    channel_layer: Any
    channel_name: str
    start_background_task: Any
    reply: Any

    async def dispatch(self, message: Message) -> None:
        if message["type"] == "websocket.connect":
            note("connect")  # here, for the way to the thread may be cut off
        await super().dispatch(message)

    def begin(self) -> None:
        async_to_sync(self.channel_layer.group_add)("room", self.channel_name)
        self.start_background_task(self.tick)

    async def tick(self) -> None:
        await self.channel_layer.group_send("everyone", {"type": "chat.message", "text": "tick"})
        await for_ever()

    def act(self, text: str) -> None:
        place(text)
        match text:
            case "one":
                self.reply("one")
            case "group":
                group_send = async_to_sync(self.channel_layer.group_send)
                group_send("room", {"type": "chat.message", "text": "to the group"})
            case "direct":
                send = async_to_sync(self.channel_layer.send)
                send(self.channel_name, {"type": "chat.message", "text": "to one"})
            case "discard":
                async_to_sync(self.channel_layer.group_discard)("room", self.channel_name)
                self.reply("discarded")
            case "slow":
                async_to_sync(self.channel_layer.group_add)("room", self.channel_name)

    def chat_message(self, event: Message) -> None:
        self.reply(event["text"])

    def finish(self, code: int) -> None:
        note(("disconnect", code))
        async_to_sync(pause)()
        place("disconnect")
        note("disconnected")


class SyncPlain(SyncActs):
    def websocket_connect(self, message: Message) -> None:
        async_to_sync(self.channel_layer.group_add)("everyone", self.channel_name)
        self.begin()
        self.send({"type": "websocket.accept"})

    def websocket_receive(self, message: Message) -> None:
        self.act(message["text"])

    def websocket_disconnect(self, message: Message) -> None:
        self.finish(message["code"])
        raise StopConsumer

    def reply(self, text: str) -> None:
        self.send({"type": "websocket.send", "text": text})


class SyncSocket(SyncActs, WebsocketConsumer):
    groups = ["everyone"]

    def connect(self) -> None:
        self.begin()
        self.accept()

    def receive(self, text_data: str) -> None:
        self.act(text_data)

    def disconnect(self, code: int) -> None:
        self.finish(code)

    def reply(self, text: str) -> None:
        self.send(text)


class SyncJson(SyncActs, JsonWebsocketConsumer):
    groups = ["everyone"]

    def connect(self) -> None:
        self.begin()
        self.accept()

    def receive_json(self, content: str, **kwargs: Any) -> None:
        self.act(content)

    def disconnect(self, code: int) -> None:
        self.finish(code)

    def reply(self, text: str) -> None:
        self.send_json(text)


class Life(NamedTuple):
    """An application, and what its client does.

    Args:
        app: the application.
        script: what the client sends, by what it gets.
        protocol: the type of its scope.
    """

    app: Callable[..., Awaitable[None]]
    script: dict[str, list[Message]]
    protocol: str = "websocket"


ASYNC = {
    "AsyncConsumer": Life(Plain.as_asgi(), script()),
    "AsyncWebsocketConsumer": Life(Socket.as_asgi(), script()),
    "AsyncWebsocketConsumer, 3 tasks": Life(ManyTasks.as_asgi(), script()),
    "AsyncJsonWebsocketConsumer": Life(Json.as_asgi(), script(json.dumps)),
    "AsyncHttpConsumer": Life(Http.as_asgi(), BODY, "http"),
    "BaseWSEndpoint": Life(Endpoint, script()),
}
SYNC = {
    "SyncConsumer": Life(SyncPlain.as_asgi(), script()),
    "WebsocketConsumer": Life(SyncSocket.as_asgi(), script()),
    "JsonWebsocketConsumer": Life(SyncJson.as_asgi(), script(json.dumps)),
}
