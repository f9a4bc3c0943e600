"""docs/reference/mistakes.md, made of the records: `python -m tests.mistakes.page` writes it."""

import textwrap
from collections.abc import Iterator
from typing import NamedTuple

from ..support.pages import ROOT
from .mistake import Mistake
from .records import CONNECTING, HOOKS, OPTIONS, WIRINGS
from .sending_records import NO_LAYER, SENDING, SEVERAL_PROCESSES
from .typed_records import GROUPS, TYPED

PAGE = ROOT / "docs/reference/mistakes.md"

COMMAND = "python -m tests.mistakes.page"

WIDTH = 110
"""Characters of a line of an answer."""

INTRODUCTION = """\
<!-- generated -->

# Mistakes and their answers

Here you look up an exception, or a line of log, that you do not understand. Search the page for two or three words of
it that are not names of your own. Long answers are broken into lines here, so a whole sentence is not found. Each
mistake is shown with its answer. The answer says what to write.

An exception of a connection is in your server's log. If the client still waits for the handshake, it gets HTTP 500.
After the accept it gets the close code 1011.

- The examples leave out what they import from `consumers`, `consumers.typed`, `fastapi`, `pydantic` and `starlette`.
- `ChatConsumer` is a WebSocket consumer. `layer` is the default channel layer.
- `Say` is the model of a message from clients, `Said` of one to them. Each has a `type` and a `text`.
- A line of the log begins with its level and its logger. [Logging](logging.md) lists the loggers.
"""


class Section(NamedTuple):
    """Mistakes of one kind.

    Args:
        title: what they have in common.
        text: when they are answered, and how else it is done.
        mistakes: the mistakes.
    """

    title: str
    text: str
    mistakes: list[Mistake]


SECTIONS = [
    Section(
        "Routes and applications",
        "The routers of `consumers` look at their routes when they are made. What is no ASGI application is an "
        "exception then. The routers of Starlette and FastAPI do not look. So the answer comes when a client opens the "
        "route. A line of the log about a route comes once.",
        WIRINGS,
    ),
    Section(
        "Options and arguments",
        "`as_asgi()` looks at the class and at the arguments, so the answer comes before the first client. An "
        "attribute of your own may have a name like an option's, if your code reads it, or if its value does not fit "
        "the option. In `compat` a misspelt option is a warning.",
        OPTIONS,
    ),
    Section(
        "Methods",
        "`as_asgi()` looks at the methods that the framework calls, too. Other methods may have any form. "
        "In `compat` a misspelt method is a warning.",
        HOOKS,
    ),
    Section(
        "The handshake",
        "A client waits until `connect()` has called `accept()`, `close()` or `deny()`.",
        CONNECTING,
    ),
    Section(
        "Sending",
        "What cannot be right is an exception at the sender. What may be right, such as a message to an empty group, "
        "is a line at level DEBUG, which is off by default: see [Logging](logging.md). From another process, a wrong "
        "message is logged and dropped where it arrives. What goes wrong without a mistake in the code is in "
        "[Send from anywhere](../howto/send.md#what-may-go-wrong).",
        SENDING,
    ),
    Section(
        "Typed messages",
        "`as_asgi()` and `as_endpoint()` look at the handlers and at their models, so most answers come before the "
        "first client. What a client sends wrong is no exception: it gets an error. See "
        "[what the server sends](protocol.md#what-the-server-sends).",
        TYPED,
    ),
    Section(
        "Presence and history",
        "A wrong argument is an exception at the caller. The history of a group that has none is an empty page. "
        "That is logged once.",
        GROUPS,
    ),
    Section(
        "Channel layers",
        "A consumer needs a channel layer to join groups, and to send or get messages by it. One that does neither "
        "works without a layer. The exception comes when it first needs one.",
        [*NO_LAYER, SEVERAL_PROCESSES],
    ),
]


def page() -> str:
    """Return what the page must be."""
    return "\n".join([INTRODUCTION, *(line for section in SECTIONS for line in _section(section))])


def _section(section: Section) -> Iterator[str]:
    yield f"## {section.title}\n\n{_filled(section.text)}\n"
    for mistake in section.mistakes:
        yield f"### {mistake.title}\n\n```py\n{mistake.source}```\n"
        yield f"{_when(mistake)}\n\n```text\n{_wrapped(mistake.answer)}\n```\n"


def _when(mistake: Mistake) -> str:
    if mistake is SEVERAL_PROCESSES:
        return "The log of each process says when it starts:"
    who = "The log says" if mistake.is_logged else "An exception says"
    if not mistake.opens:
        return f"{who} at once:"
    what = "sends a message" if mistake.needs_a_message else f"opens `{mistake.opens}`"
    return f"{who}, when a client {what}:"


def _filled(text: str) -> str:
    return textwrap.fill(text, 120, break_long_words=False, break_on_hyphens=False)


def _wrapped(answer: str) -> str:
    return textwrap.fill(answer, WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
