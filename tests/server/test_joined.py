"""Writes that are joined: what a transport gets, and when."""

import asyncio
import random
import threading

import pytest
from websockets.protocol import State

from consumers.server.joined import AT_ONCE, MOST_PATIENCE, PATIENCE, JoinedTransport

from ..support.slow import left_to_ci
from ..support.threads import in_two_threads

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Recorded:
    """A transport that keeps what is written, and may fail."""

    def __init__(self, fails: bool = False) -> None:
        self.writes: list[bytes] = []
        self.fails = fails
        self.closed = False

    def write(self, data: bytes) -> None:
        if self.fails:
            raise RuntimeError("as asked")
        self.writes.append(data)

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


class Open:
    """A WebSocket that is open."""

    state = State.OPEN


def joined(fails: bool = False) -> tuple[JoinedTransport, Recorded]:
    recorded = Recorded(fails)
    return JoinedTransport(recorded, asyncio.get_running_loop(), Open()), recorded


async def test_writes_are_joined_up_to_the_end_of_the_step() -> None:
    transport, recorded = joined()
    for data in (b"a", b"b", b"c"):
        transport.write(data)
    assert recorded.writes == []
    await asyncio.sleep(0)
    transport.write(b"d")
    await asyncio.sleep(0)
    assert recorded.writes == [b"abc", b"d"]


async def test_much_is_not_held_back() -> None:
    transport, recorded = joined()
    transport.write(b"a" * AT_ONCE)
    assert recorded.writes == [b"a" * AT_ONCE]
    transport.write(b"b")
    transport.write(b"c" * AT_ONCE)
    transport.write(b"d")
    await asyncio.sleep(0)
    assert recorded.writes[1:] == [b"b" + b"c" * AT_ONCE, b"d"]


async def test_a_close_lets_what_waits_leave_first() -> None:
    transport, recorded = joined()
    transport.write(b"a")
    transport.close()
    assert recorded.writes == [b"a"] and recorded.closed and transport.is_closing()
    await asyncio.sleep(0)
    assert recorded.writes == [b"a"]


@pytest.mark.filterwarnings("ignore")
async def test_a_transport_that_fails_holds_no_other_up() -> None:
    loop = asyncio.get_running_loop()
    failures: list[BaseException] = []
    loop.set_exception_handler(lambda _, context: failures.append(context["exception"]))
    try:
        pairs = [joined(fails) for fails in (False, True, False, True, False)]
        for transport, _ in pairs:
            transport.write(b"a")
        for _ in range(4):
            await asyncio.sleep(0)
    finally:
        loop.set_exception_handler(None)
    assert [recorded.writes for _, recorded in pairs] == [[b"a"], [], [b"a"], [], [b"a"]]
    assert [type(failure) for failure in failures] == [RuntimeError, RuntimeError]


# Frames for many


def several(count: int, fails: bool = False) -> tuple[list[JoinedTransport], list[Recorded]]:
    """Return connections that take frames, and what is under them."""
    pairs = [joined(fails) for _ in range(count)]
    for transport, _ in pairs:
        transport.set_blocked(False)
        assert transport.takes_frames
    return [transport for transport, _ in pairs], [recorded for _, recorded in pairs]


def write_all(connections: list[JoinedTransport], *frames: bytes) -> None:
    for frame in frames:
        connections[0].write_all(list(connections), frame)


