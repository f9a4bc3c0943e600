"""Layers by alias, and their life with the application."""

import logging
import sys
import threading
from typing import Any, Self

import anyio
import anyio.lowlevel
import pytest
from starlette.applications import Starlette

from consumers import (
    InMemoryChannelLayer,
    InvalidChannelLayerError,
    channel_layers,
    get_channel_layer,
    lifespan,
)
from consumers.layers import BaseChannelLayer, registry
from consumers.layers.registry import ChannelLayerManager
from consumers.types import Message

IN_MEMORY = "consumers.layers.InMemoryChannelLayer"


class Closing(BaseChannelLayer):
    """A layer that remembers having been closed."""

    closed = 0

    async def close(self) -> None:
        self.closed += 1


@pytest.fixture(autouse=True)
def nothing_configured(no_layer: None) -> None:
    """Configure nothing; the application's own configuration comes back afterwards."""


def test_without_configuration_there_is_no_layer() -> None:
    assert get_channel_layer() is None
    assert "default" not in channel_layers
    with pytest.raises(KeyError):
        channel_layers["default"]


def test_a_dict_as_in_channels_configures_layers() -> None:
    channel_layers.configure(
        {
            "default": {"BACKEND": IN_MEMORY, "CONFIG": {"capacity": 7}, "TEST_CONFIG": {"capacity": 8}},
            "other": {"BACKEND": InMemoryChannelLayer},
        }
    )
    layer, other = get_channel_layer(), get_channel_layer("other")
    assert isinstance(layer, InMemoryChannelLayer)
    assert isinstance(other, InMemoryChannelLayer)
    assert (layer.capacity, other.capacity) == (7, 100)
    assert get_channel_layer() is layer
    assert channel_layers["default"] is layer
    assert channel_layers.backends == {"default": layer, "other": other}
    assert get_channel_layer("third") is None


def test_layers_are_made_when_they_are_first_asked_for() -> None:
    channel_layers.configure({"default": {"BACKEND": IN_MEMORY}})
    assert "default" in channel_layers
    assert channel_layers.backends == {}


def test_threads_that_ask_at_once_get_the_same_layer() -> None:
    class Slow(InMemoryChannelLayer):
        def __init__(self) -> None:
            meeting.wait(timeout=0.2)
            super().__init__()

    meeting = threading.Event()
    channel_layers.configure({"default": {"BACKEND": Slow}})
    got: list[object] = []
    threads = [threading.Thread(target=lambda: got.append(get_channel_layer())) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(id, got))) == 1


def test_a_layer_object_configures_itself() -> None:
    layer = InMemoryChannelLayer()
    channel_layers.configure({"default": layer})
    assert get_channel_layer() is layer
    assert channel_layers.make_backend("default") is layer
    with pytest.raises(InvalidChannelLayerError, match="'default' is a layer object, it has no TEST_CONFIG"):
        channel_layers.make_test_backend("default")


def test_configuring_again_replaces_everything() -> None:
    channel_layers.configure({"default": {"BACKEND": IN_MEMORY}, "old": {"BACKEND": IN_MEMORY}})
    before = get_channel_layer()
    channel_layers.configure({"default": {"BACKEND": IN_MEMORY}})
    assert get_channel_layer() is not before
    assert get_channel_layer("old") is None


def test_set_puts_a_layer_in_place_and_returns_the_old_one() -> None:
    channel_layers.configure({"default": {"BACKEND": IN_MEMORY}})
    one, other = InMemoryChannelLayer(), InMemoryChannelLayer()
    assert channel_layers.set("default", one) is None
    assert channel_layers.set("default", other) is one
    assert get_channel_layer() is other
    assert channel_layers.set("default", None) is other
    assert get_channel_layer() not in (None, one, other)
    channel_layers.set("new", one)
    assert get_channel_layer("new") is one


def test_test_backends_are_made_from_test_config() -> None:
    channel_layers.configure(
        {"default": {"BACKEND": IN_MEMORY, "TEST_CONFIG": {"capacity": 8}}, "bare": {"BACKEND": IN_MEMORY}}
    )
    test_layer = channel_layers.make_test_backend("default")
    assert test_layer.capacity == 8
    assert channel_layers.make_test_backend("default") is not test_layer
    with pytest.raises(InvalidChannelLayerError, match="No TEST_CONFIG specified for bare"):
        channel_layers.make_test_backend("bare")


@pytest.mark.parametrize(
    "backend",
    [
        "consumers.layers.InMemoryChanelLayer",
        "consumers.layer.InMemoryChannelLayer",
        "channels.layers_of_old.InMemoryChannelLayer",
        "InMemoryChannelLayer",
    ],
)
def test_a_misspelt_backend_is_named_with_what_could_be_meant(backend: str) -> None:
    channel_layers.configure({"chat": {"BACKEND": backend}})
    with pytest.raises(InvalidChannelLayerError) as caught:
        get_channel_layer("chat")
    assert "specified for chat" in str(caught.value)
    assert repr(backend) in str(caught.value)
    assert f"did you mean '{IN_MEMORY}'?" in str(caught.value)


