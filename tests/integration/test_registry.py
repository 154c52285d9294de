"""Versions, aliases and decisions of one home, with a small exported model."""

import dataclasses
import datetime as dt
import shutil
import sqlite3
import threading
import types
from concurrent.futures import ThreadPoolExecutor

import pytest
from mlflow.exceptions import MlflowException

from pagerec_dbx import promotions
from pagerec_dbx.errors import RegistryError, RoleError, UnknownVersionError
from pagerec_dbx.evaluation.gate import Verdict
from pagerec_dbx.evaluation.grounds import Grounds
from pagerec_dbx.evaluation.verdicts import store_verdict, stored_verdict
from pagerec_dbx.home import Home, open_home
from pagerec_dbx.models.build import build
from pagerec_dbx.models.config import ModelConfig
from pagerec_dbx.models.export import load_ranker, save_ranker
from pagerec_dbx.promotions import Decision, Serving
from pagerec_dbx.registry.store import Registry
from pagerec_dbx.schemas import PROMOTIONS
from pagerec_dbx.stages.grounds import serving
from tests.dying_decision import die_once_decided

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


GROUNDS = Grounds(None, None, "h1", 1, 1, 1, None, "{}")


def verdict(version, champion, promote=True):
    word = "Passed" if promote else "Failed"
    grounds = dataclasses.replace(GROUNDS, champion=champion)
    return Verdict(version, promote, (f"{word}: by hand.",), "c1", "ndcg", grounds)


def promote(registry, tables, version, champion, allowed=True):
    """Store a verdict that was made while a version served, and do what it says."""
    made = verdict(version, champion, allowed)
    grounds = dataclasses.replace(made.grounds, champion_since=promotions.serving(tables).changed)
    store_verdict(tables, dataclasses.replace(made, grounds=grounds), NOW)
    return registry.promote(tables, version, lambda: GROUNDS, NOW)


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
    assert promote(registry, tables, "1", None).promoted
    assert aliases(registry) == {"challenger": "3", "champion": "1"}
    assert promote(registry, tables, "2", "1").promoted
    assert aliases(registry) == {"challenger": "3", "champion": "2", "previous": "1"}
    assert registry.version("2").tags["verdict"] == "promote"
    rolled_back = registry.rollback(tables, NOW)
    assert (rolled_back.version, rolled_back.previous_version) == ("1", "2")
    assert aliases(registry) == {"challenger": "3", "champion": "1", "previous": "2"}
    assert promotions.serving(tables) == Serving("1", "2", 3, changed=3)


def test_a_refusal_is_recorded_and_changes_nobody(registry, tables):
    promote(registry, tables, "1", None)
    refused = promote(registry, tables, "2", "1", allowed=False)
    assert not refused.promoted
    assert promotions.serving(tables) == Serving("1", None, 2, changed=1)
    assert aliases(registry) == {"challenger": "3", "champion": "1"}
    assert registry.version("2").tags["verdict"] == "refuse"
    assert registry.version("2").tags["verdict_reasons"] == "Failed: by hand."


@pytest.mark.slow
def test_promoting_the_champion_again_is_recorded_and_tags_nothing(registry, tables):
    promote(registry, tables, "1", None)
    before = registry.version("1").tags
    again = promote(registry, tables, "1", "1", allowed=False)
    assert (again.promoted, again.action) == (False, "again")
    assert again.reasons == ("Failed: version 1 is the champion already.",)
    assert registry.version("1").tags == before and before["verdict"] == "promote"
    assert promotions.serving(tables) == Serving("1", None, 2, changed=1)
    promote(registry, tables, "2", "1", allowed=False)  # the control: a verdict's refusal tags
    assert registry.version("2").tags["verdict"] == "refuse"


def test_only_a_stored_verdict_promotes(registry, tables):
    with pytest.raises(RegistryError, match="there is no verdict on version 1, and only a verdict can promote"):
        registry.promote(tables, "1", lambda: GROUNDS, NOW)
    assert not tables.exists(PROMOTIONS)
    with pytest.raises(UnknownVersionError, match="no model version `9`"):
        promote(registry, tables, "9", None)
    assert not tables.exists(PROMOTIONS)
    store_verdict(tables, verdict("1", None), NOW)
    assert stored_verdict(tables, "1") == verdict("1", None)
    assert stored_verdict(tables, "2") is None
    assert registry.promote(tables, "1", lambda: GROUNDS, NOW).promoted  # the control


@pytest.mark.slow
def test_a_later_verdict_on_the_same_version_takes_the_place_of_the_first(registry, tables):
    store_verdict(tables, verdict("1", None), NOW)
    assert not promote(registry, tables, "1", None, allowed=False).promoted
    assert promotions.serving(tables) == Serving(None, None, 1)


def test_a_verdict_against_another_champion_is_void(registry, tables):
    promote(registry, tables, "1", None)
    with pytest.raises(RegistryError, match="verdict on version 2 is void: champion was None and is 1"):
        promote(registry, tables, "2", None)
    assert promotions.serving(tables) == Serving("1", None, 2, changed=1)  # the refusal is recorded
    refused = tables.read(PROMOTIONS).where("sequence = 2").first()
    assert (refused["version"], refused["promoted"], refused["action"]) == ("2", False, "void")
    assert refused["reasons"] == ["Failed: the verdict is void: champion was None and is 1."]
    assert "verdict" not in registry.version("2").tags


def test_a_verdict_is_void_when_the_holdout_changes_between_judging_and_writing(registry, tables):
    store_verdict(tables, verdict("1", None), NOW)
    with pytest.raises(RegistryError, match="void: holdout was h1 and is h2"):
        registry.promote(tables, "1", lambda: dataclasses.replace(GROUNDS, holdout="h2"), NOW)
    assert promotions.serving(tables) == Serving(None, None, 1)


