"""Closing a group: what may be asked for, from where, and who is told."""

import asyncio
import logging
import threading
from typing import Any

import anyio
import anyio.to_thread
import pytest

from consumers import (
    AsyncWebsocketConsumer,
    InMemoryChannelLayer,
    InvalidChannelLayerError,
    channel_layers,
    close_group,
)
from consumers.layers import close_group_sync
from consumers.types import Message

from ..support.wire import PATIENCE, Wire, connected

pytestmark = pytest.mark.anyio

only_asyncio = pytest.mark.parametrize("anyio_backend", ["asyncio"])

REASON = "you were logged out"
NOTICE = {"type": "consumers.close", "code": 4001, "reason": REASON}


class Member(AsyncWebsocketConsumer):
    groups = ["user.7"]


async def expect_close(wire: Wire, code: int = 4001, reason: str = REASON) -> None:
    assert await wire.next() == {"type": "websocket.close", "code": code, "reason": reason}
    await wire.end()


# What may be asked for


@pytest.mark.parametrize("code", [1000, 1003, 1007, 1014, 3000, 4999])
async def test_codes_that_can_be_sent(code: int, layer: InMemoryChannelLayer) -> None:
    async with connected(Member.as_asgi()) as wire:
        await close_group("user.7", code)
        await expect_close(wire, code, "")


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("user.7", 999), ValueError, "close code 999 cannot be sent"),
        (("user.7", 1006), ValueError, "use 1000-1003"),
        (("user.7", 5000), ValueError, "5000"),
        (("user.7", "4001"), ValueError, "'4001'"),
        (("user.7", True), ValueError, "True"),
        (("user.7", 4001, b"bytes"), TypeError, "must be a str, not bytes"),
        (("user 7", 4001), TypeError, "Group name must be"),
    ],
)
async def test_what_cannot_be_asked_for_closes_nobody(
    arguments: tuple[Any, ...], error: type[Exception], message: str, layer: InMemoryChannelLayer
) -> None:
    async with connected(Member.as_asgi()) as wire:
        with pytest.raises(error, match=message):
            await close_group(*arguments)
        await anyio.wait_all_tasks_blocked()
        assert not wire.finished.is_set()


async def test_a_reason_with_a_lone_surrogate_closes_all_the_same(layer: InMemoryChannelLayer) -> None:
    async with connected(Member.as_asgi()) as wire:
        await close_group("user.7", 4001, "half an emoji \ud83d")
        await expect_close(wire, 4001, "half an emoji ?")


async def test_the_default_is_1008_and_a_reason_is_cut(layer: InMemoryChannelLayer) -> None:
    async with connected(Member.as_asgi()) as wire:
        await close_group("user.7", reason="ž" * 70)
        await expect_close(wire, 1008, "ž" * 61)


async def test_a_layer_that_cannot_close_is_named(no_layer: None) -> None:
    class Foreign:
        async def send(self, channel: str, message: Message) -> None: ...

    with pytest.raises(InvalidChannelLayerError, match="no channel layer 'default'"):
        await close_group("user.7")
    channel_layers.backends["other"] = Foreign()  # type: ignore[assignment]
    with pytest.raises(InvalidChannelLayerError, match=r"'other' is a .*Foreign, which has no close_group\(\)"):
        await close_group("user.7", alias="other")


async def test_a_close_is_one_line_in_the_log(layer: InMemoryChannelLayer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "consumers")
    async with connected(Member.as_asgi(), client=["192.0.2.1", 5]) as wire:
        await close_group("user.7", 4001, "two\nlines")
        await wire.end()
    [line] = [record.getMessage() for record in caplog.records if "close_group" in record.getMessage()]
    assert line == "Member at '/ws' from 192.0.2.1:5 is closed with 4001 by close_group(): 'two\\nlines'"


# From elsewhere


@only_asyncio
async def test_a_thread_closes_a_group(layer: InMemoryChannelLayer) -> None:
    async with connected(Member.as_asgi()) as wire:
        await anyio.to_thread.run_sync(close_group_sync, "user.7", 4001, REASON)
        await expect_close(wire)


@only_asyncio
async def test_a_loop_is_not_blocked(layer: InMemoryChannelLayer) -> None:
    with pytest.raises(RuntimeError, match=r"await the layer's close_group\(\)"):
        close_group_sync("user.7")


def test_a_member_on_another_loop_is_closed_on_its_own(layer: InMemoryChannelLayer) -> None:
    threads: list[str] = []
    ready, end = threading.Event(), threading.Event()

    def serve() -> None:
        async def main() -> None:
            closed = asyncio.Event()

            def close(code: int, reason: str) -> None:
                threads.append(f"{threading.current_thread().name} {code} {reason}")
                closed.set()

            await layer.group_add("user.7", layer.attach(lambda message: 1, close))
            ready.set()
            await asyncio.wait_for(closed.wait(), PATIENCE)

        asyncio.run(main())
        end.set()

    thread = threading.Thread(target=serve, name="the member's")
    thread.start()
    assert ready.wait(PATIENCE)
    close_group_sync("user.7", 4001, "bye")
    assert end.wait(PATIENCE)
    thread.join()
    assert threads == ["the member's 4001 bye"]
    close_group_sync("user.7", 4001, "bye")  # its loop is closed
    assert not layer.groups


async def test_receivers_that_cannot_be_closed_are_told(layer: InMemoryChannelLayer) -> None:
    told: list[Message] = []

    def deliver(message: Message) -> int:
        told.append(message)
        return 1

    await layer.group_add("user.7", layer.attach(deliver))
    await layer.group_add("user.7", "stored")
    await close_group("user.7", 4001, REASON)
    assert told == [await layer.receive("stored")] == [NOTICE]


async def test_a_close_that_fails_keeps_no_other_from_it(
    layer: InMemoryChannelLayer, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(code: int, reason: str) -> None:
        raise RuntimeError("no")

    name = layer.attach(lambda message: 1, fail)
    await layer.group_add("user.7", name)
    async with connected(Member.as_asgi()) as wire:
        await close_group("user.7", 4001, REASON)
        await expect_close(wire)
    assert f"Channel {name} could not be closed" in caplog.text
