"""Several consumers on one channel layer against a simple model: who gets what, in which order, and what is lost."""

import asyncio
import logging
from typing import Any

import anyio
import anyio.from_thread
import anyio.lowlevel
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, precondition, rule

from consumers import ChannelFull, InMemoryChannelLayer, channel_layers
from consumers.types import Message

from ..support.model import CAPACITY, Connection, Failure, Member, Records
from ..support.wire import Wire, websocket_scope

ROUNDS = 60  # of the event loop: more than any message here needs to arrive

groups = st.sampled_from(["red", "green"])
# What a message has its handler do, whoever it comes from.
deeds = st.sampled_from(["note", "note", "note", "block", "block", "fail"])


class ConsumersMachine(RuleBasedStateMachine):
    """Every rule lets the event loop come to rest, so what one sender sends is all that is under way."""

    backend = "asyncio"
    connections = Bundle("connections")  # those that are, and those that were

    def __init__(self) -> None:
        super().__init__()
        self.number = 0
        self.dropped = 0
        self.all: list[Connection] = []
        self.members: dict[str, list[Connection]] = {"red": [], "green": []}
        self.records = Records()
        self.logger = logging.getLogger("consumers.connection")
        self.logger.addHandler(self.records)
        self.layer = channel_layers.backends["model"] = InMemoryChannelLayer(capacity=CAPACITY)
        self.portal_manager = anyio.from_thread.start_blocking_portal(self.backend)
        self.portal: anyio.from_thread.BlockingPortal = self.portal_manager.__enter__()

    def teardown(self) -> None:
        try:
            for connection in self.all:
                if connection.state != "ended":
                    self.kill(connection, native=False)
            self.agrees()
            assert self.layer.channels == {}
            assert self.layer.groups == {}
        finally:  # a failure, too, is followed by other runs
            self.portal.call(self.portal.stop, True)
            self.portal_manager.__exit__(None, None, None)
            del channel_layers.backends["model"]
            self.logger.removeHandler(self.records)

    # The model

    def new_order(self, deed: str, **fields: Any) -> dict[str, Any]:
        self.number += 1
        return {"number": self.number, "deed": deed, **fields}

    def fan_out(self, group: str, order: dict[str, Any], sender: Connection | None = None) -> None:
        receivers = list(self.members[group])
        for receiver in receivers:
            self.dropped += not receiver.put(order, from_layer=True)
        for receiver in receivers:
            if receiver is not sender:  # which goes on when it has sent
                self.run_on(receiver)

    def run_on(self, connection: Connection) -> None:
        while connection.waiting and len(connection.blocked) < connection.member.max_tasks:
            order, _ = connection.waiting.pop(0)
            connection.handled.append(order["number"])
            match order["deed"]:
                case "block":
                    connection.blocked.append(order["number"])
                case "fail":
                    connection.failure = order["number"]
                    self.finish(connection, 1011)
                case "join" if connection not in self.members[order["group"]]:
                    self.members[order["group"]].append(connection)
                case "leave" if connection in self.members[order["group"]]:
                    self.members[order["group"]].remove(connection)
                case "say":
                    self.fan_out(order["group"], order["what"], connection)
        if connection.state == "draining" and not connection.blocked:
            self.finish(connection, 1000)

    def finish(self, connection: Connection, code: int) -> None:
        connection.end(code)
        for members in self.members.values():
            if connection in members:
                members.remove(connection)

    # Both

    def living(self, connection: Connection) -> Connection:
        """Return another one for one that has ended, if there is one: most steps are to do something."""
        alive = [other for other in self.all if other.state != "ended"]
        return connection if connection in alive or not alive else alive[-1]

    @precondition(lambda self: sum(connection.state != "ended" for connection in self.all) < 3)
    @rule(target=connections, max_tasks=st.sampled_from([1, 1, 2]))
    def connect(self, max_tasks: int) -> Connection:
        connection = self.portal.call(self.make_connection, max_tasks)
        self.all.append(connection)
        self.portal.start_task_soon(self.serve, connection, f"/{len(self.all)}")
        self.settle()
        return connection

    async def make_connection(self, max_tasks: int) -> Connection:
        connection = Connection(Wire(), Member(max_tasks))
        connection.wire.client("connect")
        return connection

    async def serve(self, connection: Connection, path: str) -> None:
        wire = connection.wire
        if self.backend == "asyncio":
            connection.task = asyncio.current_task()
        try:
            with anyio.CancelScope() as wire.scope:
                await connection.member(websocket_scope(path=path), wire.app_receive, wire.app_send)
        except Failure as failure:
            wire.error = failure
        finally:
            wire.finished.set()

    def settle(self) -> None:
        self.portal.call(self.let_all_run)

    async def let_all_run(self) -> None:
        for _ in range(ROUNDS):
            await anyio.lowlevel.checkpoint()

    def from_client(self, connection: Connection, order: dict[str, Any]) -> None:
        if connection.state == "open":
            connection.put(order, from_layer=False)
            self.run_on(connection)
            self.portal.call(self.put_event, connection, {"type": "websocket.receive", "order": order})
            self.settle()

    async def put_event(self, connection: Connection, event: Message) -> None:
        connection.wire.event(event)

    @rule(connection=connections, deed=deeds)
    def client_message(self, connection: Connection, deed: str) -> None:
        connection = self.living(connection)
        self.from_client(connection, self.new_order(deed))

    @rule(connection=connections, group=groups, deed=st.sampled_from(["join", "join", "leave"]))
    def client_joins_or_leaves(self, connection: Connection, group: str, deed: str) -> None:
        connection = self.living(connection)
        self.from_client(connection, self.new_order(deed, group=group))

    @rule(connection=connections, group=groups, deed=deeds)
    def client_speaks_to_a_group(self, connection: Connection, group: str, deed: str) -> None:
        connection = self.living(connection)
        self.from_client(connection, self.new_order("say", group=group, what=self.new_order(deed)))

    @rule(group=groups, deed=deeds, times=st.integers(1, 5))
    def group_sends(self, group: str, deed: str, times: int) -> None:
        # A failure comes last: whether more arrives before it is handled is not promised.
        place = times - 1 if deed == "fail" else 0
        orders = [self.new_order(deed if number == place else "note") for number in range(times)]
        for order in orders:
            self.fan_out(group, order)
        self.portal.call(self.send_to_group, group, orders)
        self.settle()

    async def send_to_group(self, group: str, orders: list[dict[str, Any]]) -> None:
        for order in orders:
            await self.layer.group_send(group, {"type": "chat.message", "order": order})

    @rule(connection=connections, deed=deeds)
    def send(self, connection: Connection, deed: str) -> None:
        connection = self.living(connection)
        order = self.new_order(deed)
        arrives = connection.put(order, from_layer=True)
        self.run_on(connection)
        message = {"type": "chat.message", "order": order}
        try:
            self.portal.call(self.layer.send, connection.member.channel_name, message)
            assert arrives
        except ChannelFull:
            assert not arrives
        self.settle()

    @rule(connection=connections, which=st.integers(0, 1))
    def release(self, connection: Connection, which: int) -> None:
        connection = self.living(connection)
        if connection.blocked:
            number = connection.blocked.pop(which % len(connection.blocked))
            self.run_on(connection)
            self.portal.call(self.open_gate, connection.member.gates[number])
            self.settle()

    async def open_gate(self, gate: anyio.Event) -> None:
        gate.set()

    @precondition(lambda self: any(connection.state == "open" for connection in self.all))
    @rule(group=groups, deed=deeds, before=st.integers(0, 2), after=st.integers(1, CAPACITY + 1), ends=st.booleans())
    def a_client_disconnects_while_its_handlers_are_slow(
        self, group: str, deed: str, before: int, after: int, ends: bool
    ) -> None:
        """What came before the disconnect is handled; what comes while it drains is neither handled nor missed."""
        connection = next(connection for connection in reversed(self.all) if connection.state == "open")
        if connection not in self.members[group]:
            self.from_client(connection, self.new_order("join", group=group))
        while connection.state == "open" and len(connection.blocked) < connection.member.max_tasks:
            self.from_client(connection, self.new_order("block"))
        for _ in range(before):
            self.send(connection, deed)
        self.client_disconnects(connection)
        for _ in range(after):
            self.send(connection, deed)
            self.group_sends(group, deed, 1)
        while ends and connection.blocked:
            self.release(connection, 0)

    @rule(connection=connections)
    def client_disconnects(self, connection: Connection) -> None:
        connection = self.living(connection)
        if connection.state == "open":
            connection.state = "draining"
            self.run_on(connection)
            self.portal.call(self.put_event, connection, {"type": "websocket.disconnect", "code": 1000})
            self.settle()

    @rule(connection=connections, native=st.booleans())
    def kill(self, connection: Connection, native: bool) -> None:
        if connection.state != "ended":
            self.finish(connection, 1012)
            self.portal.call(self.cancel, connection, native)
            self.settle()

    async def cancel(self, connection: Connection, native: bool) -> None:
        if native and connection.task is not None:
            connection.task.cancel()
        else:
            assert connection.wire.scope is not None
            connection.wire.scope.cancel()

    @rule(connection=connections, group=groups)
    def a_channel_that_has_ended_joins_nothing(self, connection: Connection, group: str) -> None:
        if connection.state == "ended":
            self.portal.call(self.layer.group_add, group, connection.member.channel_name)

    # What must be the same

    @invariant()
    def agrees(self) -> None:
        for number, connection in enumerate(self.all, 1):
            wire = connection.wire
            assert connection.member.handled == connection.handled
            assert wire.finished.is_set() == (connection.state == "ended")
            assert wire.close_code == connection.close_code
            assert (wire.error.args[0] if wire.error else None) == connection.failure
            assert self.records.lost.get(f"/{number}", []) == connection.lost
        assert self.layer.dropped == self.dropped

    @invariant()
    def groups_hold_what_they_should(self) -> None:
        expected = {
            group: {member.member.channel_name for member in members} for group, members in self.members.items()
        }
        assert self.layer.groups == {group: names for group, names in expected.items() if names}
        assert len(self.layer.channels) == sum(connection.state != "ended" for connection in self.all)


class TrioConsumersMachine(ConsumersMachine):
    backend = "trio"


TestOnAsyncio = ConsumersMachine.TestCase
TestOnTrio = TrioConsumersMachine.TestCase
TestOnAsyncio.settings = TestOnTrio.settings = settings(
    max_examples=settings().max_examples * 3 // 5, stateful_step_count=40, deadline=None, derandomize=True
)
