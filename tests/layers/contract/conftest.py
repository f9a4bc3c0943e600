"""The contract's tests, on every layer. A new layer joins by an entry in KINDS."""

from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

from consumers.layers.base import Layer

from ...support.contract import Listen, MakeLayer
from ...support.kinds import Kind, run_on_kinds


def traits_of(metafunc: pytest.Metafunc) -> frozenset[str] | set[str]:
    """Return what a layer needs for a test to run on it."""
    if metafunc.cls is not None:
        needs: frozenset[str] = metafunc.cls.traits.get(metafunc.function.__name__, frozenset({"ours"}))
        return needs
    traits: set[str] = getattr(metafunc.function, "traits", set())
    return traits


@pytest.hookimpl(tryfirst=True)  # before the backends of every test are
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "kind" in metafunc.fixturenames:
        traits = traits_of(metafunc)
        run_on_kinds(metafunc, traits)


@pytest.fixture
async def make_layer(make: MakeLayer, anyio_backend: str) -> AsyncIterator[MakeLayer]:
    """Make layers that are closed after the test."""
    made = []

    def make_one(**arguments: Any) -> Layer:
        made.append(make(**arguments))
        return made[-1]

    yield make_one
    for layer in made:
        await layer.close()


@pytest.fixture
async def layer(make_layer: MakeLayer) -> Layer:
    return make_layer()


@pytest.fixture
def listen(kind: Kind, request: pytest.FixtureRequest) -> Listen:
    """Have a layer that keeps nothing for channels nobody listens to listen to this one."""

    async def listen(layer: Layer, channel: str) -> None:
        if "stores" in kind.traits:
            return
        with request.getfixturevalue("redis_server").client() as client, anyio.fail_after(5):
            async with anyio.create_task_group() as task_group:
                task_group.start_soon(layer.receive, channel)
                while not dict(client.pubsub_numsub(channel))[channel]:
                    await anyio.sleep(0.01)
                task_group.cancel_scope.cancel()

    return listen
