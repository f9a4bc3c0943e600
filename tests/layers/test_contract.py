"""What every channel layer does. A new layer joins by an entry in KINDS."""

import inspect
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from contextvars import ContextVar
from typing import Any, TypeVar

import anyio
import pytest
from anyio.lowlevel import checkpoint
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from consumers import ChannelFull
from consumers.layers import BaseChannelLayer
from consumers.types import Deliver, Message

from .kinds import KINDS, Kind

pytestmark = pytest.mark.anyio

MakeLayer = Callable[..., BaseChannelLayer]
Listen = Callable[[BaseChannelLayer, str], Awaitable[None]]
Test = TypeVar("Test", bound=Callable[..., Any])


def needs(*traits: str) -> Callable[[Test], Test]:
    """Run a test only on the layers that have these traits."""

    def mark(test: Test) -> Test:
        setattr(test, "traits", set(traits))  # noqa: B010
        return test

    return mark


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "kind" in metafunc.fixturenames:
        traits: set[str] = getattr(metafunc.function, "traits", set())
        pairs = [
            pytest.param(kind, backend, id=f"{kind.name}-{backend}")
            for kind in KINDS
            for backend in kind.backends
            if kind.traits >= traits
        ]
        metafunc.parametrize(("kind", "anyio_backend"), pairs)


@pytest.fixture
def make(kind: Kind, request: pytest.FixtureRequest) -> Iterator[MakeLayer]:
    """Make layers that the test closes."""
    if kind.needs_redis:
        server = request.getfixturevalue("redis_server")
        yield lambda **arguments: kind.make(hosts=[server.url], **arguments)
        with server.client() as client:
            client.flushall()
    else:
        yield kind.make


@pytest.fixture
async def make_layer(make: MakeLayer, anyio_backend: str) -> AsyncIterator[MakeLayer]:
    """Make layers that are closed after the test."""
    made = []

    def make_one(**arguments: Any) -> BaseChannelLayer:
        made.append(make(**arguments))
        return made[-1]

    yield make_one
    for layer in made:
        await layer.close()


@pytest.fixture
async def layer(make_layer: MakeLayer) -> BaseChannelLayer:
    return make_layer()


@pytest.fixture
def listen(kind: Kind, request: pytest.FixtureRequest) -> Listen:
    """Have a layer that keeps nothing for channels nobody listens to listen to this one."""

    async def listen(layer: BaseChannelLayer, channel: str) -> None:
        if "stores" in kind.traits:
            return
        with request.getfixturevalue("redis_server").client() as client, anyio.fail_after(5):
            async with anyio.create_task_group() as task_group:
                task_group.start_soon(layer.receive, channel)
                while not dict(client.pubsub_numsub(channel))[channel]:
                    await anyio.sleep(0.01)
                task_group.cancel_scope.cancel()

    return listen


async def attach(layer: BaseChannelLayer, deliver: Deliver) -> str:
    """Attach a receiver; a layer that has to be pumped awaits something for it."""
    name: Any = layer.attach(deliver)
    return str(await name if inspect.isawaitable(name) else name)


class Mailbox:
    """A receiver: takes messages while it has room, and can be waited on."""

    def __init__(self, room: int = 1_000_000) -> None:
        self.messages: list[Message] = []
        self.room = room
        self._changed = anyio.Event()

    def deliver(self, message: Message) -> int:
        if len(self.messages) >= self.room:
            return 0
        self.messages.append(message)
        self._changed.set()
        return len(self.messages)

    async def holds(self, count: int) -> list[Message]:
        with anyio.fail_after(5):
            while len(self.messages) < count:
                self._changed = anyio.Event()
                await self._changed.wait()
        return self.messages


async def receive(layer: BaseChannelLayer, channel: str) -> Message:
    with anyio.fail_after(5):
        return await layer.receive(channel)


# Channels


