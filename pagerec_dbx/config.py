"""Settings of every stage: frozen, checked when made, defaults in this one place.

A setting has one flat name (`holdout_fraction`, `epochs`, ...), given in a YAML file or as `key=value` on the command
line. A name that several stages use (`seed`) means the same in each.
"""

import dataclasses
import datetime as dt
import difflib
import json
import shlex
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path

import yaml

from pagerec_dbx.errors import SettingError


def _require(condition: bool, name: str, wanted: str, got: object) -> None:
    if not condition:
        raise SettingError(f"setting `{name}` is out of range", wanted=wanted, got=repr(got), fix=f"Change {name}")


def _require_one_of(name: str, names: tuple[str, ...], got: str) -> None:
    if got not in names:
        close = difflib.get_close_matches(got, names, n=1)
        fix = f"Write {name}={close[0]}, perhaps" if close else f"Change {name}"
        raise SettingError(f"setting `{name}` is unknown", wanted="one of " + ", ".join(names), got=repr(got), fix=fix)


def parse_time(name: str, text: object) -> dt.datetime:
    """An ISO 8601 time as a UTC datetime; without an offset it is UTC.

    Raises:
        SettingError: not such a time.
    """
    try:
        moment = text if isinstance(text, dt.datetime) else dt.datetime.fromisoformat(str(text))
    except ValueError as error:
        raise SettingError(
            f"setting `{name}` is no time", wanted="ISO 8601, e.g. 2024-01-04T00:00:00Z", got=repr(text)
        ) from error
    return moment.replace(tzinfo=dt.UTC) if moment.tzinfo is None else moment.astimezone(dt.UTC)


@dataclasses.dataclass(frozen=True)
class IngestSettings:
    """Settings of `pagerec ingest`."""

    max_quarantined_share: float = 0.05  # of a run's lines; more fails the run, after everything is written
    min_lines_for_share: int = 1_000  # runs with fewer lines are not judged by their quarantined share
    earliest_time: str = "2000-01-01T00:00:00Z"  # before it a time is implausible; one day after ingestion too
    max_line_bytes: int = 16 * 1024 * 1024  # longer lines are refused
    repeat_seconds: float = 2.0  # clicks of one viewer on one row closer than this are one click
    quarantine_days: float = 30.0  # refused lines are kept this long after their ingestion

    def __post_init__(self):
        _require(0 <= self.max_quarantined_share <= 1, "max_quarantined_share", "0 to 1", self.max_quarantined_share)
        parse_time("earliest_time", self.earliest_time)
        _require(self.max_line_bytes >= 1, "max_line_bytes", "at least 1", self.max_line_bytes)
        _require(0 < self.repeat_seconds <= 3_600, "repeat_seconds", "above 0, at most 3600", self.repeat_seconds)
        _require(self.quarantine_days > 0, "quarantine_days", "more than 0", self.quarantine_days)


@dataclasses.dataclass(frozen=True)
class ForgetSettings:
    """Settings of `pagerec forget`."""

    history_days: float = 7.0  # old versions of the tables are kept this long after a viewer was removed

    def __post_init__(self):
        _require(self.history_days >= 0, "history_days", "at least 0", self.history_days)


@dataclasses.dataclass(frozen=True)
class JoinSettings:
    """Settings of `pagerec join`."""

    window_seconds: float = 120.0  # a windowed click lies at most this long after its page view
    menu_length: int = 40  # M: clicks on rows past it are counted, training cuts them off
    health_limits: tuple[str, ...] = ()  # as windowed.match_rate>=.4; a day past a limit fails the run

    def __post_init__(self):
        _require(self.window_seconds > 0, "window_seconds", "more than 0", self.window_seconds)
        _require(1 <= self.menu_length <= 500, "menu_length", "1 to 500", self.menu_length)


WIDEST = 8_192  # of a vector or a layer: a mistyped zero must not ask for all of a machine's memory