def test_a_backend_that_resembles_nothing_gets_no_suggestion() -> None:
    channel_layers.configure({"default": {"BACKEND": "nowhere.Nothing"}})
    with pytest.raises(
        InvalidChannelLayerError, match=r"Cannot import BACKEND 'nowhere\.Nothing' specified for \w+: No module"
    ) as caught:
        get_channel_layer()
    assert "did you mean" not in str(caught.value)


def test_a_backend_whose_extra_is_missing_says_what_to_install_and_suggests_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in [name for name in sys.modules if name.startswith("consumers.layers.redis")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "redis", None)
    channel_layers.configure({"default": {"BACKEND": "consumers.layers.redis.RedisChannelLayer"}})
    with pytest.raises(InvalidChannelLayerError, match=r"needs redis-py: pip install '[^']+'$"):
        get_channel_layer()


def test_an_error_inside_a_backends_module_is_told(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "needs_more.py").write_text("import something_not_installed")
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    channel_layers.configure({"default": {"BACKEND": "needs_more.Layer"}})
    with pytest.raises(InvalidChannelLayerError, match="No module named 'something_not_installed'"):
        get_channel_layer()


def test_a_wrong_argument_is_named_without_telling_secrets() -> None:
    channel_layers.configure({"chat": {"BACKEND": IN_MEMORY, "CONFIG": {"hosts": ["redis://:secret@host"]}}})
    with pytest.raises(InvalidChannelLayerError) as caught:
        get_channel_layer("chat")
    assert f"'chat': {IN_MEMORY} does not take its CONFIG" in str(caught.value)
    assert "unexpected keyword argument 'hosts'" in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"CONFIG": {}}, r"No BACKEND specified for default, only \['CONFIG'\]"),
        (
            {"BACKEND": IN_MEMORY, "ROUTING": "x"},
            "unknown key 'ROUTING'; there are BACKEND, CONFIG, TEST_CONFIG",
        ),
        (
            {"BACKEND": IN_MEMORY, "CONFIG": ["capacity"]},
            r"CONFIG must be a dict of arguments, not a list",
        ),
        ({"BACKEND": 5}, "BACKEND must be a class or its dotted name, not 5"),
        (IN_MEMORY, "must be a layer or a dict with a BACKEND, not 'consumers"),
        (InMemoryChannelLayer, r"must be a layer, not the class InMemoryChannelLayer: write InMemoryChannelLayer\(\)"),
    ],
)
def test_a_configuration_of_another_shape_is_rejected_at_once(config: object, reason: str) -> None:
    layer = InMemoryChannelLayer()
    channel_layers.configure({"default": layer})
    with pytest.raises(InvalidChannelLayerError, match=reason):
        channel_layers.configure({"fine": {"BACKEND": IN_MEMORY}, "default": config})
    assert get_channel_layer() is layer


@pytest.mark.parametrize("configs", [InMemoryChannelLayer(), {"BACKEND": IN_MEMORY}, [], None])
def test_a_layer_without_its_alias_is_rejected(configs: Any) -> None:
    with pytest.raises(InvalidChannelLayerError, match=r'layers by their aliases: write \{"default": \.\.\.\}$'):
        channel_layers.configure(configs)


@pytest.mark.anyio
async def test_close_closes_every_layer_that_was_made(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Closing):
        async def close(self) -> None:
            await super().close()
            raise RuntimeError("broken")

    broken, configured, added = Broken(), Closing(), Closing()
    channel_layers.configure({"broken": broken, "configured": configured, "never": {"BACKEND": Closing}})
    channel_layers.set("added", added)
    await channel_layers.close()
    assert (broken.closed, configured.closed, added.closed) == (1, 1, 1)
    assert "never" not in channel_layers.backends
    [record] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.message == "Channel layer 'broken' failed to close"


@pytest.mark.anyio
async def test_lifespan_makes_the_layers_and_closes_them() -> None:
    channel_layers.configure({"default": {"BACKEND": Closing}})
    async with lifespan():
        layer: Any = channel_layers.backends["default"]
        assert layer.closed == 0
    assert layer.closed == 1


@pytest.mark.anyio
async def test_lifespan_enters_every_layer_that_can_be_entered(caplog: pytest.LogCaptureFixture) -> None:
    class Entered(Closing):
        entered = 0

        async def __aenter__(self) -> Self:
            self.entered += 1
            return self

    class Failing(Closing):
        async def __aenter__(self) -> Self:
            raise OSError("no way there")

    class Foreign:
        """Has no more than a layer of channels_redis."""

        closed = 0

        async def send(self, channel: str, message: Message) -> None: ...

        async def close(self) -> None:
            self.closed += 1

    layers: dict[str, Any] = {"failing": Failing(), "foreign": Foreign(), "default": Entered()}
    channel_layers.configure(layers)
    async with lifespan():
        assert layers["default"].entered == 1
        [record] = caplog.records
        assert record.message == (
            "Channel layer 'failing' is not ready, and the application starts without it: no way there"
        )
    assert [layer.closed for layer in layers.values()] == [1, 1, 1]


