"""The tests of groups with history, on every layer that has them: those in KINDS with the trait "history"."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from consumers.layers.base import Layer

from ...support.contract import MakeLayer
from ...support.history import HISTORY
from ...support.kinds import run_on_kinds
from ...support.slow import anyio_backend as anyio_backend


@pytest.hookimpl(tryfirst=True)  # before the backends of every test are
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "kind" in metafunc.fixturenames:
        traits = {"history", *getattr(metafunc.function, "traits", ())}
        run_on_kinds(metafunc, traits)


@pytest.fixture
async def make_layer(make: MakeLayer, anyio_backend: str) -> AsyncIterator[MakeLayer]:
    """Make layers that are closed after the test; the groups of `HISTORY` have a history."""
    made = []

    def make_one(**arguments: Any) -> Layer:
        made.append(make(**{"history": HISTORY, **arguments}))
        return made[-1]

    yield make_one
    for layer in made:
        await layer.close()


@pytest.fixture
async def layer(make_layer: MakeLayer) -> Layer:
    return make_layer()
