"""An application's WebSockets as a document of AsyncAPI 3, and where two such documents differ.

The document is of version 3.0.0: every tool that reads AsyncAPI 3 reads it, and 3.1.0 adds nothing for WebSockets.
"""

import inspect
import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any
from urllib.parse import urlsplit

from .._checks.wrappers import unwrapped
from .._connection.positions import AT
from ..types import ASGIApp
from .channels import Channel, channels_of
from .contract import TO, Contract, Handler
from .draft07 import converted
from .examples import made_example
from .framework_messages import FRAMEWORKS, ID, PLACE
from .handshake import path_parameters, requirements_of, values_of
from .models import Model, sent_field_called, tags_of
from .schemas import IN, OUT, Mode, Schema, Schemas, schemas_of

Object = dict[str, Any]

TITLE = "WebSockets"
VERSION = "0.1.0"
NOWHERE = "http://localhost/"
"""What the addresses of security schemes are below while no server is known."""

TOLD = ("error", "expires", "joined", "gap", "pong")
"""The framework's messages that no handler answers with."""

_PROTOCOLS = {"ws": "ws", "wss": "wss", "http": "ws", "https": "wss"}
_PAGES = {"ws": "http", "wss": "https"}


def asyncapi_document(
    application: ASGIApp,
    *,
    title: str | None = None,
    version: str | None = None,
    description: str | None = None,
    servers: Mapping[str, str] | None = None,
) -> Object:
    """Return an application's WebSockets as a document of AsyncAPI 3.0.0. It is the same each time.

    Args:
        application: one of Starlette's, FastAPI's or of this package's routers, with middleware around it, perhaps.
        title: what it is called. None: as the FastAPI application is, else "WebSockets".
        version: the application's own version. None: the FastAPI application's, else "0.1.0".
        description: Markdown. None: the FastAPI application's.
        servers: where it is served, by names that you choose: `{"production": "wss://chat.example.com/base"}`.

    Raises:
        TypeError: there is no consumer in it; a model has a field for which there is no JSON Schema; or there is a
            mistake in a typed consumer.
        ValueError: the URL of a server is not valid.
    """
    known = _known_to_fastapi(application)
    info = {
        "title": title or known.get("title") or TITLE,
        "version": version or known.get("version") or VERSION,
        "description": description or known.get("description"),
    }
    listed = {name: server_at(url) for name, url in (servers or {}).items()}
    return _Document(channels_of(application), listed).build({key: value for key, value in info.items() if value})


def server_at(url: str) -> Object:
    """Return AsyncAPI's description of a server.

    Raises:
        ValueError: the URL cannot be a WebSocket server's.
    """
    parts = urlsplit(url)
    if parts.scheme not in _PROTOCOLS or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(f"{url!r:.200} is no URL of a server: write it as in wss://chat.example.com/path")
    server = {"host": parts.netloc.rpartition("@")[2], "protocol": _PROTOCOLS[parts.scheme]}
    path = parts.path.rstrip("/")
    return {**server, "pathname": path} if path else server


def _known_to_fastapi(application: Any) -> dict[str, str]:
    """Return what a FastAPI application, perhaps inside others, says of itself."""
    for candidate in unwrapped(application):
        if hasattr(candidate, "openapi_version"):
            return {key: getattr(candidate, key, "") for key in ("title", "version", "description")}
    return {}


