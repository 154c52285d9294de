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
from pagerec_dbx.schemas import SHOWN

FORMAT = 2  # raised whenever a folder written before can no longer be loaded

# The fields of a record that are texts in a page as it is served, and the vocabulary of each.
_TEXTS = {"history": "titles", "menu": "rows", "shown_row": "rows", "device": "devices", "location": "locations"}


def raw_specs(config: ModelConfig) -> dict[str, tf.TensorSpec]:
    """What the exported ranker takes: the fields of a record, with texts in place of ids."""
    kinds = dict.fromkeys(_TEXTS, tf.string)
    return {name: tf.TensorSpec(spec.shape, kinds.get(name, tf.int32)) for name, spec in record_specs(config).items()}


def raw_fields(config: ModelConfig) -> tuple[str, ...]:
    """Their names."""
    return tuple(raw_specs(config))


def record_fields(config: ModelConfig) -> tuple[str, ...]:
    """The names of the fields that a ranker scores from."""
    return tuple(record_specs(config))


class RankerModule(tf.Module):
    """The graph that is saved: four functions over the model, and the tables from tokens to ids."""

    def __init__(self, model, config: ModelConfig, vocabularies: Mapping[str, Sequence[str]]):
        super().__init__(name="ranker")
        self._model = model
        self._tables = {kind: _table(tokens) for kind, tokens in vocabularies.items()}
        records = record_specs(config)
        self.rank = tf.function(self._rank, input_signature=[raw_specs(config)], autograph=False)
        self.parts = tf.function(self._parts, input_signature=[raw_specs(config)], autograph=False)
        self.menu_scores = tf.function(self._masked, input_signature=[records], autograph=False)
        self.vocabulary_scores = tf.function(self._of_all_rows, input_signature=[records], autograph=False)

    def _rank(self, pages):
        """Rows in falling score, ties in menu order, padding last: row_id [pages, menu], score [pages, menu]."""
        scores = self._masked(self._ids(pages))
        order = tf.argsort(scores, axis=1, direction="DESCENDING", stable=True)  # [pages, menu]
        return {
            "row_id": tf.gather(pages["menu"], order, batch_dims=1),
            "score": tf.gather(scores, order, batch_dims=1),
        }

    def _parts(self, pages):
        """What the scores of `rank` are the sum of, in menu order, [pages, menu] each; padding has some numbers."""
        return self._model.menu_parts(self._ids(pages))

    def _ids(self, pages):
        """Texts to ids."""
        return {
            name: self._tables[_TEXTS[name]].lookup(values) if name in _TEXTS else values
            for name, values in pages.items()
        }

    def _of_all_rows(self, record):
        """[pages, row_count] logits of all rows of the vocabulary."""
        return self._model.vocabulary_scores(record)

    def _masked(self, record):
        """[pages, menu] logits of the offered rows, -inf for padding."""
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
        return self.module.menu_scores(_record(record, self.config)).numpy()

    def vocabulary_scores(self, record: Mapping[str, np.ndarray]) -> np.ndarray:
        """[pages, row_count] float32 logits; columns 0 and 1 are padding and unknown."""
        return self.module.vocabulary_scores(_record(record, self.config)).numpy()

    def rank(self, pages: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Raw strings (padded with "") to `row_id` and `score`, [pages, menu] each, best first, padding last."""
        ranked = self.module.rank(self._tensors(pages))
        return {
            "row_id": _decoded(ranked["row_id"].numpy()),
            "score": ranked["score"].numpy(),
        }

    def parts(self, pages: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """What each row's score is the sum of, [pages, menu] float32 in menu order, by the setting that asks for it.

        `own` is the model's own score; what the parts are is said in docs/models.md.
        """
        return {name: part.numpy() for name, part in self.module.parts(self._tensors(pages)).items()}

    def _tensors(self, pages: Mapping[str, np.ndarray]) -> dict[str, tf.Tensor]:
        return {name: tf.constant(pages[name], spec.dtype) for name, spec in raw_specs(self.config).items()}


# Into Python strings one by one: NumPy's fixed width would drop trailing NULs and widen all to the longest.
_decoded = np.frompyfunc(bytes.decode, 1, 1)


def _record(record: Mapping[str, np.ndarray], config: ModelConfig) -> dict[str, tf.Tensor]:
    """A record that holds more rows shown before than the model was trained with is cut to the most recent ones."""
    most = dict.fromkeys(SHOWN, config.shown_length)
    cut = {name: record[name][:, : most[name]] if name in most else record[name] for name in record_fields(config)}
    return {name: tf.constant(values, tf.int32) for name, values in cut.items()}


def save_ranker(model, config: ModelConfig, vocabularies: Mapping[str, Sequence[str]], folder: Path) -> Ranker:
    """Write the model with its vocabularies; the folder appears whole or not at all.

    Args:
        vocabularies: tokens in the order of their ids, from id 2, by kind: titles, rows, devices, locations.
    """
    model.forget_tables()
    module = RankerModule(model, config, vocabularies)
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
    return Ranker(version, ranker_config(folder), tf.saved_model.load(str(folder / "saved_model")))


def ranker_config(folder: Path) -> ModelConfig:
    """What a saved ranker was built from.

    Raises:
        RegistryError: the folder holds no ranker of this format.
    """
    try:
        description = json.loads((folder / "ranker.json").read_text(encoding="utf-8"))
        found = description["format"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RegistryError(
            f"{folder} holds no ranker",
            wanted="ranker.json and a SavedModel, as `pagerec train` registers them",
            got=type(error).__name__,
            fix="Name the folder of a registered version, or train again",
        ) from error
    if found != FORMAT:
        raise RegistryError("ranker of another format", wanted=str(FORMAT), got=str(found), fix="Train it again")
    return config_from_values(description["config"])


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
