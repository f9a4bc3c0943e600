"""Django Channels' module names, classes and behaviour, on top of `consumers`.

Either change imports from `channels.` to `compat.channels.`, or change nothing and call `compat.install()` first:
`import channels…` then gives the modules of `compat.channels`.
"""

from .shadow import require_own_package

require_own_package()  # before anything here imports `consumers`

from .conf import configure as configure  # noqa: E402
from .hook import install as install  # noqa: E402

__all__ = ["configure", "install"]
