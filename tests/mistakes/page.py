"""docs/reference/mistakes.md, made of the records: `python -m tests.mistakes.page` writes it."""

import textwrap
from collections.abc import Iterator
from typing import NamedTuple

from ..support.pages import ROOT
from .mistake import Mistake
from .records import CONNECTING, HOOKS, OPTIONS, WIRINGS
from .sending_records import NO_LAYER, SENDING, SEVERAL_PROCESSES

PAGE = ROOT / "docs/reference/mistakes.md"

COMMAND = "python -m tests.mistakes.page"

WIDTH = 110
"""Characters of a line of an answer."""

INTRODUCTION = """\
<!-- generated -->

# Mistakes and their answers

Here you look up an exception, or a line of log, that you do not understand. Search the page for the words that you got.
Each mistake is shown with its answer. The answer says what to write.

- The examples leave out what they import from `consumers`, `fastapi` and `starlette`.
- `ChatConsumer` is a WebSocket consumer. `layer` is the default channel layer.
- Long answers are broken into lines here.
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
        "The routers of `consumers` refuse what is no ASGI application when they are made. Those of Starlette and "
        "FastAPI take it, so the answer comes with the first client. The log tells of each such route once.",
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
        "is a line at level DEBUG. From another process, a wrong message is logged and dropped where it arrives.",
        SENDING,
    ),
    Section(
        "Channel layers",
        "A consumer needs a layer for its groups, and for messages from elsewhere. Without one it works until then.",
        [*NO_LAYER, SEVERAL_PROCESSES],
    ),
]


def page() -> str:
    """Return what the page must be."""
    return "\n".join([INTRODUCTION, *(line for section in SECTIONS for line in _section(section))])


def _section(section: Section) -> Iterator[str]:
    yield f"## {section.title}\n\n{textwrap.fill(section.text, 120)}\n"
    for mistake in section.mistakes:
        yield f"### {mistake.title}\n\n```py\n{mistake.source}```\n"
        yield f"{_when(mistake)}\n\n```text\n{_wrapped(mistake.answer)}\n```\n"


def _when(mistake: Mistake) -> str:
    if mistake is SEVERAL_PROCESSES:
        return "The log of each process says when it starts:"
    who = "The log says" if mistake.is_logged else "An exception says"
    return f"{who}, when a client opens `{mistake.opens}`:" if mistake.opens else f"{who} at once:"


def _wrapped(answer: str) -> str:
    return textwrap.fill(answer, WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