@dataclasses.dataclass(frozen=True)
class PrepareSettings:
    """Settings of `pagerec prepare`: the cuts, the vocabularies, the record's lengths, the snapshot's layout."""

    holdout_fraction: float = 0.2  # of all labelled page views, the latest
    validation_fraction: float = 0.2  # of what lies before the holdout, the latest
    holdout_from: str | None = None  # a timestamp; takes precedence over the fraction
    validation_from: str | None = None  # a timestamp; takes precedence over the fraction
    history_length: int = 20  # H: most recent titles kept
    menu_length: int = 40  # M: rows of a menu kept in training and validation; the holdout keeps whole menus
    max_titles: int = 10_000  # entries of the title vocabulary, padding and unknown included
    max_rows: int = 10_000  # entries of the row vocabulary, padding and unknown included
    min_count: int = 1  # tokens seen less often than this in training are unknown
    row_groups: int = 24  # of a training snapshot, a multiple of 24, or as many times as keep each at 65,536 records
    catalogue: bool = False  # rows and titles of their tables have ids though no page view of training has them
    shown_length: int = 0  # rows shown on the viewer's earlier page views that a record keeps; 0 keeps none
    max_examples_per_viewer_day: int | None = None  # in training and in validation, never in the holdout; None: all
    snapshot_days: float = 30.0  # older snapshots are removed unless this preparation names them

    def __post_init__(self):
        _require(0 < self.holdout_fraction < 1, "holdout_fraction", "between 0 and 1", self.holdout_fraction)
        _require(0 < self.validation_fraction < 1, "validation_fraction", "between 0 and 1", self.validation_fraction)
        for name in ("holdout_from", "validation_from"):
            if getattr(self, name) is not None:
                parse_time(name, getattr(self, name))
        _require(self.history_length >= 1, "history_length", "at least 1", self.history_length)
        _require(1 <= self.menu_length <= 500, "menu_length", "1 to 500", self.menu_length)
        _require(self.max_titles >= 3, "max_titles", "at least 3", self.max_titles)
        _require(self.max_rows >= 3, "max_rows", "at least 3", self.max_rows)
        _require(self.min_count >= 1, "min_count", "at least 1", self.min_count)
        _require(self.row_groups >= 24 and self.row_groups % 24 == 0, "row_groups", "a multiple of 24", self.row_groups)
        _require(0 <= self.shown_length <= 500, "shown_length", "0 to 500", self.shown_length)
        cap = self.max_examples_per_viewer_day
        _require(cap is None or cap >= 1, "max_examples_per_viewer_day", "at least 1, or null", cap)
        _require(self.snapshot_days >= 0, "snapshot_days", "at least 0", self.snapshot_days)

    def as_command(self) -> str:
        """What to type to prepare like this: `pagerec prepare` and the settings that are not the defaults."""
        fields = {field.name: (getattr(self, field.name), field.default) for field in dataclasses.fields(self)}
        given = [f"{name}={json.dumps(value)}" for name, (value, default) in fields.items() if value != default]
        return shlex.join(["pagerec", "prepare", *given])


@dataclasses.dataclass(frozen=True)
class TrainSettings:
    """Settings of one training run."""

    epochs: int = 20  # at most; early stopping may end sooner
    batch_size: int = 2_048  # examples per rank and step
    learning_rate: float = 1e-3  # for one rank; grows with the number of ranks
    optimizer: str = "lazy_adam"  # lazy_adam moves only the embeddings that a batch has; or adam, sgd
    steps_at_once: int = 16  # steps in one call of the graph
    whole_table_rows: int | None = None  # ranks add up tables of so many embeddings whole; None: 16,384, two ranks none
    precision: str = "float32"  # or bfloat16 between weights and logits, for a GPU; a processor is slower with it
    xla: bool = False  # compile what XLA can on a GPU; on a processor it has no effect
    reader: str = "petastorm"  # of the snapshots; or parquet, which does without Petastorm and gives the same records
    cache: str | None = None  # a folder on each machine's own disk, where its part of the snapshots is copied to
    check_steps: int = 500  # between two checks, beside each epoch's end, that all ranks hold the same weights
    checkpoint_minutes: float = 5.0  # between two checkpoints of a training, from which --resume goes on
    checkpoints_kept: int = 2
    silence_seconds: float = 40.0  # without a sign of life from a rank or the driver before a training is given up
    best_by: str = "ndcg"  # of the validation part's menus, or loss (with position_bias), or last: whose epoch is kept
    patience: int = 3  # epochs without a better one before stopping
    seed: int = 17  # initial weights, shuffling; each rank derives its own

    def __post_init__(self):
        _require(self.epochs >= 1, "epochs", "at least 1", self.epochs)
        _require(self.batch_size >= 1, "batch_size", "at least 1", self.batch_size)
        _require_one_of("optimizer", ("lazy_adam", "adam", "sgd"), self.optimizer)
        _require_one_of("precision", ("float32", "bfloat16"), self.precision)
        _require_one_of("reader", ("petastorm", "parquet"), self.reader)
        _require(self.cache is None or bool(self.cache.strip()), "cache", "a folder, or null", self.cache)
        _require(self.check_steps >= 1, "check_steps", "at least 1", self.check_steps)
        _require(self.checkpoint_minutes >= 0, "checkpoint_minutes", "at least 0", self.checkpoint_minutes)
        _require(1 <= self.silence_seconds <= 86_400, "silence_seconds", "1 to 86,400", self.silence_seconds)
        _require(self.checkpoints_kept >= 1, "checkpoints_kept", "at least 1", self.checkpoints_kept)
        _require(1 <= self.steps_at_once <= 1_000, "steps_at_once", "1 to 1,000", self.steps_at_once)
        rows = self.whole_table_rows
        _require(rows is None or rows >= 0, "whole_table_rows", "at least 0, or null", rows)
        _require(0 < self.learning_rate < 10, "learning_rate", "above 0 and below 10", self.learning_rate)
        _require_one_of("best_by", ("ndcg", "loss", "last"), self.best_by)
        _require(self.patience >= 1, "patience", "at least 1", self.patience)
        _require(0 <= self.seed < 2_000_000_000, "seed", "0 to 1,999,999,999", self.seed)  # ranks add their numbers

    def standing(self, epoch: int, validation_ndcg: float, validation_loss: float) -> float:
        """Where an epoch stands by what `best_by` says: the lower, the better."""
        return {"ndcg": -validation_ndcg, "loss": validation_loss, "last": float(-epoch)}[self.best_by]


