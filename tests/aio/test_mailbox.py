"""The queue in front of a connection's worker, on both event loops."""

import math
from typing import Any

import anyio
import pytest

from consumers import AsyncWebsocketConsumer, InMemoryChannelLayer, channel_layers
from consumers._aio.mailbox import FROM_LAYER, Mailbox
from consumers._aio.portable import PortableMailbox
from consumers.types import Message

from ..support.wire import connected

pytestmark = pytest.mark.anyio


class Noting(AsyncWebsocketConsumer):
    """Notes what comes from its group, once it may, and changes it."""

    groups = ["room"]

    def __init__(self, log: list[Message], gate: anyio.Event) -> None:
        super().__init__()
        self.log = log
        self.gate = gate

    async def note(self, event: Message) -> None:
        await self.gate.wait()
        self.log.append(dict(event))
        event["text"] = "changed by a member"

    async def fail(self, event: Message) -> None:
        event["text"] = "changed before an error"
        raise ZeroDivisionError

    async def on_error(self, exc: Exception, message: Message | None) -> None:
        self.log.append({"type": "error", "message": message})


def note(text: str) -> Message:
    return {"type": "note", "text": text}


@pytest.mark.parametrize("tasks", [1, 3])
async def test_every_member_has_a_message_of_its_own_as_it_was_sent(layer: InMemoryChannelLayer, tasks: int) -> None:
    class Member(Noting):
        max_tasks = tasks

    log, gate = list[Message](), anyio.Event()
    app = Member.as_asgi(log=log, gate=gate)
    async with connected(app), connected(app):
        message = note("as it was sent")
        await layer.group_send("room", message)
        message["text"] = "changed by the sender"
        gate.set()
        await anyio.wait_all_tasks_blocked()
    assert log == [note("as it was sent")] * 2


async def test_an_errors_message_is_the_one_that_the_handler_had(layer: InMemoryChannelLayer) -> None:
    log: list[Message] = []
    async with connected(Noting.as_asgi(log=log, gate=anyio.Event())):
        await layer.group_send("room", {"type": "fail"})
        await anyio.wait_all_tasks_blocked()
    assert log == [{"type": "error", "message": {"type": "fail", "text": "changed before an error"}}]


async def test_messages_stay_in_order_however_they_come_and_however_full_the_mailbox_is(
    layer: InMemoryChannelLayer,
) -> None:
    log, gate, names = list[Message](), anyio.Event(), list[str]()

    class Member(Noting):
        async def connect(self) -> None:
            names.append(self.channel_name)
            await self.accept()

    async with connected(Member.as_asgi(log=log, gate=gate)):
        await layer.group_send("room", note("0"))
        await anyio.wait_all_tasks_blocked()  # its handler waits from now on
        sent = ["0"]
        for number in range(1, 120):
            message: Message = {**note(str(number)), **({} if number % 3 else {"tree": [number]})}
            if number > 100:  # one is being handled, and a hundred wait
                await layer.group_send("room", message)
                continue
            sent.append(str(number))
            await (layer.send(names[0], message) if number % 5 == 0 else layer.group_send("room", message))
        gate.set()
        await anyio.wait_all_tasks_blocked()
    assert [message["text"] for message in log] == sent
    assert layer.dropped == 19


async def test_a_capacity_without_an_end_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    endless: dict[str, Any] = {"capacity": math.inf}
    layer = InMemoryChannelLayer(**endless)
    monkeypatch.setitem(channel_layers.backends, "default", layer)
    log, gate = list[Message](), anyio.Event()
    async with connected(Noting.as_asgi(log=log, gate=gate)):
        for number in range(200):
            await layer.group_send("room", note(str(number)))
        gate.set()
        await anyio.wait_all_tasks_blocked()
    assert [message["text"] for message in log] == [str(number) for number in range(200)]


async def test_only_the_clients_messages_take_up_the_clients_room() -> None:
    mailbox = PortableMailbox(client_limit=2, byte_limit=2**20, layer_limit=10)
    for number in range(5):
        mailbox.put_layer(note(str(number)))
    assert mailbox.put({"type": "websocket.receive", "text": "one"})
    assert not mailbox.is_full
    assert not mailbox.put({"type": "websocket.receive", "text": "two"})
    assert mailbox.is_full


async def test_mailboxes_that_are_half_full_or_closed_are_left_to_be_filled_one_by_one() -> None:
    mailboxes = [PortableMailbox(client_limit=100, byte_limit=2**20, layer_limit=10) for _ in range(5)]
    for mailbox, waiting in zip(mailboxes, (0, 4, 5, 0, 0), strict=True):
        for _ in range(waiting):
            assert mailbox(note("before"))
    mailboxes[3].is_closed = True
    assert Mailbox.deliver_many(mailboxes, note("hello")) == mailboxes[2:4]
    assert [len(mailbox.messages) for mailbox in mailboxes] == [1, 5, 5, 0, 1]
    assert [mailbox(note("hello")) for mailbox in mailboxes[2:4]] == [6, 1]
    for mailbox, before in zip(mailboxes, (0, 4, 5, None, 0), strict=True):
        expected = [] if before is None else [note("before")] * before + [note("hello")]
        assert [mailbox.take() for _ in range(len(mailbox.messages))] == [(one, FROM_LAYER) for one in expected]
        assert mailbox.layer_count == 0
