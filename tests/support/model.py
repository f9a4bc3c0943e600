"""What the model test plays with: a consumer that does as it is told, and what the simple model says of it."""

import asyncio
import logging
from typing import Any

import anyio

from consumers import AsyncWebsocketConsumer
from consumers.types import Message

from .wire import Wire

CAPACITY = 3


class Failure(Exception):
    """What a failing handler raises."""


class Member(AsyncWebsocketConsumer):
    """Notes what it handles; blocks, fails, and acts on groups when told to."""

    channel_layer_alias = "model"
    disconnect_timeout = 60.0

    def __init__(self, max_tasks: int) -> None:
        super().__init__()
        self.max_tasks = max_tasks
        self.handled: list[Any] = []
        self.gates: dict[int, anyio.Event] = {}

    async def websocket_receive(self, message: Message) -> None:
        await self.act(message["order"])

    async def chat_message(self, message: Message) -> None:
        await self.act(message["order"])

    async def act(self, order: dict[str, Any]) -> None:
        number = order["number"]
        self.handled.append(number)
        match order["deed"]:
            case "block":
                self.gates[number] = anyio.Event()
                await self.gates[number].wait()
            case "fail":
                raise Failure(number)
            case "join":
                await self.channel_layer.group_add(order["group"], self.channel_name)
            case "leave":
                await self.channel_layer.group_discard(order["group"], self.channel_name)
            case "say":
                await self.channel_layer.group_send(order["group"], {"type": "chat.message", "order": order["what"]})

    async def disconnect(self, code: int) -> None:
        self.handled.append(("disconnect", code))


class Connection:
    """One consumer and its client: what has become of them, and, below, what the model says.

    Args:
        wire: the client.
        member: the consumer.
    """

    def __init__(self, wire: Wire, member: Member) -> None:
        self.wire = wire
        self.member = member
        self.task: asyncio.Task[Any] | None = None
        # The model
        self.waiting: list[tuple[dict[str, Any], bool]] = []  # orders, and whether they came through the layer
        self.blocked: list[int] = []
        self.handled: list[Any] = []
        self.state = "open"
        self.close_code: int | None = None
        self.failure: int | None = None
        self.lost: list[tuple[int, int, int]] = []  # what the log has: code, handlers cancelled, messages dropped

    def put(self, order: dict[str, Any], from_layer: bool) -> bool:
        """Say whether the message arrives, or nobody is to miss it."""
        if self.state != "open":
            return True
        if from_layer and sum(through_layer for _, through_layer in self.waiting) == CAPACITY:
            return False
        self.waiting.append((order, from_layer))
        return True

    def end(self, code: int) -> None:
        if self.state == "open":
            self.close_code = code
        else:  # the client has closed already
            code = 1000
        if self.blocked or self.waiting:
            self.lost.append((code, len(self.blocked), len(self.waiting)))
        self.state = "ended"
        self.blocked.clear()
        self.waiting.clear()
        self.handled.append(("disconnect", code))


class Records(logging.Handler):
    """Keeps what is logged of endings, by path."""

    def __init__(self) -> None:
        super().__init__()
        self.lost: dict[str, list[Any]] = {}

    def emit(self, record: logging.LogRecord) -> None:
        if "waiting messages dropped" in record.msg and isinstance(record.args, tuple):
            place, *numbers = record.args
            self.lost.setdefault(str(place).split("'")[1], []).append(tuple(numbers))
