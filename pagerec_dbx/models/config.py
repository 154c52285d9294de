"""What a model is built from; it travels with the exported model, so it is plain data."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from pagerec_dbx.config import ModelSettings
from pagerec_dbx.errors import SettingError
from pagerec_dbx.models.names import BINARY, FULL_SOFTMAX, IN_BATCH_SOFTMAX, MENU_SOFTMAX, PAGE_RANKER, SAMPLED_SOFTMAX


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
    own_weights: bool = True
    position_bias: str | None = None
    position_kept: bool = False
    propensities: str | None = None

    def __post_init__(self):
        if self.loss == SAMPLED_SOFTMAX and self.sampled_rows >= self.row_count:
            raise SettingError(
                "setting `sampled_rows` is more than there are rows",
                wanted=f"1 to {self.row_count - 1:,}, the row vocabulary of this preparation",
                got=f"{self.sampled_rows:,}",
                fix="Lower sampled_rows, or train with loss=full_softmax",
            )
        if self.sampling == "menu" and self.loss != BINARY:
            raise SettingError(
                f"setting `sampling` does not go with loss={self.loss}",
                wanted="uniform, log_uniform or clicks",
                got="menu",
                fix="Use loss=menu_softmax, in which the rows offered compete, or loss=binary",
            )
        if self.position_bias and self.loss != MENU_SOFTMAX:
            raise SettingError(
                f"setting `position_bias` does not go with loss={self.loss}",
                wanted="a loss whose rows all stand at a place of the page",
                got=self.position_bias,
                fix="Train with loss=menu_softmax",
            )
        if self.position_kept and not self.position_bias:
            raise SettingError(
                "setting `position_kept` keeps what is not learnt",
                wanted="position_bias=additive or examination",
                got="position_bias=null",
                fix="Set position_bias too",
            )
        if self.position_bias and self.propensities:
            raise SettingError(
                "setting `propensities` does not go with position_bias",
                wanted="one of them: a click's place is either modelled or weighed",
                got=f"position_bias={self.position_bias}, propensities={self.propensities}",
                fix="Leave one of them out",
            )
        if self.viewer_taste and not self.row_attributes:
            raise SettingError(
                "setting `viewer_taste` needs what rows are about",
                wanted="row_attributes above 0",
                got="row_attributes=0",
                fix="Train with row_attributes=40 too, or without viewer_taste",
            )
        if self.row_network and not self.row_rates:
            raise SettingError(
                "setting `row_network` has nothing to read",
                wanted="row_rates=true, with viewer_taste and row_attributes or without",
                got="row_rates=false",
                fix="Train with row_rates=true too, or with row_network=0",
            )
        if not self.own_weights and not (self.name == PAGE_RANKER and self.row_rates and self.row_attributes):
            raise SettingError(
                "setting `own_weights` leaves nothing that tells rows apart",
                wanted=f"{PAGE_RANKER} with row_rates=true and row_attributes above 0, or own_weights=true",
                got=f"{self.name}, row_rates={str(self.row_rates).lower()}, row_attributes={self.row_attributes}",
                fix="Train with those, or leave own_weights=false out",
            )
        by_id = (
            "factorisation", "target_attention", "shown_attention", "title_attributes", "title_buckets", "context",
            "cross_layers",
        )  # fmt: skip
        asked = [name for name in by_id if getattr(self, name)]
        if not self.own_weights and asked:
            raise SettingError(
                "setting `own_weights` goes without what is learnt for ids and circumstances",
                wanted="none of " + ", ".join(by_id),
                got=", ".join(asked),
                fix="Add factorisation=false context=[], or whichever it is, or leave own_weights=false out",
            )
        shown = {name: getattr(self, name) for name in ("shown_attention", "row_memory", "viewer_taste")}
        for name, is_read in {**shown, "context=[last_visit]": "last_visit" in self.context}.items():
            if is_read and not self.shown_length:
                raise SettingError(
                    f"setting `{name}` needs what was shown before",
                    wanted="a preparation whose records hold it",
                    got="shown_length=0",
                    fix="Run `pagerec prepare shown_length=100`, then train on that",
                )
        if self.label_smoothing and self.loss in (SAMPLED_SOFTMAX, IN_BATCH_SOFTMAX):
            raise SettingError(
                f"setting `label_smoothing` does not go with loss={self.loss}",
                wanted="0: the rows that a target would be spread over are not all scored",
                got=str(self.label_smoothing),
                fix="Train with loss=full_softmax, menu_softmax or binary",
            )

    @property
    def needs_knowledge(self) -> bool:
        """Whether the model reads a catalogue of rows and titles."""
        return bool(self.row_attributes or self.title_attributes or self.row_rates)

    @property
    def needs_click_counts(self) -> bool:
        """Whether the loss asks how often each row was clicked in training."""
        return self.loss == IN_BATCH_SOFTMAX or (self.sampling == "clicks" and self.loss in (SAMPLED_SOFTMAX, BINARY))


def model_config(name: str, settings: ModelSettings, **sizes: int) -> ModelConfig:
    """A model's configuration: every setting of `ModelSettings`, and the sizes of the data."""
    fields: dict[str, Any] = sizes
    return ModelConfig(name, **fields, **dataclasses.asdict(settings))


def config_from_values(values: Mapping[str, Any]) -> ModelConfig:
    """What `dataclasses.asdict` and JSON made of a configuration, as one again.

    Raises:
        KeyError, TypeError: it is none.
    """
    # One that was saved before a setting came has none of it, which is what its default says.
    named = ("hidden_sizes", "context", "attribute_fields")
    lists = {name: tuple(values[name]) for name in named if name in values}
    return ModelConfig(**{**values, **lists})
