"""The command line: `python -m consumers COMMAND package.module:application …`.

Each command has a function that adds its parser, and one that runs it: `COMMANDS` lists the former.
"""

import argparse
import importlib
import json
import logging
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from difflib import unified_diff
from io import TextIOWrapper
from pathlib import Path
from typing import Any

import anyio

from .exceptions import InvalidChannelLayerError
from .layers.memory import InMemoryChannelLayer
from .layers.registry import DEFAULT_ALIAS, channel_layers, get_channel_layer, lifespan
from .server.command import add_options, arguments_of
from .server.serving import prepare
from .worker import Worker

logger = logging.getLogger("consumers.worker")

USAGE_ERROR = 2  # argparse's own
MOST_DIFFERENCES = 10  # that are told


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: the words of the command line; None: those of this process.

    Returns:
        int: the exit status. A worker's is 0 after a graceful stop, and 1 after one that was forced by a second signal.
            That of a check is 1 if the file differs.

    Raises:
        SystemExit: with status 2 if the command line, or what it names, is wrong.
    """
    parser = argparse.ArgumentParser(prog="python -m consumers")
    commands = parser.add_subparsers(required=True, metavar="command")
    for add_command in COMMANDS:
        add_command(commands)
    options = parser.parse_args(arguments)
    command: argparse.ArgumentParser = options.command
    try:
        status: int = options.run(options)
    except UsageError as error:
        command.exit(USAGE_ERROR, f"{command.prog}: error: {error}\n")
    return status


def new_command(commands: Any, name: str, summary: str, run: Callable[[argparse.Namespace], int]) -> Any:
    """Add a command, whose first argument says where the application is.

    Args:
        commands: where argparse keeps the commands.
        name: the command's name.
        summary: what it does, for `--help`.
        run: runs it and returns the exit status.

    Returns:
        argparse.ArgumentParser: the command's own, for its further arguments.
    """
    command = commands.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
    command.add_argument("application", help="where the application is: package.module:attribute")
    command.set_defaults(command=command, run=run)
    return command


class UsageError(Exception):
    """The command line, or what it names, is wrong."""


def add_worker(commands: Any) -> None:
    """Add `worker`."""
    command = new_command(commands, "worker", "handle the messages of named channels", run_worker)
    command.add_argument("channels", nargs="+", metavar="channel", help="a channel's name")
    command.add_argument("--layer", default=DEFAULT_ALIAS, metavar="ALIAS", help="the layer (default: %(default)s)")


def run_worker(options: argparse.Namespace) -> int:
    """Run an application for named channels until SIGTERM or SIGINT, and return the exit status."""
    path = options.application
    application = import_application(path)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        worker = Worker(application, options.channels, _layer(options.layer))
    except (TypeError, ValueError) as error:
        raise UsageError(f"{path}: {error}") from error
    try:
        is_graceful = anyio.run(_run, worker)
    except ValueError as error:  # a router's, for a channel it does not know, or a layer's configuration
        raise UsageError(f"{path}: {error}") from error
    return 0 if is_graceful else 1


def add_serve(commands: Any) -> None:
    """Add `serve`."""
    add_options(new_command(commands, "serve", "serve with uvicorn, and drain at the end", run_serve))


def run_serve(options: argparse.Namespace) -> int:
    """Serve an application until SIGTERM or SIGINT, and return the exit status."""
    find_modules_here()
    try:
        serve = prepare(options.application, *arguments_of(options))
    except (ImportError, ValueError) as error:
        raise UsageError(str(error)) from error
    return serve()


def add_asyncapi(commands: Any) -> None:
    """Add `asyncapi`."""
    command = new_command(commands, "asyncapi", "print the document of the WebSockets, AsyncAPI 3", run_asyncapi)
    command.add_argument("--title", help="what the document is called (default: as FastAPI's application is)")
    command.add_argument("--version", help="the version of the application")
    command.add_argument(
        "--server", action="append", default=[], metavar="[NAME=]URL", help="where it is served: wss://chat.example.com"
    )
    command.add_argument("--check", metavar="FILE", help="print nothing; exit with 1 if the document differs from FILE")


def run_asyncapi(options: argparse.Namespace) -> int:
    """Print the document of an application, or compare it with a file, and return the exit status."""
    asyncapi = typed_module("asyncapi")
    application = import_application(options.application)
    servers = dict(_named(server, number) for number, server in enumerate(options.server, 1))
    try:
        document = asyncapi.asyncapi_document(
            application, title=options.title, version=options.version, servers=servers
        )
    except (TypeError, ValueError) as error:
        raise UsageError(f"{options.application}: {error}") from error
    if options.check is None:
        print_file(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
        return 0
    return check_file(options, asyncapi.differences(document, _document_in(options.check)))


def add_typescript(commands: Any) -> None:
    """Add `typescript`."""
    command = new_command(commands, "typescript", "print the types of the messages for TypeScript", run_typescript)
    command.add_argument("--check", metavar="FILE", help="print nothing; exit with 1 if the types differ from FILE")


def run_typescript(options: argparse.Namespace) -> int:
    """Print the types of an application's messages, or compare them with a file, and return the exit status."""
    typescript = typed_module("typescript")
    application = import_application(options.application)
    try:
        module = typescript.typescript_module(application)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{options.application}: {error}") from error
    if options.check is None:
        print_file(module)
        return 0
    lines = unified_diff(_text_in(options.check).splitlines(), module.splitlines(), n=0, lineterm="")
    return check_file(options, (line for line in lines if not line.startswith(("---", "+++", "@@"))))


