"""Options and keyword arguments that are misspelt, and names that belong to applications."""

import functools
from collections.abc import Callable
from typing import Annotated, Any

import pytest
from fastapi import Depends

from compat.channels.generic import websocket as channels
from consumers import (
    AsyncConsumer,
    AsyncHttpConsumer,
    AsyncJsonWebsocketConsumer,
    AsyncWebsocketConsumer,
    SyncConsumer,
    WebsocketConsumer,
)
from consumers._checks.misspelt import closest, options

from .answers import answers, logged, visit
from .mistake import Mistake
from .records import HOOKS, OPTIONS


@pytest.mark.anyio
@pytest.mark.parametrize("mistake", [*OPTIONS, *HOOKS], ids=lambda mistake: mistake.title)
async def test_a_mistake_in_a_class_is_an_error_of_as_asgi(mistake: Mistake, caplog: pytest.LogCaptureFixture) -> None:
    assert await answers(mistake, caplog) == [mistake.answer]


@pytest.mark.parametrize(
    ("name", "value", "meant"),
    [
        ("max_task", 4, "max_tasks"),
        ("max_taks", 4, "max_tasks"),
        ("maxTasks", 4, "max_tasks"),
        ("ratelimit", 2.5, "rate_limit"),
        ("rate_limits", 10, "rate_limit"),
        ("limit_rate", 10, "rate_limit"),
        ("inbox_limt", 10, "inbox_limit"),
        ("idle_timout", 10, "idle_timeout"),
        ("disconect_timout", 10, "disconnect_timeout"),
        ("time_out_idle", 10, None),
        ("raw_frame", True, "raw_frames"),
        ("channel_layers_alias", "x", "channel_layer_alias"),
        ("overfolw", "close", "overflow"),
        ("gruops", ["x"], "groups"),
    ],
)
def test_a_misspelt_option_is_found(name: str, value: Any, meant: str | None) -> None:
    consumer: Any = type("Room", (AsyncWebsocketConsumer,), {name: value})
    if meant is None:
        consumer.as_asgi()
    else:
        with pytest.raises(TypeError, match=rf"^Room\.{name} is not an option: did you mean {meant}\?$"):
            consumer.as_asgi()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("group", "room"),
        ("group", ["room"]),
        ("scopes", ["read"]),
        ("tasks", []),
        ("MAX_TASKS", 4),
        ("rate_limits", {"chat": 10}),
        ("rate_limits", "10/m"),
        ("rate_limiter", 3),
        ("end_timeout", 30),
        ("connect_timeout", 30),
        ("read_timeout", 30),
        ("start_timeout", 30),
        ("date_limit", 30),
        ("max_users", 30),
        ("max_rooms", 30),
        ("max_size", 30),
        ("message_size", 30),
        ("overflows", 3),
        ("strict", True),
        ("max_task", property(lambda self: 4)),
        ("max_task", None),
        ("_max_task", 4),
    ],
)
def test_a_name_of_the_applications_is_not_taken_for_an_option(name: str, value: Any) -> None:
    type("Room", (AsyncWebsocketConsumer,), {name: value}).as_asgi()  # type: ignore[attr-defined]


class Reading(AsyncWebsocketConsumer):
    idle_timeouts = 4  # of its own, which it counts

    async def receive(self, text_data: str) -> None:
        await self.send(str(self.idle_timeouts))


class ReadByFunction(AsyncWebsocketConsumer):
    max_group = 4


def look(consumer: type[ReadByFunction]) -> int:
    return [name for name in ("a",) if consumer.max_group].count("a")


def test_a_name_that_code_beside_it_reads_belongs_to_the_application() -> None:
    class Named(AsyncWebsocketConsumer):
        strict_type = True

        async def connect(self) -> None:
            setattr(self, "answer", getattr(self, "strict_type"))  # noqa: B009, B010

    class Inheriting(Reading):
        pass

    for consumer in (Reading, ReadByFunction, Named, Inheriting):
        consumer.as_asgi()


