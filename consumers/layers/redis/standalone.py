"""Makes sure that shards are no nodes of a Redis Cluster, where a script reaches the keys of one node only."""

from .hosts import WHAT_ARE_YOU, IsCluster, is_of_cluster
from .round_trips import Flow
from .settings import Settings


class Standalone:
    """Asks each shard once.

    Args:
        settings: the layer's.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._known = set[int]()

    def require(self, shard: int) -> Flow[None]:
        """Make sure of it; on any thread.

        Raises:
            IsCluster: if it is one.
        """
        if shard in self._known:
            return
        [[reply]] = yield [(shard, [WHAT_ARE_YOU])]
        if is_of_cluster(reply):
            raise IsCluster(
                f"Redis at {self._settings.hosts[shard]} is a node of a Redis Cluster, where presence and counts do "
                "not work; use a Redis server with cluster-enabled no"
            )
        self._known.add(shard)
