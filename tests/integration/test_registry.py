"""Versions, aliases and decisions of one home, with a small exported model."""

import dataclasses
import datetime as dt
import shutil
import sqlite3

import pytest
from mlflow.exceptions import MlflowException

from pagerec_dbx import promotions
from pagerec_dbx.errors import RegistryError, UnknownVersionError
from pagerec_dbx.evaluation.gate import Verdict
from pagerec_dbx.home import Home, open_home
from pagerec_dbx.models.build import build
from pagerec_dbx.models.config import ModelConfig
from pagerec_dbx.models.export import load_ranker, save_ranker
from pagerec_dbx.promotions import Decision, Serving
from pagerec_dbx.registry.store import Registry
from pagerec_dbx.schemas import PROMOTIONS

NOW = dt.datetime(2024, 1, 3, tzinfo=dt.UTC)
CONFIG = ModelConfig("two_tower_softmax", title_count=4, row_count=4, embedding_size=2, hidden_sizes=(2,))
VOCABULARIES = {"titles": ["t1", "t2"], "rows": ["r1", "r2"], "devices": [], "locations": []}


@pytest.fixture(scope="module")
def ranker_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("registry") / "ranker"
    save_ranker(build(CONFIG, seed=1), CONFIG, VOCABULARIES, folder)
    return folder


def register(registry, ranker_folder, check=lambda folder: None):
    run_id = registry.start_run("by hand", {"epochs": 1}, {}, {})
    return registry.register(run_id, ranker_folder, {"model": "two_tower_softmax"}, check)


@pytest.fixture(scope="module")
def three_versions(ranker_folder, tmp_path_factory):
    """A home in whose registry three versions stand; to be copied, because making one takes MLflow several seconds."""
    registry = Registry(open_home(str(tmp_path_factory.mktemp("registry") / "home")))
    for _ in range(3):
        register(registry, ranker_folder)
    return registry.home


@pytest.fixture
def registry(home, three_versions):
    """A registry of three versions."""
    shutil.copy(three_versions.folder / "mlflow.db", home.folder)
    return Registry(home)


def verdict(version, champion, promote=True):
    word = "Passed" if promote else "Failed"
    return Verdict(version, promote, (f"{word}: by hand.",), "c1", "h1", "ndcg", champion)


def aliases(registry):
    """The version of each alias that is set."""
    found = {}
    for alias in ("challenger", "champion", "previous"):
        try:
            found[alias] = registry.resolve(alias)
        except UnknownVersionError:
            continue
    return found


def test_promotions_and_rollback_move_the_aliases(registry, tables):
    assert aliases(registry) == {"challenger": "3"}
    assert registry.promote(tables, verdict("1", champion=None), NOW).promoted
    assert aliases(registry) == {"challenger": "3", "champion": "1"}
    assert registry.promote(tables, verdict("2", champion="1"), NOW).promoted
    assert aliases(registry) == {"challenger": "3", "champion": "2", "previous": "1"}
    assert registry.version("2").tags["verdict"] == "promote"
    rolled_back = registry.rollback(tables, NOW)
    assert (rolled_back.version, rolled_back.previous_version) == ("1", "2")
    assert aliases(registry) == {"challenger": "3", "champion": "1", "previous": "2"}
    assert promotions.serving(tables) == Serving("1", "2", 3)


def test_a_refusal_is_recorded_and_changes_nobody(registry, tables):
    registry.promote(tables, verdict("1", champion=None), NOW)
    refused = registry.promote(tables, verdict("2", champion="1", promote=False), NOW)
    assert not refused.promoted
    assert promotions.serving(tables) == Serving("1", None, 2)
    assert aliases(registry) == {"challenger": "3", "champion": "1"}
    assert registry.version("2").tags["verdict"] == "refuse"
    assert registry.version("2").tags["verdict_reasons"] == "Failed: by hand."


def test_promoting_the_champion_again_writes_and_tags_nothing(registry, tables):
    registry.promote(tables, verdict("1", champion=None), NOW)
    before = tables.version(PROMOTIONS), registry.version("1").tags
    again = registry.promote(tables, verdict("1", champion="1", promote=False), NOW)
    assert not again.promoted
    assert (tables.version(PROMOTIONS), registry.version("1").tags) == before
    assert before[1]["verdict"] == "promote"
    registry.promote(tables, verdict("2", champion="1", promote=False), NOW)  # the control: another one is recorded
    assert tables.version(PROMOTIONS) > before[0]


