"""TypeScript's types of an application's messages: what goes in and out at each of its channels."""

import inspect
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from .._connection.positions import AT
from . import typescript_text as text
from .channels import Channel, channels_of
from .contract import TO, Contract
from .framework_messages import FRAMEWORKS, ID, PLACE
from .models import TAG, Model, sent_field_called, tags_of
from .schemas import IN, OUT, REFERENCE, Mode, Schema, Schemas, name_in, schemas_of
from .typescript_schemas import Writer

_HEADER = """\
/**
 * The messages of WebSocket channels.
 *
 * Made by `python -m consumers typescript`. Changes by hand are lost.
 */
/* eslint-disable */"""

_SENT = f"""\
/** A message that says where the client is now, if it comes from a group that was joined under a label. */
export type Sent<M> = M & {{ {AT}?: Place }};"""

_ANSWER = f"""\
/** A message that may be an answer. It is one if it says to which message. */
export type Answer<M> = M & {{ {TO}?: MessageId }};"""

_SHARED: dict[str, Schema] = {
    "MessageId": ID,
    "Place": PLACE,
    "ErrorDetail": FRAMEWORKS["error"]["payload"]["properties"]["errors"]["items"],
}
"""What the framework's messages have in common, or in them, and has a name in TypeScript."""

_ALWAYS_SENT = {f"{tag.capitalize()}Message": message for tag, message in FRAMEWORKS.items()}
_OWN_NAMES = ("Answer", "Sent", "Channels", *_SHARED, *_ALWAYS_SENT)

_ENDINGS = ("In", "Out", "Replies")
"""What stands behind a channel's name in the names of its types."""

_NUMBERS = ("int", "float")
"""The converters of parameters that are numbers."""

_SIDES = ("Input", "Output")
"""What pydantic puts behind a model's name where its two schemas differ."""

_FORM = re.compile(rf"(.+)-({'|'.join(_SIDES)})((?:__\d+)?)")


def typescript_module(application: Any) -> str:
    """Return the types of an application's messages: the text of a module of TypeScript's that has types alone.

    Args:
        application: one of Starlette's, FastAPI's or of this package's routers, or `as_asgi()` of a consumer.

    Raises:
        TypeError: there is no consumer in it, a consumer's class has a mistake, or a model has a field that JSON Schema
            cannot describe.
        ValueError: an option of a class has a value that cannot work.
    """
    channels = channels_of(application)
    contracts = {channel.consumer_class: channel.contract for channel in channels}
    schemas = schemas_of(contract for contract in contracts.values() if contract is not None)
    definitions = _with_types(schemas)
    free = text.Names(_OWN_NAMES)
    stems = {each: free.new(each.__name__, _ENDINGS) for each, contract in contracts.items() if contract is not None}
    names = _names_of(definitions, free)
    writer = Writer(definitions, names)
    declared = {names[name]: writer.definition(name) for name in sorted(definitions, key=names.__getitem__)}
    messages = _Messages(schemas, names)
    parts = [[_HEADER], *declared.values(), *_own_types()]
    for consumer_class, stem in stems.items():
        contract = contracts[consumer_class]
        assert contract is not None
        parts += messages.of_class(stem, contract)
    parts.append(_channels(channels, stems))
    return "\n\n".join("\n".join(lines) for lines in parts) + "\n"


def _own_types() -> Iterable[list[str]]:
    """Yield the lines of the types that every module has."""
    messages = {
        name: {**_with_references(message["payload"]), "description": message["description"]}
        for name, message in _ALWAYS_SENT.items()
    }
    definitions = _SHARED | messages
    writer = Writer(definitions, {name: name for name in definitions})
    yield writer.definition("MessageId")
    yield [_ANSWER]
    yield writer.definition("Place")
    yield [_SENT]
    yield from (writer.definition(name) for name in definitions if name not in ("MessageId", "Place"))


def _with_references(schema: Any) -> Any:
    """Return a schema that refers to what has a name."""
    if isinstance(schema, list):
        return [_with_references(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    described = {"description": schema["description"]} if "description" in schema else {}
    for name, shared in _SHARED.items():
        if {**schema, "description": None} == {**shared, "description": None}:
            return {"$ref": REFERENCE.format(model=name), **described}
    return {key: _with_references(each) for key, each in schema.items()}


class _Messages:
    """Declares what the channels of a class take and send.

    Args:
        schemas: the schemas of messages.
        names: what the types of definitions are called.
    """

    def __init__(self, schemas: Schemas, names: Mapping[str, str]) -> None:
        self._schemas = schemas
        self._names = names

    def of_class(self, stem: str, contract: Contract) -> Iterable[list[str]]:
        """Yield the lines of each declaration.

        Args:
            stem: the name that their names begin with.
            contract: what the class takes and sends.
        """
        taken = self._named((model for handler in contract.handlers for model in handler.models), IN)
        envelope = f"{{ {text.key(contract.id_key)}?: MessageId }}"
        before = f"export type {stem}In ="
        lines = [f"{before} {envelope} & ({' | '.join(taken)});"]
        if not taken:
            lines = [f"{before} never;"]
        elif len(taken) == 1:
            lines = [f"{before} {taken[0]} & {envelope};"]
        elif len(lines[0]) > text.ROOM:
            lines = [f"{before} {envelope} & (", *text.indented(f"| {name}" for name in taken), ");"]
        yield [f"/** What the client sends to {stem}. */", *lines]
        sent = (*self._sent(contract), *_ALWAYS_SENT)
        yield [f"/** What the client gets from {stem}. */", *text.union(sent, f"export type {stem}Out =")]
        replies = text.indented(self._replies(contract))
        yield [
            "/** What answers a message that has an id, by the message's type. An error may come in its place. */",
            *(
                [f"export interface {stem}Replies {{", *replies, "}"]
                if replies
                else [f"export type {stem}Replies = {{}};"]
            ),
        ]

    def _sent(self, contract: Contract) -> tuple[str, ...]:
        answers = _possible_answers(contract)
        models = [model for choice in contract.sends for model in choice.models]
        return self._answers(models, answers, from_groups=all(sent_field_called(model, AT) is None for model in models))

    def _answers(
        self, models: Iterable[Model], answers: Collection[Model], from_groups: bool = False
    ) -> tuple[str, ...]:
        """Return the types of what is sent, of which some may be answers, and some a group's."""
        found: dict[str, None] = {}
        for model in models:
            for name in self._named([model], OUT):
                name = f"Sent<{name}>" if from_groups else name
                found[f"Answer<{name}>" if model in answers else name] = None
        return tuple(found)

    def _replies(self, contract: Contract) -> Iterable[str]:
        for handler in contract.handlers:
            sent = [model for choice in contract.sends for model in choice.models if model in contract.answers]
            models = sent if handler.answers is None else handler.answers
            replies = self._answers(models, models) + (("AckMessage",) if handler.may_return_nothing else ())
            for choice in handler.choices:
                for tag in choice.tags:
                    yield from text.union(replies or ("never",), f"{text.key(tag)}:")

    def _named(self, models: Iterable[Model], mode: Mode) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self._names[self._schemas.names[model, mode]] for model in models))