def test_a_misspelt_option_of_a_base_or_a_mixin_is_found_too() -> None:
    class Mixin:
        idle_timout = 10

    class Room(AsyncWebsocketConsumer, Mixin):
        pass

    class Inner(Room):
        pass

    with pytest.raises(TypeError, match=r"^Mixin\.idle_timout is not an option: did you mean idle_timeout\?$"):
        Inner.as_asgi()


def test_an_option_is_no_misspelling_of_another() -> None:
    for base in (AsyncConsumer, SyncConsumer, AsyncWebsocketConsumer, WebsocketConsumer, AsyncHttpConsumer):
        known = options(base)
        for name in known:
            assert closest(name, known.keys() - {name}) is None
    assert {"max_tasks", "rate_limit", "groups", "thread_sensitive", "show_content"} <= options(
        WebsocketConsumer
    ).keys()


def test_in_compat_a_misspelt_option_and_a_lost_keyword_are_warnings(caplog: pytest.LogCaptureFixture) -> None:
    class Room(channels.AsyncWebsocketConsumer):
        max_task = 4

    Room.as_asgi(db=1)
    assert logged(caplog) == [
        "WARNING consumers.connection: Room.max_task is not an option: did you mean max_tasks?",
        "WARNING consumers.connection: Room.as_asgi(db=...): Room has no __init__() that takes db: define one",
    ]


def test_in_compat_a_keyword_that_init_refuses_is_an_error() -> None:
    class Room(channels.AsyncWebsocketConsumer):
        def __init__(self, db: int) -> None: ...

    with pytest.raises(TypeError, match=r"needs db: write Room\.as_asgi\(db=\.\.\.\)"):
        Room.as_asgi()


def test_keywords_that_init_takes_are_no_mistake() -> None:
    class Keywords(AsyncWebsocketConsumer):
        def __init__(self, *args: Any, **kwargs: Any) -> None: ...

    class Mixed(AsyncWebsocketConsumer):
        def __init__(self, db: int, *, size: int = 1, **kwargs: Any) -> None: ...

    class Mixin:
        def __init__(self, db: int) -> None: ...

    class Inheriting(Mixin, AsyncWebsocketConsumer):
        pass

    class Making(AsyncWebsocketConsumer):
        def __new__(cls, db: int) -> Any:
            return super().__new__(cls)

    Keywords.as_asgi(anything=1)
    Mixed.as_asgi(db=1, more=2)
    Inheriting.as_asgi(db=1)
    Making.as_asgi(db=1)