@needs("listens")
async def test_a_channels_messages_are_received_in_order(layer: BaseChannelLayer, listen: Listen) -> None:
    await listen(layer, "worker")
    for number in range(3):
        await layer.send("worker", {"type": "test", "number": number})
    assert [(await receive(layer, "worker"))["number"] for _ in range(3)] == [0, 1, 2]


@needs("listens")
async def test_receive_waits_for_a_message(layer: BaseChannelLayer, listen: Listen) -> None:
    await listen(layer, "worker")
    async with anyio.create_task_group() as task_group:
        task_group.start_soon(layer.send, "worker", {"type": "test"})
        assert await receive(layer, "worker") == {"type": "test"}


@needs("ours")
async def test_new_channels_have_names_of_their_own(layer: BaseChannelLayer) -> None:
    one, other, third = await layer.new_channel(), await layer.new_channel(), await layer.new_channel("mine")
    assert len({one, other, third}) == 3
    assert one.partition("!")[0].removeprefix("asgi").startswith("specific.")
    assert third.partition("!")[0].removeprefix("asgi").startswith("mine.")
    await layer.send(one, {"type": "one"})
    await layer.send(other, {"type": "other"})
    assert await receive(layer, other) == {"type": "other"}
    assert await receive(layer, one) == {"type": "one"}
    attached = await attach(layer, Mailbox().deliver)
    assert all(layer.require_valid_channel_name(name) for name in (one, third, attached))


@needs("listens")
async def test_each_message_reaches_one_of_several_waiters(layer: BaseChannelLayer, listen: Listen) -> None:
    await listen(layer, "worker")
    received = []

    async def wait() -> None:
        received.append((await receive(layer, "worker"))["number"])

    async with anyio.create_task_group() as task_group:
        for _ in range(5):
            task_group.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        for number in range(5):
            await layer.send("worker", {"type": "test", "number": number})
    assert sorted(received) == [0, 1, 2, 3, 4]


@needs("listens")
async def test_a_cancelled_receive_loses_no_message(layer: BaseChannelLayer, listen: Listen) -> None:
    await listen(layer, "worker")
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as task_group:
            task_group.start_soon(layer.receive, "worker")
            await anyio.wait_all_tasks_blocked()
            scope.cancel()
    await layer.send("worker", {"type": "test"})
    with anyio.CancelScope() as scope:
        scope.cancel()
        await layer.receive("worker")
    assert await receive(layer, "worker") == {"type": "test"}


@needs("capacity")
async def test_a_send_to_a_full_channel_raises(make_layer: MakeLayer) -> None:
    layer = make_layer(capacity=3, channel_capacity={"small": 1})
    for _ in range(3):
        await layer.send("worker", {"type": "test"})
    with pytest.raises(ChannelFull, match=r"'worker'.* 3 "):
        await layer.send("worker", {"type": "test"})
    await receive(layer, "worker")
    await layer.send("worker", {"type": "test"})

    await layer.send("small", {"type": "test"})
    with pytest.raises(ChannelFull, match=r"'small'.* 1 "):
        await layer.send("small", {"type": "test"})


# Attached receivers


async def test_an_attached_receiver_is_handed_its_messages(layer: BaseChannelLayer) -> None:
    mailbox, other = Mailbox(), Mailbox()
    name = await attach(layer, mailbox.deliver)
    assert name != await attach(layer, other.deliver)
    await layer.send(name, {"type": "test"})
    assert await mailbox.holds(1) == [{"type": "test"}]
    assert other.messages == []


@needs("direct")
async def test_a_send_to_a_full_receiver_raises(make_layer: MakeLayer) -> None:
    layer = make_layer(capacity=2)
    mailbox = Mailbox(room=2)
    name = await attach(layer, mailbox.deliver)
    await layer.send(name, {"type": "test"})
    await layer.send(name, {"type": "test"})
    await mailbox.holds(2)
    with pytest.raises(ChannelFull, match=f"'{name}'.* 2 "):
        await layer.send(name, {"type": "test"})


