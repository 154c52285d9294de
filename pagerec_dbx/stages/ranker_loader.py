"""A registered ranker for Spark's workers: broadcast once as bytes, unpacked once a worker process."""

import dataclasses

from pyspark.broadcast import Broadcast

from pagerec_dbx.models.export import Ranker, pack_ranker, ranker_config, unpack_ranker
from pagerec_dbx.registry.store import Registry
from pagerec_dbx.tables import Tables


@dataclasses.dataclass(frozen=True)
class BroadcastRanker:
    """Called on a worker, gives the ranker; the same bytes reach every worker once."""

    data: Broadcast
    version: str
    shown_length: int  # of its model: what its pages must come with

    def __call__(self) -> Ranker:
        return unpack_ranker(self.data.value, self.version)


def broadcast_ranker(tables: Tables, registry: Registry, version: str) -> BroadcastRanker:
    """Read a version's ranker on the driver and send it to the workers."""
    number = registry.resolve(version)
    folder = registry.ranker_folder(number)
    packed = tables.spark.sparkContext.broadcast(pack_ranker(folder))
    return BroadcastRanker(packed, number, ranker_config(folder).shown_length)