async def steps(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_frames_for_the_same_connections_are_joined_once_for_all() -> None:
    connections, recorded = several(3)
    write_all(connections, b"a", b"b", b"c")
    assert [each.writes for each in recorded] == [[]] * 3
    await steps(2)
    assert [each.writes for each in recorded] == [[b"abc"]] * 3
    one, two, three = (each.writes[0] for each in recorded)
    assert one is two is three


async def test_frames_of_one_sender_meet_that_are_sent_one_after_the_other() -> None:
    connections, recorded = several(1000)
    for number in range(5):
        write_all(connections, b"%d" % number)
        await asyncio.sleep(0)
    await steps(2)
    assert [each.writes for each in recorded] == [[b"01234"]] * 1000


async def test_a_frame_without_followers_leaves_in_the_next_step_but_one() -> None:
    connections, recorded = several(2)
    write_all(connections, b"a")
    await steps(2)
    assert [each.writes for each in recorded] == [[b"a"]] * 2


@pytest.mark.parametrize(("count", "patience"), [(2, 2 * PATIENCE), (2000, MOST_PATIENCE)])
async def test_no_frame_waits_for_followers_without_end(count: int, patience: float) -> None:
    loop = asyncio.get_running_loop()
    connections, recorded = several(count)
    began = loop.time()
    while not recorded[0].writes:
        write_all(connections, b"a")
        await asyncio.sleep(0)
    assert loop.time() - began >= patience
    assert [each.writes for each in recorded] == [recorded[0].writes] * count


async def test_each_connection_gets_everything_in_the_order_in_which_it_was_written() -> None:
    connections, recorded = several(3)
    connections[0].write(b"a")
    write_all(connections, b"b")
    connections[1].write(b"c")
    write_all(connections, b"d")
    write_all(connections[:2], b"e")
    write_all(connections, b"f")
    await steps(4)
    assert [b"".join(each.writes) for each in recorded] == [b"abdef", b"bcdef", b"bdf"]


async def test_what_one_connection_gets_in_one_step_leaves_in_one_write() -> None:
    connections, recorded = several(3)
    connections[0].write(b"a")
    write_all(connections, b"b")
    connections[1].write(b"c")
    await steps(3)
    assert [each.writes for each in recorded] == [[b"ab"], [b"bc"], [b"b"]]


async def test_many_frames_are_not_held_back() -> None:
    connections, recorded = several(2)
    write_all(connections, b"a" * (AT_ONCE - 1), b"b", b"c")
    assert [each.writes for each in recorded] == [[b"a" * (AT_ONCE - 1) + b"b"]] * 2
    await steps(3)
    assert [each.writes[1:] for each in recorded] == [[b"c"]] * 2


async def test_a_connection_that_closes_gets_first_what_was_written() -> None:
    connections, recorded = several(3)
    write_all(connections, b"a")
    connections[1].close()
    assert recorded[1].writes == [b"a"] and recorded[1].closed
    assert [each.takes_frames for each in connections] == [True, False, True]
    write_all([connections[0], connections[2]], b"b")
    await steps(3)
    assert [b"".join(each.writes) for each in recorded] == [b"ab", b"a", b"ab"]


async def test_after_a_close_frame_a_connection_takes_none() -> None:
    (connection,), _ = several(1)
    connection._websocket.state = State.CLOSING  # type: ignore[misc]
    connection.write(b"a close frame")
    assert not connection.takes_frames
    connection.set_blocked(False)
    assert not connection.takes_frames


@pytest.mark.filterwarnings("ignore")
async def test_a_connection_that_fails_keeps_no_frame_from_others() -> None:
    loop = asyncio.get_running_loop()
    failures: list[BaseException] = []
    loop.set_exception_handler(lambda _, context: failures.append(context["exception"]))
    try:
        connections, recorded = several(5)
        recorded[1].fails = recorded[3].fails = True
        write_all(connections, b"a", b"b")
        others, of_others = several(2)
        write_all(others, b"c")
        connections[0].write(b"d")
        await steps(8)
    finally:
        loop.set_exception_handler(None)
    assert [b"".join(each.writes) for each in recorded] == [b"abd", b"", b"ab", b"", b"ab"]
    assert [each.writes for each in of_others] == [[b"c"]] * 2
    assert [type(failure) for failure in failures] == [RuntimeError, RuntimeError]


@pytest.mark.parametrize("seed", [*range(20), *left_to_ci(*range(20, 400))])
async def test_whatever_is_written_every_connection_gets_all_of_it_in_order(seed: int) -> None:
    choose = random.Random(seed)
    connections, recorded = several(6)
    expected: list[bytes] = [b""] * 6
    for number in range(200):
        data = b"%d;" % number * choose.choice([1, 1, 1, 30, 20_000])
        step = choose.random()
        if step < 0.6:
            some = choose.choice([range(6), range(6), range(6), range(3), range(2, 6), range(1)])
            chosen = [each for each in some if connections[each].takes_frames]
            if chosen:
                write_all([connections[each] for each in chosen], data)
            for each in chosen:
                expected[each] += data
        elif step < 0.75:
            one = choose.randrange(6)
            if not recorded[one].closed:
                connections[one].write(data)
                expected[one] += data
        elif step < 0.95:
            await asyncio.sleep(0)
        elif step < 0.97:
            connections[choose.randrange(6)].flush()
        elif step < 0.99:
            one = choose.randrange(6)
            connections[one].set_blocked(choose.random() < 0.5 or recorded[one].closed)
        else:
            connections[choose.randrange(6)].close()
    await steps(3)
    assert [b"".join(each.writes) for each in recorded] == expected
    assert connections[0]._step._batches == []
    assert connections[0]._step._transports == []


def test_two_event_loops_write_at_the_same_time() -> None:
    meeting = threading.Barrier(2)

    class Meeting(Recorded):
        def write(self, data: bytes) -> None:
            meeting.wait(5)
            super().write(data)

    async def main() -> None:
        recorded = Meeting()
        JoinedTransport(recorded, asyncio.get_running_loop(), Open()).write(b"a")
        await asyncio.sleep(0)
        assert recorded.writes == [b"a"]

    in_two_threads(lambda: asyncio.run(main()))
