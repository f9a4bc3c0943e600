"""FastAPI solves the parameters of an endpoint in the same way on every event loop."""

from ..support.slow import anyio_backend as anyio_backend
