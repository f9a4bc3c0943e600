"""Whatever clients do, the attributes have few values."""

import pytest

from consumers import AsyncJsonWebsocketConsumer, InMemoryChannelLayer, URLRouter, re_path, telemetry
from consumers.telemetry import semconv
from consumers.types import ASGIApp

from ..support.measured import Endpoint, Measured
from ..support.wire import connecting, eventually

pytestmark = pytest.mark.anyio

MANY = 200


class Relay(AsyncJsonWebsocketConsumer):
    """Passes on to a group what its client sends, type included."""

    groups = ["all"]

    async def receive_json(self, content: dict[str, str]) -> None:
        await self.channel_layer.group_send("all", content)

    async def a_b_c_d_e(self, event: dict[str, str]) -> None:
        """Can be called by 16 types."""


async def hostile(app: ASGIApp, path: str, code: int, *frames: str) -> None:
    async with connecting(app, path=path) as wire:
        await wire.accepted()
        for frame in frames:
            wire.text(frame)
        wire.disconnect(code)
        await wire.end()


@pytest.mark.slow
async def test_a_hostile_client_adds_no_series(measured: Measured, layer: InMemoryChannelLayer) -> None:
    app = URLRouter([re_path(r"^(?P<room>.*)$", Relay.as_asgi())])
    variants = [f"a{a}b{b}c{c}d{d}e" for a in "._" for b in "._" for c in "._" for d in "._"]
    types = [*variants, *(f"made.up.{number}" for number in range(MANY)), "x" * 100, "websocket.receive", "rate_limit"]
    async with connecting(app, path="/types") as wire:
        await wire.accepted()
        for kind in types:
            wire.text(f'{{"type": "{kind}"}}')
        await eventually(lambda: measured.value("message.received", source="client") == len(types))
        await eventually(lambda: measured.value("message.dropped", reason="no_handler") == MANY + 3)
    for number in range(MANY):
        await hostile(app, f"/ws/{number}", 3000 + 2000 // MANY * number)
    assert measured.values_of("connection.closed", "code") == {"1000", "3xxx", "4xxx"}
    assert measured.values_of("handler.duration", "handler") == {
        "websocket_connect",
        "websocket_receive",
        "websocket_disconnect",
        "a_b_c_d_e",
    }
    assert measured.value("handler.duration", handler="a_b_c_d_e") == 16
    for name in measured.metrics():
        assert len(measured.points(name.removeprefix("consumers."))) <= 5, name


async def test_with_strict_types_what_is_made_up_is_not_told_apart(
    measured: Measured, layer: InMemoryChannelLayer
) -> None:
    class Strict(Relay):
        strict_types = True

    for number in range(20):
        async with connecting(Strict.as_asgi()) as wire:
            await wire.accepted()
            wire.text(f'{{"type": "made.up.{number}"}}')
            await wire.end()
    assert measured.value("handler.duration", handler=semconv.OTHER, error="ValueError") == 20
    assert measured.values_of("handler.duration", "handler") == {
        "websocket_connect",
        "websocket_receive",
        "websocket_disconnect",
        semconv.OTHER,
    }


async def test_an_endpoints_clients_add_none_either(measured: Measured) -> None:
    for number in range(MANY):
        await hostile(Endpoint, f"/{number}", 3000 + 2000 // MANY * number, f"{number}")
    assert measured.values_of("connection.closed", "code") == {"3xxx", "4xxx"}
    for name in measured.metrics():
        assert len(measured.points(name.removeprefix("consumers."))) <= 5, name


async def test_close_codes_that_the_application_names_are_told_apart() -> None:
    measured = Measured()
    telemetry.instrument(measured.provider, close_codes=[4001, 4003])
    try:
        for code in (4001, 4002, 4003, 4004, 1013):
            await hostile(Endpoint, "/", code)
    finally:
        telemetry.uninstrument()
    assert measured.values_of("connection.closed", "code") == {"4001", "4003", "4xxx", "1013"}
    assert measured.value("connection.closed", code="4xxx") == 2


@pytest.mark.parametrize(
    ("codes", "error", "says"),
    [
        ([1000], ValueError, "not 1000"),
        ([5000], ValueError, "3000 to 4999"),
        (["4001"], TypeError, "not '4001'"),
        ([True], TypeError, "not True"),
        (4001, TypeError, "must be a list of ints, not 4001"),
    ],
)
def test_close_codes_that_cannot_be_are_refused(codes: object, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        telemetry.instrument(close_codes=codes)  # type: ignore[arg-type]
    telemetry.instrument(Measured().provider)  # nothing was done by that
    telemetry.uninstrument()
