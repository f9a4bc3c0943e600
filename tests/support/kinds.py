"""The layers that the contract is tested on."""

import asyncio
import contextlib
import importlib.metadata
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from consumers import InMemoryChannelLayer
from consumers.types import Deliver


@dataclass(frozen=True)
class Kind:
    """A layer and what it can do.

    Args:
        name: for the tests' names.
        make: makes one.
        traits: "ours": has the whole contract. "isolates": receivers share no message. "listens": `receive()` works on
            named channels. "stores": these keep messages while nobody listens. "capacity": sending to a full one
            raises ChannelFull. "direct": so does sending to a full receiver. "paced": a fast sender waits for slow
            receivers, however little room they have. "history": its groups may have one. "presence": it knows who is
            there. "memory": it is the layer in memory, whose tables a test may look at.
        backends: the event loops that it runs on.
        needs_redis: it takes `hosts`.
        left_to_ci: traits, in the tests of which another kind stands for it in `make test`; "all": in every test.
    """

    name: str
    make: Callable[..., Any]
    traits: frozenset[str]
    backends: tuple[str, ...] = ("asyncio",)
    needs_redis: bool = True
    left_to_ci: frozenset[str] = frozenset()


KINDS = [
    Kind(
        "memory",
        InMemoryChannelLayer,
        frozenset(
            {"ours", "isolates", "listens", "stores", "capacity", "direct", "paced", "history", "presence", "memory"}
        ),
        ("asyncio", "trio"),
        needs_redis=False,
    )
]

if importlib.util.find_spec("redis") is not None:
    from consumers.layers.redis import RedisChannelLayer, RedisPubSubChannelLayer

    def make_narrow(hosts: list[str], **arguments: Any) -> RedisPubSubChannelLayer:
        """Make a layer whose user of Redis may subscribe to names only."""
        return RedisPubSubChannelLayer([host.replace("//", "//narrow:any@") for host in hosts], **arguments)

    KINDS += [
        Kind(
            "pubsub",
            RedisPubSubChannelLayer,
            frozenset({"ours", "isolates", "listens", "paced", "history", "presence"}),
        ),
        Kind(
            "pubsub by name",
            make_narrow,
            frozenset({"ours", "isolates", "listens", "paced"}),
            left_to_ci=frozenset({"all"}),
        ),
        Kind(
            "queue",
            RedisChannelLayer,
            frozenset({"ours", "isolates", "listens", "stores", "capacity", "presence"}),
            left_to_ci=frozenset({"presence"}),
        ),
    ]


class Pumped:
    """A layer of channels_redis, with `attach()` and `detach()` by tasks that pump its `receive()`."""

    def __init__(self, layer: Any) -> None:
        self._layer = layer
        self._pumps: dict[str, asyncio.Task[None]] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._layer, name)

    async def attach(self, deliver: Deliver, close: object = None) -> str:
        channel = await self._layer.new_channel()
        self._pumps[channel] = asyncio.create_task(self._pump(channel, deliver))
        return str(channel)

    async def close(self) -> None:
        for pump in self._pumps.values():
            pump.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await pump
        await self._layer.flush()

    async def _pump(self, channel: str, deliver: Deliver) -> None:
        while True:
            deliver(await self._layer.receive(channel))


# As in the environment of `make test-interop`. By import, `compat` would be found where a test has installed its hook.
if any(importlib.metadata.distributions(name="channels_redis")):
    from channels_redis import core, pubsub  # type: ignore[import-not-found]

    KINDS += [
        Kind(
            "channels_redis.pubsub",
            lambda **arguments: Pumped(pubsub.RedisPubSubChannelLayer(**arguments)),
            frozenset({"isolates"}),
        ),
        Kind(
            "channels_redis.core",
            lambda **arguments: Pumped(core.RedisChannelLayer(**arguments)),
            frozenset({"listens", "stores"}),
        ),
    ]


def run_on_kinds(
    metafunc: pytest.Metafunc, traits: frozenset[str] | set[str], *, leave_trio_to_ci: bool = False
) -> None:
    """Run a test on every kind that has these traits, on each of its event loops."""
    pairs = [
        pytest.param(
            kind,
            backend,
            id=f"{kind.name}-{backend}",
            marks=[pytest.mark.slow]
            if kind.left_to_ci & {"all", *traits} or (leave_trio_to_ci and backend == "trio")
            else [],
        )
        for kind in KINDS
        for backend in kind.backends
        if kind.traits >= traits
    ]
    metafunc.parametrize(("kind", "anyio_backend"), pairs)
