"""Wherever a connection is cancelled, fails or loses its client, it ends in order and leaves nothing.

Each test lives one connection's life again and again, and lets one thing go wrong at its first, second, third, …
suspension, until a life has ended before that. `pytest -rP` prints how many points that were. Where changes are
checked, every point is struck; while one works, every fifth one, which are others for each kind of fault.
"""

import asyncio
import gc
import itertools
import logging
import os
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import anyio
import pytest

from consumers import InMemoryChannelLayer, channel_layers
from consumers.layers.redis import RedisChannelLayer, RedisPubSubChannelLayer

from ..support.faults import Line, Run, belonging_to, pause, place, watching
from ..support.lives import ASYNC, SYNC, Life
from ..support.redis_server import RedisServer, running_redis
from ..support.slow import left_to_ci
from ..support.wire import KEEPS_NATIVE_CANCELLATIONS, PATIENCE, websocket_scope

pytestmark = pytest.mark.anyio

NATIVE = ("native", "impatient")  # cancellations that only asyncio has
LIVES = {**ASYNC, **SYNC}
LIKE_TEXT = ("AsyncJsonWebsocketConsumer", "JsonWebsocketConsumer")
"""Consumers that end as those for text do: `make test` leaves them to CI."""
KINDS = ("cancel", "raise", "disconnect", *NATIVE)
FORGIVEN = ("group_discard everyone", "group_discard everyone done")  # an error in leaving groups is logged
SCOPES = {"websocket": websocket_scope(), "http": {"type": "http", "method": "POST", "path": "/", "headers": []}}


