"""The validation page views of one rank, measured after each epoch."""

import tensorflow as tf

from pagerec_dbx.config import TrainSettings
from pagerec_dbx.features.snapshot import Snapshot
from pagerec_dbx.features.stream import Shard, open_stream
from pagerec_dbx.models.metrics import NDCG


class Validation:
    """Sums over the validation page views of one rank: of the loss, and of the NDCG of the rows offered."""

    def __init__(self, model):
        self._model, self._ndcg = model, NDCG()
        self.step = tf.function(self._measure, reduce_retracing=True, autograph=False)

    def sums(self, snapshot: Snapshot, shard: Shard, settings: TrainSettings) -> tuple[float, float, float]:
        """Sum of losses, sum of NDCGs, and number of page views in this rank's part."""
        self._ndcg.reset_state()
        total = count = 0.0
        with open_stream(snapshot, shard, settings.batch_size, settings.seed, reader=settings.reader) as batches:
            for batch in batches:
                records = int(batch["menu"].shape[0])
                total += float(self.step(batch)) * records
                count += records
        return total, float(self._ndcg.total), count

    def _measure(self, batch):
        scores = self._model.menu_scores(batch)
        self._ndcg.update_state(batch["clicked"], scores, mask=batch["menu"] > 0)
        return self._model.compute_loss(batch, training=False)
