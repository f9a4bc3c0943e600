"""`python -m tests.soak`: see `--help`."""

import argparse
import asyncio
import sys
import time
from dataclasses import fields
from pathlib import Path

from . import report
from .run import Options, folder_for, soak


def options_from(arguments: list[str]) -> tuple[Options, Path | None]:
    """Return what the command line asks for, and the folder for the records, if they are to be kept."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.soak", description="Clients of every kind, and where each message went."
    )
    defaults = Options()
    for option in fields(Options):
        default = getattr(defaults, option.name)
        choices = ["pubsub", "queue"] if option.name == "layer" else None
        parser.add_argument(
            f"--{option.name}", type=type(default), default=default, choices=choices, help="%(default)s"
        )
    parser.add_argument("--keep", type=Path, help="a folder for the records and the servers' logs")
    given = vars(parser.parse_args(arguments))
    keep = given.pop("keep")
    return Options(**given), keep


async def main(arguments: list[str]) -> int:
    """Run a soak and print its report; return 1 if something is wrong."""
    options, keep = options_from(arguments)
    started = time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - started:6.1f} s] {text}", flush=True)

    with folder_for(keep) as folder:
        outcome = await soak(options, folder, say)
    print()
    for line in report.lines(outcome):
        print(line)
    wrong = report.verdict(outcome)
    print()
    for line in wrong:
        print(f"WRONG: {line}")
    print("Something is wrong." if wrong else "All is accounted for, and everything has gone back.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1:])))
