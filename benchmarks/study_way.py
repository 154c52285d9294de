"""How the study trained: TFRecord files of strings, looked up in the graph, fitted by Keras step by step."""

from collections.abc import Callable, Mapping
from pathlib import Path

import tensorflow as tf
import tf_keras

from benchmarks.keras_way import PlainTwoTower
from pagerec_dbx.features.snapshot import Snapshot, read_batches
from pagerec_dbx.models.config import ModelConfig

BATCH = 2_048
_SHUFFLED = 65_536  # records that an epoch's order is drawn from at a time


def write_study_files(part: Snapshot, folder: Path) -> list[str]:
    """The records as tf.train.Examples with titles and rows as strings, one file a row group."""
    folder.mkdir(parents=True)
    files = []
    for number, batch in enumerate(read_batches(part, max(part.manifest.row_groups))):
        files.append(str(folder / f"part-{number:05d}.tfrecord"))
        with tf.io.TFRecordWriter(files[-1]) as writer:
            for history, menu, clicked in zip(batch["history"], batch["menu"], batch["clicked"], strict=True):
                writer.write(_example(history.tolist(), menu.tolist(), clicked.tolist()))
    return files


def _example(history: list[int], menu: list[int], clicked: list[int]) -> bytes:
    def tokens(ids: list[int], prefix: str) -> tf.train.Feature:
        values = [f"{prefix}{one}".encode() if one else b"" for one in ids]
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))

    features = {
        "history": tokens(history, "title-"),
        "menu": tokens(menu, "row-"),
        "clicked": tf.train.Feature(int64_list=tf.train.Int64List(value=clicked)),
    }
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


Records = Callable[[list[str], Mapping[str, tf.io.FixedLenFeature]], tf.data.Dataset]


def one_by_one(files: list[str], specs: Mapping[str, tf.io.FixedLenFeature]) -> tf.data.Dataset:
    """Batches of records that are parsed one by one, as TensorFlow's guides to TFRecords do."""
    texts = tf.data.TFRecordDataset(files)
    records = texts.map(lambda text: tf.io.parse_single_example(text, specs), num_parallel_calls=tf.data.AUTOTUNE)
    return records.shuffle(_SHUFFLED, seed=1).batch(BATCH, drop_remainder=True)


def in_batches(files: list[str], specs: Mapping[str, tf.io.FixedLenFeature]) -> tf.data.Dataset:
    """The same parsed a batch at a time, as who knows of it does."""
    texts = tf.data.TFRecordDataset(files).shuffle(_SHUFFLED, seed=1).batch(BATCH, drop_remainder=True)
    return texts.map(lambda batch: tf.io.parse_example(batch, specs), num_parallel_calls=tf.data.AUTOTUNE)


def study_epochs(files: list[str], config: ModelConfig, part: Snapshot, records: Records, epochs: int) -> None:
    """Train from the files."""
    model = _Fitted(config)
    model.compile(optimizer=tf_keras.optimizers.legacy.Adam(1e-3))
    manifest = part.manifest
    specs = {
        "history": tf.io.FixedLenFeature([manifest.history_length], tf.string),
        "menu": tf.io.FixedLenFeature([manifest.menu_length], tf.string),
        "clicked": tf.io.FixedLenFeature([manifest.menu_length], tf.int64),
    }
    model.fit(records(files, specs).prefetch(2), epochs=epochs, verbose=0)


class _Fitted(tf_keras.Model):
    """The plain model behind string lookups."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self._model = PlainTwoTower(config, seed=1)
        self._titles = _lookup("title-", config.title_count)
        self._rows = _lookup("row-", config.row_count)

    def train_step(self, record):
        with tf.GradientTape() as tape:
            ids = {
                "history": tf.cast(self._titles(record["history"]), tf.int32),
                "menu": tf.cast(self._rows(record["menu"]), tf.int32),
                "clicked": record["clicked"],
            }
            loss = self._model.compute_loss(ids, training=True)
        self.optimizer.minimize(loss, self._model.trainable_variables, tape=tape)
        return {"loss": loss}


def _lookup(prefix: str, count: int) -> tf_keras.layers.StringLookup:
    return tf_keras.layers.StringLookup(vocabulary=[f"{prefix}{one}" for one in range(2, count)], mask_token="")
