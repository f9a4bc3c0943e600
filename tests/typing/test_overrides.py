"""How applications override methods, in the eyes of mypy --strict and of pyright, with no rule disabled."""

import re

import pytest

from ..support.slow import left_to_ci
from .checkers import STRICT, UNANNOTATED, Fault, mypy, pyright

IMPORTS = """
from typing import Any

from compat.channels.generic.websocket import AsyncJsonWebsocketConsumer as PortedAsyncJson
from compat.channels.generic.websocket import AsyncWebsocketConsumer as PortedAsync
from compat.channels.generic.websocket import JsonWebsocketConsumer as PortedJson
from compat.channels.generic.websocket import WebsocketConsumer as Ported
from consumers import AsyncHttpConsumer, AsyncJsonWebsocketConsumer, AsyncWebsocketConsumer
from consumers import JsonWebsocketConsumer, WebsocketConsumer
"""

ASYNC = ("AsyncWebsocketConsumer", "PortedAsync")
SYNC = ("WebsocketConsumer", "Ported")
ASYNC_JSON = ("AsyncJsonWebsocketConsumer", "PortedAsyncJson")
SYNC_JSON = ("JsonWebsocketConsumer", "PortedJson")

FOR_ALL = (
    "connect(self) -> None",
    "connect(self, room: str, user: int = 0) -> None",
    "connect(self, *, user: int) -> None",
    "disconnect(self, code: int) -> None",
    "disconnect(self, close_code: int) -> None",
    "receive(self, text_data: str) -> None",
    "receive(self, bytes_data: bytes) -> None",
    "receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None",
    "receive(self, text_data: str | None = None, bytes_data: bytes | None = None, **kwargs: Any) -> None",
    "on_error(self, exc: Exception, message: Any) -> None",
)
FOR_JSON = (
    "receive_json(self, content: Any) -> None",
    "receive_json(self, content: dict[str, str]) -> None",
    "receive_json(self, content: Any, **kwargs: Any) -> None",
    "receive_json(self, content: Any, *, user: int) -> None",
)
UNANNOTATED_HOOKS = ("connect(self)", "disconnect(self, code)", "receive(self, text_data)", "receive(self, bytes_data)")


def overriding(overrides: dict[tuple[str, ...], tuple[str, ...]], of_the_async: str, of_the_sync: str) -> str:
    """Return a module of consumers with one override each, `async def` or plain as the two words before `def` say."""
    text = IMPORTS
    for bases, signatures in overrides.items():
        for base in bases:
            for number, signature in enumerate(signatures):
                words = of_the_async if bases in (ASYNC, ASYNC_JSON) else of_the_sync
                text += f"\n\nclass {base}{number}({base}):\n    {words}def {signature}: ...\n"
    return text


HOOKS = tuple(signature for signature in FOR_ALL if not signature.startswith("on_error"))  # as_asgi() checks that one

CALLS_OF_SUPER = f"""{IMPORTS}
class Chat(AsyncJsonWebsocketConsumer):
    async def connect(self) -> None:
        await super().connect()

    async def receive(self, text_data: str) -> None:
        await super().receive(text_data)
        await super().receive(text_data=text_data, user=1)

    async def disconnect(self, code: int) -> None:
        await super().disconnect(code)

    async def on_error(self, exc: Exception, message: Any) -> None:
        await super().on_error(exc, message)


class PlainChat(JsonWebsocketConsumer):
    def connect(self) -> None:
        super().connect()

    def receive(self, text_data: str) -> None:
        super().receive(text_data)

    def on_error(self, exc: Exception, message: Any) -> None:
        super().on_error(exc, message)
"""

FORGOTTEN_AWAIT = f"""{IMPORTS}
class Chat(AsyncWebsocketConsumer):
    async def connect(self) -> None:
        super().connect()
"""