@needs("ours")
async def test_a_detached_receiver_gets_nothing_and_is_in_no_group(layer: BaseChannelLayer) -> None:
    gone, other = Mailbox(), Mailbox()
    name, other_name = await attach(layer, gone.deliver), await attach(layer, other.deliver)
    for group in ("one", "two"):
        await layer.group_add(group, name)
        await layer.group_add(group, other_name)
    layer.detach(name)
    layer.detach(name)
    await layer.group_add("one", name)  # a blocked thread may still do this
    await layer.send(name, {"type": "test"})
    await layer.group_send("one", {"type": "test"})
    await layer.group_send("two", {"type": "test"})
    await other.holds(2)
    assert gone.messages == []


@needs("ours")
async def test_a_layer_knows_the_groups_of_its_receivers(layer: BaseChannelLayer) -> None:
    name, other = await attach(layer, Mailbox().deliver), await attach(layer, Mailbox().deliver)
    for group in ("one", "two", "three"):
        await layer.group_add(group, name)
    await layer.group_add("one", other)
    await layer.group_discard("two", name)
    assert layer.groups_of(name) == {"one", "three"}
    assert layer.groups_of(other) == {"one"}
    layer.detach(name)
    layer.detach(other)
    assert layer.groups_of(name) == frozenset()


@needs("ours")
async def test_a_receiver_detached_during_a_group_send_is_not_called_any_more(
    layer: BaseChannelLayer,
) -> None:
    first, second = Mailbox(), Mailbox()
    names: list[str] = []

    def detach_all(message: Message) -> bool:
        for name in names:
            layer.detach(name)
        return True

    for deliver in (detach_all, first.deliver, second.deliver):
        names.append(await attach(layer, deliver))
        await layer.group_add("room", names[-1])
    await layer.group_send("room", {"type": "test"})
    await anyio.wait_all_tasks_blocked()
    assert first.messages == second.messages == []


# Groups


async def test_a_group_send_reaches_every_member_once(layer: BaseChannelLayer) -> None:
    mailbox, outsider = Mailbox(), Mailbox()
    name = await attach(layer, mailbox.deliver)
    await attach(layer, outsider.deliver)
    channel = await layer.new_channel()
    for member in (name, name, channel, channel):
        await layer.group_add("room", member)
    await layer.group_send("room", {"type": "test"})
    assert await mailbox.holds(1) == [{"type": "test"}]
    assert await receive(layer, channel) == {"type": "test"}
    assert outsider.messages == []


async def test_a_group_send_to_nobody_is_harmless(layer: BaseChannelLayer) -> None:
    await layer.group_send("empty", {"type": "test"})


@needs("ours")
async def test_a_group_send_to_nobody_is_seen_at_level_debug(
    layer: BaseChannelLayer, caplog: pytest.LogCaptureFixture
) -> None:
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
    layer: BaseChannelLayer, caplog: pytest.LogCaptureFixture
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
async def test_a_message_without_a_handlers_type_is_refused(layer: BaseChannelLayer, message: Message) -> None:
    mailbox = Mailbox()
    name = await attach(layer, mailbox.deliver)
    await layer.group_add("room", name)
    for sending in (layer.send(name, message), layer.group_send("room", message)):
        with pytest.raises(ValueError, match="names the handler"):
            await sending
    await layer.send(name, {"type": "test"})
    assert await mailbox.holds(1) == [{"type": "test"}]


async def test_discarded_members_get_nothing(layer: BaseChannelLayer) -> None:
    mailbox, other = Mailbox(), Mailbox()
    name, other_name = await attach(layer, mailbox.deliver), await attach(layer, other.deliver)
    await layer.group_add("room", name)
    await layer.group_add("room", other_name)
    await layer.group_discard("room", name)
    await layer.group_discard("room", name)
    await layer.group_discard("elsewhere", name)
    await layer.group_send("room", {"type": "test"})
    await other.holds(1)
    assert mailbox.messages == []


