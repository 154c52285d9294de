"""The legacy model's results file: read as it is, checked, shown beside our figures and never judged by."""

import dataclasses
import json
import math
import sys
from collections.abc import Mapping
from pathlib import Path

from pagerec_dbx.errors import LegacyFileError

KEY = "training_metrics"
NAMES = (
    "loss", "binary_accuracy", "val_loss", "val_binary_accuracy", "pop_mrr", "val_mrr", "pop_ndcg", "val_ndcg",
    "mrr_diff", "mrr_rel_diff", "ndcg_diff", "ndcg_rel_diff",
)  # fmt: skip
# By a part of the name, the first that it holds: relative differences first, as they have no upper end.
_RANGES = {
    "_rel_diff": (-1.0, math.inf),
    "_diff": (-1.0, 1.0),
    "loss": (0.0, math.inf),
    "accuracy": (0.0, 1.0),
    "mrr": (0.0, 1.0),
    "ndcg": (0.0, 1.0),
}


@dataclasses.dataclass(frozen=True)
class LegacyFigures:
    """What the legacy run reported of itself, on its own data."""

    metrics: Mapping[str, float]  # all of NAMES
    unknown: Mapping[str, object]  # further keys of the file, as they are


def read_legacy(file: Path) -> LegacyFigures:
    """The figures of a legacy results file.

    Raises:
        LegacyFileError: the file is missing, is no JSON, or lacks a figure or has one that is no finite number or
            that no such metric can have.
    """
    content = _parse(file)
    if not isinstance(content, dict) or not isinstance(figures := content.get(KEY), dict):
        raise LegacyFileError(
            f"legacy file {file} has no `{KEY}`",
            wanted=f'{{"{KEY}": {{"val_ndcg": .71, ...}}}}',
            got=f"keys {sorted(content)}" if isinstance(content, dict) else type(content).__name__,
            fix="Give the JSON that the legacy run left",
        )
    metrics = {name: _plausible(file, name, _finite(file, name, figures)) for name in NAMES}
    unknown = {name: value for name, value in figures.items() if name not in NAMES}
    return LegacyFigures(metrics, {**unknown, **{name: value for name, value in content.items() if name != KEY}})


def _parse(file: Path) -> object:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise LegacyFileError(
            f"legacy file {file} cannot be read", got=type(error).__name__, fix="Check the path given to --legacy"
        ) from error
    except ValueError as error:  # malformed JSON and malformed UTF-8 alike
        raise LegacyFileError(
            f"legacy file {file} is no JSON", got=str(error), fix="Give the JSON that the legacy run left"
        ) from error


def _finite(file: Path, name: str, figures: Mapping[str, object]) -> float:
    value = figures.get(name)
    if (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and abs(value) <= sys.float_info.max  # False for NaN, infinities and endless integers
    ):
        return float(value)
    raise LegacyFileError(
        f"legacy file {file}: `{KEY}.{name}` is {'missing' if name not in figures else 'no finite number'}",
        wanted="a finite number",
        got=repr(value) if name in figures else f"keys {sorted(figures)}",
        fix="Repair the file, or leave out --legacy",
    )


def _plausible(file: Path, name: str, value: float) -> float:
    low, high = next((ends for part, ends in _RANGES.items() if part in name), (-math.inf, math.inf))
    if low <= value <= high:
        return value
    raise LegacyFileError(
        f"legacy file {file}: `{KEY}.{name}` is no such metric",
        wanted=f"{low:g} to {high:g}",
        got=f"{value:g}",
        fix="Repair the file, or leave out --legacy",
    )
