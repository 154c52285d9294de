"""A home whose versions rank as they are told to, and whose verdicts can be worked out by hand.

Each of five viewers sees `a b D` and `a c D` in the holdout. Before it a was clicked on 8 of 9 pages, d on its only
one: with the smoothing of 20 impressions a is the most popular row and d the second, without any d is the first.

Version 1 puts c before d: NDCG 1 and .63 for every viewer. Version 2 puts d first: 1 and 1. Version 3 is the retrained
legacy: d second on both, .63 and .63. Version 4 scores all rows alike: the random floor, .71 and .71. Page order
has .5 and .5, popularity .63 and .63. All viewers are alike, so an interval is its point.
"""

import dataclasses
import json
import shutil

import numpy as np

from pagerec_dbx.config import Settings, settings_from
from pagerec_dbx.features.preparation import store_preparation
from pagerec_dbx.home import Home, open_home
from pagerec_dbx.models.build import build
from pagerec_dbx.models.config import ModelConfig
from pagerec_dbx.models.export import save_ranker
from pagerec_dbx.registry.store import Registry
from pagerec_dbx.stages.judge import evaluate_version
from pagerec_dbx.tables import Tables
from pagerec_dbx.workbench import Workbench
from tests import judging_world as world

PAGES = world.Pages(
    before={**{number: "A b c" for number in range(11, 19)}, 19: "a b C", 20: "D b"},
    holdout={number: "a b D" if number % 2 else "a c D" for number in range(1, 11)},
    viewers={number: f"v{(number + 1) // 2}" for number in range(1, 11)},
)
LOGITS = {"1": "c d a b", "2": "d c a b", "3": "a d b c", "4": ""}  # the rows best first
LEGACY = "3"
VOCABULARIES = {"titles": [], "rows": ["a", "b", "c", "d"], "devices": [], "locations": []}
CONFIG = ModelConfig(
    "two_tower_softmax", title_count=2, row_count=world.ROW_COUNT, history_length=2, embedding_size=2, hidden_sizes=(2,)
)
CHOSEN = {
    "max_calibration_error": 1.0, "max_rank_latency_ms": 10_000.0, "guarded_slices": (), "least_slice_page_views": 2,
    "resamples": 100,
}  # fmt: skip


def settings(**changes) -> Settings:
    return settings_from({**CHOSEN, **changes})


def make_home(spark, folder) -> Home:
    """The world with its four versions, all evaluated."""
    bench = Workbench(open_home(str(folder / "home")), settings())
    bench.__dict__["tables"] = Tables(spark, bench.home)
    store_preparation(bench.tables, world.make_world(bench.tables, PAGES))
    world.write_page_view(bench.tables, 10, world.served_at(10))  # the last one of the holdout
    for version, order in LOGITS.items():
        register(bench.registry, folder / "ranker", order, is_legacy=version == LEGACY)
    for version in LOGITS:
        evaluate_version(bench, version)
    return bench.home


def copy_home(made: Home, folder) -> Workbench:
    """A bench on a home of its own; what the runs hold stays where it was made."""
    shutil.copytree(made.folder, folder)
    return Workbench(Home(str(folder)), settings())


def with_settings(bench: Workbench, **changes) -> Workbench:
    """The same home with other settings."""
    return Workbench(bench.home, settings(**changes))


def register(registry: Registry, folder, order: str, is_legacy: bool = False) -> None:
    """A version that ranks every menu in one order, trained until just before the holdout."""
    model = build(CONFIG, seed=1)
    vectors, bias = model._logits.get_weights()
    ranked = order.split()
    for row, number in world.IDS.items():
        bias[number] = -ranked.index(row) if ranked else 0
    bias[1] = -9 if ranked else 0
    model._logits.set_weights([np.zeros_like(vectors), bias])
    save_ranker(model, CONFIG, VOCABULARIES, folder)
    tags = {"trained_until": json.dumps(world.key_of(20).as_json())} | ({"role": "legacy"} if is_legacy else {})
    run_id = registry.start_run("by hand", {}, {}, {})
    registry.register(run_id, folder, tags, lambda _: None, alias="legacy" if is_legacy else "challenger")


def relabel(bench: Workbench, page_view_id: int, text: str, more: dict[int, str] | None = None) -> None:
    """What `join` does when a late click comes, or (`more`) another day's page views."""
    holdout = {**PAGES.holdout, page_view_id: text, **(more or {})}
    world.write_labelled(bench.tables, dataclasses.replace(PAGES, holdout=holdout))
