"""Channel layers by alias, and their life with the application."""

import difflib
import logging
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from importlib import import_module
from typing import Any, cast

import anyio

from .. import _observing
from ..exceptions import InvalidChannelLayerError
from ._adapt import BACKENDS, OF_SOME_LAYERS, adapt, is_layer, knows_who_is_there, lacking
from .base import BaseChannelLayer, Layer

logger = logging.getLogger("consumers.layers")

DEFAULT_ALIAS = "default"

CLOSE_TIMEOUT = 10.0
"""Seconds that the layers have to close when the application ends."""

KEYS = ("BACKEND", "CONFIG", "TEST_CONFIG")


class ChannelLayerManager:
    """The channel layers of an application, by alias. A layer is made when it is first asked for.

    Attributes:
        configs: what `configure()` was given, or else what the source given to `configure_from()` says now.
        backends: the layers that exist, by alias.
    """

    def __init__(self) -> None:
        self.backends: dict[str, Layer] = {}
        self._adapted: dict[str, tuple[object, Layer]] = {}  # each with the layer that it was made for
        self._configs: Mapping[str, Any] | None = None
        self._source: Callable[[], Mapping[str, Any]] = dict
        self._lock = threading.RLock()  # a layer that two threads ask for at once is made once

    def configure(self, configs: Mapping[str, Any]) -> None:
        """Set the layers up, in place of all that were; `close()` those first if they are in use.

        Args:
            configs: for each alias a layer, or a dict as in Channels' CHANNEL_LAYERS setting: "BACKEND", a
                class or its dotted name; "CONFIG" and "TEST_CONFIG", its arguments (default: none).

        Raises:
            InvalidChannelLayerError: if it has another shape. A BACKEND given by name is imported, and CONFIG
                used, only when the layer is first asked for.
        """
        if not isinstance(configs, Mapping) or "BACKEND" in configs:
            raise InvalidChannelLayerError(
                f'channel_layers.configure() takes layers by their aliases: write {{"{DEFAULT_ALIAS}": ...}}'
            )
        for alias, config in configs.items():
            _check_config(alias, config)
        with self._lock:
            self._configs = dict(configs)
            self._forget()
            for alias, config in configs.items():
                if not isinstance(config, Mapping):
                    self._use(alias, config)

    def configure_from(self, source: Callable[[], Mapping[str, Any]]) -> None:
        """Ask `source` for the configuration whenever it is needed, unless `configure()` is called.

        Layers that were made of an earlier configuration are forgotten; `close()` those first if they are in use.

        Args:
            source: returns what `configure()` takes.
        """
        with self._lock:
            self._source = source
            if self._configs is None:
                self._forget()

    @property
    def configs(self) -> Mapping[str, Any]:
        return self._source() if self._configs is None else self._configs

    def make_backend(self, alias: str) -> Layer:
        """Make a new layer from the alias' CONFIG.

        Raises:
            KeyError: if the alias is not configured.
            InvalidChannelLayerError: if its BACKEND cannot be imported or does not take its CONFIG.
        """
        return self._make(alias, "CONFIG", {})

    def make_test_backend(self, alias: str) -> Layer:
        """Make a new layer from the alias' TEST_CONFIG.

        Raises:
            KeyError: if the alias is not configured.
            InvalidChannelLayerError: as `make_backend()`, or if there is no TEST_CONFIG.
        """
        return self._make(alias, "TEST_CONFIG", None)

    def set(self, alias: str, layer: BaseChannelLayer | None) -> Layer | None:
        """Put another layer in an alias' place, as tests do, and return the old one.

        Args:
            alias: the alias, configured or not.
            layer: the layer; None: the one that the alias is configured with, made anew.

        Returns:
            What was there, or None if the layer had not been made. Neither is closed.
        """
        with self._lock:
            old = self.backends.pop(alias, None)
            self._adapted.pop(alias, None)
            if layer is not None:
                self._use(alias, layer)
            return old

    def __getitem__(self, alias: str) -> Layer:
        with self._lock:
            if alias not in self.backends:
                self._use(alias, self.make_backend(alias))
            return self.backends[alias]

    def __contains__(self, alias: object) -> bool:
        return alias in self.backends or alias in self.configs

    def missing(self, alias: str) -> str:
        """Return what to say where there is no layer with this alias."""
        known = ", ".join(map(repr, {**self.configs, **self.backends}))
        only = f", only {known}" if known else ""
        if self._configs is None and self._source is not dict:
            how = "Set it in CHANNEL_LAYERS"
        else:
            how = (
                "Configure it before the application serves: channel_layers.configure"
                f'({{"{alias}": {{"BACKEND": "{BACKENDS[0]}"}}}})'
            )
        return f"there is no channel layer {alias!r}{only}. {how}"

    async def open(self) -> None:
        """Make and enter every configured layer, as `async with layer` does.

        What one cannot reach now it may reach later: that is logged and does not stop the others.

        Raises:
            InvalidChannelLayerError: if one is configured wrongly.
        """
        layers = {alias: self[alias] for alias in self.configs}
        async with anyio.create_task_group() as tasks:
            for alias, layer in layers.items():
                tasks.start_soon(self._enter, alias, self.adapted(alias, layer))

    async def _enter(self, alias: str, layer: Layer) -> None:
        try:
            await layer.__aenter__()
        except Exception as error:
            logger.warning("Channel layer %r is not ready, and the application starts without it: %s", alias, error)

    async def close(self) -> None:
        """Close every layer that exists. An error in closing one is logged and does not stop the others."""
        for alias, layer in list(self.backends.items()):
            try:
                await layer.close()
            except Exception:
                logger.exception("Channel layer %r failed to close", alias)

    def adapted(self, alias: str, layer: BaseChannelLayer) -> Layer:
        """Return the whole contract of an alias' layer, as the library uses it: made once, and for this layer.

        Args:
            alias: the alias.
            layer: the layer that it has now; somebody may have put it into `backends`.
        """
        made_for, contract = self._adapted.get(alias, (None, None))
        if contract is None or made_for is not layer:
            contract = adapt(layer)
            self._adapted[alias] = layer, contract
        return contract

    def _forget(self) -> None:
        self.backends = {}
        self._adapted.clear()

    def _use(self, alias: str, layer: BaseChannelLayer) -> None:
        self.backends[alias] = cast(Layer, layer)  # for type checkers; it may be a foreign one
        self.adapted(alias, layer)
        if _observing.observer is not None:
            _observing.observer.layer(layer)

    def _make(self, alias: str, key: str, default: dict[str, Any] | None) -> Layer:
        config = self.configs[alias]
        _check_config(alias, config)
        if not isinstance(config, Mapping):
            if default is None:
                raise InvalidChannelLayerError(f"Channel layer {alias!r} is a layer object, it has no {key}")
            return cast(Layer, config)
        arguments = config.get(key, default)
        if arguments is None:
            raise InvalidChannelLayerError(f"No {key} specified for {alias}")
        backend = config["BACKEND"]
        factory = _import_backend(alias, backend) if isinstance(backend, str) else backend
        try:
            return cast(Layer, factory(**arguments))
        except (TypeError, ValueError) as error:
            raise InvalidChannelLayerError(
                f"Channel layer {alias!r}: {_name(backend)} does not take its {key}: {error}"
            ) from error


