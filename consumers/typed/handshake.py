"""What a client's handshake has: the path's parameters, the query and headers, and what proves who it is.

FastAPI knows it of its own routes. What it knows is read here, and nothing of FastAPI is imported.
"""

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any
from urllib.parse import urljoin

from pydantic import BaseModel, TypeAdapter

from .._checks.connecting import parameters
from .channels import Channel
from .schemas import IN, REFERENCE, Generator, Schema, name_in

_KINDS = {
    "int": "An integer.",
    "float": "A number.",
    "path": "It may have slashes in it.",
    "slug": "Letters, digits, hyphens and underscores.",
    "uuid": "A UUID.",
    "integer": "An integer.",
    "number": "A number.",
    "boolean": "A boolean.",
}
"""What is said of a parameter without a description, by its converter, or by the type or format of its schema."""


@dataclass(slots=True)
class Values:
    """Values of one kind that a handshake has.

    Attributes:
        schemas: their schemas, by their names.
        required: the names of those that have to be there.
        definitions: what the schemas refer to.
    """

    schemas: dict[str, Schema] = field(default_factory=dict)
    required: list[str] = field(default_factory=list)
    definitions: dict[str, Schema] = field(default_factory=dict)

    def add(self, name: str, schema: Schema, is_required: bool) -> None:
        """Add a value, unless there is one of this name."""
        self.definitions |= schema.pop("$defs", {})
        if name not in self.schemas:
            self.schemas[name] = schema
            if is_required:
                self.required.append(name)

    def as_object(self) -> Schema:
        """Return the schema of an object with these values."""
        required = {"required": self.required} if self.required else {}
        return {"type": "object", "properties": self.schemas, **required}


@dataclass(frozen=True, slots=True)
class Requirement:
    """A way of FastAPI's to know who a client is.

    Attributes:
        name: the scheme's name.
        scheme: the scheme, as AsyncAPI has it.
        scopes: what the client must be allowed to do.
    """

    name: str
    scheme: dict[str, Any]
    scopes: tuple[str, ...]


def values_of(channel: Channel, kind: str) -> Values:
    """Return the values of one kind that FastAPI takes from a handshake.

    Args:
        channel: where.
        kind: "path", "query", "header" or "cookie".
    """
    found = Values()
    for dependant in _tree(channel.dependant):
        for each in getattr(dependant, f"{kind}_params", None) or ():
            info = each.field_info
            annotation = info.annotation
            if isinstance(annotation, type) and issubclass(annotation, BaseModel):
                _add_fields(found, annotation, kind == "header" and getattr(info, "convert_underscores", True))
            else:
                schema = _schema_of(Annotated[annotation, info])
                schema.pop("title", None)
                found.add(each.alias, schema, info.is_required())
    return found


def _add_fields(values: Values, model: type[BaseModel], has_hyphens: bool) -> None:
    """Add the fields of a model that stands for all values of a kind."""
    schema = _schema_of(model)
    names = set(model.model_fields)
    properties = schema.get("properties", {})
    values.definitions |= schema.get("$defs", {})
    for name, each in properties.items():
        each.pop("title", None)
        called = name.replace("_", "-") if has_hyphens and name in names else name
        values.add(called, each, name in schema.get("required", ()))


def _schema_of(annotation: Any) -> Schema:
    """Return the schema of a value; an empty one if there is none."""
    with contextlib.suppress(Exception):  # of whatever kind: without its schema the document is still of use
        return TypeAdapter[Any](annotation).json_schema(mode=IN, ref_template=REFERENCE, schema_generator=Generator)
    return {}


def _tree(dependant: Any) -> Iterator[Any]:
    """Yield what FastAPI knows of an endpoint, and of all that it depends on."""
    if dependant is not None:
        yield dependant
        for each in dependant.dependencies:
            yield from _tree(each)


def path_parameters(channel: Channel) -> dict[str, dict[str, Any]]:
    """Return AsyncAPI's description of the parameters in a channel's address."""
    known = values_of(channel, "path")
    taken = {} if channel.dependant is not None else parameters(channel.consumer_class)
    described = {}
    for name, converter in channel.parameters.items():
        schema, definitions = known.schemas.get(name, {}), known.definitions
        if name in taken:
            with contextlib.suppress(Exception):  # its annotation is nobody's business but the application's
                schema = _schema_of(taken[name].resolved())
                definitions = schema.pop("$defs", {})
        described[name] = _parameter(schema, definitions, converter)
    return described


def _parameter(schema: Schema, definitions: Mapping[str, Schema], converter: str) -> dict[str, Any]:
    while "$ref" in schema:
        schema = {**definitions[name_in(schema["$ref"])], **{key: schema[key] for key in schema if key != "$ref"}}
    kinds = (converter, schema.get("format"), schema.get("type"))
    description = schema.get("description") or next((_KINDS[kind] for kind in kinds if kind in _KINDS), None)
    parameter: dict[str, Any] = {"description": description} if description else {}
    choices = schema.get("enum") or ([schema["const"]] if "const" in schema else [])
    if choices:
        parameter["enum"] = [str(choice) for choice in choices]
    if schema.get("examples"):
        parameter["examples"] = [str(example) for example in schema["examples"]]
    return parameter


def requirements_of(channel: Channel, base_url: str) -> Iterable[Requirement]:
    """Return what FastAPI's security schemes ask of a client, each scheme once.

    Args:
        channel: where.
        base_url: what the schemes' relative addresses are below: AsyncAPI has absolute ones only.
    """
    found: dict[str, Requirement] = {}
    for dependant in _tree(channel.dependant):
        call = dependant.call
        while isinstance(call, partial):
            call = call.func
        name, model = getattr(call, "scheme_name", None), getattr(call, "model", None)
        if not isinstance(name, str) or not isinstance(model, BaseModel):
            continue
        scheme = _scheme(model.model_dump(mode="json", by_alias=True, exclude_none=True), base_url)
        if scheme is not None:
            before = found[name].scopes if name in found else ()
            found[name] = Requirement(name, scheme, tuple(dict.fromkeys((*before, *_scopes(dependant)))))
    return found.values()


def _scopes(dependant: Any) -> Iterable[str]:
    """Return the scopes that lead to a dependency; what they are called depends on FastAPI's version."""
    above, own = (getattr(dependant, f"{whose}_oauth_scopes", None) or () for whose in ("parent", "own"))
    older: Iterable[str] = getattr(dependant, "security_scopes", None) or ()
    return (*above, *own) or older


def _scheme(model: dict[str, Any], base_url: str) -> dict[str, Any] | None:
    """Return one of OpenAPI's security schemes as AsyncAPI has it; None if it is unknown."""
    match model.get("type"):
        case "apiKey":
            return {**model, "type": "httpApiKey"}
        case "http":
            return model
        case "oauth2":
            return {**model, "flows": {name: _flow(flow, base_url) for name, flow in model["flows"].items()}}
        case "openIdConnect":
            return {**model, "openIdConnectUrl": urljoin(base_url, model["openIdConnectUrl"])}
        case _:
            return None


def _flow(flow: dict[str, Any], base_url: str) -> dict[str, Any]:
    urls = {key: urljoin(base_url, value) for key, value in flow.items() if key.endswith("Url")}
    return {**urls, "availableScopes": flow.get("scopes", {})}
