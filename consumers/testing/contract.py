"""What every channel layer does, as tests that any layer can run: on pytest, on unittest, on asyncio and on trio."""

import threading
from contextvars import ContextVar
from typing import Any

import anyio
import anyio.to_thread

from ..types import Message
from .contract_presence import PresenceContract
from .mailbox import Mailbox, change, receive, refuses

WRONG_NAMES: tuple[Any, ...] = ("", "a b", "a\n", "ä", "a" * 100, "!a", "a!b!c", None, 5, b"a", ["a"])
WRONG_MESSAGES: tuple[Any, ...] = (
    ["type"],
    None,
    {},
    {"text": "a"},
    {"type": 5},
    {"type": "no name"},
    {"type": "_hidden"},
)
WRONG_CODES: tuple[Any, ...] = (999, 1006, 5000, "4001", True)

_sender: ContextVar[str] = ContextVar("sender", default="nobody")


class LayerContract(PresenceContract):
    """The tests of `consumers.layers.base.Layer`. Derive a test class, and override `make_layer()`.

        @pytest.mark.anyio
        class TestMyLayer(LayerContract):
            def make_layer(self) -> Layer:
                return MyLayer()

    With pytest that needs anyio's plugin, which comes with anyio. With unittest, derive from
    `unittest.IsolatedAsyncioTestCase` too.
    """

    # Attached receivers

    async def test_an_attached_receiver_is_handed_its_messages(self) -> None:
        async with self.layer() as layer:
            name, mailbox = await self.member(layer)
            other_name, other = await self.member(layer)
            assert name != other_name
            await layer.send(name, {"type": "test"})
            assert await mailbox.holds(1) == [{"type": "test"}]
            assert other.messages == []

    async def test_attach_needs_an_event_loop(self) -> None:
        async with self.layer() as layer:
            await refuses(RuntimeError, anyio.to_thread.run_sync, layer.attach, Mailbox().deliver)

    async def test_a_detached_receiver_gets_nothing_and_is_in_no_group(self) -> None:
        async with self.layer() as layer:
            name, gone = await self.member(layer, "one", "two")
            _, other = await self.member(layer, "one", "two")
            layer.detach(name)
            layer.detach(name)
            assert layer.groups_of(name) == frozenset()
            await layer.group_add("one", name)  # a blocked thread may still do this
            await layer.send(name, {"type": "test"})
            await layer.group_send("one", {"type": "test"})
            await layer.group_send("two", {"type": "test"})
            await other.holds(2)
            assert gone.messages == []

    async def test_a_receiver_detached_during_a_group_send_is_not_called_any_more(self) -> None:
        async with self.layer() as layer:
            names: list[str] = []
            called: list[Message] = []

            def detach_all(message: Message) -> int:
                called.append(message)
                for name in names:
                    layer.detach(name)
                return 1

            for _ in range(3):
                names.append(await self.attach(layer, detach_all))
                await layer.group_add("room", names[-1])
            _, other = await self.member(layer, "other")
            await layer.group_send("room", {"type": "test"})
            await layer.group_send("other", {"type": "test"})
            await other.holds(1)
            assert called == [{"type": "test"}]

    async def test_a_layer_knows_the_groups_of_its_receivers(self) -> None:
        async with self.layer() as layer:
            name, _ = await self.member(layer, "one", "two", "three")
            other, _ = await self.member(layer, "one")
            await layer.group_discard("two", name)
            assert layer.groups_of(name) == {"one", "three"}
            assert layer.groups_of(other) == {"one"}
            layer.detach(name)
            layer.detach(other)
            assert layer.groups_of(name) == frozenset()

    async def test_a_receiver_is_called_on_its_own_event_loop(self) -> None:
        async with self.layer() as layer:
            name, mailbox = await self.member(layer, "room")

            def send_all() -> None:
                async def main() -> None:
                    await layer.send(name, {"type": "direct"})
                    await layer.group_send("room", {"type": "group"})
                    await layer.close_group("room", 4001, "bye")

                anyio.run(main)

            thread = threading.Thread(target=send_all)
            thread.start()
            assert [message["type"] for message in (await mailbox.holds(2))[:2]] == ["direct", "group"]
            assert await mailbox.is_closed() == (4001, "bye")
            await anyio.to_thread.run_sync(thread.join)
            assert mailbox.threads == {threading.current_thread()}

    # Channels

    async def test_a_new_channels_messages_are_received_in_order(self) -> None:
        async with self.layer() as layer:
            one, other, named = await layer.new_channel(), await layer.new_channel(), await layer.new_channel("mine")
            assert len({one, other, named}) == 3
            assert all(layer.require_valid_channel_name(name) for name in (one, other, named))
            for number in range(3):
                await layer.send(one, {"type": "test", "number": number})
            await layer.send(other, {"type": "other"})
            assert await receive(layer, other) == {"type": "other"}
            assert [(await receive(layer, one))["number"] for _ in range(3)] == [0, 1, 2]

    async def test_each_message_reaches_one_of_several_that_wait(self) -> None:
        async with self.layer() as layer:
            channel, received = await layer.new_channel(), []

            async def wait() -> None:
                received.append((await receive(layer, channel))["number"])

            async with anyio.create_task_group() as tasks:
                for _ in range(5):
                    tasks.start_soon(wait)
                await anyio.wait_all_tasks_blocked()
                for number in range(5):
                    await layer.send(channel, {"type": "test", "number": number})
            assert sorted(received) == [0, 1, 2, 3, 4]

    async def test_a_receive_that_is_cancelled_loses_no_message(self) -> None:
        async with self.layer() as layer:
            channel = await layer.new_channel()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(layer.receive, channel)
                await anyio.wait_all_tasks_blocked()
                tasks.cancel_scope.cancel()
            await layer.send(channel, {"type": "test"})
            with anyio.CancelScope() as scope:
                scope.cancel()
                await layer.receive(channel)
            assert await receive(layer, channel) == {"type": "test"}

    # Groups

    async def test_a_group_send_reaches_every_member_once(self) -> None:
        async with self.layer() as layer:
            name, mailbox = await self.member(layer)
            _, outsider = await self.member(layer)
            channel = await layer.new_channel()
            for member in (name, name, channel, channel):
                await layer.group_add("room", member)
            await layer.group_send("room", {"type": "test"})
            assert await mailbox.holds(1) == [{"type": "test"}]
            assert await receive(layer, channel) == {"type": "test"}
            assert outsider.messages == []

    async def test_a_group_send_to_nobody_is_harmless(self) -> None:
        async with self.layer() as layer:
            await layer.group_send("empty", {"type": "test"})

    async def test_discarded_members_get_nothing(self) -> None:
        async with self.layer() as layer:
            name, mailbox = await self.member(layer, "room")
            _, other = await self.member(layer, "room")
            await layer.group_discard("room", name)
            await layer.group_discard("room", name)
            await layer.group_discard("elsewhere", name)
            await layer.group_send("room", {"type": "test"})
            await other.holds(1)
            assert mailbox.messages == []

    async def test_a_receiver_gets_a_senders_messages_in_order(self) -> None:
        async with self.layer() as layer:
            name, mailbox = await self.member(layer, "room")
            for number in range(0, 100, 2):
                await layer.group_send("room", {"type": "test", "number": number})
                await layer.send(name, {"type": "test", "number": number + 1})
            assert [message["number"] for message in await mailbox.holds(100)] == list(range(100))

    async def test_only_full_members_miss_a_group_send(self) -> None:
        async with self.layer() as layer:
            _, full = await self.member(layer, "room", room=0)
            _, healthy = await self.member(layer, "room")
            for _ in range(5):
                await layer.group_send("room", {"type": "test"})
            await healthy.holds(5)
            assert full.messages == []

    async def test_a_member_whose_deliver_raises_keeps_nothing_from_the_others(self) -> None:
        def broken(message: Message) -> int:
            raise RuntimeError("a receiver of the contract's tests that always fails")

        async with self.layer() as layer:
            _, before = await self.member(layer, "room")
            await layer.group_add("room", await self.attach(layer, broken))
            _, after = await self.member(layer, "room")
            await layer.group_send("room", {"type": "test"})
            await before.holds(1)
            await after.holds(1)

    async def test_nobody_sees_what_another_does_to_a_message(self) -> None:
        async with self.layer() as layer:
            name, one = await self.member(layer, "room")
            _, other = await self.member(layer, "room")
            channel = await layer.new_channel()
            await layer.group_add("room", channel)
            message: dict[str, Any] = {"type": "test", "value": {"deep": [{"list": []}]}}
            await layer.group_send("room", message)
            await layer.send(name, message)
            change(message)
            for received in await one.holds(2):
                assert received == {"type": "test", "value": {"deep": [{"list": []}]}}
                change(received)
            for received in (*await other.holds(1), await receive(layer, channel)):
                assert received == {"type": "test", "value": {"deep": [{"list": []}]}}

    async def test_receivers_do_not_see_the_senders_context_variables(self) -> None:
        async with self.layer() as layer:
            seen: list[str] = []
            _, mailbox = await self.member(layer, "room")
            channel = await layer.new_channel()
            await layer.group_add("room", channel)

            async def read_mailbox() -> None:
                await mailbox.holds(1)
                seen.append(_sender.get())

            async def read_channel() -> None:
                await receive(layer, channel)
                seen.append(_sender.get())

            async def send() -> None:
                _sender.set("me")
                await layer.group_send("room", {"type": "test"})

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(read_mailbox)
                tasks.start_soon(read_channel)
                await anyio.wait_all_tasks_blocked()
                tasks.start_soon(send)
            assert seen == ["nobody", "nobody"]

    async def test_sends_let_other_tasks_run(self) -> None:
        ran: list[bool] = []

        async def other() -> None:
            ran.append(True)

        async with self.layer() as layer:
            name, _ = await self.member(layer, "room")
            for send, to in ((layer.send, name), (layer.group_send, "room"), (layer.group_send, "empty")):
                ran.clear()
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(other)
                    for _ in range(2):  # trio lets tasks run in any order, so the sender may have been first once
                        await send(to, {"type": "test"})
                    assert ran, "send() and group_send() must await something that lets other tasks run"

    # Closing a group

    async def test_close_group_closes_members_and_tells_those_that_cannot_be_closed(self) -> None:
        async with self.layer() as layer:
            _, mailbox = await self.member(layer, "room")
            _, outsider = await self.member(layer, "elsewhere")
            told = Mailbox()
            await layer.group_add("room", await self.attach(layer, told.deliver))
            await layer.close_group("room", 4001, "bye")
            assert await mailbox.is_closed() == (4001, "bye")
            assert await told.holds(1) == [{"type": "consumers.close", "code": 4001, "reason": "bye"}]
            assert outsider.closed is None

    async def test_a_message_closes_nobody(self) -> None:
        async with self.layer() as layer:
            _, mailbox = await self.member(layer, "room")
            await layer.group_send("room", {"type": "consumers.close", "code": 4001, "reason": "forged"})
            await mailbox.holds(1)
            assert mailbox.closed is None

    async def test_a_wrong_close_is_refused_and_closes_nobody(self) -> None:
        async with self.layer() as layer:
            _, mailbox = await self.member(layer, "room")
            for code in WRONG_CODES:
                await refuses(ValueError, layer.close_group, "room", code)
            await refuses(TypeError, layer.close_group, "room", 4001, b"bytes")
            await layer.group_send("room", {"type": "test"})
            assert await mailbox.holds(1) == [{"type": "test"}]
            assert mailbox.closed is None

    # Arguments, and the end

    async def test_a_message_must_be_a_dict_with_the_type_of_a_handler(self) -> None:
        async with self.layer() as layer:
            name, mailbox = await self.member(layer, "room")
            for wrong in WRONG_MESSAGES:
                error = ValueError if isinstance(wrong, dict) else TypeError
                await refuses(error, layer.send, name, wrong)
                await refuses(error, layer.group_send, "room", wrong)
            await layer.send(name, {"type": "test"})
            assert await mailbox.holds(1) == [{"type": "test"}]

    async def test_every_method_refuses_a_wrong_name(self) -> None:
        async with self.layer() as layer:
            for name in WRONG_NAMES:
                await refuses(TypeError, layer.send, name, {"type": "test"})
                await refuses(TypeError, layer.receive, name)
                await refuses(TypeError, layer.group_add, "room", name)
                await refuses(TypeError, layer.group_discard, "room", name)
                await refuses(TypeError, layer.group_add, name, "worker")
                await refuses(TypeError, layer.group_send, name, {"type": "test"})
                await refuses(TypeError, layer.close_group, name)

    async def test_flush_forgets_messages_and_groups_but_not_receivers(self) -> None:
        async with self.layer() as layer:
            name, mailbox = await self.member(layer, "room")
            await layer.flush()
            await layer.group_send("room", {"type": "lost"})
            assert layer.groups_of(name) == frozenset()
            await layer.send(name, {"type": "direct"})
            assert await mailbox.holds(1) == [{"type": "direct"}]

    async def test_a_layer_opens_again_after_it_was_closed(self) -> None:
        async with self.layer() as layer:
            for _ in range(2):
                async with layer:
                    name, mailbox = await self.member(layer)
                    await layer.send(name, {"type": "test"})
                    assert await mailbox.holds(1) == [{"type": "test"}]
                    layer.detach(name)
