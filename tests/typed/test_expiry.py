"""A connection whose token expires, by a clock that the test moves."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Literal

import pytest
from pydantic import AwareDatetime, BaseModel

from consumers._connection.connection import Connection
from consumers.typed import SyncTypedConsumer, TypedConsumer, expiry, group_send_message, on, on_event

from ..support.wire import Wire, connected, connecting, eventually
from .models import Say, ask

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("layer")]

only_asyncio = pytest.mark.parametrize("anyio_backend", ["asyncio"])

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


class Alarm:
    def __init__(self, at: datetime, ring: Callable[[], None]) -> None:
        self.at, self.ring, self.is_set = at, ring, True

    def cancel(self) -> None:
        self.is_set = False


class Clock:
    """Stands still until it is moved, and has all alarms."""

    def __init__(self) -> None:
        self.now = BEGIN
        self.all: list[Alarm] = []

    @property
    def alarms(self) -> list[Alarm]:
        return [alarm for alarm in self.all if alarm.is_set]

    def set_alarm(self, connection: Connection, seconds: float, ring: Callable[[], None]) -> Alarm:
        self.all.append(Alarm(self.now + timedelta(seconds=seconds), ring))
        return self.all[-1]

    def move_to(self, seconds: float) -> None:
        """Move on to so many seconds after the beginning; what is due rings."""
        until = BEGIN + timedelta(seconds=seconds)
        while due := [alarm for alarm in self.alarms if alarm.at <= until]:
            alarm = min(due, key=lambda each: each.at)
            alarm.is_set = False
            self.now = max(self.now, alarm.at)
            alarm.ring()
        self.now = until


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(expiry, "utc_now", lambda: clock.now)
    monkeypatch.setattr(Connection, "set_alarm", lambda connection, *args: clock.set_alarm(connection, *args))
    return clock


class Refresh(BaseModel):
    type: Literal["refresh"] = "refresh"
    until: AwareDatetime | None


class Chat(TypedConsumer):
    lasts: float | None = 600

    async def connect(self) -> None:
        if self.lasts is not None:
            self.expires_at = BEGIN + timedelta(seconds=self.lasts)
        await self.accept()

    @on
    async def refresh(self, message: Refresh) -> None:
        self.expires_at = message.until

    @on
    async def say(self, message: Say) -> None: ...


class PlainChat(SyncTypedConsumer):
    def connect(self) -> None:
        self.expires_at = BEGIN + timedelta(seconds=600)
        self.accept()

    @on
    def refresh(self, message: Refresh) -> None:
        self.expires_at = message.until


def lasting(seconds: float | None, base: type[Chat] = Chat, **attributes: Any) -> Any:
    consumer: Any = type("Chat", (base,), {"lasts": seconds, **attributes})
    return consumer.as_asgi()


async def refresh(wire: Wire, seconds: float | None) -> None:
    until = None if seconds is None else (BEGIN + timedelta(seconds=seconds)).isoformat()
    assert await ask(wire, {"type": "refresh", "until": until, "id": 1}) == {"type": "ack", "to": 1}


async def test_the_client_is_told_a_minute_before_and_closed_when_the_time_has_come(clock: Clock) -> None:
    async with connected(lasting(600)) as wire:
        clock.move_to(539.9)
        assert await ask(wire, {"type": "say", "text": "a", "id": 1}) == {"type": "ack", "to": 1}
        clock.move_to(540)
        assert json.loads(await wire.next_text()) == {"type": "expires", "in": 60}
        clock.move_to(599.9)
        assert await ask(wire, {"type": "say", "text": "a", "id": 1}) == {"type": "ack", "to": 1}
        clock.move_to(600)
        close = await wire.next()
        assert (close["code"], close["reason"]) == (4401, "the token has expired")
        wire.disconnect()
        await wire.end()
        assert wire.error is None
    assert clock.alarms == []


async def test_a_handler_may_set_a_later_time(clock: Clock) -> None:
    async with connected(lasting(600)) as wire:
        clock.move_to(550)
        assert json.loads(await wire.next_text())["in"] == 60
        await refresh(wire, 1000)
        clock.move_to(939)
        assert len(clock.alarms) == 1
        clock.move_to(940)
        assert json.loads(await wire.next_text())["in"] == 60
        await refresh(wire, None)
        assert clock.alarms == []
        clock.move_to(10_000)
        assert await ask(wire, {"type": "say", "text": "a", "id": 1}) == {"type": "ack", "to": 1}


@only_asyncio
async def test_a_sync_consumer_does_the_same(clock: Clock) -> None:
    async with connected(PlainChat.as_asgi()) as wire:
        clock.move_to(550)
        assert json.loads(await wire.next_text())["in"] == 60
        await refresh(wire, 1000)
        clock.move_to(940)
        assert json.loads(await wire.next_text())["in"] == 60
        clock.move_to(1000)
        assert (await wire.next())["code"] == 4401


async def test_only_a_connection_that_has_such_a_time_has_an_alarm_and_only_one(clock: Clock) -> None:
    async with connected(lasting(None)) as other, connected(lasting(600)) as wire:
        assert len(clock.alarms) == 1
        for seconds in (700, 800, 900):
            await refresh(wire, seconds)
            assert len(clock.alarms) == 1
        await refresh(other, 700)
        assert len(clock.alarms) == 2
    assert clock.alarms == []


@pytest.mark.parametrize("seconds", [0, -1000])
async def test_a_token_that_has_expired_already_ends_the_connection(clock: Clock, seconds: float) -> None:
    async with connecting(lasting(seconds)) as wire:
        await eventually(lambda: wire.close_code == 4401)


async def test_one_that_expires_soon_is_told_at_once_when_the_socket_is_open(clock: Clock) -> None:
    async with connected(lasting(10)) as wire:
        assert json.loads(await wire.next_text()) == {"type": "expires", "in": 10}
        assert len(clock.alarms) == 1
        clock.move_to(10)
        assert (await wire.next())["code"] == 4401


async def test_one_that_is_accepted_later_is_told_then(clock: Clock) -> None:
    class Late(TypedConsumer):
        groups = ["late"]

        async def connect(self) -> None:
            self.expires_at = BEGIN + timedelta(seconds=10)

        @on_event
        async def say(self, message: Say) -> None:
            await self.accept()

    async with connecting(Late.as_asgi()) as wire:
        await eventually(lambda: clock.alarms)
        clock.move_to(5)
        await group_send_message("late", Say(text="a"))
        await wire.accepted()
        clock.move_to(6)
        assert json.loads(await wire.next_text()) == {"type": "expires", "in": 4}


async def test_the_notice_may_have_another_time(clock: Clock) -> None:
    async with connected(lasting(600, expires_notice=0.0)) as wire:
        clock.move_to(600)
        assert (await wire.next())["code"] == 4401


async def test_a_handler_that_runs_is_cut_short(clock: Clock) -> None:
    import anyio

    class Busy(Chat):
        @on
        async def say(self, message: Say) -> None:
            await anyio.sleep_forever()

    async with connected(lasting(600, Busy)) as wire:
        wire.text('{"type": "say", "text": "a"}')
        clock.move_to(540)
        assert json.loads(await wire.next_text())["in"] == 60
        clock.move_to(600)
        assert (await wire.next())["code"] == 4401


async def test_a_time_that_is_set_at_the_end_sets_no_alarm(clock: Clock) -> None:
    class Late(Chat):
        async def disconnect(self, code: int) -> None:
            self.expires_at = BEGIN + timedelta(seconds=700)

    async with connected(lasting(600, Late)):
        assert len(clock.alarms) == 1
    assert clock.alarms == []


async def test_a_far_time_is_looked_at_every_minute(clock: Clock) -> None:
    async with connected(lasting(3600)) as wire:
        assert clock.alarms[0].at == BEGIN + timedelta(minutes=1)
        clock.move_to(3500)
        assert await ask(wire, {"type": "say", "text": "a", "id": 1}) == {"type": "ack", "to": 1}
        assert len(clock.alarms) == 1
        clock.move_to(3540)
        assert json.loads(await wire.next_text())["in"] == 60
        clock.move_to(3600)
        assert (await wire.next())["code"] == 4401


async def test_the_clock_decides_and_not_the_alarm(clock: Clock) -> None:
    async with connected(lasting(600)) as wire:
        alarm = clock.alarms[0]
        alarm.is_set = False
        alarm.ring()  # too early
        assert clock.alarms[0].at == BEGIN + timedelta(seconds=60)
        clock.now = BEGIN + timedelta(seconds=700)  # the machine slept, or its clock was set
        clock.alarms[0].ring()
        assert (await wire.next())["code"] == 4401


async def test_a_clock_that_goes_back_closes_nothing_too_early_and_tells_once(clock: Clock) -> None:
    async with connected(lasting(600)) as wire:
        clock.move_to(540)
        assert json.loads(await wire.next_text())["in"] == 60
        clock.now = BEGIN
        clock.alarms[0].ring()
        assert await ask(wire, {"type": "say", "text": "a", "id": 1}) == {"type": "ack", "to": 1}
        clock.move_to(600)
        assert (await wire.next())["code"] == 4401


async def test_real_alarms_ring_too() -> None:
    class Soon(TypedConsumer):
        async def connect(self) -> None:
            await self.accept()
            self.expires_at = datetime.now(timezone(timedelta(hours=5))) + timedelta(seconds=0.05)

    async with connected(Soon.as_asgi()) as wire:
        assert json.loads(await wire.next_text()) == {"type": "expires", "in": 0}
        assert (await wire.next())["code"] == 4401


async def test_nothing_is_left_of_an_alarm_that_does_not_ring() -> None:
    async with connected(lasting(10**9)) as wire:
        await refresh(wire, 10**9 + 1)


async def test_the_time_is_an_aware_datetime_of_a_connection() -> None:
    consumer = Chat()
    with pytest.raises(ValueError, match="expires_at must have a time zone"):
        consumer.expires_at = datetime(2026, 1, 1)
    with pytest.raises(TypeError, match="expires_at must be a datetime, not 1"):
        consumer.expires_at = 1  # type: ignore[assignment]
    with pytest.raises(RuntimeError, match=r"set it in connect\(\), or later"):
        consumer.expires_at = BEGIN
    assert consumer.expires_at is None