async def test_a_receiver_gets_a_senders_messages_in_order(layer: BaseChannelLayer) -> None:
    mailbox = Mailbox()
    name = await attach(layer, mailbox.deliver)
    await layer.group_add("room", name)
    for number in range(0, 100, 2):
        await layer.group_send("room", {"type": "test", "number": number})
        await layer.send(name, {"type": "test", "number": number + 1})
    assert [message["number"] for message in await mailbox.holds(100)] == list(range(100))


@needs("ours")
async def test_only_full_members_miss_a_group_send(layer: BaseChannelLayer, caplog: pytest.LogCaptureFixture) -> None:
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
    layer: BaseChannelLayer, caplog: pytest.LogCaptureFixture
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


@needs("isolates")
async def test_nobody_sees_what_another_does_to_a_message(layer: BaseChannelLayer) -> None:
    one, other, channel = Mailbox(), Mailbox(), await layer.new_channel()
    names = [await attach(layer, one.deliver), await attach(layer, other.deliver)]
    for name in [*names, channel]:
        await layer.group_add("room", name)
    message: dict[str, Any] = {"type": "test", "value": {"deep": [{"list": []}]}}
    await layer.group_send("room", message)
    await layer.send(names[0], message)
    message["type"] = "changed"
    message["value"]["deep"][0]["list"].append("changed by the sender")

    for received in await one.holds(2):
        assert received["type"] == "test"
        assert received["value"]["deep"] == [{"list": []}]
        received["type"] = "changed"
        received["value"]["deep"][0]["list"].append("changed by a receiver")
    for received in (*await other.holds(1), await receive(layer, channel)):
        assert received["type"] == "test"
        assert received["value"]["deep"] == [{"list": []}]


sender: ContextVar[str] = ContextVar("sender", default="nobody")


@needs("ours")
async def test_receivers_do_not_see_the_senders_context_variables(layer: BaseChannelLayer) -> None:
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


# Fairness


@needs("ours")
async def test_sends_let_other_tasks_run(layer: BaseChannelLayer) -> None:
    ran = []

    async def other() -> None:
        ran.append(True)

    await layer.group_add("room", "worker")
    for send, name in ((layer.send, "worker"), (layer.group_send, "room"), (layer.group_send, "empty")):
        ran.clear()
        async with anyio.create_task_group() as task_group:
            task_group.start_soon(other)
            await send(name, {"type": "test"})
            await send(
                name, {"type": "test"}
            )  # trio lets tasks run in any order, so the sender may have been first once
            assert ran


@needs("ours")
@pytest.mark.parametrize(("senders", "sends", "capacity"), [(1, 400, 100), (20, 40, 100)])
async def test_senders_in_loops_do_not_overrun_receivers_that_suspend(
    make_layer: MakeLayer, senders: int, sends: int, capacity: int
) -> None:
    await overrun(make_layer, senders, sends, capacity)


@needs("paced")
async def test_a_sender_in_a_loop_does_not_overrun_receivers_with_room_for_one(make_layer: MakeLayer) -> None:
    await overrun(make_layer, 1, 200, 1)


async def overrun(make_layer: MakeLayer, senders: int, sends: int, capacity: int) -> None:
    layer = make_layer(capacity=capacity)
    received = [0] * 20

    async def member(index: int) -> None:
        mailbox = Mailbox(room=capacity)
        await layer.group_add("room", await attach(layer, mailbox.deliver))
        while True:
            await mailbox.holds(1)
            mailbox.messages.pop(0)
            for _ in range(2 + index % 2):
                await checkpoint()
            received[index] += 1

    async def send() -> None:
        for _ in range(sends):
            await layer.group_send("room", {"type": "test"})

    with anyio.fail_after(30):
        async with anyio.create_task_group() as members:
            for index in range(20):
                members.start_soon(member, index)
            await anyio.wait_all_tasks_blocked()
            async with anyio.create_task_group() as task_group:
                for _ in range(senders):
                    task_group.start_soon(send)
            await anyio.wait_all_tasks_blocked()
            members.cancel_scope.cancel()
    assert received == [senders * sends] * 20


