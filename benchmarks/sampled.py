"""`python -m benchmarks.sampled`: sampled softmax against the full one over 50,000 rows, by what both come to and cost.

SIMULATED page views in memory: titles and rows have themes, rows are as popular as Zipf's law says, and a click is a
draw from P(row) ~ popularity x exp(strength x share of the row's theme in the history), over the whole vocabulary.
"""

import argparse
import dataclasses
import time
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import tensorflow as tf

from benchmarks.train import machine
from pagerec_dbx.config import TrainSettings
from pagerec_dbx.models.build import build
from pagerec_dbx.models.config import ModelConfig
from pagerec_dbx.models.losses import full_softmax
from pagerec_dbx.training.optimizer import optimizer_of
from pagerec_dbx.training.steps import Steps

TITLES, THEMES, HISTORY, MENU, STRENGTH = 2_000, 25, 20, 30, 8.0
BATCH, JUDGED = 1_024, 20_000
OFFERED = 2_000  # the most popular rows, of which menus are made
AT_ONCE = 2_000  # page views whose menus are drawn together: as many times OFFERED numbers lie in memory
SIZES = {"embedding_size": 32, "hidden_sizes": (64,)}


@dataclasses.dataclass(frozen=True)
class Way:
    """A loss over the rows of the vocabulary."""

    name: str
    settings: Mapping[str, object]


