"""What `connect()` takes: the parameters of a route's path, or whatever FastAPI solves."""

import contextlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from .annotations import resolved


class Taken(NamedTuple):
    """A parameter of `connect()`.

    Args:
        parameter: the parameter.
        function: the method that has it.
        owner: the class that defines the method.
    """

    parameter: inspect.Parameter
    function: Callable[..., Any]
    owner: type

    def resolved(self) -> Any:
        """Return its annotation, resolved; raise what `annotations.resolved()` raises."""
        return resolved(self.parameter.name, self.parameter.annotation, self.function, self.owner)


def parameters(consumer_class: type) -> dict[str, Taken]:
    """Return the parameters that `connect()` takes by name.

    A `connect()` with `**kwargs` passes them on to the next class that has one, so it takes the parameters of that too.
    """
    found: dict[str, Taken] = {}
    for owner in consumer_class.__mro__:
        if "connect" not in vars(owner):
            continue
        function = vars(owner)["connect"]
        try:
            listed = list(inspect.signature(function).parameters.values())[1:]
        except (TypeError, ValueError):  # it has no signature
            break
        for each in listed:
            if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD):
                found.setdefault(each.name, Taken(each, function, owner))
        if not any(each.kind is each.VAR_KEYWORD for each in listed):
            break
    return found


def check(consumer_class: type, by_fastapi: bool) -> None:
    """Raise TypeError for a parameter of `connect()` that cannot be filled.

    Args:
        consumer_class: the application's class.
        by_fastapi: whether FastAPI fills them. Else a route's path does.
    """
    name = consumer_class.__name__
    for taken in parameters(consumer_class).values():
        parameter = taken.parameter
        if parameter.kind is parameter.POSITIONAL_ONLY:
            raise TypeError(f"{name}.connect() gets {parameter.name} by its name: write it without the `/` behind it")
        if by_fastapi:
            continue
        with contextlib.suppress(Exception):  # nobody needs what cannot be resolved
            taken = taken._replace(parameter=parameter.replace(annotation=taken.resolved()))
        for marker in fastapis(taken.parameter):
            raise TypeError(
                f"{name}.connect(): as_asgi() gives it the path's parameters alone, so no {type(marker).__name__} "
                f"fills {parameter.name}: write {name}.as_endpoint(), which FastAPI calls"
            )


def fastapis(parameter: inspect.Parameter) -> Iterator[object]:
    """Yield what FastAPI is to fill a parameter by, such as `Depends`."""
    for given in (parameter.default, *getattr(parameter.annotation, "__metadata__", ())):
        if type(given).__module__ == "fastapi.params":
            yield given


def from_path(consumer_class: type, names: Mapping[str, bool], path: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of `connect()` that a route's path has.

    Args:
        consumer_class: the consumer's class.
        names: those that it takes, and whether it needs each.
        path: the path's parameters.

    Raises:
        TypeError: one that it needs is not there.
    """
    for name, is_needed in names.items():
        if is_needed and name not in path:
            has = f"has only {', '.join(path)}" if path else "has no parameters"
            raise TypeError(
                f"{consumer_class.__name__}.connect() needs {name}, but the route's path {has}: "
                f"write {{{name}}} there, or give {name} a default"
            )
    return {name: path[name] for name in names if name in path}
