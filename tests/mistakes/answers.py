"""Making a mistake, and hearing what the answer to it is."""

import ast
import inspect
import logging
import traceback
from collections.abc import Iterable
from typing import Any, Literal

import anyio
import pytest
from fastapi import Depends, FastAPI
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Mount, Route, Router, WebSocketRoute

import consumers
from consumers import typed
from consumers.testing import WebsocketCommunicator
from consumers.types import ASGIApp

from .mistake import Mistake


class Say(BaseModel):
    """What a client of the examples sends."""

    type: Literal["say"] = "say"
    text: str


class Said(BaseModel):
    """What it gets."""

    type: Literal["said"] = "said"
    text: str


class ChatConsumer(consumers.AsyncWebsocketConsumer):
    """What is right in most examples."""


def names() -> dict[str, Any]:
    """Return what the code of a mistake has without importing it: the public names, and some things that are right."""
    public = {name: getattr(module, name) for module in (typed, consumers) for name in module.__all__}
    routes = {cls.__name__: cls for cls in (FastAPI, Starlette, Request, Mount, Route, Router, WebSocketRoute)}
    depends = {"Depends": Depends, "current_user": dict}
    models = {"BaseModel": BaseModel, "Literal": Literal, "Say": Say, "Said": Said}
    return {**public, **routes, **depends, **models, "ChatConsumer": ChatConsumer, "__name__": "mistake"}


def last_line(error: BaseException) -> str:
    """Return the last line of an exception's traceback, without its notes."""
    return traceback.format_exception_only(type(error), error.with_traceback(None))[0].rstrip("\n")


def log_lines(records: Iterable[logging.LogRecord]) -> list[str]:
    """Return each record's level, logger and text."""
    return [f"{record.levelname} {record.name}: {record.getMessage()}" for record in records]


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what this package has logged, as `log_lines()` does."""
    return log_lines(record for record in caplog.records if record.name.startswith(("consumers", "compat")))


async def execute(mistake: Mistake, **given: Any) -> dict[str, Any]:
    """Execute the code of a mistake.

    Args:
        mistake: the mistake.
        given: more names that it has.

    Returns:
        What it has defined.
    """
    namespace = {**names(), **given}
    running = eval(compile(mistake.source, "mistake.py", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), namespace)
    if inspect.isawaitable(running):
        await running
    return namespace


async def make(mistake: Mistake, *, sends: bool = True, **given: Any) -> str | None:
    """Execute the code of a mistake and, if it says so, let a client connect.

    Args:
        mistake: the mistake.
        sends: whether the client also sends a message.
        given: more names that it has.

    Returns:
        The last line of the traceback, or None if nothing was raised.
    """
    try:
        made = await execute(mistake, **given)
        if mistake.opens:
            await visit(made["app"], mistake.opens, sends=sends)
    except Exception as error:
        return last_line(error)
    return None


async def answers(mistake: Mistake, caplog: pytest.LogCaptureFixture, *, sends: bool = True, **given: Any) -> list[str]:
    """Make a mistake, and return all that is raised and logged, from level DEBUG on."""
    caplog.set_level(logging.DEBUG, "consumers")
    raised = await make(mistake, sends=sends, **given)
    return ([] if raised is None else [raised]) + logged(caplog)


async def visit(app: ASGIApp, path: str = "/ws", *, sends: bool = True) -> None:
    """Connect, send an empty JSON object unless told not to, and leave."""
    client = WebsocketCommunicator(app, path, subprotocols=["chat.v1"])
    accepted, _ = await client.connect()
    if accepted:
        if sends:
            await client.send_to(text_data="{}")
        await anyio.wait_all_tasks_blocked()  # what a handler sends to itself must come before the disconnect
    await client.disconnect()
