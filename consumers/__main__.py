"""The command line: `python -m consumers worker package.module:application channel-name …`."""

import argparse
import importlib
import logging
import os
import sys
from collections.abc import Sequence
from typing import Any

import anyio

from .exceptions import InvalidChannelLayerError
from .layers.memory import InMemoryChannelLayer
from .layers.registry import DEFAULT_ALIAS, channel_layers, get_channel_layer, lifespan
from .worker import Worker

logger = logging.getLogger("consumers.worker")

USAGE_ERROR = 2  # argparse's own


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: the words of the command line; None: those of this process.

    Returns:
        int: the exit status: 0 after a graceful stop, 1 after one that was forced by a second signal.

    Raises:
        SystemExit: with status 2 if the command line, or what it names, is wrong.
    """
    parser = argparse.ArgumentParser(prog="python -m consumers")
    commands = parser.add_subparsers(required=True, metavar="command")
    worker = commands.add_parser("worker", help="handle the messages of named channels")
    worker.add_argument("application", help="where the application is: package.module:attribute")
    worker.add_argument("channels", nargs="+", metavar="channel", help="a channel's name")
    worker.add_argument("--layer", default=DEFAULT_ALIAS, metavar="ALIAS", help="the layer (default: %(default)s)")
    options = parser.parse_args(arguments)
    try:
        return run_worker(options.application, options.channels, options.layer)
    except UsageError as error:
        worker.exit(USAGE_ERROR, f"{worker.prog}: error: {error}\n")


class UsageError(Exception):
    """The command line, or what it names, is wrong."""


def run_worker(path: str, channels: Sequence[str], alias: str) -> int:
    """Run an application for named channels until SIGTERM or SIGINT, and return the exit status."""
    application = import_application(path)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        worker = Worker(application, channels, _layer(alias))
    except (TypeError, ValueError) as error:
        raise UsageError(f"{path}: {error}") from error
    try:
        is_graceful = anyio.run(_run, worker)
    except ValueError as error:  # a router's, for a channel it does not know, or a layer's configuration
        raise UsageError(f"{path}: {error}") from error
    return 0 if is_graceful else 1


def import_application(path: str) -> Any:
    """Import what `package.module:attribute` names, from the current directory too.

    Raises:
        UsageError: there is no such module or attribute. An error inside the module is raised as it is.
    """
    name, colon, attributes = path.partition(":")
    if not (name and colon and attributes):
        raise UsageError(f"{path!r} is not of the form package.module:attribute")
    directory = os.getcwd()
    if directory not in sys.path and "" not in sys.path:
        sys.path.insert(0, directory)
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


if __name__ == "__main__":
    sys.exit(main())