@dataclasses.dataclass(frozen=True)
class ModelSettings:
    """Settings of the network and its loss; its vocabularies' sizes come from the data."""

    embedding_size: int = 64
    hidden_sizes: tuple[int, ...] = (256, 128, 64)
    dropout: float = 0.0  # share of each hidden layer's outputs that training sets to zero
    l2: float = 0.0  # times the sum of squares of weights in the loss: of hidden and cross layers, rows and attributes
    title_buckets: int | None = None  # titles share so many embeddings, two each, by hashing; None: each has its own
    loss: str = "full_softmax"  # or sampled_softmax, in_batch_softmax, menu_softmax, binary
    label_smoothing: float = 0.0  # share of the target that is spread over all rows that compete
    sampled_rows: int = 100  # that compete with the clicked ones in each step of sampled_softmax
    sampling: str = "uniform"  # chances of rows drawn as not clicked: or log_uniform, clicks; binary also menu
    history_encoder: str = "mean"  # or recency (weighted by order and age), gru, attention
    # of hour, weekday, device, location; rows: menu_size, pinned; time since: last_watched, last_visit
    context: tuple[str, ...] = ()
    cross_layers: int = 0  # products of all features with each other, so many times over, before the hidden layers
    cross_rank: int | None = None  # of their weights; None: full
    factorisation: bool = False  # adds the products of the row with history and circumstances to its score
    target_attention: bool = False  # each row weighs the titles watched for itself, and its score gains what they say
    shown_attention: bool = False  # the same with the rows of earlier page views, clicked or passed over
    row_memory: bool = False  # how often this viewer clicked the row before, and passed it over, in its score
    row_attributes: int = 0  # attributes of a row, from the table `rows`, that its score is made of too, at most
    title_attributes: int = 0  # the same of the titles watched
    attribute_tokens: int = 1_000  # attributes that are told apart: the most frequent ones, padding included
    attribute_fields: tuple[str, ...] = ()  # fields of the tables that are read; none named: all
    row_rates: bool = False  # the row's click rate with all viewers before the page view, in its score
    viewer_taste: bool = False  # what this viewer clicked of the rows shown before, carried over to rows like them
    row_network: int = 0  # units of a network over what rates, taste and attributes say of a row, in its score
    row_counts: bool = False  # places and times at which the row was offered and clicked, read by that network too
    own_weights: bool = True  # rows and titles have some; without, rates, taste, memory and attributes tell rows apart
    position_bias: str | None = None  # additive or examination: learnt beside the score, set aside in ranking
    position_kept: bool = False  # not set aside: for what is ranked in the order in which it was served
    propensities: str | None = (
        None  # randomized or em: a click counts by the inverse of how often its place is looked at
    )

    def __post_init__(self):
        buckets = self.title_buckets
        losses = ("full_softmax", "sampled_softmax", "in_batch_softmax", "menu_softmax", "binary")
        samplings = ("uniform", "log_uniform", "clicks", "menu")
        encoders = ("mean", "recency", "gru", "attention")
        contexts = ("hour", "weekday", "device", "location", "menu_size", "pinned", "last_watched", "last_visit")
        _require(buckets is None or 2 <= buckets < 2**31, "title_buckets", "at least 2, or null", buckets)
        _require(0 <= self.dropout < 1, "dropout", "at least 0, below 1", self.dropout)
        _require(0 <= self.l2 <= 1, "l2", "0 to 1", self.l2)
        _require(1 <= self.embedding_size <= WIDEST, "embedding_size", f"1 to {WIDEST:,}", self.embedding_size)
        sound = bool(self.hidden_sizes) and all(1 <= size <= WIDEST for size in self.hidden_sizes)
        _require(sound, "hidden_sizes", f"one size or more of 1 to {WIDEST:,}, as in [128,64]", self.hidden_sizes)
        _require_one_of("loss", losses, self.loss)
        _require(0 <= self.label_smoothing < 1, "label_smoothing", "at least 0, below 1", self.label_smoothing)
        _require(self.sampled_rows >= 1, "sampled_rows", "at least 1", self.sampled_rows)
        _require_one_of("sampling", samplings, self.sampling)
        _require_one_of("history_encoder", encoders, self.history_encoder)
        for name in self.context:
            _require_one_of("context", contexts, name)
        _require(len(set(self.context)) == len(self.context), "context", "each name once", self.context)
        _require(0 <= self.cross_layers <= 10, "cross_layers", "0 to 10", self.cross_layers)
        ranked = self.cross_rank is None or 1 <= self.cross_rank <= WIDEST
        _require(ranked, "cross_rank", f"1 to {WIDEST:,}, or null", self.cross_rank)
        for name in ("row_attributes", "title_attributes"):
            _require(0 <= getattr(self, name) <= 500, name, "0 to 500", getattr(self, name))
        _require(0 <= self.row_network <= 10_000, "row_network", "0 to 10,000", self.row_network)
        _require(2 <= self.attribute_tokens <= 100_000, "attribute_tokens", "2 to 100,000", self.attribute_tokens)
        if self.position_bias is not None:
            _require_one_of("position_bias", ("additive", "examination"), self.position_bias)
        if self.propensities is not None:
            _require_one_of("propensities", ("randomized", "em"), self.propensities)