def _check_config(alias: str, config: object) -> None:
    where = f"Channel layer {alias!r}"
    if isinstance(config, type):
        name = config.__name__
        raise InvalidChannelLayerError(f"{where} must be a layer, not the class {name}: write {name}()")
    if not (isinstance(config, Mapping) or is_layer(config)):
        raise InvalidChannelLayerError(f"{where} must be a layer or a dict with a BACKEND, not {config!r}")
    if not isinstance(config, Mapping):
        return
    if "BACKEND" not in config:
        raise InvalidChannelLayerError(f"No BACKEND specified for {alias}, only {sorted(map(str, config))}")
    if not (isinstance(config["BACKEND"], str) or callable(config["BACKEND"])):
        raise InvalidChannelLayerError(
            f"{where}: BACKEND must be a class or its dotted name, not {config['BACKEND']!r}"
        )
    for key in config:
        if key not in KEYS:
            raise InvalidChannelLayerError(f"{where} has an unknown key {key!r}; there are {', '.join(KEYS)}")
        if key != "BACKEND" and not isinstance(config[key], Mapping):
            kind = type(config[key]).__name__  # not its value: a password may be in it
            raise InvalidChannelLayerError(f"{where}: {key} must be a dict of arguments, not a {kind}")


def _import_backend(alias: str, dotted: str) -> Any:
    module, _, name = dotted.rpartition(".")
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        # A name is usually right in its last part, or nearly right as a whole.
        meant = [backend for backend in BACKENDS if backend.endswith("." + name)][:1]
        meant = meant or difflib.get_close_matches(dotted, BACKENDS, 1)
        hint = f"; did you mean {meant[0]!r}?" if meant and meant != [dotted] else ""
        raise InvalidChannelLayerError(
            f"Cannot import BACKEND {dotted!r} specified for {alias}: {error}{hint}"
        ) from error


def _name(backend: object) -> str:
    return backend if isinstance(backend, str) else getattr(backend, "__qualname__", repr(backend))


channel_layers = ChannelLayerManager()
"""The application's layers; none until `channel_layers.configure({...})` or `configure_from(source)`."""


def get_channel_layer(alias: str = DEFAULT_ALIAS) -> Layer | Any:
    """Return the layer with this alias, or None if it is not configured.

    Type checkers see Any in the place of None: else they would want an assertion before every use.

    Args:
        alias: the layer's ("default").

    Raises:
        InvalidChannelLayerError: if it is configured wrongly.
    """
    layer = channel_layers.backends.get(alias)
    if layer is None and alias in channel_layers:
        layer = channel_layers[alias]
    return layer


def layer_with(method: str, alias: str) -> Any:
    """Return the layer with this alias, for a call of this method.

    Raises:
        InvalidChannelLayerError: if it is not configured, configured wrongly, or has no such method.
    """
    layer = get_channel_layer(alias)
    if layer is None:
        raise InvalidChannelLayerError(channel_layers.missing(alias))
    has_none = method in OF_SOME_LAYERS and not knows_who_is_there(layer, method)
    if has_none or method in channel_layers.adapted(alias, layer).lacks:
        raise lacking(layer, f"{method}()", f"Channel layer {alias!r}")
    return layer


@asynccontextmanager
async def lifespan(app: object = None) -> AsyncIterator[None]:
    """Open the channel layers when the application starts, and close them at its end: `Starlette(lifespan=lifespan)`.

    Inside another lifespan: `async with lifespan(app): ...`. A mistake in the configuration stops the start. A layer
    whose server cannot be reached does not: that is logged, and the layer connects as soon as it can. anyio's back end
    is loaded too, for which the first client would wait.

    Args:
        app: the application; not used.

    Raises:
        InvalidChannelLayerError: if a layer is configured wrongly.
    """
    try:
        await channel_layers.open()
        yield
    finally:
        with anyio.move_on_after(CLOSE_TIMEOUT, shield=True) as scope:
            await channel_layers.close()
        if scope.cancelled_caught:
            logger.error("The channel layers did not close within %s s", CLOSE_TIMEOUT)
