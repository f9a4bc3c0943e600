"""The public contract, on every layer; on channels_redis' too, as far as those keep it."""

from typing import ClassVar

import pytest

from consumers.layers.base import Layer
from consumers.testing import LayerContract
from consumers.types import Close, Deliver

from ...support.contract import MakeLayer, attach

ANY: frozenset[str] = frozenset()


@pytest.mark.anyio
class TestContract(LayerContract):
    traits: ClassVar[dict[str, frozenset[str]]] = {
        "test_an_attached_receiver_is_handed_its_messages": ANY,
        "test_a_group_send_reaches_every_member_once": ANY,
        "test_a_group_send_to_nobody_is_harmless": ANY,
        "test_discarded_members_get_nothing": ANY,
        "test_a_receiver_gets_a_senders_messages_in_order": ANY,
        "test_nobody_sees_what_another_does_to_a_message": frozenset({"isolates"}),
    }
    """What a layer needs for a test; the whole contract for all others."""

    @pytest.fixture(autouse=True)
    def _use_kind(self, make: MakeLayer) -> None:
        self._make = make

    def make_layer(self) -> Layer:
        return self._make()

    async def attach(self, layer: Layer, deliver: Deliver, close: Close | None = None) -> str:
        return await attach(layer, deliver, close)
