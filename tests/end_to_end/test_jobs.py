"""The bundle's jobs from raw logs to ranked menus, from the wheel, without the source tree, executors apart.

One run of a platform's first days on simulated logs: the logs come late, a version that has learnt nothing is refused,
the next one is approved of and promoted, menus are ranked, nothing is there to go back to, a viewer is forgotten.
"""

import collections
import dataclasses
import json
import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pagerec_dbx.hashing import user_hash
from pagerec_dbx.home import Home
from pagerec_dbx.registry.store import Registry
from pagerec_dbx.tables import Tables
from tests.job_runner import WELL, Deployment, deploy, no_tree_on
from tests.viewer_world import content
from tests.wheel import build_wheel, make_environment

pytestmark = pytest.mark.jobs
CLUSTER = "local-cluster[2,1,2048]"
KEY = "0123456789abcdef" * 4
PAGE_VIEWS, DAYS = 8_000, 4  # fewer teach no ranker enough to be promoted


@dataclasses.dataclass(frozen=True)
class History:
    """How the tasks of each run ended, in the order of the runs, and what the home held before and after a rerun.

    Attributes:
        forgotten: the hash of the viewer who was forgotten.
    """

    deployment: Deployment
    home: Path
    runs: dict[str, dict[str, str]]
    before_rerun: dict[str, list[str]]
    after_stretch: list[str]  # ranked menus, once a day of them was ranked again
    after_rerun: dict[str, list[str]]
    forgotten: str

    def records(self, table: str) -> list[dict]:
        """Every record of a table after the last run but those that forget."""
        return [json.loads(record) for record in self.after_rerun.get(table, [])]


def tables_of(home: Path) -> dict[str, list[str]]:
    return {name: sorted(records) for name, records in content(Tables(None, Home(str(home)))).items()}


@pytest.fixture(scope="module")
def history(tmp_path_factory):
    folder = tmp_path_factory.mktemp("jobs")
    environment = make_environment(folder / "environment", build_wheel(folder))
    home, logs = folder / "home", folder / "logs"
    chosen = {"home": str(home), "logs": str(logs), "ranks": "2", "model_name": "pagerec"}
    deployed = deploy(environment, {"PAGEREC_MASTER": CLUSTER, "PAGEREC_KEY": KEY}, chosen)
    simulate(deployed, folder / "late")
    runs = {}
    runs["no logs"] = deployed.run("data")
    (folder / "late").rename(logs)
    runs["logs"] = deployed.run("data", before=runs["no logs"])
    runs["untaught"] = deployed.run("training", epochs="1", batch_size="256")
    assert set(runs["untaught"].values()) == {WELL}, runs  # without a version there is nothing to deploy
    runs["not approved"] = deployed.run("deployment", model_version="1")
    Registry(Home(str(home))).tag("1", {"approval": "Approved"})
    runs["refused"] = deployed.run("deployment", before=runs["not approved"], model_version="1")
    runs["taught"] = deployed.run("training", only=["train"], epochs="8", batch_size="32")
    assert set(runs["taught"].values()) == {WELL}, runs
    Registry(Home(str(home))).tag("2", {"approval": "Approved"})
    runs["promoted"] = deployed.run("deployment", model_version="2")
    runs["scored"] = deployed.run("scoring")
    before = tables_of(home)
    runs["a day again"] = deployed.run(
        "scoring", only=["score"], version="2", **{"from": "2024-01-02", "to": "2024-01-03"}
    )
    stretch = tables_of(home)["ranked_menus"]
    runs["nothing before"] = deployed.run("rollback")
    runs["again"] = deployed.run("data")
    after = tables_of(home)
    viewer = a_viewer_of(logs)
    (folder / "ids.txt").write_text(f"{viewer}\n")
    runs["nobody named"] = deployed.run("forget_viewers")
    runs["forgotten"] = deployed.run("forget_viewers", ids=str(folder / "ids.txt"))
    runs["old versions"] = deployed.run("forget")
    yield History(deployed, home, runs, before, stretch, after, user_hash(KEY.encode(), viewer))
    deployed.cluster.stdin.close()  # which ends it
    assert deployed.cluster.wait(60) == 0


def simulate(deployed: Deployment, logs: Path) -> None:
    """Raw logs as a service would write them; SIMULATED."""
    pagerec = deployed.environment.folder / "bin/pagerec"
    sizes = ["--page-views", PAGE_VIEWS, "--days", DAYS, "--seed", 17]
    made = deployed.environment.run(pagerec, "simulate", "--out", logs, *sizes, "--home", logs.parent / "world")
    assert made.returncode == 0, made.stderr


def a_viewer_of(logs: Path) -> str:
    """The raw id of whoever has most page views in a file: one of them may be of a line that is refused."""
    first = min((logs / "service_logs").glob("*.jsonl"))
    ((viewer, _),) = collections.Counter(re.findall(r"viewer-\d{8}", first.read_text(encoding="utf-8"))).most_common(1)
    return viewer


