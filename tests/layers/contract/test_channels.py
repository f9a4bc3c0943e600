"""What every channel layer does with channels, receivers and arguments."""

from contextlib import AsyncExitStack
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from consumers import ChannelFull
from consumers.layers.base import Layer

from ...support.contract import Listen, Mailbox, MakeLayer, attach, needs, receive
from ...support.kinds import Kind

pytestmark = pytest.mark.anyio


# Channels


@needs("listens")
async def test_a_channels_messages_are_received_in_order(layer: Layer, listen: Listen) -> None:
    await listen(layer, "worker")
    for number in range(3):
        await layer.send("worker", {"type": "test", "number": number})
    assert [(await receive(layer, "worker"))["number"] for _ in range(3)] == [0, 1, 2]


@needs("listens")
async def test_receive_waits_for_a_message(layer: Layer, listen: Listen) -> None:
    await listen(layer, "worker")
    async with anyio.create_task_group() as task_group:
        task_group.start_soon(layer.send, "worker", {"type": "test"})
        assert await receive(layer, "worker") == {"type": "test"}


@needs("ours")
async def test_new_channels_have_names_of_their_own(layer: Layer) -> None:
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
async def test_each_message_reaches_one_of_several_waiters(layer: Layer, listen: Listen) -> None:
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
async def test_a_cancelled_receive_loses_no_message(layer: Layer, listen: Listen) -> None:
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


# Arguments


@needs("ours")
async def test_a_message_must_be_a_dict(layer: Layer) -> None:
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
            for group_call in (
                lambda: layer.group_add(name, "worker"),
                lambda: layer.group_discard(name, "worker"),
                lambda: layer.group_send(name, {"type": "x"}),
            ):
                with pytest.raises(TypeError, match=r"Group name must be .*: (it is|.* has )"):
                    await group_call()

    anyio.run(main, backend=anyio_backend)


# The end


@needs("ours")
async def test_flush_forgets_messages_and_groups_but_not_receivers(layer: Layer, listen: Listen) -> None:
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
async def test_a_layer_opens_again_after_it_was_closed(layer: Layer, listen: Listen) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(2):
            await stack.enter_async_context(layer)
    await listen(layer, "worker")
    await layer.send("worker", {"type": "test"})
    assert await receive(layer, "worker") == {"type": "test"}
