"""What consumers are told of connections that are lost and back."""

import asyncio

import pytest

from consumers.layers.redis.layer import RedisLayer

from ...support.redis_layers import Make, Member, until

pytestmark = pytest.mark.anyio

GAP = {"type": "layer.gap", "group": None}


async def test_a_return_is_told_to_all_consumers_after_what_they_had_is_restored(
    layer: RedisLayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    process, restored = layer._process, list[int]()
    members = [await Member().join(layer) for _ in range(2)]

    async def restore(shard: int) -> None:
        assert members[0] == []
        restored.append(shard)

    monkeypatch.setattr(process.exchange, "restore", restore)
    await process.owners.gaps.announce([0])
    assert restored == [0]
    assert members == [[GAP], [GAP]]


async def test_what_the_application_wants_to_know_is_told(make: Make, kind: str) -> None:
    called: list[str] = []
    layer = make(kind, on_disconnect="lost", on_reconnect=lambda: called.append("back"))
    member = await Member().join(layer)
    gaps = layer._process.owners.gaps
    gaps.on_change(0, False)
    assert member == [{"type": "lost"}]
    gaps.on_change(0, True)
    await until(lambda: called == ["back"])
    assert member == [{"type": "lost"}, GAP]


async def test_an_owner_loop_that_has_begun_is_no_return(make: Make, kind: str) -> None:
    called: list[str] = []
    layer = make(kind, on_reconnect=lambda: called.append("back"))
    member = await Member().join(layer)
    await layer._process.owners.gaps.announce([0], layer._process.owners.require())
    assert (member, called) == ([GAP], [])


async def test_an_owner_loop_that_ends_meanwhile_leaves_it_to_the_next(layer: RedisLayer) -> None:
    owner = layer._process.owners.ensure()
    await owner.until_ready()
    layer._process.owners.release()
    await layer._process.owners.gaps.restore(0, None)
    await asyncio.gather(owner.close())