@pytest.mark.anyio
async def test_lifespan_closes_the_layers_after_an_error_too() -> None:
    layer = Closing()
    channel_layers.configure({"default": layer})

    async def run() -> None:
        async with lifespan():
            raise LookupError("the application's own")

    with pytest.raises(LookupError, match="the application's own"):
        await run()
    assert layer.closed == 1


@pytest.mark.anyio
async def test_lifespan_fails_at_the_start_for_a_wrong_backend() -> None:
    channel_layers.configure({"default": {"BACKEND": "nowhere.Nothing"}})
    with pytest.raises(InvalidChannelLayerError):
        async with lifespan():
            raise AssertionError("the application must not start")


@pytest.mark.anyio
async def test_lifespan_closes_the_layers_even_when_cancelled() -> None:
    class Slow(Closing):
        async def close(self) -> None:
            await anyio.lowlevel.checkpoint()
            await super().close()

    layer = Slow()
    channel_layers.configure({"default": layer})
    with anyio.CancelScope() as scope:
        async with lifespan():
            scope.cancel()
            await anyio.sleep_forever()
    assert layer.closed == 1


@pytest.mark.anyio
async def test_lifespan_does_not_wait_for_ever(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Hanging(BaseChannelLayer):
        async def close(self) -> None:
            await anyio.sleep_forever()

    monkeypatch.setattr(registry, "CLOSE_TIMEOUT", 0.01)
    channel_layers.configure({"default": Hanging()})
    with anyio.fail_after(5):
        async with lifespan():
            pass
    assert "did not close within 0.01 s" in caplog.text


@pytest.mark.anyio
async def test_lifespan_fits_a_starlette_application() -> None:
    layer = Closing()
    channel_layers.configure({"default": layer})
    app = Starlette(lifespan=lifespan)
    async with app.router.lifespan_context(app):
        assert layer.closed == 0
    assert layer.closed == 1


def test_a_source_is_asked_whenever_the_configuration_is_needed() -> None:
    configs: dict[str, Any] = {}
    manager = ChannelLayerManager()
    manager.configure_from(lambda: configs)
    assert "default" not in manager
    configs["default"] = {"BACKEND": IN_MEMORY, "CONFIG": {"capacity": 7}}
    assert manager["default"].capacity == 7
    assert manager["default"] is manager["default"]


def test_a_new_source_forgets_the_layers_of_the_old_one() -> None:
    manager = ChannelLayerManager()
    manager.configure_from(lambda: {"default": {"BACKEND": IN_MEMORY, "CONFIG": {"capacity": 1}}})
    assert manager["default"].capacity == 1
    manager.configure_from(lambda: {"default": {"BACKEND": IN_MEMORY, "CONFIG": {"capacity": 2}}})
    assert manager["default"].capacity == 2


def test_an_explicit_configuration_goes_before_a_source() -> None:
    layer = InMemoryChannelLayer()
    manager = ChannelLayerManager()
    manager.configure({"default": layer})
    manager.configure_from(lambda: {"default": {"BACKEND": IN_MEMORY}, "other": {"BACKEND": IN_MEMORY}})
    assert manager["default"] is layer
    assert "other" not in manager


def test_what_a_source_says_is_checked_like_any_configuration() -> None:
    manager = ChannelLayerManager()
    manager.configure_from(lambda: {"default": {"BACKEND": IN_MEMORY, "ROUTING": "mysite.routing"}})
    with pytest.raises(InvalidChannelLayerError, match="unknown key 'ROUTING'"):
        manager["default"]


def test_presence_is_configured_as_the_other_options_are() -> None:
    class OfChannels(BaseChannelLayer):
        """Takes what the base takes."""

    rules: dict[str, Any] = {"grace": 0.5, "lease": 3, "max_list": 10}
    channel_layers.configure({"default": {"BACKEND": IN_MEMORY, "CONFIG": {"presence": rules}}})
    layer: Any = get_channel_layer()
    assert (layer._presence_options.grace, layer._presence_options.lease, layer._presence_options.max_list) == (
        0.5,
        3,
        10,
    )
    for backend, wrong, error in (
        (IN_MEMORY, {"graze": 1}, "does not take its CONFIG: presence has no option 'graze'"),
        (IN_MEMORY, {"grace": -1}, r"does not take its CONFIG: presence\[\"grace\"\] must be a number of seconds"),
        (IN_MEMORY, 5, "does not take its CONFIG: presence must be a dict such as"),
        (OfChannels, rules, r"does not take its CONFIG: OfChannels has no presence: configure consumers\.layers\."),
    ):
        channel_layers.configure({"default": {"BACKEND": backend, "CONFIG": {"presence": wrong}}})
        with pytest.raises(InvalidChannelLayerError, match=error):
            get_channel_layer()
