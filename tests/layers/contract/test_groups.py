"""What every channel layer does with groups, and that no receiver sees what another does."""

import logging
from contextvars import ContextVar

import anyio
import pytest

from consumers.layers.base import Layer
from consumers.types import Message

from ...support.contract import Mailbox, attach, needs, receive

pytestmark = pytest.mark.anyio


# Groups


@needs("ours")
async def test_a_group_send_to_nobody_is_seen_at_level_debug(layer: Layer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "consumers.layers")
    mailbox = Mailbox()
    await layer.group_add("room", await attach(layer, mailbox.deliver))
    await layer.group_send("room", {"type": "test"})
    await mailbox.holds(1)
    await layer.group_send("empty", {"type": "test"})
    lines = [record.getMessage() for record in caplog.records if "reached nobody" in record.getMessage()]
    assert lines == ["A message of type 'test' reached nobody: nobody is in the group 'empty'"]


@needs("ours")
async def test_a_send_to_a_consumer_that_has_ended_is_seen_at_level_debug(
    layer: Layer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "consumers.layers")
    mailbox, other = Mailbox(), Mailbox()
    name, other_name = await attach(layer, mailbox.deliver), await attach(layer, other.deliver)
    layer.detach(name)
    await layer.send(name, {"type": "test"})
    await layer.send(other_name, {"type": "test"})
    await other.holds(1)  # behind the first, where that comes by way of Redis
    lines = [record.getMessage() for record in caplog.records if "reached nobody" in record.getMessage()]
    why = "the consumer has ended that had", "nobody receives from"  # one that subscribed by name hears of it no more
    assert lines in [[f"A message of type 'test' reached nobody: {text} the channel {name!r}"] for text in why]


@needs("ours")
@pytest.mark.parametrize("message", [{}, {"text": "hello"}, {"type": 5}, {"type": "no name"}, {"type": "_hidden"}])
async def test_a_message_without_a_handlers_type_is_refused(layer: Layer, message: Message) -> None:
    mailbox = Mailbox()
    name = await attach(layer, mailbox.deliver)
    await layer.group_add("room", name)
    for sending in (layer.send(name, message), layer.group_send("room", message)):
        with pytest.raises(ValueError, match="names the handler"):
            await sending
    await layer.send(name, {"type": "test"})
    assert await mailbox.holds(1) == [{"type": "test"}]


@needs("ours")
async def test_only_full_members_miss_a_group_send(layer: Layer, caplog: pytest.LogCaptureFixture) -> None:
    full, healthy = Mailbox(room=0), Mailbox()
    names = [await attach(layer, full.deliver), await attach(layer, healthy.deliver)]
    for name in names:
        await layer.group_add("room", name)
    for _ in range(5):
        await layer.group_send("room", {"type": "test"})
    await healthy.holds(5)
    [record] = [record for record in caplog.records if record.name == "consumers.layers"]
    assert record.levelno == logging.WARNING
    assert names[0] in record.message


@needs("ours")
async def test_a_member_whose_deliver_raises_keeps_nothing_from_the_others(
    layer: Layer, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(message: Message) -> bool:
        raise RuntimeError("broken")

    before, after = Mailbox(), Mailbox()
    for deliver in (before.deliver, broken, after.deliver):
        await layer.group_add("room", await attach(layer, deliver))
    await layer.group_send("room", {"type": "test"})
    await before.holds(1)
    await after.holds(1)
    assert "could not take a message" in caplog.text


# Isolation


sender: ContextVar[str] = ContextVar("sender", default="nobody")


@needs("ours")
async def test_receivers_do_not_see_the_senders_context_variables(layer: Layer) -> None:
    seen = []
    mailbox = Mailbox()
    name = await attach(layer, mailbox.deliver)
    await layer.group_add("room", name)
    await layer.group_add("room", "worker")

    async def read_mailbox() -> None:
        await mailbox.holds(1)
        seen.append(sender.get())

    async def read_channel() -> None:
        await receive(layer, "worker")
        seen.append(sender.get())

    async def send() -> None:
        sender.set("me")
        await layer.group_send("room", {"type": "test"})

    async with anyio.create_task_group() as task_group:
        task_group.start_soon(read_mailbox)
        task_group.start_soon(read_channel)
        await anyio.wait_all_tasks_blocked()
        task_group.start_soon(send)
    assert seen == ["nobody", "nobody"]