STANDARD_SLICES = ("menu size", "history", "popularity", "position", "hour", "device", "location")


@dataclasses.dataclass(frozen=True)
class JudgeSettings:
    """Settings of `evaluate`, `compare` and the verdict."""

    popularity_smoothing: float = 20.0  # impressions at the overall rate added to each row's own
    resamples: int = 2_000  # bootstrap resamples of viewers
    seed: int = 17  # of the resampling
    verdict_metric: str = "ndcg"  # the metric whose gain decides, under the menu protocol
    minimum_gain: float = 0.0  # the lower end of the interval must lie above it
    max_rank_latency_ms: float = 50.0  # the 99th percentile of the times to rank one page with the exported model
    max_holdout_age_days: float = 7.0  # from the holdout's end to the newest page view in the home
    slice_columns: tuple[str, ...] = ()  # columns of the examples to slice by, beside the standard ones
    least_slice_page_views: int = 100  # smaller slices are not compared
    guarded_slices: tuple[str, ...] = ("history", "device", "hour")  # in none of these may a version lose too much
    max_slice_loss: float = 0.01  # of the verdict's metric, beyond what chance explains
    max_calibration_error: float = 0.03  # expected calibration error over all pairs of page view and offered row
    alarm_above_tied_tops: float = 0.05  # share of page views on which the best score is shared by several rows
    alarm_below_effective_viewers: float = 100.0  # an interval over so few independent voices says too much
    signature_change_declared: bool = False  # the exported model may take or give something else than the champion's

    def __post_init__(self):
        metrics = ("ndcg", "ndcg_at_10", "reciprocal_rank", "hit_at_1", "hit_at_5")
        _require(self.verdict_metric in metrics, "verdict_metric", "one of " + ", ".join(metrics), self.verdict_metric)
        _require(self.popularity_smoothing >= 0, "popularity_smoothing", "at least 0", self.popularity_smoothing)
        _require(self.least_slice_page_views >= 1, "least_slice_page_views", "at least 1", self.least_slice_page_views)
        _require(0 <= self.max_calibration_error <= 1, "max_calibration_error", "0 to 1", self.max_calibration_error)
        _require(0 <= self.alarm_above_tied_tops <= 1, "alarm_above_tied_tops", "0 to 1", self.alarm_above_tied_tops)
        _require(self.max_slice_loss >= 0, "max_slice_loss", "at least 0", self.max_slice_loss)
        known = (*STANDARD_SLICES, *self.slice_columns)
        unknown = [name for name in self.guarded_slices if name not in known]
        _require(not unknown, "guarded_slices", "some of " + ", ".join(known), unknown)
        _require(self.minimum_gain >= 0, "minimum_gain", "at least 0", self.minimum_gain)
        _require(self.resamples >= 100, "resamples", "at least 100", self.resamples)
        _require(self.max_holdout_age_days >= 0, "max_holdout_age_days", "at least 0", self.max_holdout_age_days)


