"""What one client gets of one group, step by step."""

from typing import NamedTuple

Key = tuple[str, int]
"""What a message is known by: its sender, and its number among the sender's."""

NOBODY = 0
"""In place of the connection that does not get a message."""


class Joined(NamedTuple):
    """A connection is in the group.

    Attributes:
        connection: its number.
        since: the position from which the client has asked to go on; None: it has none yet.
        position: where the group is, as the server says.
        recovered: whether the server says that nothing is missing.
        missed: how many messages are to come first, as the server says.
    """

    connection: int
    since: str | None
    position: str
    recovered: bool
    missed: int


class Said(NamedTuple):
    """A message has come.

    Attributes:
        connection: by which.
        position: its place; None if it is not kept.
        key: the message.
        excluded: the connection that is not to get it.
    """

    connection: int
    position: str | None
    key: Key
    excluded: int


class Gap(NamedTuple):
    """The client is told that messages are missing.

    Attributes:
        connection: by which.
    """

    connection: int


Step = Joined | Said | Gap
