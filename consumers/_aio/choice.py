"""Which mailbox the connections of an event loop have."""

import asyncio
import os

from .loops import running_loop
from .mailbox import Mailbox, Owner
from .portable import PortableMailbox
from .stepping import SteppingMailbox

VARIABLE = "CONSUMERS_MAILBOX"
KINDS = ("portable", "stepping")


def make_mailbox(client_limit: int, byte_limit: int, layer_limit: int, owner: Owner) -> Mailbox:
    """Return a mailbox for the running event loop; the arguments are those of `Mailbox`.

    That is the stepping one on asyncio and the portable one elsewhere, unless the environment variable
    CONSUMERS_MAILBOX says "portable", which works everywhere.
    """
    return _kind()(client_limit, byte_limit, layer_limit, owner)


def _kind() -> type[Mailbox]:
    if _forced == "portable" or not isinstance(running_loop(), asyncio.AbstractEventLoop):
        return PortableMailbox
    return SteppingMailbox


def _read_variable() -> str:
    forced = os.environ.get(VARIABLE, "")
    if forced and forced not in KINDS:
        raise ValueError(f"{VARIABLE} is {forced!r}: use {' or '.join(map(repr, KINDS))}, or leave it out")
    return forced


_forced = _read_variable()
