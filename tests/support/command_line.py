"""The command line of runs that take minutes: an option for each field of a dataclass."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

OptionsT = TypeVar("OptionsT")


def options_from(
    arguments: list[str], defaults: OptionsT, prog: str, description: str, choices: Mapping[str, Sequence[str]]
) -> tuple[OptionsT, Path | None]:
    """Return what the command line asks for, and the folder for the records, if they are to be kept.

    Args:
        arguments: those of the command line.
        defaults: a dataclass with what holds otherwise.
        prog, description: for `--help`.
        choices: the values that some options may have, by their names.
    """
    parser = argparse.ArgumentParser(prog=prog, description=description)
    for option in fields(defaults):  # type: ignore[arg-type]
        default: Any = getattr(defaults, option.name)
        allowed = choices.get(option.name)
        parser.add_argument(
            f"--{option.name}", type=type(default), default=default, choices=allowed, help="%(default)s"
        )
    parser.add_argument("--keep", type=Path, help="a folder for the records and the servers' logs")
    given = vars(parser.parse_args(arguments))
    keep = given.pop("keep")
    return type(defaults)(**given), keep
