"""A trained model with its vocabularies as one SavedModel: raw titles and row ids in, ranked row ids and scores out."""

import dataclasses
import io
import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from pagerec_dbx.errors import RegistryError
from pagerec_dbx.models.config import ModelConfig, config_from_values
from pagerec_dbx.models.inputs import record_specs

FORMAT = 1  # raised whenever a folder written before can no longer be loaded

_RAW_SPECS = {
    "history": tf.TensorSpec([None, None], tf.string),
    "history_age": tf.TensorSpec([None, None], tf.int32),
    "menu": tf.TensorSpec([None, None], tf.string),
    "hour": tf.TensorSpec([None], tf.int32),
    "weekday": tf.TensorSpec([None], tf.int32),
    "device": tf.TensorSpec([None], tf.string),
    "location": tf.TensorSpec([None], tf.string),
}
RAW_FIELDS = tuple(_RAW_SPECS)
RECORD_FIELDS = tuple(record_specs(None, None))


class RankerModule(tf.Module):
    """The graph that is saved: three functions over the model, and the tables from tokens to ids."""

    def __init__(self, model, vocabularies: Mapping[str, Sequence[str]]):
        super().__init__(name="ranker")
        self._model = model
        self._titles = _table(vocabularies["titles"])
        self._rows = _table(vocabularies["rows"])
        self._devices = _table(vocabularies["devices"])
        self._locations = _table(vocabularies["locations"])

    @tf.function(input_signature=[_RAW_SPECS], autograph=False)
    def rank(self, pages):
        """Rows in falling score, ties in menu order, padding last: row_id [pages, menu], score [pages, menu]."""
        record = {
            "history": self._titles.lookup(pages["history"]),
            "history_age": pages["history_age"],
            "menu": self._rows.lookup(pages["menu"]),
            "hour": pages["hour"],
            "weekday": pages["weekday"],
            "device": self._devices.lookup(pages["device"]),
            "location": self._locations.lookup(pages["location"]),
        }
        scores = self._masked(record)
        order = tf.argsort(scores, axis=1, direction="DESCENDING", stable=True)  # [pages, menu]
        return {
            "row_id": tf.gather(pages["menu"], order, batch_dims=1),
            "score": tf.gather(scores, order, batch_dims=1),
        }

    @tf.function(input_signature=[record_specs(None, None)], autograph=False)
    def menu_scores(self, record):
        """[pages, menu] logits of the offered rows, -inf for padding."""
        return self._masked(record)

    @tf.function(input_signature=[record_specs(None, None)], autograph=False)
    def vocabulary_scores(self, record):
        """[pages, row_count] logits of all rows of the vocabulary."""
        return self._model.vocabulary_scores(record)

    def _masked(self, record):
        scores = self._model.menu_scores(record)
        return tf.where(record["menu"] > 0, scores, tf.fill(tf.shape(scores), -np.inf))


def _table(tokens: Sequence[str]) -> tf.lookup.StaticHashTable:
    """Padding is the empty string, 0; tokens count from 2; any other is unknown, 1."""
    keys = tf.constant(["", *tokens], tf.string)
    ids = tf.constant([0, *range(2, len(tokens) + 2)], tf.int32)
    return tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(keys, ids), default_value=1)


@dataclasses.dataclass(frozen=True)
class Ranker:
    """A loaded model that scores pages; `version` names it in tables and answers."""

    version: str
    config: ModelConfig
    module: RankerModule

    def menu_scores(self, record: Mapping[str, np.ndarray]) -> np.ndarray:
        """[pages, menu] float32 logits; padding is -inf; ids past the model's vocabularies count as unknown."""
        return self.module.menu_scores(_record(record)).numpy()

    def vocabulary_scores(self, record: Mapping[str, np.ndarray]) -> np.ndarray:
        """[pages, row_count] float32 logits; columns 0 and 1 are padding and unknown."""
        return self.module.vocabulary_scores(_record(record)).numpy()

    def rank(self, pages: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Raw strings (padded with "") to `row_id` and `score`, [pages, menu] each, best first, padding last."""
        ranked = self.module.rank({name: tf.constant(pages[name], spec.dtype) for name, spec in _RAW_SPECS.items()})
        return {
            "row_id": _decoded(ranked["row_id"].numpy()),
            "score": ranked["score"].numpy(),
        }


# Into Python strings one by one: NumPy's fixed width would drop trailing NULs and widen all to the longest.
_decoded = np.frompyfunc(bytes.decode, 1, 1)


def _record(record: Mapping[str, np.ndarray]) -> dict[str, tf.Tensor]:
    return {name: tf.constant(record[name], tf.int32) for name in RECORD_FIELDS}


def save_ranker(model, config: ModelConfig, vocabularies: Mapping[str, Sequence[str]], folder: Path) -> Ranker:
    """Write the model with its vocabularies; the folder appears whole or not at all.

    Args:
        vocabularies: tokens in the order of their ids, from id 2, by kind: titles, rows, devices, locations.
    """
    module = RankerModule(model, vocabularies)
    aside = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(aside, ignore_errors=True)
    tf.saved_model.save(module, str(aside / "saved_model"))
    description = {"format": FORMAT, "config": dataclasses.asdict(config)}
    (aside / "ranker.json").write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    aside.rename(folder)
    return Ranker("in memory", config, module)


def load_ranker(folder: Path, version: str) -> Ranker:
    """A ranker as it was saved; only graphs and numbers are read, no code is run from the folder.

    Raises:
        RegistryError: the folder holds no ranker of this format.
    """
    try:
        description = json.loads((folder / "ranker.json").read_text(encoding="utf-8"))
        found = description["format"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RegistryError(f"{folder} holds no ranker", wanted="ranker.json", got=type(error).__name__) from error
    if found != FORMAT:
        raise RegistryError("ranker of another format", wanted=str(FORMAT), got=str(found), fix="Train it again")
    config = config_from_values(description["config"])
    return Ranker(version, config, tf.saved_model.load(str(folder / "saved_model")))


def pack_ranker(folder: Path) -> bytes:
    """A saved ranker as bytes, to be sent to workers."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            archive.write(path, path.relative_to(folder))
    return buffer.getvalue()


def unpack_ranker(data: bytes, version: str) -> Ranker:
    """The ranker of `pack_ranker`, on another machine."""
    with tempfile.TemporaryDirectory() as scratch:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            archive.extractall(scratch)
        return load_ranker(Path(scratch), version)