def test_of_two_promotions_at_once_one_wins(registry, tables, monkeypatch):
    """Both read the table before either writes; the merge decides, and the aliases follow it."""
    for version in ("1", "2"):
        store_verdict(tables, verdict(version, None), NOW)
    both_have_read = threading.Barrier(2, timeout=120)
    really_decide = promotions.decide

    def decide(*arguments):
        both_have_read.wait()
        really_decide(*arguments)

    monkeypatch.setattr(promotions, "decide", decide)

    def try_to(version):
        try:
            return registry.promote(tables, version, lambda: GROUNDS, NOW)
        except RegistryError as error:
            return error

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(try_to, ("1", "2"))
    won, lost = (first, second) if isinstance(first, Decision) else (second, first)
    assert won.promoted and "another decision" in str(lost)
    assert promotions.serving(tables) == Serving(won.version, None, 1, changed=1)
    assert aliases(registry)["champion"] == won.version


@pytest.mark.slow
def test_a_crash_between_the_decision_and_the_aliases_is_mended_at_the_next_call(registry, tables):
    promote(registry, tables, "1", None)
    die_once_decided(lambda: promote(registry, tables, "2", "1"))
    assert registry.is_deciding()
    assert aliases(registry)["champion"] == "1"  # the control: left behind
    assert serving(types.SimpleNamespace(tables=tables, registry=registry)) == "2"
    assert aliases(registry) == {"challenger": "3", "champion": "2", "previous": "1"}
    assert registry.version("2").tags["verdict"] == "promote" and not registry.is_deciding()


@pytest.mark.slow
def test_rollback_twice_is_as_if_nothing_had_happened(registry, tables):
    promote(registry, tables, "1", None)
    promote(registry, tables, "2", "1")
    assert registry.rollback(tables, NOW).version == "1"
    assert registry.rollback(tables, NOW).version == "2"
    assert aliases(registry) == {"challenger": "3", "champion": "2", "previous": "1"}
    assert promotions.serving(tables) == Serving("2", "1", 4, changed=4)


def test_of_two_decisions_on_the_same_state_one_is_refused(tables):
    seen = promotions.serving(tables)
    first = Decision(NOW, "1", None, True, ("first",), "c1", "promote")
    promotions.decide(tables, first, seen)
    late = dataclasses.replace(first, version="2", reasons=("late",))
    with pytest.raises(RegistryError, match=r"another decision .version 1. was written at the same time"):
        promotions.decide(tables, late, seen)
    assert promotions.serving(tables) == Serving("1", None, 1, changed=1)
    promotions.decide(tables, late, promotions.serving(tables))  # the control: made on what the table says now
    assert promotions.serving(tables).champion == "2"


@pytest.mark.slow
def test_follow_mends_aliases_that_were_lost(registry, tables):
    promote(registry, tables, "1", None)
    promote(registry, tables, "2", "1")
    client = registry._client()
    client.delete_registered_model_alias(registry.model_name, "champion")
    client.set_registered_model_alias(registry.model_name, "previous", "3")
    assert aliases(registry) == {"challenger": "3", "previous": "3"}
    registry.follow(promotions.serving(tables))
    assert aliases(registry) == {"challenger": "3", "champion": "2", "previous": "1"}


@pytest.mark.slow
def test_follow_removes_aliases_of_nobody(registry, tables):
    client = registry._client()
    for alias in ("champion", "previous"):
        client.set_registered_model_alias(registry.model_name, alias, "3")
    promote(registry, tables, "1", None)
    assert aliases(registry) == {"challenger": "3", "champion": "1"}


@pytest.mark.parametrize("alias", ["champion", "previous", "mine"])
def test_registering_gives_no_alias_that_only_a_decision_gives(registry, ranker_folder, alias):
    with pytest.raises(RegistryError, match=f"cannot have the alias `{alias}`: wanted challenger or legacy"):
        registry.register("no run", ranker_folder, {}, lambda folder: None, alias=alias)
    assert aliases(registry) == {"challenger": "3"}


def test_the_retrained_legacy_is_not_promoted_whatever_verdict_is_stored(registry, tables):
    registry.tag("2", {"role": "legacy"})
    with pytest.raises(RoleError, match="version 2 is the retrained legacy"):
        promote(registry, tables, "2", None)
    assert not tables.exists(PROMOTIONS)
    assert promote(registry, tables, "1", None).promoted  # the control


@pytest.mark.slow
def test_rollback_needs_a_previous_champion(registry, tables):
    promote(registry, tables, "1", None)
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
    assert registry.numbers() == [version, "3", "2", "1"]
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
        assert Registry(home).numbers() == []
        assert not (home.folder / "mlflow.db").exists()


@pytest.mark.parametrize("version", ["4", "previous", "one", "0", "99999999999"])
def test_unknown_versions_are_named(registry, version):
    with pytest.raises(UnknownVersionError, match=f"no model version `{version}`"):
        registry.version(version)


def test_an_alias_is_given_late_but_not_taken_from_a_newer_version(registry):
    registry._client().delete_registered_model_alias(registry.model_name, "challenger")
    for version, holder in (("1", "1"), ("3", "3"), ("2", "3")):
        registry.give_alias(version)
        assert registry.alias("challenger") == holder


def test_a_registry_that_fails_is_not_taken_for_one_without_the_version(registry):
    assert registry.version("1").version == "1"  # opened once, it follows its home no more
    with sqlite3.connect(registry.home.folder / "mlflow.db") as database:
        database.execute("ALTER TABLE model_versions RENAME TO model_versions_away")
    with pytest.raises(MlflowException):
        registry.version("1")
