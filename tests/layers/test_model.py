"""The in-memory layer against a simple model."""

from typing import Any

import anyio
import anyio.from_thread
import anyio.lowlevel
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from consumers import ChannelFull, InMemoryChannelLayer
from consumers.types import Message

CAPACITY = 3
EXPIRY = 10
GROUP_EXPIRY = 25

groups = st.sampled_from(["red", "green"])
named = st.sampled_from(["worker", "jobs!a"])


class Receiver:
    """An attached receiver, and what the model says that it holds."""

    def __init__(self) -> None:
        self.got: list[Message] = []
        self.expected: list[Message] = []
        self.full = False

    def deliver(self, message: Message) -> bool:
        if not self.full:
            self.got.append(message)
        return not self.full


class LayerMachine(RuleBasedStateMachine):
    """The model: lists and dicts that are searched from end to end."""

    backend = "asyncio"
    names = Bundle("names")  # of attached channels, and of those that were

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.number = 0
        self.dropped = 0
        self.receivers: dict[str, Receiver] = {}
        self.members: dict[tuple[str, str], float] = {}  # (group, channel): when it expires
        self.queues: dict[str, list[tuple[float, Message]]] = {}
        self.layer = InMemoryChannelLayer(EXPIRY, GROUP_EXPIRY, CAPACITY, clock=lambda: self.now)
        self.portal_manager = anyio.from_thread.start_blocking_portal(self.backend)
        self.portal: anyio.from_thread.BlockingPortal = self.portal_manager.__enter__()

    def teardown(self) -> None:
        for name in list(self.receivers):
            self.layer.detach(name)
        self.portal.call(self.layer.flush)
        assert self.layer.channels == {}
        assert self.layer.groups == {}
        self.portal_manager.__exit__(None, None, None)

    def new_message(self) -> Message:
        self.number += 1
        return {"type": "test", "number": self.number}

    def expire(self) -> None:
        self.members = {member: end for member, end in self.members.items() if end > self.now}
        for channel, queue in list(self.queues.items()):
            self.queues[channel] = [entry for entry in queue if entry[0] > self.now]
            if not self.queues[channel]:
                del self.queues[channel]

    def put(self, channel: str, message: Message) -> bool:
        """Say whether the message arrives."""
        if channel in self.receivers:
            receiver = self.receivers[channel]
            if not receiver.full:
                receiver.expected.append(message)
            return not receiver.full
        queue = self.queues.setdefault(channel, [])
        if len(queue) == CAPACITY:
            return False
        queue.append((self.now + EXPIRY, message))
        return True

    @rule(target=names)
    def attach(self) -> str:
        receiver = Receiver()
        name = self.portal.call(self.layer.attach, receiver.deliver)
        self.receivers[name] = receiver
        return name

    @rule(name=names)
    def detach(self, name: str) -> None:
        self.layer.detach(name)
        self.receivers.pop(name, None)
        self.members = {member: end for member, end in self.members.items() if member[1] != name}

    @rule(name=consumes(names))
    def forget(self, name: str) -> None:
        self.detach(name)

    @rule(name=names)
    def fill_or_empty(self, name: str) -> None:
        if name in self.receivers:
            self.receivers[name].full = not self.receivers[name].full

    @rule(group=groups, channel=names | named)
    def group_add(self, group: str, channel: str) -> None:
        self.portal.call(self.layer.group_add, group, channel)
        if channel in self.receivers:
            self.members[group, channel] = float("inf")
        elif not channel.startswith("specific."):
            self.members[group, channel] = self.now + GROUP_EXPIRY

    @rule(group=groups, channel=names | named)
    def group_discard(self, group: str, channel: str) -> None:
        self.portal.call(self.layer.group_discard, group, channel)
        self.members.pop((group, channel), None)

    @rule(channel=names | named)
    def send(self, channel: str) -> None:
        self.expire()
        message = self.new_message()
        gone = channel.startswith("specific.") and channel not in self.receivers
        arrives = gone or self.put(channel, message)
        try:
            self.portal.call(self.layer.send, channel, message)
            assert arrives
        except ChannelFull:
            assert not arrives

    @rule(group=groups)
    def group_send(self, group: str) -> None:
        self.expire()
        message = self.new_message()
        for member_group, channel in self.members:
            if member_group == group:
                self.dropped += not self.put(channel, message)
        self.portal.call(self.layer.group_send, group, message)

    @rule(channel=named)
    def receive(self, channel: str) -> None:
        self.expire()
        if channel in self.queues:
            assert self.portal.call(self.layer.receive, channel) == self.queues[channel].pop(0)[1]
        else:
            assert self.portal.call(self.receive_and_give_up, channel) is None

    async def receive_and_give_up(self, channel: str) -> Any:
        received = []

        async def receive() -> None:
            received.append(await self.layer.receive(channel))

        async with anyio.create_task_group() as task_group:
            task_group.start_soon(receive)
            while channel not in self.layer.channels and not received:
                await anyio.lowlevel.checkpoint()
            task_group.cancel_scope.cancel()
        return received.pop() if received else None

    @rule()
    def flush(self) -> None:
        self.portal.call(self.layer.flush)
        self.members.clear()
        self.queues.clear()

    @rule(seconds=st.sampled_from([1, 5, 9, 10, 24, 25]))
    def pass_time(self, seconds: int) -> None:
        self.now += seconds

    @invariant()
    def receivers_hold_what_they_should(self) -> None:
        for receiver in self.receivers.values():
            assert receiver.got == receiver.expected
        assert self.layer.dropped == self.dropped

    @invariant()
    def tables_hold_what_they_should(self) -> None:
        self.expire()
        expected: dict[str, set[str]] = {}
        for group, channel in self.members:
            expected.setdefault(group, set()).add(channel)
        assert self.layer.groups == expected
        assert set(self.layer.channels) == {*self.receivers, *self.queues}


class TrioLayerMachine(LayerMachine):
    backend = "trio"


TestOnAsyncio = LayerMachine.TestCase
TestOnTrio = pytest.mark.slow(TrioLayerMachine.TestCase)
TestOnAsyncio.settings = TestOnTrio.settings = settings(
    max_examples=settings().max_examples * 3 // 5, stateful_step_count=40, deadline=None
)
