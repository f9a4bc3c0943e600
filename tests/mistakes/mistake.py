"""What a record of a mistake is."""

import textwrap
from dataclasses import dataclass


@dataclass(frozen=True)
class Mistake:
    """One mistake, and the answer to it.

    Args:
        title: what somebody did, in a few words.
        code: a program that makes it, in short: it has the names of `answers.names()` without importing them, and may
            await.
        answer: the last line of the traceback, or a line of the log: its level, its logger and its text.
        opens: the path at which a client then opens a WebSocket to `app`, sends `{}` and leaves; "" if the code alone
            is answered.
    """

    title: str
    code: str
    answer: str
    opens: str = ""

    @property
    def source(self) -> str:
        """The code as it stands in a file."""
        return textwrap.dedent(self.code).strip("\n") + "\n"

    @property
    def needs_a_message(self) -> bool:
        """Whether the answer comes when the client sends a message, and not when it connects."""
        return "def receive" in self.code and bool(self.opens)

    @property
    def is_logged(self) -> bool:
        """Whether the answer is a line of the log, and not an exception."""
        return self.answer.startswith(("WARNING ", "DEBUG "))
