"""The document of AsyncAPI: what it says, and that AsyncAPI's own parser takes it."""

import json
import subprocess
from typing import Annotated, Any, Literal

import pytest
from fastapi import FastAPI, Query, Security
from fastapi.security import OAuth2PasswordBearer
from pydantic import AfterValidator, BaseModel, field_validator
from starlette.applications import Starlette
from starlette.routing import Host, Mount, Router, WebSocketRoute

from consumers import AsyncWebsocketConsumer, ProtocolTypeRouter, URLRouter, path, re_path
from consumers.typed import SyncTypedConsumer, TypedConsumer, asyncapi_document, on
from consumers.typed.asyncapi import differences
from consumers.typed.framework_messages import FRAMEWORKS
from example_project.app import app as example

from ..support import documented
from ..support.npm import npm_modules
from .documents import other, sample
from .models import Moved, Said, Say

Document = dict[str, Any]


@pytest.fixture(scope="module")
def wide() -> Document:
    return asyncapi_document(sample.app, servers={"production": "wss://example.com/base/"})


def route(consumer: Any, address: str = "/chat") -> Document:
    return asyncapi_document(Starlette(routes=[WebSocketRoute(address, consumer.as_asgi())]))


def resolved(document: Document, reference: Document) -> Document:
    """Follow references."""
    found = reference
    while "$ref" in found:
        at: Any = document
        for key in found["$ref"].removeprefix("#/").split("/"):
            at = at[key]
        found = at
    return found


def names(document: Document, references: list[Document]) -> list[str]:
    """Return the types of the messages in a list of references."""
    return [resolved(document, reference)["name"] for reference in references]


