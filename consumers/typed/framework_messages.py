"""The framework's own messages, as AsyncAPI describes them: what problems, acknowledgements and expiry look like."""

from typing import Any

from .incoming import MAX_ID, MAX_ID_LENGTH
from .problems import FAILED, INVALID, MOST_ERRORS, NOT_JSON, RATE_LIMITED, UNKNOWN_TYPE

ID: dict[str, Any] = {
    "description": "The client chooses it. The answer repeats it as `to`.",
    "oneOf": [
        {"type": "string", "maxLength": MAX_ID_LENGTH},
        {"type": "integer", "minimum": -MAX_ID, "maximum": MAX_ID},
    ],
}
"""The schema of a message's id, and of `to` in the answer."""

_TO = {**ID, "description": "The id of the message that this answers."}
_CORRELATION = {"location": "$message.payload#/to"}

_PROBLEM = {
    "type": "object",
    "properties": {
        "loc": {"type": "array", "items": {"type": ["string", "integer"]}, "description": "Where it is wrong."},
        "msg": {"type": "string", "description": "What is wrong."},
        "type": {"type": "string", "description": "What pydantic calls this kind of error."},
    },
    "required": ["loc", "msg", "type"],
}

FRAMEWORKS: dict[str, dict[str, Any]] = {
    "error": {
        "name": "error",
        "title": "Error",
        "description": "A message of the client's is invalid, came too fast, or has failed. The connection lives on.",
        "correlationId": _CORRELATION,
        "payload": {
            "type": "object",
            "properties": {
                "type": {"type": "string", "const": "error"},
                "code": {"type": "string", "enum": [NOT_JSON, UNKNOWN_TYPE, INVALID, RATE_LIMITED, FAILED]},
                "to": _TO,
                "errors": {"type": "array", "maxItems": MOST_ERRORS, "items": _PROBLEM},
                "more": {"type": "integer", "minimum": 0, "description": "How many errors are not listed."},
            },
            "required": ["type", "code", "errors", "more"],
        },
        "examples": [
            {
                "payload": {
                    "type": "error",
                    "code": INVALID,
                    "to": 1,
                    "errors": [{"loc": ["text"], "msg": "Field required", "type": "missing"}],
                    "more": 0,
                }
            }
        ],
    },
    "ack": {
        "name": "ack",
        "title": "Acknowledgement",
        "description": "A message with an id was handled, and there is no other answer to it.",
        "correlationId": _CORRELATION,
        "payload": {
            "type": "object",
            "properties": {"type": {"type": "string", "const": "ack"}, "to": _TO},
            "required": ["type", "to"],
        },
        "examples": [{"payload": {"type": "ack", "to": 1}}],
    },
    "expires": {
        "name": "expires",
        "title": "Expiry",
        "description": "The client's token expires. The connection is closed then, with 4401, unless a new one comes.",
        "payload": {
            "type": "object",
            "properties": {
                "type": {"type": "string", "const": "expires"},
                "in": {"type": "integer", "minimum": 0, "description": "Seconds."},
            },
            "required": ["type", "in"],
        },
        "examples": [{"payload": {"type": "expires", "in": 60}}],
    },
}