@dataclasses.dataclass(frozen=True)
class MonitorSettings:
    """Settings of `pagerec monitor`; a PSI fails past its limit only where chance does not go as far."""

    max_psi: float = 0.2  # rows, titles, menu sizes, scores: by custom .1 is a shift to watch, .2 one to act on
    max_psi_click_share: float = 0.05  # two cells only: a share of .30 that becomes .41 or .20
    max_psi_unknown: float = 0.1  # of tokens: a share of .02 that becomes .085; of none in 100,000, .013
    least_gain_over_popularity: float = 0.0  # NDCG of the day; fails where the whole 95 % interval lies below it
    monitor_cells: int = 50  # most frequent rows and titles of training with a cell of their own
    monitor_sample: int = 20_000  # page views of the training days that are scored, about

    def __post_init__(self):
        for name in ("max_psi", "max_psi_click_share", "max_psi_unknown"):
            _require(getattr(self, name) >= 0, name, "at least 0", getattr(self, name))
        gain = self.least_gain_over_popularity
        _require(-1 <= gain <= 1, "least_gain_over_popularity", "-1 to 1", gain)
        _require(1 <= self.monitor_cells <= 10_000, "monitor_cells", "1 to 10,000", self.monitor_cells)
        _require(self.monitor_sample >= 100, "monitor_sample", "at least 100", self.monitor_sample)


