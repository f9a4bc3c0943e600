"""Receivers of one class that take a group's message together."""

from typing import Any

import pytest

from consumers import InMemoryChannelLayer
from consumers.types import DeliversMany, Message

from ..support.contract import Mailbox

pytestmark = pytest.mark.anyio


class ManyAtOnce(Mailbox, DeliversMany):
    """Receivers that take messages of type "batch" all at once."""

    def __call__(self, message: Message) -> int:
        return self.deliver(message)

    @staticmethod
    def deliver_many(receivers: list[Any], message: Message) -> list[Any]:
        assert all(isinstance(receiver, ManyAtOnce) for receiver in receivers)
        if message["type"] != "batch":
            return receivers
        for receiver in receivers:
            receiver.messages.append({**message, "taken": "in one go"})
        return []


async def test_receivers_of_one_kind_may_take_a_message_in_one_go(layer: InMemoryChannelLayer) -> None:
    mailboxes = [Mailbox(), ManyAtOnce(), ManyAtOnce()]
    names = [layer.attach(one if isinstance(one, ManyAtOnce) else one.deliver) for one in mailboxes]
    for name in names:
        await layer.group_add("room", name)
    await layer.group_send("room", {"type": "batch"})
    await layer.group_send("room", {"type": "batch", "tree": []})
    await layer.group_send("room", {"type": "other"})
    await layer.send(names[1], {"type": "batch"})
    taken: Message = {"type": "batch", "taken": "in one go"}
    singly: list[Message] = [{"type": "batch", "tree": []}, {"type": "other"}]
    assert [mailbox.messages for mailbox in mailboxes] == [
        [{"type": "batch"}, *singly],
        [taken, *singly, taken],
        [taken, *singly],
    ]


class Choosy(ManyAtOnce):
    """Of those that are to take a message all at once, every other one does."""

    is_full = False

    def __call__(self, message: Message) -> int:
        return 0 if self.is_full else self.deliver(message)

    @staticmethod
    def deliver_many(receivers: list[Any], message: Message) -> list[Any]:
        assert ManyAtOnce.deliver_many(receivers[::2], {**message, "type": "batch"}) == []
        return receivers[1::2]


async def test_those_that_do_not_take_a_message_in_one_go_are_called_one_by_one(
    layer: InMemoryChannelLayer, caplog: pytest.LogCaptureFixture
) -> None:
    mailboxes = [Choosy() for _ in range(6)]
    names = [layer.attach(mailbox) for mailbox in mailboxes]
    for name in names:
        await layer.group_add("room", name)
    mailboxes[3].is_full = True
    await layer.group_send("room", {"type": "test"})
    taken, singly = [{"type": "batch", "taken": "in one go"}], [{"type": "test"}]
    assert [mailbox.messages for mailbox in mailboxes] == [taken, singly, taken, [], taken, singly]
    assert layer.dropped == 1 and names[3] in caplog.text
    layer.detach(names[0])
    await layer.group_send("room", {"type": "test"})
    assert [len(mailbox.messages) for mailbox in mailboxes] == [1, 2, 2, 1, 2, 2]
    assert layer.dropped == 1
