"""What the tests of endpoints share: on trio they run in CI."""

from ..support.slow import anyio_backend as anyio_backend