ENDPOINTS = f"""{IMPORTS}
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, Header


async def session() -> AsyncIterator[int]:
    yield 1


Session = Annotated[int, Depends(session)]


class Chat(AsyncJsonWebsocketConsumer):
    async def connect(self, room: str, session: Session, x_token: Annotated[str, Header()] = "") -> None:
        await super().connect()


class Loud(Chat):
    async def connect(self, room: str, session: Session, x_token: str = "", *, volume: int = 1) -> None:
        await super().connect(room, session, x_token)


class PlainChat(JsonWebsocketConsumer):
    def connect(self, room: str, session: Session) -> None:
        self.accept()


class OldChat(PortedAsync):
    async def connect(self, room: str, session: Session) -> None:
        await self.accept()


app, router = FastAPI(), APIRouter()
app.add_api_websocket_route("/chat/{{room}}", Chat.as_endpoint())
app.websocket("/loud/{{room}}")(Loud.as_endpoint(size=1))
router.websocket("/plain/{{room}}")(PlainChat.as_endpoint())
router.add_api_websocket_route("/ported/{{room}}", OldChat.as_endpoint())
app.include_router(router)
"""

# What mypy reads at the top of a module holds for that module: so one run of it is enough for all.
LENIENT = f"# mypy: {', '.join(option.removeprefix('--') for option in UNANNOTATED if option not in STRICT)}\n"

MODULES = {
    "narrower": overriding(
        {ASYNC: FOR_ALL, SYNC: FOR_ALL, ASYNC_JSON: (*FOR_ALL, *FOR_JSON), SYNC_JSON: (*FOR_ALL, *FOR_JSON)},
        "async ",
        "",
    ),
    "plain_in_async": overriding({ASYNC: HOOKS, ASYNC_JSON: (*HOOKS, *FOR_JSON)}, "", ""),
    "async_in_sync": overriding({SYNC: FOR_ALL, SYNC_JSON: FOR_JSON}, "async ", "async "),
    "calls_of_super": CALLS_OF_SUPER,
    "forgotten_await": FORGOTTEN_AWAIT,
    "endpoints": ENDPOINTS,
    "without_annotations": LENIENT
    + overriding(
        {
            ASYNC: UNANNOTATED_HOOKS,
            SYNC: UNANNOTATED_HOOKS,
            ASYNC_JSON: (*UNANNOTATED_HOOKS, "receive_json(self, content)"),
            SYNC_JSON: (*UNANNOTATED_HOOKS, "receive_json(self, content)"),
        },
        "async ",
        "",
    ),
}


@pytest.fixture(scope="module", params=left_to_ci("mypy", "pyright"))
def faults(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[Fault]:
    """Return what one of the type checkers has against the modules."""
    folder = tmp_path_factory.mktemp("modules")
    for name, text in MODULES.items():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    return mypy(folder, *STRICT) if request.param == "mypy" else pyright(folder)


def lines_of(faults: list[Fault], name: str) -> set[int]:
    return {fault.line for fault in faults if fault.file == f"{name}.py"}


def lines_with(name: str, pattern: str) -> set[int]:
    return {number for number, line in enumerate(MODULES[name].splitlines(), 1) if re.search(pattern, line)}


def test_an_override_takes_the_arguments_that_it_needs(faults: list[Fault]) -> None:
    assert lines_of(faults, "narrower") == set()


def test_a_plain_override_in_an_async_consumer_is_refused(faults: list[Fault]) -> None:
    assert lines_of(faults, "plain_in_async") == lines_with("plain_in_async", r"^    def ")


def test_an_async_override_in_a_sync_consumer_is_refused(faults: list[Fault]) -> None:
    assert lines_of(faults, "async_in_sync") == lines_with("async_in_sync", r"^    async def ")


def test_an_override_may_call_the_one_that_it_overrides(faults: list[Fault]) -> None:
    assert lines_of(faults, "calls_of_super") == set()


def test_endpoints_of_fastapis_need_no_rule_disabled(faults: list[Fault]) -> None:
    assert lines_of(faults, "endpoints") == set()


def test_a_forgotten_await_of_a_hook_is_seen(faults: list[Fault]) -> None:
    assert lines_of(faults, "forgotten_await") == lines_with("forgotten_await", r"super\(\)")


def test_an_override_needs_no_annotations(faults: list[Fault]) -> None:
    assert lines_of(faults, "without_annotations") == set()