@dataclasses.dataclass(frozen=True)
class SimulateSettings:
    """The simulated world (see docs/simulation.md): sizes, strengths of the utility's terms, rates of log faults.

    A strength of 0 switches its term off, a rate of 0 its fault. Rates are shares of what they are said to befall.
    """

    seed: int = 17
    first_day: str = "2024-01-01"  # UTC
    lines_per_file: int = 100_000  # about; the set of lines does not depend on it
    gzip_logs: bool = False

    # Titles, rows, viewers
    world_themes: int = 8
    world_titles: int = 2_000
    world_rows: int = 140
    zipf_exponent: float = 0.9  # of the titles' popularity
    viewers_new_each_day: float = 0.05  # of the viewers who were there when the log begins
    launched_share: float = 0.0  # of the rows, the last ones: not offered before launch_day
    launch_day: float = 0.0  # days after the beginning of the log
    taste_focus: float = 0.8  # share of what a viewer watches that their taste decides; the rest is drawn by Zipf alone
    taste_drift: float = 0.65  # share of the taste that moves on; the rest is one theme for life
    taste_days: float = 8.0  # how long the moving part takes from one favourite theme to the next

    # What the service shows and logs
    logged_history_length: int = 20  # titles, at most
    menu_shortest: int = 20  # rows
    menu_longest: int = 40  # rows
    policy_strength: float = 1.0  # of the old popularity against the policy's noise; 0 shows random menus
    pinned_places: tuple[int, ...] = (0, 3, 8)  # rows 0, 1, 2 of the world stand there on pinned pages
    pinned_share: float = 0.8  # of the page views that are not randomized
    randomized_share: float = 0.1  # of the page views; no row is pinned there
    hashed_share: float = 0.25  # of the page views: in hashed payloads and page events, not in service and click log
    history_ids_alone_share: float = 0.1  # of the page views: titles without their times
    utc_offset_share: float = 0.7  # of the page views that say the viewer's offset

    # The utility of a row
    affinity_strength: float = 6.0  # to the recency-weighted themes of the logged history
    appeal_strength: float = 0.5
    context_strength: float = 0.3  # local hour, weekday, device
    interaction_strength: float = 0.5  # device x time of day
    position_strength: float = 0.5  # of the log examination, -log(position + 1)
    history_decay: float = 0.9  # weight of a title against the one after it; 1 forgets the order
    history_half_life_days: float = 7.0  # age at which a title counts half
    no_click_utility: float = 3.8

    # Faults of the logs
    repeated_page_rate: float = 0.01  # of the page views
    two_pages_rate: float = 0.06  # of viewers' second, fourth, ... page views: while the one before is open
    double_click_rate: float = 0.03  # of the clicks
    recorded_twice_rate: float = 0.15  # of the clicks on hashed page views: in click log and page events
    past_window_rate: float = 0.02  # of the clicks
    without_request_id_rate: float = 0.03  # of the clicks on service-log page views
    without_page_rate: float = 0.01  # of the page views: one more click, on a page that no log holds
    not_offered_rate: float = 0.01  # of the page views: one more click, on a row that was not offered
    before_page_rate: float = 0.002  # of the service-log page views: one more click, before the page was served
    other_viewer_rate: float = 0.002  # of the service-log page views: one more click, by somebody else
    late_rate: float = 0.005  # of the lines: in the next day's file
    out_of_order_rate: float = 0.02  # of the lines: written up to half an hour after their time
    broken_rate: float = 0.002  # of the lines: one more line, broken
    hostile_rate: float = 0.002  # of the lines: one more line, hostile

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name.endswith(("_rate", "_share")) or field.name in ("taste_focus", "taste_drift"):
                _require(0 <= value <= 1, field.name, "0 to 1", value)
            if field.name.endswith("_strength") or field.name == "viewers_new_each_day":
                _require(0 <= value <= 100, field.name, "0 to 100", value)
        parse_time("first_day", self.first_day)
        _require(self.lines_per_file >= 1, "lines_per_file", "at least 1", self.lines_per_file)
        _require(2 <= self.world_themes <= 20, "world_themes", "2 to 20", self.world_themes)
        _require(
            self.world_themes <= self.world_titles <= 50_000, "world_titles", "themes to 50,000", self.world_titles
        )
        _require(self.menu_shortest >= 2, "menu_shortest", "at least 2", self.menu_shortest)
        _require(self.menu_longest >= self.menu_shortest, "menu_longest", "at least menu_shortest", self.menu_longest)
        _require(
            self.menu_longest + len(self.pinned_places) < self.world_rows <= 1_000,
            "world_rows",
            "more than menu_longest and the pinned rows, at most 1,000",
            self.world_rows,
        )
        _require(
            self.menu_longest + len(self.pinned_places) < self.rows_from_the_beginning,
            "launched_share",
            "to leave more rows than menu_longest and the pinned ones from the beginning",
            f"{self.launched_share:g}, which leaves {self.rows_from_the_beginning}",
        )
        _require(self.launch_day >= 0, "launch_day", "at least 0", self.launch_day)
        _require(
            list(self.pinned_places) == sorted({place for place in self.pinned_places if place >= 0})
            and all(place < self.menu_shortest for place in self.pinned_places),
            "pinned_places",
            "rising positions below menu_shortest",
            self.pinned_places,
        )
        _require(self.zipf_exponent >= 0, "zipf_exponent", "at least 0", self.zipf_exponent)
        _require(self.taste_days > 0, "taste_days", "more than 0", self.taste_days)
        _require(
            1 <= self.logged_history_length <= 500, "logged_history_length", "1 to 500", self.logged_history_length
        )
        _require(0 < self.history_decay <= 1, "history_decay", "above 0, at most 1", self.history_decay)
        _require(self.history_half_life_days > 0, "history_half_life_days", "more than 0", self.history_half_life_days)

    @property
    def rows_from_the_beginning(self) -> int:
        """How many rows are offered before `launch_day`."""
        return self.world_rows - round(self.launched_share * self.world_rows)


