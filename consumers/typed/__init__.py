"""Consumers whose messages are pydantic models: each goes to the method that takes its model."""

try:
    import pydantic as pydantic
except ImportError as error:
    raise ImportError("consumers.typed needs pydantic: pip install 'starlette-consumers[typed]'") from error

from .asyncapi import asyncapi_document as asyncapi_document
from .consumer import SyncTypedConsumer as SyncTypedConsumer
from .consumer import TypedConsumer as TypedConsumer
from .frames import group_send_message as group_send_message
from .frames import group_send_message_sync as group_send_message_sync
from .handlers import on as on
from .handlers import on_event as on_event
from .recovery import token as token
from .serving import asyncapi_routes as asyncapi_routes

__all__ = [
    "SyncTypedConsumer",
    "TypedConsumer",
    "asyncapi_document",
    "asyncapi_routes",
    "group_send_message",
    "group_send_message_sync",
    "on",
    "on_event",
    "token",
]
