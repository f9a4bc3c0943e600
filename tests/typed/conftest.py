"""What is valid is judged in the same way on every event loop."""

from ..support.slow import anyio_backend as anyio_backend
