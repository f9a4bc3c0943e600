"""The annotations of a method, as the objects that they name."""

import contextlib
import inspect
from collections.abc import Callable
from types import FunctionType
from typing import Any, get_type_hints


def resolved(name: str, annotation: Any, function: Callable[..., Any], owner: type) -> Any:
    """Return an annotation with what its names stand for; `from __future__ import annotations` leaves a text.

    The names are looked up in the class, in the functions that the method was defined in as far as they still run, in
    what the method uses of them, and in the module.

    Args:
        name: the parameter's.
        annotation: its annotation.
        function: the method that has the parameter.
        owner: the class that defines the method.

    Raises:
        NameError: there is no such name.
        Exception: what else evaluating the text raises.
    """
    if annotation is inspect.Parameter.empty:
        return annotation
    function = inspect.unwrap(function)
    names: dict[str, Any] = getattr(function, "__globals__", {})

    def holder() -> None: ...

    holder.__annotations__ = {name: annotation}
    local = {**_enclosing(function, names), **_closure(function), **vars(owner)}
    return get_type_hints(holder, names, local, include_extras=True)[name]


def _closure(function: Any) -> dict[str, Any]:
    """Return the variables that a function has of those around it."""
    found: dict[str, Any] = {}
    if not isinstance(function, FunctionType):
        return found
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        with contextlib.suppress(ValueError):  # it has no value yet
            found[name] = cell.cell_contents
    return found


def _enclosing(function: Any, module: dict[str, Any]) -> dict[str, Any]:
    """Return the variables of the functions that another was defined in, of those that called this one."""
    found: dict[str, Any] = {}
    name = getattr(function, "__qualname__", "")
    frame = inspect.currentframe()
    while frame is not None:
        around = f"{frame.f_code.co_qualname}.<locals>."
        if frame.f_globals is module and name.startswith(around):
            found = {**frame.f_locals, **found}
        frame = frame.f_back
    return found