@dataclasses.dataclass(frozen=True)
class Settings:
    """All stages' settings; hand each function only its own part."""

    simulate: SimulateSettings = SimulateSettings()
    ingest: IngestSettings = IngestSettings()
    forget: ForgetSettings = ForgetSettings()
    join: JoinSettings = JoinSettings()
    prepare: PrepareSettings = PrepareSettings()
    model: ModelSettings = ModelSettings()
    train: TrainSettings = TrainSettings()
    judge: JudgeSettings = JudgeSettings()
    monitor: MonitorSettings = MonitorSettings()


def load_settings(
    file: Path | None = None, overrides: Iterable[str] = (), designed: Mapping[str, object] | None = None
) -> Settings:
    """Defaults, then what a model was designed with, then the YAML file, then `key=value` overrides.

    Raises:
        SettingError: an unknown name, a value of the wrong type or out of range, a file that is no flat mapping.
    """
    return settings_from({**(designed or {}), **given_settings(file, overrides)})


def given_settings(file: Path | None = None, overrides: Iterable[str] = ()) -> Mapping[str, object]:
    """What a YAML file and `key=value` overrides ask for, by flat name, not yet checked.

    Raises:
        SettingError: a file or an override that is malformed.
    """
    values = dict({} if file is None else _read_yaml(file))
    for override in overrides:
        name, equals, text = override.partition("=")
        if not equals or not name:
            raise SettingError("malformed override", wanted="key=value", got=repr(override), fix="Write epochs=5")
        values[name] = _value(override, text)
    return values


def _value(override: str, text: str) -> object:
    try:
        return yaml.safe_load(text) if text else None
    except yaml.YAMLError as error:
        raise SettingError(
            "malformed override", wanted="key=value", got=repr(override), fix="Write epochs=5"
        ) from error


def settings_from(values: Mapping[str, object]) -> Settings:
    """Settings with some values other than the defaults, by flat name."""
    unknown = sorted(set(values) - set(_all_names()))
    if unknown:
        close = difflib.get_close_matches(unknown[0], _all_names(), n=1)
        raise SettingError(
            f"unknown setting `{unknown[0]}`",
            wanted=f"`{close[0]}`, perhaps" if close else "one that `pagerec settings` lists",
            fix="List them with `pagerec settings`",
        )
    parts = {}
    for part in dataclasses.fields(Settings):
        kind: type = type(part.default)
        types = typing.get_type_hints(kind)
        chosen = {name: _typed(name, types[name], values[name]) for name in types if name in values}
        parts[part.name] = kind(**chosen)
    return Settings(**parts)


def flat(settings: Settings) -> dict[str, object]:
    """Every setting by its flat name."""
    return {
        field.name: getattr(getattr(settings, part.name), field.name)
        for part in dataclasses.fields(settings)
        for field in dataclasses.fields(getattr(settings, part.name))
    }


def _all_names() -> list[str]:
    return list(flat(Settings()))


def _read_yaml(file: Path) -> Mapping[str, object]:
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingError(f"settings file {file} cannot be read", wanted="a YAML file", got=str(error)) from error
    if content is None:
        return {}
    if not isinstance(content, dict) or not all(isinstance(name, str) for name in content):
        raise SettingError(f"settings file {file} is malformed", wanted="key: value", got=type(content).__name__)
    return content


_SPOKEN = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}


def _typed(name: str, wanted: object, value: object) -> object:
    options = typing.get_args(wanted) if type(None) in typing.get_args(wanted) else (wanted,)
    if value is None and type(None) in options:
        return None
    kind = next(option for option in options if option is not type(None))
    if kind is str and isinstance(value, str | dt.date | dt.datetime):
        return value if isinstance(value, str) else value.isoformat()
    if kind is float and isinstance(value, str):
        value = _number(value)  # YAML reads 1e-3 as text
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool) and abs(value) != float("inf"):
        return float(value)
    if kind is int and isinstance(value, int) and not isinstance(value, bool):
        return value
    if kind is bool and isinstance(value, bool):
        return value
    if typing.get_origin(kind) is tuple:
        element = typing.get_args(kind)[0]
        return tuple(_typed(name, element, one) for one in (value if isinstance(value, list | tuple) else [value]))
    wanted_name = _SPOKEN.get(kind) or getattr(kind, "__name__", str(kind))
    raise SettingError(
        f"setting `{name}` has the wrong type",
        wanted=wanted_name,
        got=repr(value),
        fix=f"Change {name}, or leave it out",
    )


def _number(text: str) -> object:
    try:
        return float(text)
    except ValueError:
        return text
