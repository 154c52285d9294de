"""Settings of a model that contradict each other or the data, and settings that nothing would come of.

Each function gives pairs: whether it is so, and the error that says so. `config` is a `config.ModelConfig`.
"""

import itertools
from collections.abc import Iterator

from pagerec_dbx.errors import SettingError
from pagerec_dbx.models.names import (
    BINARY,
    IN_BATCH_SOFTMAX,
    MEAN,
    MENU_SOFTMAX,
    MODEL_SETTINGS,
    PAGE_RANKER,
    SAMPLED_SOFTMAX,
)

Found = Iterator[tuple[object, SettingError]]
# What is learnt for ids and circumstances.
_BY_ID = (
    "factorisation", "target_attention", "shown_attention", "title_attributes", "title_buckets", "context",
    "cross_layers",
)  # fmt: skip


def require_sound(config) -> None:
    """Raise the first contradiction that there is.

    Raises:
        SettingError: settings that contradict each other or the data.
    """
    _raise_first(
        itertools.chain(
            _of_losses(config), _of_places(config), _of_terms(config), _of_own_weights(config), _of_shown(config)
        )
    )


def require_effect(config) -> None:
    """Raise the first setting that would do nothing; only of what is asked for, lest a saved model were refused.

    Raises:
        SettingError: a setting that nothing would come of.
    """
    _raise_first(itertools.chain(_without_draws(config), _without_readers(config)))


def _raise_first(found: Found) -> None:
    for is_so, error in found:
        if is_so:
            raise error


def _of_losses(config) -> Found:
    yield (
        config.loss == SAMPLED_SOFTMAX and config.sampled_rows >= config.row_count,
        SettingError(
            "setting `sampled_rows` is more than there are rows",
            wanted=f"1 to {config.row_count - 1:,}, the row vocabulary of this preparation",
            got=f"{config.sampled_rows:,}",
            fix="Lower sampled_rows, or train with loss=full_softmax",
        ),
    )
    yield (
        config.sampling == "menu" and config.loss != BINARY,
        SettingError(
            f"setting `sampling` does not go with loss={config.loss}",
            wanted="uniform, log_uniform or clicks",
            got="menu",
            fix="Use loss=menu_softmax, in which the rows offered compete, or loss=binary",
        ),
    )
    yield (
        config.label_smoothing and config.loss in (SAMPLED_SOFTMAX, IN_BATCH_SOFTMAX),
        SettingError(
            f"setting `label_smoothing` does not go with loss={config.loss}",
            wanted="0: the rows that a target would be spread over are not all scored",
            got=str(config.label_smoothing),
            fix="Train with loss=full_softmax, menu_softmax or binary",
        ),
    )


def _of_places(config) -> Found:
    yield (
        config.position_bias and config.loss != MENU_SOFTMAX,
        SettingError(
            f"setting `position_bias` does not go with loss={config.loss}",
            wanted="a loss whose rows all stand at a place of the page",
            got=str(config.position_bias),
            fix="Train with loss=menu_softmax",
        ),
    )
    yield (
        config.position_kept and not config.position_bias,
        SettingError(
            "setting `position_kept` keeps what is not learnt",
            wanted="position_bias=additive or examination",
            got="position_bias=null",
            fix="Set position_bias too",
        ),
    )
    yield (
        config.position_bias and config.propensities,
        SettingError(
            "setting `propensities` does not go with position_bias",
            wanted="one of them: a click's place is either modelled or weighed",
            got=f"position_bias={config.position_bias}, propensities={config.propensities}",
            fix="Leave one of them out",
        ),
    )


