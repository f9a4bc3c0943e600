"""The command line: `python -m compat run | exec | port …`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from consumers.__main__ import USAGE_ERROR, UsageError

from . import install, serving


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: the words of the command line; None: those of this process.

    Returns:
        int: the exit status.

    Raises:
        SystemExit: with status 2 if the command line, or what it names, is wrong.
    """
    parser = argparse.ArgumentParser(prog="python -m compat")
    commands = parser.add_subparsers(required=True, metavar="command", dest="command")
    run = commands.add_parser("run", help="serve an application with uvicorn, under the import hook")
    run.add_argument("application", help="where the application is: package.module:attribute")
    _add_rest(run, "options", "option", "uvicorn's: --port 8001, --reload, …")
    execute = commands.add_parser("exec", help="run a script, such as manage.py, or a module under the import hook")
    execute.add_argument("-m", dest="is_module", action="store_true", help="a module follows, not a file")
    execute.add_argument("target", metavar="script", help="a file's path, or with -m a module's name")
    _add_rest(execute, "words", "argument", "what it is given")
    port = commands.add_parser("port", help="edit a project's imports of Channels; a diff, unless --write is given")
    port.add_argument("paths", type=Path, nargs="+", metavar="path", help="a file or a directory")
    port.add_argument("--native", action="store_true", help="go on to `consumers`, where it has what Channels has")
    port.add_argument("--write", action="store_true", help="edit the files")
    port.add_argument(
        "--check",
        action="store_true",
        help="print no diff; exit with 1 if edits, or things that a person must do, are left",
    )
    options = parser.parse_args(arguments)
    try:
        if options.command == "port":
            return _port(options)
        _install()
        if options.command == "run":
            serving.run(options.application, options.options)
        else:
            serving.execute(options.target, options.words, options.is_module)
    except UsageError as error:
        parser.exit(USAGE_ERROR, f"{parser.prog} {options.command}: error: {error}\n")
    return 0


def _port(options: argparse.Namespace) -> int:
    try:
        from .port import command
    except ModuleNotFoundError as error:
        if error.name != "libcst":
            raise
        raise UsageError("libcst is not installed: pip install 'starlette-consumers[port]'") from error
    return command.run(options.paths, native=options.native, write=options.write, check=options.check)


def _add_rest(parser: argparse.ArgumentParser, name: str, metavar: str, text: str) -> None:
    rest = parser.add_argument(name, nargs=argparse.REMAINDER, metavar=metavar, help=text)
    rest.required = False  # Python 3.11 lists it among what is missing


def _install() -> None:
    try:
        install()
    except RuntimeError as error:
        raise UsageError(str(error)) from error


if __name__ == "__main__":
    sys.exit(main())