def test_tasks_see_the_wheel_and_no_source_tree(history):
    assert no_tree_on(history.deployment.environment)


def test_a_failed_run_skips_what_waits_for_it_and_is_repaired(history):
    failed, repaired = history.runs["no logs"], history.runs["logs"]
    assert "task `ingest` failed with exit code" in failed["ingest"] and "Traceback" not in failed["ingest"]
    assert (failed["join"], failed["scoring"]) == ("skipped", "skipped")
    assert (repaired["ingest"], repaired["join"]) == (WELL, WELL)
    # nobody serves yet, so the job that is started then cannot rank, and says so
    assert "task `score` failed with exit code 1" in repaired["scoring"] and repaired["scoring"].endswith("skipped")


def test_every_page_view_of_the_logs_came_through(history):
    views = history.records("page_views")
    assert len(views) == PAGE_VIEWS
    assert len(history.records("labelled_page_views")) == PAGE_VIEWS
    assert KEY not in json.dumps(views)


def test_a_challenger_is_trained_by_two_ranks_and_judged(history):
    assert history.runs["untaught"] == dict.fromkeys(("prepare", "train", "evaluate", "compare", "report"), WELL)
    registry = Registry(Home(str(history.home)))
    assert registry._client().get_run(registry.version("1").run_id).data.params["ranks"] == "2"
    baselines = {record["baseline"] for record in history.records("comparisons") if record["challenger"] == "1"}
    assert {"floor:random", "floor:page_order", "floor:popularity", "legacy:imported"} <= baselines
    assert (history.home / "reports/index.html").stat().st_size > 10_000


def test_nothing_is_deployed_without_approval(history):
    unapproved = history.runs["not approved"]
    assert unapproved["evaluation"] == WELL
    assert "Version 1 is not approved: wanted the tag `approval`" in unapproved["approval"]
    assert unapproved["deployment"] == "skipped"


def test_a_refusal_is_recorded_and_its_task_ends_well(history):
    assert history.runs["refused"] == dict.fromkeys(("evaluation", "approval", "deployment"), WELL)
    decided = [record for record in history.records("promotions") if record["version"] == "1"]
    assert [record["promoted"] for record in decided] == [False]
    assert decided[0]["reasons"]


def test_the_version_that_has_learnt_is_promoted(history):
    assert history.runs["taught"] == {"train": WELL}
    assert history.runs["promoted"] == dict.fromkeys(("evaluation", "approval", "deployment"), WELL)
    decided = [record for record in history.records("promotions") if record["version"] == "2"]
    assert [record["promoted"] for record in decided] == [True], decided


def test_the_champion_ranks_every_page_view(history):
    scored = history.runs["scored"]
    assert scored["score"] == WELL
    # the newest day may be past a limit, which fails the task so that somebody looks
    assert scored["monitor"] == WELL or "task `monitor` failed with exit code 1" in scored["monitor"]
    ranked = [record for record in history.records("ranked_menus") if record["version"] == "2"]
    assert len(ranked) == PAGE_VIEWS
    assert history.records("drift")


def test_a_second_run_leaves_the_same_tables(history):
    """The same logs: no line is taken twice, no day is made anew into something else."""
    assert (history.runs["again"]["ingest"], history.runs["again"]["join"]) == (WELL, WELL)
    assert history.after_rerun.keys() == history.before_rerun.keys()
    changed = {name for name in history.after_rerun if history.after_rerun[name] != history.before_rerun[name]}
    assert changed <= {"drift"}, changed


def test_a_stretch_of_the_past_is_ranked_again_and_the_rest_stays(history):
    """In other batches than with the other days, so that a score may differ in its last digit."""
    assert history.runs["a day again"] == {"score": WELL}
    before, after = (map(json.loads, menus) for menus in (history.before_rerun["ranked_menus"], history.after_stretch))
    of_before, of_after = ({one["page_view_id"]: one for one in menus} for menus in (before, after))
    assert of_before.keys() == of_after.keys()
    for page_view, menu in of_before.items():
        again = of_after[page_view]
        assert [row["row_id"] for row in again["ranked"]] == [row["row_id"] for row in menu["ranked"]]
        assert again == menu or menu["day"] == "2024-01-02"


def test_without_a_version_before_nothing_is_rolled_back(history):
    (said,) = history.runs["nothing before"].values()
    assert "there is no previous champion to go back to" in said and "Traceback" not in said
    assert all(record["action"] != "rollback" for record in history.records("promotions"))


def test_a_named_viewer_is_forgotten_and_the_old_versions_are_looked_after(history):
    (said,) = history.runs["nobody named"].values()
    assert "`pagerec forget` was told nothing to do" in said
    assert (history.runs["forgotten"], history.runs["old versions"]) == ({"forget_viewers": WELL}, {"forget": WELL})
    assert history.forgotten in "".join(history.after_rerun["page_views"])
    listed = [pq.read_table(file) for file in (history.home / "tables" / "forgotten").glob("*.parquet")]
    assert history.forgotten in {name for table in listed for name in table["user_hash"].to_pylist()}