def _of_terms(config) -> Found:
    yield (
        config.viewer_taste and not config.row_attributes,
        SettingError(
            "setting `viewer_taste` needs what rows are about",
            wanted="row_attributes above 0",
            got="row_attributes=0",
            fix="Train with row_attributes=40 too, or without viewer_taste",
        ),
    )
    yield (
        config.row_network and not config.row_rates,
        SettingError(
            "setting `row_network` has nothing to read",
            wanted="row_rates=true, with viewer_taste and row_attributes or without",
            got="row_rates=false",
            fix="Train with row_rates=true too, or with row_network=0",
        ),
    )
    yield (
        config.row_counts and not config.row_network,
        SettingError(
            "setting `row_counts` is read by a network alone",
            wanted="row_network above 0",
            got="row_network=0",
            fix="Train with row_network=16 too, or without row_counts",
        ),
    )


def _of_own_weights(config) -> Found:
    if config.own_weights:
        return
    yield (
        not (config.name == PAGE_RANKER and config.row_rates and config.row_attributes),
        SettingError(
            "setting `own_weights` leaves nothing that tells rows apart",
            wanted=f"{PAGE_RANKER} with row_rates=true and row_attributes above 0, or own_weights=true",
            got=f"{config.name}, row_rates={str(config.row_rates).lower()}, row_attributes={config.row_attributes}",
            fix="Train with those, or leave own_weights=false out",
        ),
    )
    asked = [name for name in _BY_ID if getattr(config, name)]
    yield (
        asked,
        SettingError(
            "setting `own_weights` goes without what is learnt for ids and circumstances",
            wanted="none of " + ", ".join(_BY_ID),
            got=", ".join(asked),
            fix="Add factorisation=false context=[], or whichever it is, or leave own_weights=false out",
        ),
    )


def _of_shown(config) -> Found:
    asked = [name for name in ("shown_attention", "row_memory", "viewer_taste") if getattr(config, name)]
    asked += ["context=[last_visit]"] if "last_visit" in config.context else []
    for name in asked:
        yield (
            not config.shown_length,
            SettingError(
                f"setting `{name}` needs what was shown before",
                wanted="a preparation whose records hold it",
                got="shown_length=0",
                fix="Run `pagerec prepare shown_length=100`, then train on that",
            ),
        )


def _without_draws(config) -> Found:
    yield (
        config.sampling != "uniform" and config.loss not in (SAMPLED_SOFTMAX, BINARY),
        SettingError(
            f"setting `sampling` does nothing with loss={config.loss}",
            wanted="a loss for which rows are drawn: sampled_softmax or binary",
            got=f"sampling={config.sampling}",
            fix="Train with one of those, or leave sampling out",
        ),
    )


def _without_readers(config) -> Found:
    yield (
        config.cross_rank and not config.cross_layers,
        SettingError(
            "setting `cross_rank` is of layers that are not there",
            wanted="cross_layers above 0",
            got="cross_layers=0",
            fix="Set cross_layers=2 too, or leave cross_rank out",
        ),
    )
    yield (
        config.attribute_fields and not config.needs_knowledge,
        SettingError(
            "setting `attribute_fields` names what is not read",
            wanted="row_attributes or title_attributes above 0",
            got="row_attributes=0, title_attributes=0",
            fix="Set row_attributes=40 too, or leave attribute_fields out",
        ),
    )
    designed = MODEL_SETTINGS.get(config.name, {}).get("history_encoder", MEAN)
    yield (
        not config.own_weights and config.history_encoder not in (MEAN, designed),
        SettingError(
            "setting `history_encoder` does nothing without own_weights, which read no history",
            wanted="own_weights=true",
            got=f"own_weights=false, history_encoder={config.history_encoder}",
            fix="Leave one of them out",
        ),
    )
    yield (
        config.title_buckets and config.title_buckets >= config.title_count,
        SettingError(
            "setting `title_buckets` is no less than there are titles",
            wanted=f"2 to {config.title_count - 1:,}, below the title vocabulary of this preparation",
            got=f"{config.title_buckets or 0:,}",
            fix="Lower title_buckets, or leave it out: each title then has an embedding of its own",
        ),
    )
