"""The tests of presence, on every layer that has it: those in KINDS with the trait "presence"."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from consumers.layers.base import Layer

from ...support.contract import MakeLayer
from ...support.kinds import run_on_kinds
from ...support.presence import LONG
from ...support.slow import anyio_backend as anyio_backend


@pytest.hookimpl(tryfirst=True)  # before the backends of every test are
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "kind" in metafunc.fixturenames:
        traits = {"presence", *getattr(metafunc.function, "traits", ())}
        has_timers = metafunc.module.__name__.endswith(("test_leaving", "test_loops"))
        run_on_kinds(metafunc, traits, leave_trio_to_ci=not has_timers)


@pytest.fixture
async def make_layer(make: MakeLayer, anyio_backend: str) -> AsyncIterator[MakeLayer]:
    """Make layers that are closed after the test. Nobody's grace ends during the test, unless it says so."""
    made = []

    def make_one(grace: float = LONG, **options: Any) -> Layer:
        arguments = {name: options.pop(name) for name in list(options) if name not in ("lease", "max_list")}
        made.append(make(**{"presence": {"grace": grace, **options}, **arguments}))
        return made[-1]

    yield make_one
    for layer in made:
        await layer.close()


@pytest.fixture
async def layer(make_layer: MakeLayer) -> Layer:
    return make_layer()