def test_only_a_verdict_promotes(registry, tables):
    with pytest.raises(RegistryError, match="only a verdict can promote: wanted Verdict, got dict"):
        registry.promote(tables, dataclasses.asdict(verdict("1", champion=None)), NOW)
    assert not tables.exists(PROMOTIONS)
    with pytest.raises(UnknownVersionError, match="no model version `9`"):
        registry.promote(tables, verdict("9", champion=None), NOW)
    assert not tables.exists(PROMOTIONS)


def test_a_verdict_against_another_champion_is_void(registry, tables):
    registry.promote(tables, verdict("1", champion=None), NOW)
    with pytest.raises(RegistryError, match="verdict on version 2 is void: it compared with champion None"):
        registry.promote(tables, verdict("2", champion=None), NOW)
    assert promotions.serving(tables) == Serving("1", None, 1)


def test_of_two_decisions_on_the_same_state_one_is_refused(tables):
    seen = promotions.serving(tables)
    first = Decision(NOW, "1", None, True, ("first",), "c1", "promote")
    promotions.decide(tables, first, seen)
    late = dataclasses.replace(first, version="2", reasons=("late",))
    with pytest.raises(RegistryError, match=r"another decision .version 1. was written at the same time"):
        promotions.decide(tables, late, seen)
    assert promotions.serving(tables) == Serving("1", None, 1)
    promotions.decide(tables, late, promotions.serving(tables))  # the control: made on what the table says now
    assert promotions.serving(tables).champion == "2"


def test_follow_mends_aliases_that_were_lost(registry, tables):
    registry.promote(tables, verdict("1", champion=None), NOW)
    registry.promote(tables, verdict("2", champion="1"), NOW)
    client = registry._client()
    client.delete_registered_model_alias(registry.model_name, "champion")
    client.set_registered_model_alias(registry.model_name, "previous", "3")
    assert aliases(registry) == {"challenger": "3", "previous": "3"}
    registry.follow(promotions.serving(tables))
    assert aliases(registry) == {"challenger": "3", "champion": "2", "previous": "1"}


def test_rollback_needs_a_previous_champion(registry, tables):
    registry.promote(tables, verdict("1", champion=None), NOW)
    with pytest.raises(RegistryError, match="no previous champion to go back to"):
        registry.rollback(tables, NOW)


def test_what_is_registered_is_what_came_back_from_the_run(registry, ranker_folder):
    seen = []
    version = register(registry, ranker_folder, seen.append)
    assert load_ranker(seen[0], "checked").config == CONFIG
    assert registry.load(version).config == CONFIG

    def refuses(folder):
        raise RegistryError("not what was trained")

    with pytest.raises(RegistryError, match="not what was trained"):
        register(registry, ranker_folder, refuses)
    assert registry.resolve("challenger") == version
    with pytest.raises(UnknownVersionError):
        registry.version("5")


def test_a_reader_makes_no_registry(tmp_path):
    for name in ("nowhere", "empty"):
        home = Home(str(tmp_path / name))
        if name == "empty":
            home.folder.mkdir()
        for version in ("champion", "1"):
            with pytest.raises(UnknownVersionError, match=f"no model version `{version}` is registered"):
                Registry(home).load(version)
        Registry(home).follow(Serving(None, None, 0))
        assert not (home.folder / "mlflow.db").exists()


@pytest.mark.parametrize("version", ["4", "previous", "one", "0", "99999999999"])
def test_unknown_versions_are_named(registry, version):
    with pytest.raises(UnknownVersionError, match=f"no model version `{version}`"):
        registry.version(version)


def test_a_registry_that_fails_is_not_taken_for_one_without_the_version(registry):
    with sqlite3.connect(registry.home.folder / "mlflow.db") as database:
        database.execute("ALTER TABLE model_versions RENAME TO model_versions_away")
    with pytest.raises(MlflowException):
        registry.version("1")
