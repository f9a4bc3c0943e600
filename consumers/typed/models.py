"""Models as messages: by which `type` each is known, and what unions of them are made of."""

import enum
import re
from collections.abc import Collection, Iterable
from types import UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

from pydantic import AliasChoices, AliasPath, BaseModel, Discriminator, PydanticUndefinedAnnotation
from pydantic.fields import FieldInfo

TAG = "type"
"""The key of a message that says which model it is."""

RESERVED = frozenset({"error", "ack", "joined", "gap", "ping", "pong", "expires"})
"""The types of messages that are the framework's own."""

Model = type[BaseModel]

_WORD_BEGINS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


class Choice(NamedTuple):
    """One member of a union of messages.

    Attributes:
        kind: what pydantic is to make of it: a model; or a union whose models have a type in common, and a
            discriminator of their own.
        tags: its types, as they stand in JSON.
        models: its models.
    """

    kind: Any
    tags: tuple[str, ...]
    models: tuple[Model, ...]


def choices_of(annotation: Any, where: str) -> tuple[Choice, ...]:
    """Return what a model, or a union of models, consists of.

    Args:
        annotation: the model or union.
        where: where it stands, for errors.

    Raises:
        TypeError: there is something else in it, a model has no type of its own, or two have the same one.
    """
    found = tuple(dict.fromkeys(_members(annotation, where)))
    require_distinct(((choice, where) for choice in found), where)
    return found


def require_distinct(choices: Iterable[tuple[Choice, str]], where: str) -> dict[str, str]:
    """Return by type where each stands.

    Args:
        choices: the choices, each with where it stands.
        where: where all of them stand.

    Raises:
        TypeError: two have the same type.
    """
    seen: dict[str, tuple[Choice, str]] = {}
    for choice, place in choices:
        for tag in choice.tags:
            other, elsewhere = seen.setdefault(tag, (choice, place))
            if (other, elsewhere) == (choice, place):
                continue
            if place != elsewhere:
                raise TypeError(f"{elsewhere} and {place} both handle type {tag!r}: give each a type of its own")
            raise TypeError(
                f"{where}: {_names(other)} and {_names(choice)} both have type {tag!r}: give each a type of its own, "
                'or tell them apart by another field: Annotated[A | B, Field(discriminator="...")]'
            )
    return {tag: place for tag, (_, place) in seen.items()}


def _type_of(name: str) -> str:
    """Return how to write the type that a model of this name would have."""
    words = _WORD_BEGINS.sub("_", name.partition("[")[0]).lower()
    tag = f"{words}_message" if words in RESERVED else words
    return f'type: Literal["{tag}"] = "{tag}"'


def _names(choice: Choice) -> str:
    return " | ".join(model.__name__ for model in choice.models)


def _members(annotation: Any, where: str) -> list[Choice]:
    while hasattr(annotation, "__value__"):  # `type Message = ...`
        annotation = annotation.__value__
    origin = get_origin(annotation)
    if origin is Annotated:
        base, *metadata = get_args(annotation)
        members = _members(base, where)
        tags = [tag for member in members for tag in member.tags]
        if len(members) > 1 and len(set(tags)) == len(tags) and all(map(_is_discriminator, metadata)):
            return members
        models = tuple(dict.fromkeys(model for member in members for model in member.models))
        return [Choice(annotation, tuple(dict.fromkeys(tags)), models)]
    if origin in (Union, UnionType):
        return [member for each in get_args(annotation) for member in _members(each, where)]
    if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
        name = getattr(annotation, "__name__", None) or repr(annotation)
        raise TypeError(
            f"{where}: {name:.200} is no message: write a pydantic model with {_type_of('Say')}, or a union of such"
        )
    return [Choice(annotation, tags_of(annotation), (annotation,))]


def _is_discriminator(metadata: object) -> bool:
    return isinstance(metadata, Discriminator) or (
        isinstance(metadata, FieldInfo) and metadata.discriminator is not None and not metadata.metadata
    )