class _Document:
    """The document, while it is made.

    Args:
        channels: what it is about.
        servers: AsyncAPI's description of each server, by its name.
    """

    def __init__(self, channels: Iterable[Channel], servers: Object) -> None:
        self._channels = [(channel, channel.contract) for channel in channels]
        self._servers = servers
        contracts = dict.fromkeys(contract for _, contract in self._channels if contract is not None)
        self._schemas: Schemas = schemas_of(contracts)
        self._components = {name: converted(each, {}) for name, each in self._schemas.definitions.items()}
        self._messages: dict[str, Object] = {}
        self._security: dict[str, Object] = {}
        self._names: dict[tuple[Model, Mode, str | None], str] = {}
        self._answers = {
            model for contract in contracts for handler in contract.handlers for model in _answers(handler, contract)
        }
        first = next(iter(servers.values()), None)
        self._base_url = (
            NOWHERE if first is None else f"{_PAGES[first['protocol']]}://{first['host']}{first.get('pathname', '')}/"
        )

    def build(self, info: Object) -> Object:
        if any(contract for _, contract in self._channels):
            self._messages |= {name: dict(message) for name, message in FRAMEWORKS.items()}
        channels: Object = {}
        operations: Object = {}
        for channel, contract in self._channels:
            channels[channel.name] = self._channel(channel, contract)
            if contract is not None:
                operations |= self._operations(channel, contract)
        components = {
            "schemas": self._used(channels),
            "messages": self._messages,
            "securitySchemes": self._security,
        }
        return {
            "asyncapi": "3.0.0",
            "info": info,
            "defaultContentType": "application/json",
            **({"servers": self._servers} if self._servers else {}),
            "channels": channels,
            "operations": operations,
            "components": {key: value for key, value in components.items() if value},
        }

    def _channel(self, channel: Channel, contract: Contract | None) -> Object:
        messages: list[str] = []
        if contract is not None:
            messages += (*self._taken(contract), *self._sent(contract))
            messages += ["ack"] if any(handler.may_return_nothing for handler in contract.handlers) else []
        described: Object = {
            "address": channel.address,
            "title": channel.consumer_class.__name__,
            "description": _doc_of(channel.consumer_class),
            "parameters": path_parameters(channel),
            "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in dict.fromkeys(messages)},
            "bindings": {"ws": self._binding(channel)},
        }
        return {key: value for key, value in described.items() if value}

    def _binding(self, channel: Channel) -> Object:
        """Return what the handshake has beside the path."""
        query, headers, cookies = (values_of(channel, kind) for kind in ("query", "header", "cookie"))
        binding: Object = {"method": "GET"}
        if cookies.schemas:
            names = ", ".join(name if name in cookies.required else f"{name} (optional)" for name in cookies.schemas)
            headers.add("Cookie", {"type": "string", "description": f"Cookies: {names}"}, bool(cookies.required))
        for key, values in (("query", query), ("headers", headers)):
            if values.schemas:
                rename = self._add_schemas(values.definitions)
                binding[key] = converted(values.as_object(), rename)
        return {**binding, "bindingVersion": "0.1.0"}

    def _add_schemas(self, definitions: Mapping[str, Schema]) -> dict[str, str]:
        """Add definitions to the components, and return what they are called there."""
        rename: dict[str, str] = {}
        for name, schema in definitions.items():
            known = self._schemas.definitions
            rename[name] = next(each for each in _numbered(name) if known.get(each, schema) == schema)
            known[rename[name]] = schema
        for name, schema in definitions.items():
            self._components[rename[name]] = converted(schema, rename)
        return rename

    def _operations(self, channel: Channel, contract: Contract) -> Iterator[tuple[str, Object]]:
        at = {"$ref": f"#/channels/{channel.name}"}
        security = self._security_of(channel)

        def references(names: Iterable[str]) -> list[Object]:
            return [{"$ref": f"#/channels/{channel.name}/messages/{name}"} for name in dict.fromkeys(names)]

        for handler in _handlers(contract):
            replies = [self._message(model, OUT, None) for model in _answers(handler, contract)]
            replies += ["ack", "error"] if handler.may_return_nothing else ["error"]
            operation = {
                "action": "receive",
                "channel": at,
                "title": handler.name,
                "description": _doc_of(getattr(contract.consumer_class, handler.name)),
                "messages": references(self._message(model, IN, contract.id_key) for model in handler.models),
                "reply": {"channel": at, "messages": references(replies)},
                "security": security,
            }
            yield f"{channel.name}.{handler.name}", {key: value for key, value in operation.items() if value}
        operation = {"action": "send", "channel": at, "messages": references(self._sent(contract))}
        yield f"{channel.name}.sends", {**operation, **({"security": security} if security else {})}

    def _security_of(self, channel: Channel) -> list[Object]:
        listed: list[Object] = []
        for each in requirements_of(channel, self._base_url):
            if each.scopes and each.scheme["type"] in ("oauth2", "openIdConnect"):  # a reference has no place for them
                listed.append({**each.scheme, "scopes": list(each.scopes)})
                continue
            name = next(name for name in _numbered(each.name) if self._security.get(name, each.scheme) == each.scheme)
            self._security[name] = each.scheme
            listed.append({"$ref": f"#/components/securitySchemes/{name}"})
        return listed

    # Messages

    def _taken(self, contract: Contract) -> list[str]:
        return [self._message(model, IN, contract.id_key) for handler in contract.handlers for model in handler.models]

    def _sent(self, contract: Contract) -> list[str]:
        models = (model for choice in contract.sends for model in choice.models)
        return [*(self._message(model, OUT, None) for model in models), *TOLD]

    def _message(self, model: Model, mode: Mode, id_key: str | None) -> str:
        """Return the name of a message, which is described the first time."""
        key = (model, mode, id_key)
        if key not in self._names:
            message = self._described(model, mode, id_key)
            suffix = "Input" if mode == IN else "Output"
            name = self._schemas.names[model, mode]
            others = _numbered(name if name.endswith(f"-{suffix}") else f"{name}-{suffix}")
            candidates = chain([name], others)
            self._names[key] = next(each for each in candidates if self._messages.get(each, message) == message)
            self._messages[self._names[key]] = message
        return self._names[key]

    def _described(self, model: Model, mode: Mode, id_key: str | None) -> Object:
        schema = self._schemas.of(model, mode)
        payload = converted(schema, {})
        tags = tags_of(model)
        envelope = id_key if mode == IN else TO if model in self._answers else None
        added = {envelope: ID} if envelope else {}
        if mode == OUT and sent_field_called(model, AT) is None:
            added[AT] = converted(PLACE, {})
        message = {
            "name": tags[0] if len(tags) == 1 else model.__name__,
            "title": schema.get("title", model.__name__),
            "description": schema.get("description"),
            "correlationId": {"location": f"$message.payload#/{envelope}"} if envelope else None,
            "payload": _with_envelope(payload, added) if added else payload,
            "examples": [{"payload": example} for example in self._examples(model, mode, schema)],
        }
        return {key: value for key, value in message.items() if value}

    def _examples(self, model: Model, mode: Mode, schema: Schema) -> list[Any]:
        """Return the model's own examples, or one that is made of its schema, and that it takes."""
        given = schema.get("examples")
        if isinstance(given, list) and given:
            return given
        made = []
        for with_optional, key in ((True, "key"), (True, "1"), (False, "1")):
            try:
                example = made_example(schema, self._schemas.definitions, with_optional, key)
                made.append(example)
                model.model_validate_json(json.dumps(example))
                return [example]
            except Exception:  # a validator of the application's may raise anything
                continue
        return made[:1] if mode == OUT else []  # what goes out need not be what comes in

    def _used(self, channels: Object) -> dict[str, Schema]:
        """Return the schemas that something in the document refers to."""
        used: dict[str, Schema] = {}
        pending: list[Any] = [self._messages, channels]
        while pending:
            for name in _component_names(pending.pop()):
                if name not in used:
                    used[name] = self._components[name]
                    pending.append(used[name])
        return {name: used[name] for name in sorted(used)}