@pytest.mark.slow
def test_asyncapis_own_parser_takes_the_documents(wide: Document) -> None:
    odd = Starlette(
        routes=[
            Host("{user}.example.com", Router([WebSocketRoute("/chat/{room:path}", sample.Plain.as_asgi())])),
            Mount("/r", URLRouter([re_path(r"^(\w+)/[0-9]{2}/x?$", sample.Numbered.as_asgi())])),
        ]
    )
    documents = [wide, asyncapi_document(sample.app), asyncapi_document(documented.app)]
    documents += [asyncapi_document(odd), asyncapi_document(example)]
    modules = npm_modules()
    done = subprocess.run(
        ["node", modules.parent / "parse.cjs"], input=json.dumps(documents), capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    for diagnostics in json.loads(done.stdout):
        # Information, not a warning: there is a newer version, which adds nothing for WebSockets.
        assert [each for each in diagnostics if each["code"] != "asyncapi-latest-version"] == []


def test_the_title_is_fastapis_unless_another_is_given() -> None:
    described = {"title": "Sample", "version": "2.5", "description": "All *kinds* of messages."}
    assert asyncapi_document(sample.app)["info"] == described
    wrapped = ProtocolTypeRouter({"websocket": sample.app})
    assert asyncapi_document(wrapped, title="Mine", version="3")["info"] == {
        **described,
        "title": "Mine",
        "version": "3",
    }
    assert route(sample.Numbered)["info"] == {"title": "WebSockets", "version": "0.1.0"}


def test_servers_are_urls_by_their_names(wide: Document) -> None:
    production = {"host": "example.com", "protocol": "wss", "pathname": "/base"}
    assert wide["servers"] == {"production": production}
    assert "servers" not in asyncapi_document(sample.app)
    local = asyncapi_document(sample.app, servers={"local": "http://localhost:8000"})["servers"]["local"]
    assert local == {"host": "localhost:8000", "protocol": "ws"}
    for url in ("example.com", "ftp://example.com", "wss://", "wss://example.com/?a=1"):
        with pytest.raises(ValueError, match="is no URL of a server: write it as in wss://"):
            asyncapi_document(sample.app, servers={"one": url})


def test_channels_have_their_addresses_and_parameters(wide: Document) -> None:
    channels = wide["channels"]
    assert {name: channel["address"] for name, channel in channels.items()} == {
        "Wide": "/wide/{room}/{number}",
        "Guarded": "/outer/inner/guarded",
        "Numbered": "/routed/numbered/{key}/",
        "Plain": "/routed/plain/{name}/",
    }
    assert channels["Wide"]["parameters"] == {
        "room": {"enum": ["lobby", "attic"]},
        "number": {"description": "An integer."},
    }
    assert channels["Numbered"]["parameters"] == {"key": {"description": "A UUID."}}
    assert channels["Wide"]["description"] == "Takes all kinds of messages.\n\nIt sends some of them back."


def test_parameters_are_what_connect_says_without_fastapi_too() -> None:
    class Room(AsyncWebsocketConsumer):
        async def connect(self, floor: sample.Level, color: "sample.Color", name: "Unknown") -> None: ...  # type: ignore[name-defined]  # noqa: F821

    parameters = route(Room, "/{floor:int}/{color}/{name}")["channels"]["Room"]["parameters"]
    assert parameters == {
        "floor": {"description": "An integer.", "enum": ["1", "2"]},
        "color": {"enum": ["red", "green"]},
        "name": {},
    }


def test_query_headers_and_cookies_are_in_the_binding(wide: Document) -> None:
    binding = wide["channels"]["Guarded"]["bindings"]["ws"]
    assert binding["method"] == "GET"
    assert binding["query"]["properties"] == {
        "limit": {"type": "integer", "minimum": 1, "default": 10, "description": "How many at most."},
        "order": {"type": "string", "enum": ["up", "down"], "default": "up"},
    }
    assert binding["headers"]["properties"].keys() == {"user-agent", "Cookie"}
    assert binding["headers"]["required"] == ["user-agent", "Cookie"]
    assert "session" in binding["headers"]["properties"]["Cookie"]["description"]
    assert "theme (optional)" in binding["headers"]["properties"]["Cookie"]["description"]
    color = wide["channels"]["Wide"]["bindings"]["ws"]["query"]["properties"]["color"]
    assert resolved(wide, color["allOf"][0])["enum"] == ["red", "green"]
    assert wide["channels"]["Plain"]["bindings"]["ws"] == {"method": "GET", "bindingVersion": "0.1.0"}


def test_schemas_of_one_name_in_query_and_messages_are_told_apart() -> None:
    class Chat(TypedConsumer):
        sends = other.Note

        async def connect(self, color: sample.Color) -> None: ...

    app = FastAPI()
    app.add_api_websocket_route("/chat", Chat.as_endpoint())
    document = asyncapi_document(app)
    color = document["channels"]["Chat"]["bindings"]["ws"]["query"]["properties"]["color"]
    assert resolved(document, color)["enum"] == ["red", "green"]
    payload = resolved(document, {"$ref": "#/components/messages/Note"})["payload"]
    person = resolved(document, payload["properties"]["author"])
    assert resolved(document, person["properties"]["likes"])["enum"] == ["cyan", "pink"]


def test_an_operation_for_each_handler_has_its_replies(wide: Document) -> None:
    operations = wide["operations"]
    replies = {
        name: names(wide, operation["reply"]["messages"])
        for name, operation in operations.items()
        if operation["action"] == "receive"
    }
    everything = ["dates", "note", "other.note", "page", "renamed", "shapes", "tree", "values"]
    assert replies.keys() == {"Wide.values", "Wide.shapes", "Wide.rest", "Wide.anything", "Numbered.note"}
    assert replies["Wide.values"] == ["values", "ack", "error"]
    assert replies["Wide.shapes"] == ["shapes", "error"]
    assert replies["Wide.rest"] == ["ack", "error"]
    assert sorted(replies["Wide.anything"]) == sorted([*everything, "ack", "error"])  # it does not say
    assert names(wide, operations["Wide.values"]["messages"]) == ["values", "dates"]
    assert operations["Wide.values"]["description"] == "Keep them."
    assert list(operations)[:4] == ["Wide.values", "Wide.shapes", "Wide.rest", "Wide.anything"]


def test_one_operation_has_all_that_the_server_sends(wide: Document) -> None:
    sent = wide["operations"]["Wide.sends"]
    assert sent["action"] == "send"
    everything = {"values", "shapes", "dates", "page", "note", "other.note", "renamed", "tree"}
    assert set(names(wide, sent["messages"])) == everything | {"error", "expires", "joined", "gap", "pong"}


def test_a_message_that_comes_in_may_have_an_id_and_an_answer_says_which_it_answers() -> None:
    class Chat(SyncTypedConsumer):
        id_key = "ref"
        sends = Said | Moved

        @on
        def say(self, message: Say) -> Said | None: ...

    document = route(Chat)
    say, said, moved = (document["components"]["messages"][name] for name in ("Say", "Said", "Moved"))
    assert [choice["type"] for choice in say["payload"]["properties"]["ref"]["oneOf"]] == ["string", "integer"]
    assert "ref" not in say["payload"]["required"]
    assert say["correlationId"] == {"location": "$message.payload#/ref"}
    assert "to" in said["payload"]["properties"]
    assert said["correlationId"] == {"location": "$message.payload#/to"}
    assert "to" not in moved["payload"]["properties"]
    assert "correlationId" not in moved


def test_the_same_model_with_another_key_for_the_id_is_another_message(wide: Document) -> None:
    [given] = [each for each in wide["operations"]["Wide.rest"]["messages"] if "Given" in each["$ref"]]
    [numbered] = [each for each in wide["operations"]["Numbered.note"]["messages"] if "Given" in each["$ref"]]
    assert "id" in resolved(wide, given)["payload"]["properties"]
    assert "ref" in resolved(wide, numbered)["payload"]["properties"]


def test_messages_are_told_by_their_models() -> None:
    messages = asyncapi_document(documented.app)["components"]["messages"]
    assert (messages["Say"]["name"], messages["Say"]["title"]) == ("say", "Say")
    assert messages["Say"]["description"] == "Something to say to all in the room."
    assert {"error", "ack", "expires"} <= messages.keys()


def test_a_model_called_as_one_of_the_frameworks_messages_has_another_name() -> None:
    error = type("error", (Say,), {"__module__": __name__})

    class Chat(TypedConsumer):
        @on
        async def say(self, message: error) -> None: ...  # type: ignore[valid-type]

    document = route(Chat)
    assert names(document, document["operations"]["Chat.say"]["messages"]) == ["say"]
    assert document["components"]["messages"]["error"]["name"] == "error"


def test_untyped_consumers_are_channels_without_messages() -> None:
    document = route(sample.Plain)
    assert document["channels"]["Plain"]["description"] == "Without models."
    assert "messages" not in document["channels"]["Plain"]
    assert document["operations"] == document["components"] == {}


def test_security_is_what_fastapis_schemes_ask_for(wide: Document) -> None:
    [operation] = [each for name, each in wide["operations"].items() if name.startswith("Guarded")]
    schemes = [resolved(wide, each) for each in operation["security"]]
    assert {"type": "httpApiKey", "in": "header", "name": "x-key"} in schemes
    assert {"type": "httpApiKey", "in": "query", "name": "key"} in schemes
    assert {"type": "httpApiKey", "in": "cookie", "name": "key"} in schemes
    assert {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"} in schemes
    assert {"type": "http", "scheme": "basic"} in schemes
    openid = "https://example.com/.well-known/openid-configuration"
    assert {"type": "openIdConnect", "openIdConnectUrl": openid} in schemes
    [password] = [each for each in schemes if "password" in each.get("flows", {})]
    assert password["scopes"] == ["read"]
    assert password["flows"]["password"] == {
        "tokenUrl": "https://example.com/base/token",
        "availableScopes": {"read": "Look at it", "write": "Change it"},
    }
    assert len(schemes) == 8
    assert "security" not in wide["operations"]["Wide.values"]


def test_scopes_of_all_that_asks_for_a_scheme_are_joined() -> None:
    scheme = OAuth2PasswordBearer("token", scopes={"a": "", "b": ""})

    class Room(TypedConsumer):
        async def connect(
            self,
            one: Annotated[str, Security(scheme, scopes=["a"])],
            two: Annotated[str, Security(scheme, scopes=["b"])],
            three: Annotated[int, Query()] = 3,
        ) -> None: ...

    app = FastAPI()
    app.add_api_websocket_route("/", Room.as_endpoint())
    [security] = asyncapi_document(app)["operations"]["Room.sends"]["security"]
    assert security["scopes"] == ["a", "b"]


def test_what_draft_07_has_no_word_for_is_written_in_another_way(wide: Document) -> None:
    shapes = next(each for each in wide["components"]["messages"].values() if each["name"] == "shapes")
    properties = shapes["payload"]["properties"]
    assert properties["pair"]["items"] == [{"type": "integer"}, {"type": "string"}]
    assert properties["shape"]["discriminator"] == "form"
    assert properties["shape"]["required"] == ["form"]
    text = json.dumps(wide)
    assert all(word not in text for word in ("prefixItems", "$defs", "contentSchema", '"mapping"'))


def test_only_words_of_schemas_are_written_in_another_way() -> None:
    class Odd(BaseModel):
        type: Literal["odd"] = "odd"
        prefixItems: list[dict[str, Any]] = [{"prefixItems": [1], "$ref": "#/$defs/x"}]
        discriminator: dict[str, Any] = {"mapping": {}, "propertyName": "x"}
        rest: tuple[int, str] = (1, "")

    class Chat(TypedConsumer):
        @on
        async def odd(self, message: Odd) -> None: ...

    properties = route(Chat)["components"]["messages"]["Odd"]["payload"]["properties"]
    assert properties["prefixItems"]["default"] == [{"prefixItems": [1], "$ref": "#/$defs/x"}]
    assert properties["discriminator"]["type"] == "object"
    assert properties["discriminator"]["default"] == {"mapping": {}, "propertyName": "x"}


def test_only_schemas_that_are_referred_to_are_components(wide: Document) -> None:
    text = json.dumps(wide)
    for name in wide["components"]["schemas"]:
        assert f'"#/components/schemas/{name}"' in text


def test_the_document_is_the_same_each_time(wide: Document) -> None:
    again = asyncapi_document(sample.app, servers={"production": "wss://example.com/base/"})
    assert json.dumps(again) == json.dumps(wide)


def test_each_message_has_an_example_that_its_model_takes(wide: Document) -> None:
    models: dict[str, Any] = {model.__name__: model for model in vars(sample).values() if isinstance(model, type)}
    models |= {"Note": sample.Note, "Page[int]": sample.Page[int], "Page[Person]": sample.Page[sample.Person]}
    for name, message in wide["components"]["messages"].items():
        [example] = message["examples"]
        if name in FRAMEWORKS:
            continue
        model = other.Note if message["name"] == "other.note" else models[message["title"]]
        payload = example["payload"]
        if isinstance(payload.get("packed"), list):  # it comes in as a text, and goes out as what is in the text
            payload = {**payload, "packed": json.dumps(payload["packed"])}
        model.model_validate_json(json.dumps(payload))


def test_a_models_own_example_comes_first(wide: Document) -> None:
    assert wide["components"]["messages"]["Given"]["examples"] == [{"payload": {"type": "given", "even": 4}}]


def test_no_example_is_better_than_an_invalid_one() -> None:
    class Chat(TypedConsumer):
        @on
        async def refuse(self, message: Refusing | Even | Failing) -> None: ...

    messages = route(Chat)["components"]["messages"]
    assert {name for name, message in messages.items() if "examples" in message} == set(FRAMEWORKS)


class Refusing(BaseModel):
    type: Literal["refusing"] = "refusing"
    text: Annotated[str, Query(pattern="^never matched by what is tried$")]


class Even(BaseModel):
    type: Literal["even"] = "even"
    number: Annotated[int, AfterValidator(lambda number: number // (number % 2 - 1))]


class Failing(BaseModel):
    type: Literal["failing"] = "failing"
    name: str

    @field_validator("name")
    @classmethod
    def is_known(cls, name: str) -> str:
        raise ValueError(f"{name} is unknown")


def test_an_application_without_consumers_is_an_error() -> None:
    with pytest.raises(TypeError, match="no consumer is found"):
        asyncapi_document(FastAPI())


@pytest.mark.parametrize(
    ("expected", "found", "said"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": {"b/c": 1}}, {"a": {"b/c": 2}}, ["/a/b~1c is 2 and should be 1"]),
        ({"a": 1, "b": 2}, {"b": 2, "c": 3}, ["/a is missing", "/c is too much"]),
        ([1, [2]], [1, [3]], ["/1/0 is 3 and should be 2"]),
        ([1], [1, 2], ["the whole is [1, 2] and should be [1]"]),
        (True, 1, ["the whole is 1 and should be true"]),
        ("é" * 80, None, [f'the whole is null and should be "{"é" * 58}…']),
    ],
)
def test_differences_are_told_by_where_they_are(expected: Any, found: Any, said: list[str]) -> None:
    assert list(differences(expected, found)) == said


def test_a_url_router_alone_has_a_document() -> None:
    document = asyncapi_document(URLRouter([path("chat/<str:room>/", documented.Echo.as_asgi())]))
    assert document["channels"]["Echo"]["address"] == "/chat/{room}/"
