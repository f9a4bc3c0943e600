"""A channel layer's senders let others run."""

import anyio
import pytest
from anyio.lowlevel import checkpoint

from consumers.layers.base import Layer
from consumers.types import Message

from ...support.contract import Listen, Mailbox, MakeLayer, attach, needs
from ...support.slow import left_to_ci

pytestmark = pytest.mark.anyio


@needs("ours")
async def test_sends_let_other_tasks_run(layer: Layer) -> None:
    ran = []

    async def other() -> None:
        ran.append(True)

    await layer.group_add("room", "worker")
    for send, name in ((layer.send, "worker"), (layer.group_send, "room"), (layer.group_send, "empty")):
        ran.clear()
        async with anyio.create_task_group() as task_group:
            task_group.start_soon(other)
            for _ in range(2):  # trio lets tasks run in any order, so the sender may be first once
                await send(name, {"type": "test"})
            assert ran


@needs("ours")
@pytest.mark.parametrize(("senders", "sends"), [(20, 20), *left_to_ci((1, 200), (1, 400), (20, 40))])
async def test_senders_in_loops_do_not_overrun_receivers_that_suspend(
    make_layer: MakeLayer, senders: int, sends: int
) -> None:
    await overrun(make_layer, senders, sends, 100)


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
async def test_a_sender_in_a_loop_does_not_overrun_a_worker(layer: Layer, listen: Listen) -> None:
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
