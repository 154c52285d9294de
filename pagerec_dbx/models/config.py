"""What a model is built from; it travels with the exported model, so it is plain data."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from pagerec_dbx.config import ModelSettings
from pagerec_dbx.models.contradictions import require_effect, require_sound
from pagerec_dbx.models.names import BINARY, FULL_SOFTMAX, IN_BATCH_SOFTMAX, SAMPLED_SOFTMAX


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """Name and sizes of a model, and the settings it was asked with; the counts include padding (0) and unknown (1).

    Raises:
        SettingError: settings that contradict each other or the data.
    """

    name: str
    title_count: int
    row_count: int
    device_count: int = 2
    location_count: int = 2
    history_length: int = 20
    menu_length: int = 40  # places of which training sees clicks
    shown_length: int = 0  # rows shown before that a record holds; 0: it has no such fields
    embedding_size: int = 64
    hidden_sizes: tuple[int, ...] = (256, 128, 64)
    dropout: float = 0.0
    l2: float = 0.0
    title_buckets: int | None = None
    loss: str = FULL_SOFTMAX
    label_smoothing: float = 0.0
    sampled_rows: int = 100
    sampling: str = "uniform"
    history_encoder: str = "mean"
    context: tuple[str, ...] = ()
    cross_layers: int = 0
    cross_rank: int | None = None
    factorisation: bool = False
    target_attention: bool = False
    shown_attention: bool = False
    row_memory: bool = False
    row_attributes: int = 0
    title_attributes: int = 0
    attribute_tokens: int = 1_000
    attribute_fields: tuple[str, ...] = ()
    row_rates: bool = False
    viewer_taste: bool = False
    row_network: int = 0
    row_counts: bool = False
    own_weights: bool = True
    position_bias: str | None = None
    position_kept: bool = False
    propensities: str | None = None

    def __post_init__(self):
        require_sound(self)

    @property
    def needs_knowledge(self) -> bool:
        """Whether the model reads a catalogue of rows and titles."""
        return bool(self.row_attributes or self.title_attributes or self.row_rates)

    @property
    def needs_click_counts(self) -> bool:
        """Whether the loss asks how often each row was clicked in training."""
        return self.loss == IN_BATCH_SOFTMAX or (self.sampling == "clicks" and self.loss in (SAMPLED_SOFTMAX, BINARY))


def model_config(name: str, settings: ModelSettings, **sizes: int) -> ModelConfig:
    """A model's configuration: every setting of `ModelSettings`, and the sizes of the data.

    Raises:
        SettingError: settings that contradict each other or the data, or that nothing would come of.
    """
    fields: dict[str, Any] = sizes
    config = ModelConfig(name, **fields, **dataclasses.asdict(settings))
    require_effect(config)
    return config


def config_from_values(values: Mapping[str, Any]) -> ModelConfig:
    """What `dataclasses.asdict` and JSON made of a configuration, as one again.

    Raises:
        KeyError, TypeError: it is none.
    """
    # One that was saved before a setting came has none of it, which is what its default says.
    named = ("hidden_sizes", "context", "attribute_fields")
    lists = {name: tuple(values[name]) for name in named if name in values}
    return ModelConfig(**{**values, **lists})