def tags_of(model: Model) -> tuple[str, ...]:
    """Return the types that a model is known by, as they stand in JSON.

    Raises:
        TypeError: it has none, or one that is not called "type" in JSON, or one that is reserved.
    """
    name = model.__name__
    if model is not BaseModel:
        complete(model)
    field = next((field for key, field in model.model_fields.items() if TAG in wire_names(model, key)), None)
    if field is None:
        other = _other_discriminator(model)
        if other is None:
            raise TypeError(f"{name} has no type to be known by: write {_type_of(name)} in it")
        raise TypeError(
            f'{name} is known by "{other}" in JSON, and messages are by "type": rename the field, or write '
            f'Field(alias="type")'
        )
    kind: Any = field.annotation
    while hasattr(kind, "__value__"):
        kind = kind.__value__
    values = get_args(kind) if get_origin(kind) is Literal else ()
    tags = [value.value if isinstance(value, enum.Enum) else value for value in values]
    if not tags or not all(isinstance(tag, str) for tag in tags):
        raise TypeError(f"{name}.type must be a Literal of str, not {kind!r:.200}: write {_type_of(name)}")
    for tag in tags:
        if tag in RESERVED:
            raise TypeError(f"{name}: type {tag!r} is reserved for the framework: choose another")
    return tuple(tags)


def _other_discriminator(model: Model) -> str | None:
    """Return what seems to be a model's discriminator, as it is called in JSON, if that is not "type"."""
    for key, field in model.model_fields.items():
        if get_origin(field.annotation) is Literal and all(
            isinstance(value, str) for value in get_args(field.annotation)
        ):
            return next(iter(sorted(wire_names(model, key))), key)
    return None


def complete(model: Model) -> None:
    """Have a model resolve what it refers to.

    Raises:
        TypeError: something is not defined.
    """
    if model.__pydantic_complete__:
        return
    try:
        model.model_rebuild()
    except PydanticUndefinedAnnotation as error:
        raise TypeError(
            f"{model.__name__} is not complete: {error.name!r} is not defined. Define it before, and call "
            f"{model.__name__}.model_rebuild() where it is in sight"
        ) from None


def wire_names(model: Model, key: str) -> frozenset[str]:
    """Return what a field is called in JSON that comes in."""
    config = model.model_config
    alias = model.model_fields[key].validation_alias
    if alias is None or config.get("validate_by_alias") is False:
        return frozenset((key,))
    names = _names_of_alias(alias)
    if config.get("populate_by_name") or config.get("validate_by_name"):
        names.add(key)
    return frozenset(names)


def _names_of_alias(alias: str | AliasPath | AliasChoices) -> set[str]:
    if isinstance(alias, str):
        return {alias}
    if isinstance(alias, AliasChoices):
        return {name for choice in alias.choices for name in _names_of_alias(choice)}
    return {alias.path[0]} if len(alias.path) == 1 and isinstance(alias.path[0], str) else set()


def first_keys(model: Model, key: str) -> frozenset[str]:
    """Return the keys of JSON that comes in under which a field looks for its value, or for what has it inside."""
    alias = model.model_fields[key].validation_alias
    choices = alias.choices if isinstance(alias, AliasChoices) else [alias]
    paths = {each.path[0] for each in choices if isinstance(each, AliasPath)}
    return wire_names(model, key) | {name for name in paths if isinstance(name, str)}


def output_name(model: Model, key: str) -> str:
    """Return what a field is called in JSON that goes out."""
    return model.model_fields[key].serialization_alias or key


def field_called(model: Model, name: str) -> str | None:
    """Return the field of a model that has a name, or an alias, of this kind; None if it has none."""
    for key in model.model_fields:
        if name in {key, *first_keys(model, key), output_name(model, key)}:
            return key
    return None


def sent_field_called(model: Model, name: str) -> str | None:
    """Do as `field_called()`, for what goes out: with the fields that are computed, too."""
    computed = model.__pydantic_decorators__.computed_fields.items()
    return field_called(model, name) or next((key for key, found in computed if name in (key, found.info.alias)), None)


def require_output_tags(models: Collection[Model], where: str) -> None:
    """Raise TypeError for a model whose type is not called so in JSON that goes out."""
    for model in models:
        if TAG not in {output_name(model, key) for key, field in model.model_fields.items() if not field.exclude}:
            raise TypeError(
                f'{where}: the type of {model.__name__} is not called "type" in JSON that goes out: write '
                f'Field(alias="type"), or serialization_alias="type"'
            )
