"""The import hook: `import channels…` gives the modules of `compat.channels…`, the very same objects."""

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType

REPLACED = ("channels", "channels_redis")
"""Packages that `compat` stands in for. If one of them can be imported, there would be two of everything."""

NO_DAPHNE = "which compat does without: serve with `python -m compat run mysite.asgi:application`"
"""What the error says that follows the import of a module of Daphne's."""


def install() -> None:
    """Make `import channels…` and `import channels_redis…` give the modules of `compat`.

    Where Django is not installed, also `import django.urls`, with the functions that routing files take from it. Where
    Daphne is not installed, `"daphne"` may be in INSTALLED_APPS, where it does nothing. To be called before anything
    imports `channels`; once more does nothing.

    Raises:
        RuntimeError: the real `channels` or `channels_redis` is installed, or has been imported.
    """
    if is_installed():
        return
    for name in REPLACED:
        _require_absent(name)
    absent = {name for name in ("daphne", "django") if find_spec(name) is None}
    sys.meta_path.insert(0, _Finder({*REPLACED, *absent}))


def is_installed() -> bool:
    """Tell whether `install()` has been called."""
    return any(isinstance(finder, _Finder) for finder in sys.meta_path)


def _require_absent(name: str) -> None:
    spec = find_spec(name)
    if spec is None:
        return
    place = spec.origin or next(iter(spec.submodule_search_locations or ()), "an unknown place")
    if name in sys.modules:
        problem = f"{name!r} has been imported already, from {place}"
    else:
        problem = f"{name!r} can be imported, from {place}"
    raise RuntimeError(
        f"compat.install() makes `import {name}` mean `compat.{name}`, but {problem}: uninstall it "
        "(pip uninstall channels channels-redis daphne), or rename it if it is your own"
    )


class _Finder(MetaPathFinder):
    def __init__(self, packages: set[str]) -> None:
        self._packages = packages

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        package = fullname.partition(".")[0]
        if package not in self._packages:
            return None
        if find_spec(f"compat.{fullname}") is not None:
            return ModuleSpec(fullname, _Loader(), is_package=True)
        if package == "daphne":
            raise ModuleNotFoundError(f"No module named {fullname!r}, {NO_DAPHNE}", name=fullname)
        return None


class _Loader(Loader):
    """Loads the module of `compat` and leaves it as it is.

    The import system sets `__spec__` on what `create_module` returns. Relative imports inside the module, and its
    reloading, go by that, so it is put back.
    """

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = import_module(f"compat.{spec.name}")
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        assert module.__spec__ is not None
        module.__spec__ = module.__spec__.loader_state
