"""Writes the tables of command-line.md from the parsers of the commands: `python docs/reference/commands.py`."""

import argparse
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest.mock import patch

import compat.__main__
import consumers.__main__

PAGE = Path(__file__).with_name("command-line.md")

DEFAULT = re.compile(r"\s*\(default(?:: (.*?))?\)")

TABLE = re.compile(r"^\|.*\n\|[-|]+\n((?:\|.*\n)*)", re.MULTILINE)

PROGRAMS: dict[str, Callable[..., int]] = {
    "python -m consumers": consumers.__main__.main,
    "python -m compat": compat.__main__.main,
}


class _Parser(Exception):
    """Carries a program's parser out of it."""


def commands() -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Yield each command of both programs, as one writes it, and its parser."""

    def caught(parser: argparse.ArgumentParser, *_: object) -> None:
        raise _Parser(parser)

    for program, main in PROGRAMS.items():
        with patch.object(argparse.ArgumentParser, "parse_args", caught):
            try:
                main([])
            except _Parser as found:
                [parser] = found.args
        [choices] = [action.choices for action in parser._actions if isinstance(action.choices, dict)]
        yield from ((f"{program} {name}", command) for name, command in choices.items())


def options(command: argparse.ArgumentParser) -> Iterator[tuple[str, str, str]]:
    """Yield what a command takes: how it is written, its default, and what it means."""
    for action in command._actions:
        if isinstance(action, argparse._HelpAction):
            continue
        text = (action.help or "") % vars(action)
        default = DEFAULT.search(text)
        said = "" if default is None else default[1] or "yes"
        if isinstance(action, argparse._StoreTrueAction):
            said = "no"
        yield f"`{_written(action)}`", said, DEFAULT.sub("", text)


def _written(action: argparse.Action) -> str:
    value = action.metavar or action.dest
    if not action.option_strings:
        return f"{value} …" if action.nargs in ("+", argparse.REMAINDER) else str(value)
    flags = ", ".join(action.option_strings)
    return flags if action.nargs == 0 else f"{flags} {action.metavar or action.dest.upper()}"


def updated(text: str) -> str:
    """Return the page with the tables as they should be: the one below each command's synopsis."""
    for name, command in commands():
        shown = re.search(rf"^\$ {re.escape(name)} ", text, re.MULTILINE)
        assert shown is not None, f"the page has no example of {name}"
        found = TABLE.search(text, shown.end())
        assert found is not None
        lines = "".join(f"| {' | '.join(row)} |\n".replace("|  |", "| |") for row in options(command))
        text = text[: found.start(1)] + lines + text[found.end(1) :]
    return text


if __name__ == "__main__":
    PAGE.write_text(updated(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
