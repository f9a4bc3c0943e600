"""The example's application, with a layer of its own for every test."""

from collections.abc import Iterator

import pytest

from consumers import channel_layers

from ..support.slow import anyio_backend as anyio_backend


@pytest.fixture(autouse=True)
def fresh_layer() -> Iterator[None]:
    """Give every test a layer of its own, configured as the application's."""
    previous = channel_layers.set("default", channel_layers.make_backend("default"))
    yield
    channel_layers.set("default", previous)
