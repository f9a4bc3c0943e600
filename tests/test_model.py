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

from consumers import AsyncWebsocketConsumer, ChannelFull, InMemoryChannelLayer, channel_layers
from consumers.types import Message

from .wire import Wire, websocket_scope

CAPACITY = 3
ROUNDS = 60  # of the event loop: more than any message here needs to arrive

groups = st.sampled_from(["red", "green"])
# What a message has its handler do, whoever it comes from.
deeds = st.sampled_from(["note", "note", "note", "block", "block", "fail"])


class Failure(Exception):
    """What a failing handler raises."""


class Member(AsyncWebsocketConsumer):
    """Notes what it handles; blocks, fails, and acts on groups when told to."""

    channel_layer_alias = "model"
    disconnect_timeout = 60.0

    def __init__(self, max_tasks: int) -> None:
        super().__init__()
        self.max_tasks = max_tasks
        self.handled: list[Any] = []
        self.gates: dict[int, anyio.Event] = {}

    async def websocket_receive(self, message: Message) -> None:
        await self.act(message["order"])

    async def chat_message(self, message: Message) -> None:
        await self.act(message["order"])

    async def act(self, order: dict[str, Any]) -> None:
        number = order["number"]
        self.handled.append(number)
        match order["deed"]:
            case "block":
                self.gates[number] = anyio.Event()
                await self.gates[number].wait()
            case "fail":
                raise Failure(number)
            case "join":
                await self.channel_layer.group_add(order["group"], self.channel_name)
            case "leave":
                await self.channel_layer.group_discard(order["group"], self.channel_name)
            case "say":
                await self.channel_layer.group_send(order["group"], {"type": "chat.message", "order": order["what"]})

    async def disconnect(self, code: int) -> None:
        self.handled.append(("disconnect", code))


class Connection:
    """One consumer and its client: what has become of them, and, below, what the model says.

    Args:
        wire: the client.
        member: the consumer.
    """

    def __init__(self, wire: Wire, member: Member) -> None:
        self.wire = wire
        self.member = member
        self.task: asyncio.Task[Any] | None = None
        # The model
        self.waiting: list[tuple[dict[str, Any], bool]] = []  # orders, and whether they came through the layer
        self.blocked: list[int] = []
        self.handled: list[Any] = []
        self.state = "open"
        self.close_code: int | None = None
        self.failure: int | None = None
        self.lost: list[tuple[int, int, int]] = []  # what the log has: code, handlers cancelled, messages dropped

    def put(self, order: dict[str, Any], from_layer: bool) -> bool:
        """Say whether the message arrives, or nobody is to miss it."""
        if self.state != "open":
            return True
        if from_layer and sum(through_layer for _, through_layer in self.waiting) == CAPACITY:
            return False
        self.waiting.append((order, from_layer))
        return True

    def end(self, code: int) -> None:
        if self.state == "open":
            self.close_code = code
        else:  # the client has closed already
            code = 1000
        if self.blocked or self.waiting:
            self.lost.append((code, len(self.blocked), len(self.waiting)))
        self.state = "ended"
        self.blocked.clear()
        self.waiting.clear()
        self.handled.append(("disconnect", code))


class Records(logging.Handler):
    """Keeps what is logged of endings, by path."""

    def __init__(self) -> None:
        super().__init__()
        self.lost: dict[str, list[Any]] = {}

    def emit(self, record: logging.LogRecord) -> None:
        if "waiting messages dropped" in record.msg and isinstance(record.args, tuple):
            place, *numbers = record.args
            self.lost.setdefault(str(place).split("'")[1], []).append(tuple(numbers))


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
    max_examples=60, stateful_step_count=40, deadline=None, derandomize=True
)
