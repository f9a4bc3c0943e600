"""`serve()` runs uvicorn with this library's settings. `drain()` sends clients away before a server ends."""

from .draining import drain as drain
from .serving import serve as serve

__all__ = ["drain", "serve"]