def with_user(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    async def wrapper(self: Any, *args: Any, **kwargs: Any) -> None:
        await function(self, *args, user="ann", **kwargs)

    return wrapper


def later(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        return function(self, *args, **kwargs)

    return wrapper


def test_hooks_that_work_are_no_mistake() -> None:
    class Decorated(AsyncWebsocketConsumer):
        @with_user
        async def connect(self, user: str) -> None: ...

        @with_user
        async def receive(self, text_data: str, user: str) -> None: ...

        @later
        async def disconnect(self, code: int) -> None: ...

    class Raising(AsyncWebsocketConsumer):
        def connect(self) -> Any:
            raise NotImplementedError

        def disconnect(self, code: int) -> Any:
            return super().disconnect(code) if code else None

        async def receive(self, *args: Any, **kwargs: Any) -> None: ...

    class Calling(AsyncWebsocketConsumer):
        async def websocket_connect(self, message: Any) -> None:
            await self.connect("room")

        async def connect(self, room: str) -> None: ...

    class Static(AsyncWebsocketConsumer):
        @staticmethod
        async def connect() -> None: ...

        @classmethod
        async def disconnect(cls, code: int) -> None: ...

    class Answering(AsyncHttpConsumer):
        async def disconnect(self) -> None: ...

    for consumer in (Decorated, Raising, Calling, Static, Answering):
        consumer.as_asgi()


@pytest.mark.parametrize(
    ("base", "name", "meant"),
    [
        (AsyncWebsocketConsumer, "recieve", "receive"),
        (AsyncWebsocketConsumer, "recive", "receive"),
        (AsyncWebsocketConsumer, "conect", "connect"),
        (AsyncWebsocketConsumer, "disconect", "disconnect"),
        (AsyncWebsocketConsumer, "disconnnect", "disconnect"),
        (AsyncWebsocketConsumer, "websocket_recieve", "websocket_receive"),
        (AsyncJsonWebsocketConsumer, "recieve_json", "receive_json"),
        (WebsocketConsumer, "recieve", "receive"),
        (AsyncHttpConsumer, "hanlde", "handle"),
    ],
)
def test_a_misspelt_method_is_found(base: Any, name: str, meant: str) -> None:
    def method(self: Any, *args: Any) -> None: ...

    with pytest.raises(TypeError, match=rf"^Room\.{name}\(\) is never called: did you mean {meant}\(\)\?$"):
        type("Room", (base,), {name: method}).as_asgi()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("base", "names"),
    [
        (
            AsyncWebsocketConsumer,
            ["received", "receiver", "connected", "connects", "connector", "disconnected", "reconnect"],
        ),
        (AsyncWebsocketConsumer, ["recieve", "receive"]),  # it has both
        (
            AsyncWebsocketConsumer,
            ["_recieve", "handle", "hanlde", "accepted", "on_receive", "on_connect", "on_disconnect"],
        ),
        (AsyncWebsocketConsumer, ["receive", "receive_json"]),
        (AsyncJsonWebsocketConsumer, ["receive_json", "receive_text"]),
        (AsyncHttpConsumer, ["handle", "handler", "handles", "handled", "receive", "recieve"]),
    ],
)
def test_a_method_of_the_applications_is_not_taken_for_a_hook(base: Any, names: list[str]) -> None:
    async def method(self: Any, event: Any) -> None: ...

    async def receive(self: Any, text_data: str) -> None: ...

    methods = {name: receive if name == "receive" else method for name in names}
    type("Room", (base,), methods).as_asgi()  # type: ignore[attr-defined]


def test_a_method_that_the_application_calls_is_its_own() -> None:
    class Room(AsyncWebsocketConsumer):
        async def connect(self) -> None:
            await self.conenct()
            await self.receive_json({})
            await self.on_receive(self, "")

        async def conenct(self) -> None: ...

        async def receive_json(self, content: Any) -> None: ...

        async def on_receive(self, websocket: Any, data: str) -> None: ...

    Room.as_asgi()


def test_a_dependency_of_fastapis_in_an_annotation_is_found_too() -> None:
    class Room(AsyncWebsocketConsumer):
        async def disconnect(self, code: int, user: Annotated[str, Depends(str)]) -> None: ...

    with pytest.raises(TypeError, match=r"^Room\.disconnect\(\): FastAPI does not call it, so no Depends fills user:"):
        Room.as_asgi()


def test_in_compat_a_misspelt_method_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    class Room(channels.AsyncWebsocketConsumer):
        async def recieve(self, text_data: str) -> None: ...

    Room.as_asgi()
    assert logged(caplog) == ["WARNING consumers.connection: Room.recieve() is never called: did you mean receive()?"]


@pytest.mark.anyio
async def test_a_plain_function_in_the_background_is_refused_where_it_is_started() -> None:
    class Room(AsyncWebsocketConsumer):
        async def connect(self) -> None:
            await self.accept()
            self.start_background_task(self.push)  # type: ignore[arg-type]

        def push(self) -> None: ...

    with pytest.raises(TypeError, match=r"takes an async function: Room\.push\(\) must be `async def`") as caught:
        await visit(Room.as_asgi())
    assert [entry.name for entry in caught.traceback].count("connect") == 1


@pytest.mark.parametrize("kind", [AsyncWebsocketConsumer, channels.AsyncWebsocketConsumer])
@pytest.mark.parametrize(
    "name", ["connect", "receive", "disconnect", "on_error", "websocket_connect", "websocket_disconnect"]
)
def test_each_hook_of_an_async_consumer_must_be_async(name: str, kind: Any) -> None:
    def hook(self: Any, *args: Any, **kwargs: Any) -> None:
        if args:
            return

    with pytest.raises(TypeError, match=rf"^Room\.{name}\(\) must be `async def`: this is an async consumer$"):
        type("Room", (kind,), {name: hook}).as_asgi()  # type: ignore[attr-defined]