def _handlers(contract: Contract) -> list[Handler]:
    """Return the handlers of the client's messages in the order of the class, those of its bases first."""
    names = [name for owner in reversed(contract.consumer_class.__mro__) for name in vars(owner)]
    return sorted(contract.handlers, key=lambda handler: names.index(handler.name))


def _answers(handler: Handler, contract: Contract) -> Iterable[Model]:
    """Return the models that a handler may return: all that can be answers, if it does not say."""
    if handler.answers is not None:
        return handler.answers
    return sorted(contract.answers, key=lambda model: (model.__name__, model.__module__))


def _numbered(name: str) -> Iterator[str]:
    """Yield a name, and what else might be taken for it."""
    yield name
    number = 2
    while True:
        yield f"{name}{number}"
        number += 1


def _doc_of(documented: Any) -> str | None:
    """Return the docstring of a class or function, not one that it inherits."""
    text = documented.__doc__
    return inspect.cleandoc(text) if isinstance(text, str) else None


def _with_envelope(payload: Schema, added: Mapping[str, Schema]) -> Schema:
    """Return the schema of a message with what the framework adds: an id, say, or which message it answers."""
    if "properties" in payload:
        return {**payload, "properties": {**payload["properties"], **added}}
    return {"allOf": [payload, {"type": "object", "properties": dict(added)}]}


def _component_names(value: Any) -> Iterator[str]:
    """Yield the names of the schemas that a part of the document refers to."""
    if isinstance(value, dict):
        reference = value.get("$ref")
        if isinstance(reference, str) and reference.startswith("#/components/schemas/"):
            yield reference.rpartition("/")[2]
        for each in value.values():
            yield from _component_names(each)
    elif isinstance(value, list):
        for each in value:
            yield from _component_names(each)


def differences(one: Any, other: Any, where: str = "") -> Iterator[str]:
    """Yield where two documents differ, as JSON pointers.

    Args:
        one: what is expected.
        other: what is there.
        where: where both stand.
    """
    if isinstance(one, dict) and isinstance(other, dict):
        for key in dict.fromkeys((*one, *other)):
            place = f"{where}/{key.replace('~', '~0').replace('/', '~1')}"
            if key not in other:
                yield f"{place} is missing"
            elif key not in one:
                yield f"{place} is too much"
            else:
                yield from differences(one[key], other[key], place)
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for index, (each, its) in enumerate(zip(one, other, strict=True)):
            yield from differences(each, its, f"{where}/{index}")
    elif one != other or type(one) is not type(other):
        yield f"{where or 'the whole'} is {_short(other)} and should be {_short(one)}"


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:59]}…"