@needs("paced")
async def test_a_sender_in_a_loop_does_not_overrun_a_worker(layer: BaseChannelLayer, listen: Listen) -> None:
    await listen(layer, "worker")
    received: list[Message] = []

    async def work() -> None:
        while len(received) < 1000:
            received.append(await layer.receive("worker"))
            for _ in range(3):
                await checkpoint()

    with anyio.fail_after(30):
        async with anyio.create_task_group() as task_group:
            task_group.start_soon(work)
            for _ in range(1000):
                await layer.send("worker", {"type": "test"})


# Arguments


@needs("ours")
async def test_a_message_must_be_a_dict(layer: BaseChannelLayer) -> None:
    wrong: Any
    for wrong in (["type"], "type", None, 5):
        kind = type(wrong).__name__
        with pytest.raises(TypeError, match=rf"must be a dict.*not {kind}"):
            await layer.send("worker", wrong)
        with pytest.raises(TypeError, match=rf"must be a dict.*not {kind}"):
            await layer.group_send("room", wrong)


characters = st.characters(codec="utf-8") | st.sampled_from("!.-_aZ0 \n")
invalid = (
    st.text(characters.filter(lambda character: not (character.isascii() and character.isalnum())), max_size=9)
    .map(lambda text: text + " ")
    .flatmap(lambda text: st.permutations(list("aZ0" + text)))
    .map("".join)
    | st.integers(100, 120).map(lambda length: "a" * length)
    | st.sampled_from(["", "a!b!c", "!a", "a\n", None, 5, b"a", ("a",), ["a"]])
)


@needs("ours")
@given(name=invalid)
@settings(
    deadline=None,
    max_examples=settings().max_examples // 2,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_every_method_rejects_an_invalid_name(make: MakeLayer, kind: Kind, anyio_backend: str, name: Any) -> None:
    async def main() -> None:
        async with make() as layer:
            await attach(layer, lambda message: True)
            await layer.group_add("room", "worker")
            for call in (
                lambda: layer.send(name, {"type": "x"}),
                lambda: layer.receive(name),
                lambda: layer.group_add("room", name),
                lambda: layer.group_discard("room", name),
                lambda: layer.new_channel(name),
            ):
                with pytest.raises(TypeError, match=r"Channel name must be .*: (it is|.* has )"):
                    await call()
            with pytest.raises(TypeError, match=r"Channel name must be .*: (it is|.* has )"):
                layer.detach(name)
            for call in (
                lambda: layer.group_add(name, "worker"),
                lambda: layer.group_discard(name, "worker"),
                lambda: layer.group_send(name, {"type": "x"}),
            ):
                with pytest.raises(TypeError, match=r"Group name must be .*: (it is|.* has )"):
                    await call()

    anyio.run(main, backend=anyio_backend)


# The end


@needs("ours")
async def test_flush_forgets_messages_and_groups_but_not_receivers(layer: BaseChannelLayer, listen: Listen) -> None:
    await listen(layer, "worker")
    mailbox = Mailbox()
    name = await attach(layer, mailbox.deliver)
    await layer.group_add("room", name)
    await layer.group_add("room", "worker")
    await layer.group_send("room", {"type": "old"})
    await mailbox.holds(1)  # so that it has come, for the worker too
    await layer.flush()
    await layer.group_send("room", {"type": "lost"})
    await layer.send("worker", {"type": "new"})
    assert await receive(layer, "worker") == {"type": "new"}
    await layer.send(name, {"type": "direct"})
    assert await mailbox.holds(2) == [{"type": "old"}, {"type": "direct"}]


@needs("ours")
async def test_a_layer_opens_again_after_it_was_closed(layer: BaseChannelLayer, listen: Listen) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(2):
            await stack.enter_async_context(layer)
    await listen(layer, "worker")
    await layer.send("worker", {"type": "test"})
    assert await receive(layer, "worker") == {"type": "test"}
