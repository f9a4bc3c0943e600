"""What is wrong with a message, as its sender is told: never more than a few lines, whatever was sent.

Tags and long texts of the client's are not repeated. What a validator of the application's own says is: it may quote
what it was given.
"""

import json
from typing import Any, NamedTuple

from pydantic import ValidationError

from .models import TAG

NOT_JSON = "not_json"
UNKNOWN_TYPE = "unknown_type"
INVALID = "invalid"
RATE_LIMITED = "rate_limited"
FAILED = "failed"

MOST_ERRORS = 10
"""How many errors are listed."""

MOST_FAULTS = 100
"""With more faults than that, none is listed: building the list costs memory, and its sender has chosen how much."""

MOST_TEXT = 200
"""Characters of one message."""

MOST_KEY = 64
"""Characters of one key in `loc`, which may be the client's."""

MOST_KEYS = 16
"""Keys of one `loc`."""

WITHOUT_DETAIL = "without_detail"
"""The type of pydantic's error for a message that is too large for details."""

NO_SUCH_TAG = "the discriminator's value is none of those that there are"


class Problem(NamedTuple):
    """What is wrong with a message.

    Attributes:
        code: one of the codes above.
        errors: what is wrong in detail: dicts of "loc", "msg" and "type".
        more: how many more errors there are.
    """

    code: str
    errors: tuple[dict[str, Any], ...] = ()
    more: int = 0


def problem_of(error: ValidationError) -> Problem:
    """Return what pydantic objects to in a message."""
    count = error.error_count()
    if count > MOST_FAULTS:
        return Problem(INVALID, (), count)
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    first = faults[0]
    if not first["loc"]:  # it is about the whole text
        if first["type"] in ("json_invalid", "string_unicode"):
            return Problem(NOT_JSON)
        if first["type"] == "union_tag_invalid":
            return Problem(UNKNOWN_TYPE)
        if first["type"] == "union_tag_not_found":
            missing = {"loc": [TAG], "msg": "Field required", "type": "missing"}
            return Problem(INVALID, (missing,))
    if first["type"] == WITHOUT_DETAIL:
        return Problem(INVALID, (), count)
    errors = tuple(_entry(fault["loc"][1:], fault["msg"], fault["type"]) for fault in faults[:MOST_ERRORS])
    return Problem(INVALID, errors, count - len(errors))


def problem_of_envelope(error: ValidationError, id_key: str) -> Problem:
    """Return what pydantic objects to in a message's envelope, which has a key for the id alone."""
    if not error.errors(include_url=False, include_context=False, include_input=False)[0]["loc"]:
        return problem_of(error)
    text = "Input should be a string of at most 64 characters, or an integer of 64 bits"
    return Problem(INVALID, (_entry((id_key,), text, "invalid_id"),))


def _entry(loc: tuple[int | str, ...], msg: str, kind: str) -> dict[str, Any]:
    if kind == "union_tag_invalid":  # pydantic's text repeats the tag
        msg = NO_SUCH_TAG
    keys = [_cut(key, MOST_KEY) if isinstance(key, str) else key for key in loc]
    if len(keys) > MOST_KEYS:
        keys[MOST_KEYS - 1 :] = ["…"]
    return {"loc": keys, "msg": _cut(msg, MOST_TEXT), "type": _cut(kind, MOST_KEY)}


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def error_text(problem: Problem, id: str | int | None) -> str:
    """Return the message that tells the client of a problem.

    Args:
        problem: the problem.
        id: the id of the message that is wrong, if it has one that can be told.
    """
    message: dict[str, Any] = {TAG: "error", "code": problem.code}
    if id is not None:
        message["to"] = id
    message["errors"] = problem.errors
    message["more"] = problem.more
    return json.dumps(message)
