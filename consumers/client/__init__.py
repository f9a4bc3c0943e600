"""The client of consumers, for browsers and for Python: it comes back after a cut, and goes on where it was.

`docs/reference/protocol.md` describes what goes over the wire. Only Python's client needs websockets, so it is
imported when somebody asks for it.
"""

from typing import TYPE_CHECKING, Any

from .errors import ClientError as ClientError
from .errors import Closed as Closed
from .errors import NoAnswer as NoAnswer
from .errors import QueueFull as QueueFull
from .errors import Refused as Refused
from .files import client_files as client_files
from .rules import Detail as Detail
from .rules import State as State
from .timers import Clock as Clock

if TYPE_CHECKING:
    from .client import Client as Client

__all__ = [
    "Client",
    "ClientError",
    "Clock",
    "Closed",
    "Detail",
    "NoAnswer",
    "QueueFull",
    "Refused",
    "State",
    "client_files",
]


def __getattr__(name: str) -> Any:
    if name != "Client":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        import websockets as websockets
    except ImportError as error:
        raise ImportError(
            "consumers.client.Client needs websockets: pip install 'starlette-consumers[client]'"
        ) from error
    from .client import Client

    return Client
