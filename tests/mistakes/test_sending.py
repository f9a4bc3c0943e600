"""Mistakes in sending are answered where they are made."""

import logging
from typing import Any

import anyio
import pytest

from compat.channels import layers as ported
from compat.channels.generic.websocket import AsyncWebsocketConsumer as PortedConsumer
from consumers import AsyncJsonWebsocketConsumer, AsyncWebsocketConsumer, InMemoryChannelLayer, JsonWebsocketConsumer
from consumers.layers import group_send_sync, send_sync
from consumers.testing import WebsocketCommunicator
from consumers.types import Message

from .answers import answers, last_line, log_lines
from .mistake import Mistake
from .sending_records import SENDING
from .typed_records import GROUPS, TYPED

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("mistake", [*SENDING, *TYPED, *GROUPS], ids=lambda mistake: mistake.title)
async def test_the_answer_is_given_once(
    mistake: Mistake, layer: InMemoryChannelLayer, caplog: pytest.LogCaptureFixture
) -> None:
    assert await answers(mistake, caplog, layer=layer) == [mistake.answer]


@pytest.mark.parametrize("message", [{}, {"type": None}, {"type": "a b"}, {"type": "_a"}, {"type": "x" * 201}])
async def test_a_refused_message_reaches_nobody(message: Message, layer: InMemoryChannelLayer) -> None:
    arrived: list[Message] = []

    def deliver(message: Message) -> int:
        arrived.append(message)
        return len(arrived)

    name = layer.attach(deliver)
    await layer.group_add("room", name)
    for sending in (layer.group_send("room", message), layer.send(name, message)):
        with pytest.raises(ValueError, match="type"):
            await sending
    assert arrived == []


def test_the_senders_without_a_loop_refuse_it_too(layer: InMemoryChannelLayer) -> None:
    for send in (send_sync, group_send_sync):
        with pytest.raises(ValueError, match="The message has no"):
            send("room", {"text": "hello"})


class Ported(PortedConsumer):
    groups = ["room"]


async def test_in_compat_a_message_without_a_type_ends_its_receiver_as_in_channels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    layer = ported.InMemoryChannelLayer()
    monkeypatch.setitem(ported.channel_layers.backends, "default", layer)
    client = WebsocketCommunicator(Ported.as_asgi(), "/ws")
    await client.connect()
    await layer.group_send("room", {"text": "hello"})
    with pytest.raises(ValueError, match="Incoming message has no 'type' attribute"):
        await client.receive_output()  # the close frame
        await client.wait()


class Listening(AsyncWebsocketConsumer):
    groups = ["room"]

    async def heard(self, event: Message) -> None:
        await self.send("heard")


@pytest.mark.parametrize(
    ("message", "why"),
    [
        ({"text": "hello"}, "Incoming message has no 'type' attribute"),
        ({"type": "a b"}, "Malformed type in message (no method's name): 'a b'"),
        ({"type": "unheard"}, "no handler for type 'unheard': define `unheard(self, event)`"),
    ],
)
async def test_what_comes_from_another_process_without_a_handler_is_logged_and_dropped(
    message: Message, why: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Consumer(Listening):
        """What is logged once is logged once for each class."""

    layer = ported.InMemoryChannelLayer()  # it sends whatever it gets, as channels_redis does
    monkeypatch.setitem(ported.channel_layers.backends, "default", layer)
    caplog.set_level(logging.DEBUG, "consumers")
    client = WebsocketCommunicator(Consumer.as_asgi(), "/ws")
    await client.connect()
    for _ in range(3):
        await layer.group_send("room", message)
    await layer.group_send("room", {"type": "heard"})
    assert await client.receive_from() == "heard"
    await client.disconnect()
    text = f"consumers.connection: Consumer dropped a layer message: {why}"
    assert log_lines(caplog.records) == [f"WARNING {text}", f"DEBUG {text}", f"DEBUG {text}"]


async def test_a_message_with_receivers_leaves_no_line(
    layer: InMemoryChannelLayer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "consumers")
    client = WebsocketCommunicator(Listening.as_asgi(), "/ws")
    await client.connect()
    await layer.group_send("room", {"type": "heard"})
    assert await client.receive_from() == "heard"
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(layer.receive, "mail")
        await anyio.wait_all_tasks_blocked()
        await layer.send("mail", {"type": "mail.send"})
    await client.disconnect()
    assert caplog.records == []


def test_json_that_cannot_be_encoded_names_the_plain_method_of_a_sync_consumer() -> None:
    class Chat(JsonWebsocketConsumer): ...

    with pytest.raises(TypeError) as caught:
        Chat.encode_json({"when": object()})
    assert last_line(caught.value) == (
        "TypeError: Object of type object is not JSON serializable. Pass what json.dumps() takes in its place, "
        "or override encode_json() in Chat: return json.dumps(content, default=...)"
    )


async def test_a_key_that_json_has_not_keeps_pythons_own_words() -> None:
    with pytest.raises(TypeError, match=r"^keys must be str, int, float, bool or None, not tuple$"):
        await AsyncJsonWebsocketConsumer.encode_json({(1, 2): 3})


@pytest.mark.parametrize("offered", [["chat.v1 ", " chat.v2"], ["chat.v2\t"], ["chat.v2"]])
async def test_blanks_around_an_offered_subprotocol_do_not_count(offered: list[str], no_layer: None) -> None:
    seen: list[Any] = []

    class Chat(AsyncWebsocketConsumer):
        async def connect(self) -> None:
            seen.append(self.scope["subprotocols"])
            await self.accept("chat.v2")

    client = WebsocketCommunicator(Chat.as_asgi(), "/ws", subprotocols=offered)
    assert await client.connect() == (True, "chat.v2")
    await client.disconnect()
    assert seen == [[name.strip() for name in offered]]