def print_file(text: str) -> None:
    """Print what becomes a file: in UTF-8, as it is read again, whatever the terminal's encoding is."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")
    print(text, end="")


def _named(server: str, number: int) -> tuple[str, str]:
    """Return a server's name and URL, of an option such as `production=wss://chat.example.com`."""
    name, equals, url = server.partition("=")
    if equals and "/" not in name:
        return name, url
    return "server" if number == 1 else f"server{number}", server


def _document_in(path: str) -> Any:
    try:
        return json.loads(_text_in(path))
    except ValueError as error:
        raise UsageError(f"{path} is no JSON: {error}") from error


def _text_in(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(str(error)) from error
    except ValueError as error:
        raise UsageError(f"{path} is no text: {error}") from error


def check_file(options: argparse.Namespace, differences: Iterable[str]) -> int:
    """Tell how `options.check` differs from what the application has, and return the exit status."""
    found = list(differences)
    if not found:
        return 0
    print(f"{options.check} is not what {options.application} has now:", file=sys.stderr)
    for difference in found[:MOST_DIFFERENCES]:
        print(f"  {difference}", file=sys.stderr)
    if len(found) > MOST_DIFFERENCES:
        print(f"  and {len(found) - MOST_DIFFERENCES} more", file=sys.stderr)
    print("Run the command without --check, and write what it prints to the file.", file=sys.stderr)
    return 1


def typed_module(name: str) -> Any:
    """Import a module of `consumers.typed`.

    Raises:
        UsageError: pydantic is not installed.
    """
    try:
        return importlib.import_module(f"consumers.typed.{name}")
    except ImportError as error:
        raise UsageError(str(error)) from error


def import_application(path: str) -> Any:
    """Import what `package.module:attribute` names, from the current directory too.

    Raises:
        UsageError: there is no such module or attribute. An error inside the module is raised as it is.
    """
    name, colon, attributes = path.partition(":")
    if not (name and colon and attributes):
        raise UsageError(f"{path!r} is not of the form package.module:attribute")
    directory = find_modules_here()
    try:
        found: Any = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if not f"{name}.".startswith(f"{error.name}."):
            raise
        raise UsageError(f"no module {error.name!r} in {directory} or where Python looks for packages") from error
    for attribute in attributes.split("."):
        if not hasattr(found, attribute):
            raise UsageError(f"{path!r}: {found!r} has no attribute {attribute!r}")
        found = getattr(found, attribute)
    return found


def find_modules_here() -> str:
    """Have Python look for packages in the current directory, too; return that."""
    directory = os.getcwd()
    if directory not in sys.path and "" not in sys.path:
        sys.path.insert(0, directory)
    return directory


async def _run(worker: Worker) -> bool:
    async with lifespan():
        return await worker.run_until_signal()


def _layer(alias: str) -> Any:
    layer = get_channel_layer(alias)
    if layer is None:
        known = ", ".join(map(repr, sorted({*channel_layers.configs, *channel_layers.backends}))) or "none"
        raise InvalidChannelLayerError(
            f"no channel layer {alias!r} (configured: {known}); "
            "call channel_layers.configure({...}) where the application is made"
        )
    if isinstance(layer, InMemoryChannelLayer):
        logger.warning("channel layer %r is in memory: only what this process sends reaches this worker", alias)
    return layer


COMMANDS = [add_worker, add_serve, add_asyncapi, add_typescript]

if __name__ == "__main__":
    sys.exit(main())