WAYS = (
    Way("full softmax", {"loss": "full_softmax"}),
    Way("1,000 rows, log-uniform", {"loss": "sampled_softmax", "sampled_rows": 1_000, "sampling": "log_uniform"}),
    Way("4,000 rows, log-uniform", {"loss": "sampled_softmax", "sampled_rows": 4_000, "sampling": "log_uniform"}),
    Way("4,000 rows, uniform", {"loss": "sampled_softmax", "sampled_rows": 4_000, "sampling": "uniform"}),
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train each way from the same start on the same page views, the ways' epochs in turn; a line each."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sampled", description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--page-views", type=int, default=200_000)
    parser.add_argument("--epochs", type=int, default=6)
    options = parser.parse_args(arguments)
    train, judged = (drawn(options.rows, count, seed) for count, seed in ((options.page_views, 1), (JUDGED, 2)))
    trainers = [(way, Trainer(way, options.rows, options.page_views // BATCH)) for way in WAYS]
    for epoch in range(options.epochs):
        for _, trainer in trainers:
            trainer.epoch(train, epoch)
    found = {way.name: (trainer.seconds, *ndcg(trainer.model, judged)) for way, trainer in trainers}
    print(
        f"{machine()}\n\nSIMULATED: {options.page_views:,} page views x {options.epochs} epochs, {options.rows:,} "
        f"rows, batch {BATCH:,}; judged on {JUDGED:,} others\n\n{table(found, options.page_views // BATCH)}"
    )


def drawn(rows: int, page_views: int, seed: int) -> dict[str, np.ndarray]:
    """Page views with one click each, as models read them; ids of rows are in order of popularity."""
    draw, world = np.random.default_rng(seed), np.random.default_rng(0)
    theme_of_title, theme_of_row = world.integers(0, THEMES, TITLES), world.integers(0, THEMES, rows)
    popularity = 1.0 / np.arange(1, rows + 1)
    taste = draw.dirichlet(np.full(THEMES, 0.15), page_views)
    themes = (taste.cumsum(axis=1)[:, None, :] < draw.random((page_views, HISTORY, 1))).sum(axis=2)
    history = _members(draw, theme_of_title, np.ones(TITLES), np.minimum(themes, THEMES - 1))
    watched = theme_of_title[history]
    share = np.stack([(watched == theme).mean(axis=1) for theme in range(THEMES)], axis=1)
    weight = np.bincount(theme_of_row, popularity, THEMES) * np.exp(STRENGTH * share)  # [page views, themes]
    chance = weight.cumsum(axis=1) / weight.sum(axis=1, keepdims=True)
    chosen = np.minimum((chance < draw.random((page_views, 1))).sum(axis=1), THEMES - 1)
    clicked = _members(draw, theme_of_row, popularity, chosen)
    menu = np.concatenate([_menu(draw, one, popularity) for one in np.array_split(clicked, -(-page_views // AT_ONCE))])
    is_clicked = np.zeros((page_views, MENU), np.int32)
    is_clicked[:, 0] = 1
    record = {"history": history + 2, "menu": menu, "clicked": is_clicked}
    record["history_age"] = np.ones_like(history)
    singles = dict.fromkeys(("day", "hour", "weekday", "device", "location"), np.ones(page_views))
    fields = {name: np.asarray(values, np.int32) for name, values in {**record, **singles}.items()}
    return {**fields, "page_view_id": np.arange(page_views)}


def _menu(draw: np.random.Generator, clicked: np.ndarray, popularity: np.ndarray) -> np.ndarray:
    """[page views, MENU] ids: the clicked row, then others, each once, as likely as it is popular (Plackett-Luce) among
    the most popular."""
    weights = popularity[:OFFERED]
    behind = np.log(draw.exponential(size=(len(clicked), len(weights)))) - np.log(weights)
    behind[np.arange(len(weights)) == clicked[:, None]] = np.inf
    others = np.argpartition(behind, MENU - 1, axis=1)[:, : MENU - 1]
    return np.concatenate([clicked[:, None], others], axis=1) + 2


def _members(draw: np.random.Generator, theme_of: np.ndarray, weights: np.ndarray, themes: np.ndarray) -> np.ndarray:
    """One of each theme's members, as likely as its weight: of the shape of `themes`."""
    order = np.argsort(theme_of, kind="stable")
    ends = np.concatenate([[0.0], weights[order].cumsum()])
    starts = np.searchsorted(theme_of[order], np.arange(THEMES + 1))
    low, high = ends[starts[themes]], ends[starts[themes + 1]]
    place = np.searchsorted(ends, low + (high - low) * draw.random(themes.shape), side="right") - 1
    return order[np.clip(place, starts[themes], starts[themes + 1] - 1)]


class Trainer:
    """A way's model and its steps."""

    def __init__(self, way: Way, rows: int, steps: int):
        self.model = build(ModelConfig("single_tower_softmax", TITLES + 2, rows + 2, **SIZES, **way.settings), 1)
        settings = TrainSettings(batch_size=BATCH, learning_rate=0.002)
        self._run = Steps(self.model, optimizer_of(settings, 1, steps), lambda gradients, _: gradients).run
        self.seconds: list[float] = []  # of each epoch; the first holds the making of the graph

    def epoch(self, records: dict[str, np.ndarray], number: int) -> None:
        """Whole batches in an order of the number's own."""
        count = len(records["menu"]) // BATCH
        order = np.random.default_rng(number).permutation(len(records["menu"]))
        signature = {name: tf.TensorSpec([BATCH, *values.shape[1:]], values.dtype) for name, values in records.items()}
        dataset = tf.data.Dataset.from_generator(lambda: _batches(records, order), output_signature=signature)
        batches, started = iter(dataset.prefetch(2)), time.perf_counter()
        self._run(batches, count)
        self.seconds.append(time.perf_counter() - started)


def _batches(records: dict[str, np.ndarray], order: np.ndarray) -> Iterator[dict[str, np.ndarray]]:
    for start in range(0, len(order) // BATCH * BATCH, BATCH):
        yield {name: values[order[start : start + BATCH]] for name, values in records.items()}


def ndcg(model, records: dict[str, np.ndarray]) -> tuple[float, float, float]:
    """NDCG of the clicked row among all rows and among those offered, and the full softmax's loss; no ties to speak of.

    With one relevant row it is 1 / log2(1 + its place).
    """

    @tf.function(autograph=False)
    def of_batch(batch):
        every, offered = model.vocabulary_scores(batch), model.menu_scores(batch)
        own = offered[:, :1]  # the clicked row stands first
        loss = full_softmax(batch["menu"], batch["clicked"], every)
        better = (tf.cast(scores > own, tf.int32) for scores in (every[:, 2:], offered))  # neither padding nor unknown
        return [1 + tf.reduce_sum(one, axis=1) for one in better], loss

    sums = np.zeros(3)
    for start in range(0, len(records["menu"]), 500):
        places, loss = of_batch({name: tf.constant(values[start : start + 500]) for name, values in records.items()})
        sums += [*((1 / np.log2(1 + of_list.numpy())).sum() for of_list in places), loss.numpy().sum()]
    return tuple(sums / len(records["menu"]))


def table(found: Mapping[str, tuple[Sequence[float], float, float, float]], steps: int) -> str:
    """One line a way: the fastest epoch's milliseconds a step and their share of the first way's, NDCG, loss."""
    first, *_ = next(iter(found.values()))
    lines = [
        "| loss | ms a step | of the full one's | NDCG, vocabulary | NDCG, menu | full softmax's loss |",
        "|---|---|---|---|---|---|",
    ]
    for name, (seconds, of_all, of_menu, loss) in found.items():
        spent = min(seconds) / steps * 1e3
        lines.append(
            f"| {name} | {spent:.0f} | {min(seconds) / min(first):.2f} | {of_all:.4f} | {of_menu:.4f} | {loss:.3f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