@pytest.fixture(autouse=True)
def errors(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """Have only errors logged: that something was dropped is no news here."""
    caplog.set_level(logging.ERROR, "consumers")
    return caplog


NEVER = 10**6  # steps
STRIDE = 1 if os.environ.get("CI") else 5  # points

Leftovers = Callable[[], Awaitable[object]]
"""Returns what is left of a connection outside its tasks; something false if that is nothing."""


def watch_layer(layer: Any) -> Any:
    """Make a layer's operations suspend and, where a run says so, fail, before and after they have happened."""
    for name in ("group_add", "group_discard", "group_send", "send"):
        setattr(layer, name, _watched(name, getattr(layer, name)))
    return layer


def _watched(name: str, operation: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    async def watched(target: str, *args: Any) -> None:
        place(f"{name} {target}")
        await pause()
        await operation(target, *args)
        await pause()
        place(f"{name} {target} done")

    return watched


async def serve(life: Life, run: Run) -> None:
    """Be the server's task."""
    try:
        with run.scope:
            await life.app(dict(SCOPES[life.protocol]), run.line.receive, run.line.send)
    except Exception as error:
        run.error = error


async def live(life: Life, kind: str, k: int) -> Run:
    """Live one life, in which something goes wrong at the k-th point."""
    run = Run(kind, k, Line(life.script, life.protocol))
    with anyio.fail_after(PATIENCE):
        if kind in NATIVE:
            with belonging_to(run):
                task = asyncio.ensure_future(serve(life, run))
            await asyncio.wait([task])
            run.cancelled = task.cancelled()
        else:
            async with anyio.create_task_group() as tasks:
                with belonging_to(run):
                    tasks.start_soon(serve, life, run)
            run.cancelled = run.scope.cancelled_caught
    return run


def check(run: Run) -> None:
    """See that the connection has ended in order."""
    connects = run.notes.count("connect")
    codes = [entry[1] for entry in run.notes if entry[0] == "disconnect"]
    assert len(codes) <= 1
    if run.line.protocol == "http":  # a request has begun when its first part is there, if no handler has seen it yet
        connects = max(connects, len(codes))
    assert len(codes) == connects
    if codes:
        after = run.notes[run.notes.index(("disconnect", codes[0])) + 1 :]
        assert after == ["disconnected"] or (run.kind == "raise" and run.had_begun_to_end and not after)
    for registered in [entry[1] for entry in run.notes if entry[0] == "registered"]:
        assert run.notes.count(("unregistered", registered)) == 1
    check_outcome(run)
    check_close(run)


def check_outcome(run: Run) -> None:
    """See what the server got of the application."""
    if run.kind == "raise" and run.struck and run.struck not in FORGIVEN:
        assert run.error is run.planted
    else:
        assert run.error is None
    if run.kind in NATIVE:
        assert run.struck or not run.cancelled
        assert run.cancelled or not run.struck or not KEEPS_NATIVE_CANCELLATIONS
    elif run.kind == "cancel":
        assert run.cancelled or not run.suspended_since  # it had ended when it was cancelled


def check_close(run: Run) -> None:
    """See what the client got: a close frame with a code unless it left first."""
    if run.line.protocol == "websocket":
        closes = [event["code"] for event in run.line.sent if event["type"] == "websocket.close"]
        accepted = "websocket.accept" in run.line.sent_types()
        expected = {"cancel": 1012, "native": 1012, "impatient": 1012, "raise": 1011}
        if accepted and run.struck and not run.line.has_left and run.kind in expected:
            assert closes == [expected[run.kind]]
        assert len(closes) <= 1


async def sweep(life: Life, kind: str, backend: str, leftovers: Leftovers) -> int:
    """Live until a life ends untouched; return how many points came before that."""
    with watching(backend), no_complaints(backend):
        for k in itertools.count(1 + KINDS.index(kind) % STRIDE, STRIDE):
            run = await live(life, kind, k)
            try:
                check(run)
                assert not await leftovers()
            except AssertionError as error:
                error.add_note(f"{kind} at {k}, in {run.struck}: {run.notes}, sent {run.line.sent_types()}")
                raise
            if not run.struck:
                break
        del run
        gc.collect()  # what was never awaited, or never retrieved, says so now
    return k - 1


@contextmanager
def no_complaints(backend: str) -> Iterator[None]:
    """Fail if asyncio hears of an exception that nobody has looked at; trio has none of these."""
    if backend == "trio":
        yield
        return
    complaints: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    before = loop.get_exception_handler()
    loop.set_exception_handler(lambda loop, context: complaints.append(context))
    try:
        yield
    finally:
        loop.set_exception_handler(before)
    assert complaints == []


def leftovers_in(layer: InMemoryChannelLayer) -> Leftovers:
    before = set(anyio.get_running_tasks())

    async def leftovers() -> list[object]:
        return [*layer.channels, *layer.groups, *(set(anyio.get_running_tasks()) - before)]

    return leftovers


def report(k: int, record_property: Callable[[str, object], None]) -> None:
    record_property("k", k)
    print(f"k = {k}")
    assert k > 10


def most(lives: Iterable[str]) -> list[Any]:
    """Return the names of lives as parameters."""
    return [left_to_ci(name)[0] if name in LIKE_TEXT else name for name in lives]


@pytest.mark.parametrize(
    ("anyio_backend", "kind"),
    [
        (backend, kind)
        for backend in ("asyncio", "trio")
        for kind in KINDS
        if backend == "asyncio" or kind not in NATIVE
    ],
)
@pytest.mark.parametrize("name", most(ASYNC))
async def test_an_async_consumer_ends_in_order_wherever_it_is_struck(
    name: str, kind: str, anyio_backend: str, layer: InMemoryChannelLayer, record_property: Any
) -> None:
    report(await sweep(ASYNC[name], kind, anyio_backend, leftovers_in(watch_layer(layer))), record_property)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", most(SYNC))
async def test_a_sync_consumer_ends_in_order_wherever_it_is_struck(
    name: str, kind: str, anyio_backend: str, layer: InMemoryChannelLayer, record_property: Any
) -> None:
    report(await sweep(SYNC[name], kind, anyio_backend, leftovers_in(watch_layer(layer))), record_property)


@pytest.fixture(scope="module")
def redis_server() -> Iterator[RedisServer]:
    with running_redis() as server:
        yield server


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("kind", ["cancel", *left_to_ci(*KINDS[1:])])
@pytest.mark.parametrize("name", most(LIVES))
@pytest.mark.parametrize("make", [RedisPubSubChannelLayer, RedisChannelLayer])
async def test_nothing_is_left_in_redis_wherever_a_connection_is_struck(
    make: Any,
    name: str,
    kind: str,
    anyio_backend: str,
    redis_server: RedisServer,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Any,
) -> None:
    with redis_server.client() as client:

        def known() -> list[str]:
            with client.pipeline(transaction=False) as asked:
                keys, channels, patterns = asked.keys("*").pubsub_channels().pubsub_numpat().execute()
            return sorted([*keys, *channels, f"{patterns} patterns", f"{len(asyncio.all_tasks())} tasks"])

        async def leftovers() -> object:
            with anyio.move_on_after(PATIENCE):  # a connection does not wait until its groups are left
                while layer.groups or known() != at_first:
                    await anyio.sleep(0.001)
                return None
            return dict(layer.groups), known(), at_first

        async with watch_layer(make([redis_server.url])) as layer:
            monkeypatch.setitem(channel_layers.backends, "default", layer)
            await live(LIVES[name], "cancel", NEVER)  # the layer starts tasks of its own
            before: list[str] = []
            at_first = known()
            while before != at_first:
                await anyio.sleep(0.02)
                before, at_first = at_first, known()
            k = await sweep(LIVES[name], kind, anyio_backend, leftovers)
        client.flushall()
    report(k, record_property)
