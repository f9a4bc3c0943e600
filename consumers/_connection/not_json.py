"""What to write in place of a value that JSON has not."""

import dataclasses
import datetime
import decimal
import json
import uuid
from contextlib import suppress
from pathlib import PurePath
from typing import Any, NoReturn

TEXTUAL = (decimal.Decimal, uuid.UUID, PurePath)


def dumps(content: object, owner: str) -> str:
    """Return a value as JSON.

    Args:
        content: the value.
        owner: the consumer's class, for the error.

    Raises:
        TypeError: there is something in it that JSON has not; the message says what to write.
    """
    try:
        return json.dumps(content)
    except TypeError as error:
        raise explained(error, content, owner) from None


def explained(error: TypeError, content: object, consumer: str) -> TypeError:
    """Return the error of `json.dumps(content)` with advice for the value that it is about; as it is, if about none.

    Args:
        error: what was raised.
        content: what cannot be encoded.
        consumer: the name of the consumer's class, which may override `encode_json()`.
    """
    found: list[object] = []

    def find(value: object) -> NoReturn:
        found.append(value)
        raise error

    with suppress(TypeError, ValueError, RecursionError):
        json.dumps(content, default=find)
    if not found:
        return error
    instead, default = _advice(found[0])
    return TypeError(
        f"{error}. Pass {instead} in its place, "
        f"or override encode_json() in {consumer}: return json.dumps(content, default={default})"
    )


def _advice(value: Any) -> tuple[str, str]:
    """Return what to pass in place of a value, and what makes `json.dumps()` do so."""
    if hasattr(value, "model_dump"):
        return 'value.model_dump(mode="json")', "pydantic_core.to_jsonable_python"
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return "dataclasses.asdict(value)", "dataclasses.asdict"
    if isinstance(value, datetime.date | datetime.time):
        return "value.isoformat()", "str"
    if isinstance(value, TEXTUAL):
        return "str(value)", "str"
    if isinstance(value, set | frozenset):
        return "list(value)", "list"
    return "what json.dumps() takes", "..."