def _possible_answers(contract: Contract) -> frozenset[Model]:
    """Return the models that the handlers of a class may return."""
    if any(handler.answers is None for handler in contract.handlers):
        return contract.answers
    return frozenset(model for handler in contract.handlers for model in handler.answers or ())


def _channels(channels: Iterable[Channel], stems: Mapping[type, str]) -> list[str]:
    lines = ["/** The channels, by their names. */", "export interface Channels {"]
    free = text.Names(())
    for channel in channels:
        stem = stems.get(channel.consumer_class)
        parameters = "; ".join(
            f"{text.key(name)}: {'number' if converter in _NUMBERS else 'string'}"
            for name, converter in channel.parameters.items()
        )
        lines += text.indented(text.comment([inspect.cleandoc(vars(channel.consumer_class).get("__doc__") or "")]))
        lines += text.indented([f"{free.new(channel.name)}: {{"])
        members = [
            f"address: {text.quoted(channel.address)};",
            f"parameters: {{ {parameters} }};" if parameters else "parameters: {};",
        ]
        if stem is None:
            untyped = "unknown /* the consumer is no typed one */"
            members += [f"in: {untyped};", f"out: {untyped};", "replies: {};"]
        else:
            members += [f"in: {stem}In;", f"out: {stem}Out;", f"replies: {stem}Replies;"]
        lines += text.indented(text.indented(members))
        lines += text.indented(["};"])
    return [*lines, "}"]


def _with_types(schemas: Schemas) -> dict[str, Schema]:
    """Return the definitions, with the type of each message, which a serializer of the model's own may hide."""
    definitions = dict(schemas.definitions)
    for (model, _), name in schemas.names.items():
        schema = definitions[name]
        while "$ref" in schema:
            schema = definitions[name_in(schema["$ref"])]
        properties = schema.get("properties", {})
        if TAG not in properties:
            known = schema if properties else {"description": schema.get("description"), "additionalProperties": True}
            definitions[name] = {
                **known,
                "properties": {TAG: {"enum": list(tags_of(model))}, **properties},
                "required": [TAG, *schema.get("required", ())],
            }
    return definitions


def _names_of(definitions: Mapping[str, Schema], free: text.Names) -> dict[str, str]:
    """Return what the types of definitions are called. Those of one class name have one type if they are alike."""
    alike = {name: _parts(name)[-1] for name in definitions}
    while True:
        writer = Writer(definitions, alike)
        groups: dict[tuple[str, ...], list[str]] = {}
        for name in sorted(definitions):
            groups.setdefault((alike[name], *writer.definition(name)), []).append(name)
        if len(groups) == len(set(alike.values())):
            break
        alike = {name: names[0] for names in groups.values() for name in names}  # what refers to it may differ now
    found: dict[str, str] = {}
    others = {_form(name)[0] for name in definitions}
    for names in groups.values():
        sides = {_form(name)[1] for name in names}
        stems = sorted((_shortest(_form(name)[0], others).strip("_") for name in names), key=len)
        called = free.new(f"{stems[0]}{sides.pop() if len(sides) == 1 else ''}")
        found |= dict.fromkeys(names, called)
    return found


def _shortest(name: str, others: Iterable[str]) -> str:
    """Return a model's name with no more of its module than tells it from some others."""
    whole = name.split("__")
    least = len(whole) - len(_parts(name)) + 1
    for count in range(least, len(whole)):
        if sum(other.split("__")[-count:] == whole[-count:] for other in others) == 1:
            return "__".join(whole[-count:]) if count > 1 else name
    return name


def _parts(name: str) -> list[str]:
    """Return what pydantic has made a definition's name of: the module, perhaps, and the class."""
    parts = _form(name)[0].split("__")
    while len(parts) > 1 and parts[-1].strip("_").isdigit():  # it counts classes of the same name
        parts.pop()
    return parts


def _form(name: str) -> tuple[str, str]:
    """Return the name of a model, and which of its two forms, if they differ, a definition is."""
    found = _FORM.fullmatch(name)
    return (f"{found[1]}{found[3]}", found[2]) if found else (name, "")
