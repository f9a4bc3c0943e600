"""Whether `import consumers` means this distribution's package."""

from importlib.util import find_spec
from pathlib import Path

_OWN = Path(__file__).resolve().parent.parent / "consumers" / "__init__.py"


def require_own_package() -> None:
    """Raise ImportError if another module of the name `consumers` stands in front of this distribution's package.

    A Channels project keeps its consumers in `chat/consumers.py`, which is harmless: its name is `chat.consumers`. One
    whose `consumers.py` lies on `sys.path` itself, such as next to `manage.py`, shadows the package.
    """
    spec = find_spec("consumers")
    origin = spec.origin if spec is not None else None
    if origin is None or Path(origin).resolve() != _OWN:
        raise ImportError(
            f"`import consumers` finds {origin or 'no regular package'}, which shadows the package of "
            f"starlette-consumers at {_OWN.parent}: rename that module, or move it into a package: `chat/consumers.py`"
        )
