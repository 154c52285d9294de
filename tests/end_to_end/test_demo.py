"""The whole thread on a few thousand simulated page views, and what its home can do afterwards."""

import json
import re
import runpy
from pathlib import Path

import pytest
from pyspark.sql import functions as F

from pagerec_dbx import schemas
from pagerec_dbx.features.preparation import latest_preparation
from pagerec_dbx.home import Home, open_home
from pagerec_dbx.registry.store import Registry
from pagerec_dbx.stages.floor_records import stored_smoothing
from pagerec_dbx.tables import Tables
from tests import runtime_notebooks
from tests.bundle import ROOT
from tests.commands import run
from tests.log_lines import service, write

KEYS = {"version", "run_id", "model", "parameters", "ranks", "epochs", "seconds"}


@pytest.fixture(scope="session")
def tables(spark, demo) -> Tables:
    return Tables(spark, Home(str(demo.home)))


def test_demo_trains_judges_scores_and_reports(demo):
    result = demo.result.json
    assert result["trained"].keys() >= KEYS
    assert (result["trained"]["version"], result["trained"]["ranks"]) == ("1", 2)
    assert result["promoted"] == (not any(reason.startswith("Failed") for reason in result["reasons"]))
    assert result["scored_version"] == "1"
    assert (demo.home / "reports" / "index.html").stat().st_size > 10_000


def test_every_line_is_accounted_for(tables):
    files = tables.read(schemas.INGESTED_FILES)
    lost = files.where(F.col("lines") != F.col("good") + F.col("quarantined"))
    assert lost.isEmpty()
    assert files.agg(F.sum("quarantined")).first()[0] == tables.read(schemas.QUARANTINE).count() > 0


def test_every_page_view_is_labelled_and_ranked_once(demo, tables):
    views = tables.read(schemas.PAGE_VIEWS).select("page_view_id")
    ranked = tables.read(schemas.RANKED_MENUS)
    assert views.count() == 4_000 == tables.read(schemas.LABELLED_PAGE_VIEWS).select("page_view_id").distinct().count()
    assert ranked.count() == ranked.select("page_view_id").distinct().count() == demo.result.json["scored_page_views"]
    assert views.join(ranked, "page_view_id", "left_anti").isEmpty()


def test_ranked_menus_keep_rows_and_pins(tables):
    views = tables.read(schemas.PAGE_VIEWS)
    both = tables.read(schemas.RANKED_MENUS).join(views, "page_view_id")
    rows, places = F.expr("transform(menu, r -> r.row_id)"), F.expr("transform(ranked, r -> r.row_id)")
    assert both.where(F.array_sort(rows) != F.array_sort(places)).isEmpty()
    moved = F.expr("exists(menu, r -> r.pinned AND ranked[r.position].row_id != r.row_id)")
    assert both.where(moved).isEmpty()
    assert not both.where(F.expr("exists(menu, r -> r.pinned)")).isEmpty()


def test_no_raw_user_id_passes_ingestion(demo, tables):
    raw_id = "viewer-[0-9]{8}"
    logged = tables.spark.read.text(str(demo.home / "logs-raw" / "*" / "service_logs"))
    assert not logged.where(F.col("value").rlike(raw_id)).isEmpty()  # the logs are full of them
    kept = (schemas.PAGE_VIEWS, schemas.CLICKS, schemas.LABELLED_PAGE_VIEWS, schemas.QUARANTINE, schemas.EXAMPLES)
    for table in kept:
        records = tables.read(table).select(F.to_json(F.struct("*")).alias("text"))
        assert records.where(F.col("text").rlike(raw_id)).isEmpty(), table.name
    files = [file for file in demo.home.rglob("*") if not file.is_relative_to(demo.home / "logs-raw")]
    assert {"ranks.log", "mlflow.db", "index.html"} <= {file.name for file in files}
    assert [file for file in files if re.search(raw_id, str(file.relative_to(demo.home)))] == []
    assert [file for file in files if file.is_file() and re.search(raw_id.encode(), file.read_bytes())] == []


def test_the_run_holds_what_the_version_was_made_of_and_how_it_was_judged(demo, tables):
    registry = Registry(tables.home)
    known = registry.version("1")
    run = registry._client().get_run(known.run_id)
    preparation = latest_preparation(tables)
    assert run.info.status == "FINISHED"
    inputs = {one.dataset.name: json.loads(one.dataset.source) for one in run.inputs.dataset_inputs}
    read = {"labelled_page_views": preparation.labelled_version, "examples": preparation.examples_version}
    assert {name: source["version"] for name, source in inputs.items()} == read
    assert inputs["examples"]["delta_table"] == tables.home.table_address("examples")

    tags, parameters, figures = run.data.tags, run.data.params, run.data.metrics
    assert re.fullmatch(r"[0-9a-f]{40}(-dirty)?|wheel .+", tags["git_commit"])
    assert tags["simulated"] == "true"
    assert tags["version.tensorflow"].startswith("2.") and tags["version.horovod"] != "not installed"
    assert (parameters["epochs"], parameters["ranks"], parameters["model"]) == ("8", "2", "two_tower_softmax")
    assert parameters["history_length"] == str(preparation.history_length)
    assert parameters["train_page_views"] == str(preparation.counts["train_page_views"])
    assert "world_titles" not in parameters  # settings of other stages

    curves = registry.curves("1")
    assert [point["epoch"] for point in curves] == list(range(1, demo.result.json["trained"]["epochs"] + 1))
    figures_of_training = {
        "epoch",
        "loss",
        "validation_loss",
        "validation_ndcg",
        "examples_per_second",
        "waited_for_data",
    }
    assert all(set(point) == figures_of_training for point in curves)
    assert 0 < curves[-1]["validation_ndcg"] < 1

    assert figures["holdout.menu.pages"] > 0
    for name in ("holdout.menu.ndcg", "holdout.menu.floor.popularity.ndcg", "val_ndcg", "ndcg_rel_diff"):
        assert name in figures
    assert "holdout.menu.ceiling.with_position.expected_ndcg" in figures
    (folder,) = registry._client().list_artifacts(known.run_id, "comparisons")
    names = {Path(one.path).name for one in registry._client().list_artifacts(known.run_id, folder.path)}
    assert names == {"comparison.json", "legacy-study.json"}
    stored = Path(registry._client().download_artifacts(known.run_id, f"{folder.path}/comparison.json"))
    assert {row["baseline"] for row in json.loads(stored.read_text())["rows"]} >= {"floor:random", "legacy:imported"}


def test_evaluate_prints_the_agreed_keys(demo):
    result = demo.run("evaluate", "--version", "challenger", "--json").json
    assert {
        "version",
        "protocol",
        "split",
        "pages",
        "viewers",
        "metrics",
        "floors",
        "ceilings",
        "others",
    } <= result.keys()
    assert (result["version"], result["protocol"], result["split"]) == ("1", "menu", "holdout")
    assert set(result["floors"]) == {"floor:random", "floor:page_order", "floor:popularity"}
    assert {other["protocol"] for other in result["others"]} == {"menu_unpinned", "vocabulary"}
    assert 0 < result["metrics"]["ndcg"] < 1


def test_expected_figures_lie_below_the_ceiling(demo):
    truth = next((demo.home / "logs-raw").glob("*/truth"))
    result = demo.run("evaluate", "--version", "1", "--truth", str(truth), "--json").json
    ceiling = result["ceilings"]["with_position"]["expected_ndcg"]
    everybody = [result["metrics"], *result["floors"].values()]
    assert all(figures["expected_ndcg"] <= ceiling for figures in everybody)
    # the log's order is what viewers looked through: knowing it beats chance, and the true probabilities beat it
    floors = result["floors"]
    assert floors["floor:random"]["expected_ndcg"] < floors["floor:popularity"]["expected_ndcg"] < ceiling


def test_the_model_learns_more_than_chance(demo):
    """On a few thousand page views it reaches popularity, no more (see test_demo_full); chance it beats by far."""
    rows = demo.run("compare", "--challenger", "1", "--json").json["rows"]
    whole = ("menu", "ndcg", "all")
    ndcg = {row["baseline"]: row for row in rows if (row["protocol"], row["metric"], row["slice"]) == whole}
    assert ndcg["floor:random"]["lower"] > 0.05
    assert ndcg["floor:popularity"]["lower"] > -0.05
    sliced = {row["slice"].partition(":")[0] for row in rows if row["slice"] != "all"}
    assert {"menu size", "history", "popularity", "position", "hour", "device"} <= sliced
    power = demo.run("power", "--gain", ".01", "--json")
    assert power.code == 0, power.err
    spread, needed = power.json["spread"], power.json["needed"]
    assert needed["smallest_gain"] == pytest.approx(3.6048 * spread["standard_error"], rel=1e-4)
    assert needed["page_views"] == pytest.approx((needed["smallest_gain"] / 0.01) ** 2 * spread["pages"], abs=1)
    assert power.json["simulated"]


def test_compare_shows_the_legacy_s_figures_as_measured_elsewhere(demo):
    file = "pagerec_dbx/examples/legacy-study.json"
    rows = demo.run("compare", "--challenger", "1", "--legacy", file, "--json").json["rows"]
    legacy = [row for row in rows if row["baseline"] == "legacy:imported"]
    assert {row["measured"] for row in legacy} == {"elsewhere"}
    assert {row["value_baseline"] for row in legacy} == {0.7120, 0.6322}
    assert all(row["lower"] is None for row in legacy)


def test_registered_model_loads_through_mlflow_and_ranks_raw_strings(demo, tables):
    import mlflow
    import pandas as pd

    registry = Registry(tables.home)
    mlflow.set_tracking_uri(registry.tracking_uri)
    mlflow.set_registry_uri(registry.registry_uri)
    model = mlflow.pyfunc.load_model(f"models:/{registry.model_name}@challenger")
    view = tables.read(schemas.PAGE_VIEWS).where("NOT exists(menu, r -> r.pinned)").first()
    if view is None:
        view = tables.read(schemas.PAGE_VIEWS).first()
    menu = [row["row_id"] for row in view["menu"]]
    page = {"history": [[]], "history_age": [[]], "menu": [menu], "hour": [1], "weekday": [1]}
    ranked = model.predict(pd.DataFrame({**page, "device": ["tv"], "location": [""]}))
    assert sorted(ranked["row_id"][0]) == sorted(menu)
    assert ranked["score"][0] == sorted(ranked["score"][0], reverse=True)


def test_rank_orders_one_page_as_score_did(demo, tables):
    view = tables.read(schemas.PAGE_VIEWS).where("source = 'service_logs'").first()
    micros = tables.read(schemas.PAGE_VIEWS).where(F.col("page_view_id") == view["page_view_id"])
    micros = micros.select(F.unix_micros("served_at")).first()[0]
    page = {
        "watch_history": [entry["title_id"] for entry in view["history"]],
        "candidates": [{"row_id": row["row_id"], "pinned": row["pinned"]} for row in view["menu"]],
        "timestamp": micros // 1000,
        "device": view["device"],
    }
    ranked = demo.run("rank", "--version", "challenger", stdin=json.dumps(page).encode()).json
    stored = tables.read(schemas.RANKED_MENUS).where(F.col("page_view_id") == view["page_view_id"]).first()["ranked"]
    assert [row["row_id"] for row in ranked["ranked"]] == [row["row_id"] for row in stored]
    assert [row["score"] for row in ranked["ranked"]] == pytest.approx([row["score"] for row in stored], abs=1e-5)


def test_predictions_stand_beside_the_truth_of_the_validation_days(demo, tables):
    answer = demo.run("predictions", "--version", "challenger", "--page-views", "3", "--json").json
    preparation = tables.read(schemas.PREPARATIONS).first()
    begin, end = (preparation[f"{part}_start"]["served_at"] for part in ("validation", "holdout"))
    assert len(answer["pages"]) == 3
    for page in answer["pages"]:
        of_page = F.col("page_view_id") == page["page_view_id"]
        label = tables.read(schemas.LABELLED_PAGE_VIEWS).where(of_page).first()
        menu = [row["row_id"] for row in label["menu"]]
        truth = {row for row, is_clicked in zip(menu, label["clicked"], strict=True) if is_clicked}
        assert begin <= label["served_at"] <= end  # the holdout is not looked at
        assert truth and truth == page["clicked"].keys()
        assert [page["ranked"][place - 1] for place in page["clicked"].values()] == list(page["clicked"])
        stored = tables.read(schemas.RANKED_MENUS).where(of_page).first()["ranked"]
        assert page["ranked"] == [row["row_id"] for row in stored]
    said = demo.run("predictions", "--version", "challenger", "--page-views", "1").out
    assert "predicted" in said and f"clicked {next(iter(answer['pages'][0]['clicked']))} (place" in said


def test_a_second_ingest_changes_nothing(demo, tables):
    before = {table: tables.version(table) for table in (schemas.PAGE_VIEWS, schemas.CLICKS, schemas.QUARANTINE)}
    logs = next((demo.home / "logs-raw").iterdir())
    assert demo.run("ingest", "--logs", str(logs), "--json").json == {
        "read": 0,
        "good": 0,
        "quarantined": 0,
        "files": 0,
        "forgotten": 0,
    }
    assert before == {table: tables.version(table) for table in before}


def test_promotion_needs_the_verdict_and_rollback_a_previous_version(demo):
    refused = demo.run("promote", "--version", "1", "--json", "minimum_gain=.9")
    assert (refused.code, refused.json["promoted"]) == (1, False)
    failed = [reason for reason in refused.json["reasons"] if reason.startswith("Failed")]
    if demo.result.json["promoted"]:  # a champion is not promoted over itself
        assert failed == ["Failed: version 1 is the champion already."]
    else:  # what the demo judged by no longer holds, and it is said what changed
        assert "verdict on version 1 is void and is made anew" in refused.err
        assert "setting minimum_gain was 0.0 and is 0.9" in refused.err
        assert any("does not lie above the minimum gain of .9000" in reason for reason in failed)
    rollback = demo.run("rollback")
    assert (rollback.code, rollback.out) == (1, "")
    assert "no previous champion" in rollback.err


@pytest.mark.slow
def test_a_holdout_that_overlaps_training_is_refused(demo, tables):
    demo.run("prepare", "holdout_fraction=.5")
    refused = demo.run("evaluate", "--version", "1", "--json")
    demo.run("prepare")
    assert (refused.code, refused.out) == (1, "")
    assert "was trained on page views of the holdout" in refused.err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["evaluate", "--version", "99"], 1, "no model version `99` is registered"),
        (["evaluate", "--version", "one"], 1, "no model version `one` is registered"),
        (["evaluate"], 2, "Missing option '--version'"),
        (["train", "--model", "magic"], 2, "unknown model `magic`: wanted one of two_tower_softmax"),
        (["train", "--ranks", "0"], 2, "'--ranks'"),
        (["train", "--ranks", "5"], 1, "5 ranks"),
        (["train", "epoch=1"], 2, "unknown setting `epoch`"),
        (["compare", "--challenger", "1", "--champion", "challenger"], 2, "version 1 cannot be held against itself"),
        (["fly"], 2, "No such command 'fly'"),
        (["compare", "--challenger", "99", "--legacy", "/none.json"], 1, "/none.json"),
        (["ingest", "--logs", "/none"], 1, "/none"),
        (["score", "--from", "soon"], 2, "--from is no time"),
        (["score", "--version", "previous"], 1, "no model version `previous`"),
    ],
)
def test_wrong_calls_end_in_one_line(demo, arguments, code, words):
    ran = demo.run(arguments[0], *arguments[1:])
    assert (ran.code, ran.out) == (code, "")
    told = [line for line in ran.err.splitlines() if line.startswith("pagerec: ")]
    assert len(told) == 1 and words in told[0], ran.err
    assert "Traceback" not in ran.err


@pytest.mark.parametrize("stdin", [b"{", b"[]", b"{}", b'{"candidates": [{"row_id": "a"}, {"row_id": "a"}]}', b"\xff"])
def test_rank_refuses_what_is_no_page(demo, stdin):
    ran = demo.run("rank", "--version", "1", stdin=stdin)
    assert (ran.code, ran.out) == (1, "")


def test_an_empty_home_says_what_to_run_first(spark, tmp_path):
    home = open_home(str(tmp_path / "empty")).name
    for command in (["join"], ["prepare"], ["train"], ["report"]):
        ran = run(*command, "--home", home)
        assert ran.code == (0 if command == ["report"] else 1)
        assert "Traceback" not in ran.err


def test_a_demo_s_home_takes_no_other_logs(demo, tables, tmp_path):
    """Its hashing key is derived from a number in the settings: ids of real people must not be hashed by it."""
    before = tables.version(schemas.INGESTED_FILES)
    ran = demo.run("ingest", "--logs", str(tmp_path))
    assert (ran.code, ran.out) == (2, "")
    assert "belongs to a demo" in ran.err
    assert tables.version(schemas.INGESTED_FILES) == before


@pytest.mark.slow
def test_a_home_with_other_logs_takes_no_demo(spark, tmp_path):
    home, logs = str(tmp_path / "home"), tmp_path / "mine"
    write(logs, "service_logs", [service("q1", "ann", 0)])
    assert run("ingest", "--home", home, "--logs", str(logs)).code == 0
    ran = run("demo", "--home", home)
    assert (ran.code, ran.out) == (2, "")
    assert "holds logs that are no demo's" in ran.err
    assert not (tmp_path / "home" / "logs-raw").exists()


@pytest.mark.slow
def test_all_versions_are_held_against_the_same_popularity_floor(demo, tables):
    """Floors are stored once a holdout: after an evaluation beside another one, the old one is taken for no other."""
    holdout = latest_preparation(tables).holdout
    assert stored_smoothing(tables, holdout) == 20
    assert demo.run("evaluate", "--version", "1", "popularity_smoothing=5").code == 0
    assert stored_smoothing(tables, holdout) == 5
    again = demo.run("compare", "--challenger", "1")
    assert "is evaluated on the latest holdout first" in again.err
    assert stored_smoothing(tables, holdout) == 20


# --- notebooks --------------------------------------------------------------------------------------------------------

NOTEBOOKS = sorted((ROOT / "jobs/notebooks").glob("*.py"))


def shown_by(notebook: str, demo, **choices: str) -> list:
    """What a notebook displays of the demo with these widget values, in this process."""
    return runtime_notebooks.shown_by(notebook, **{"home": str(demo.home), **choices})


def outputs_of(source: Path, demo, monkeypatch, **choices: str) -> list:
    """What a notebook's cells put out in a kernel of its own, as `make notebooks` opens it."""
    pytest.importorskip("nbclient", reason="the runtime's environment has no Jupyter; `make test` runs this")
    monkeypatch.setenv("PAGEREC_HOME", str(demo.home))
    tool = runpy.run_path(str(ROOT / "tools/notebooks.py"))
    done = tool["executed"](tool["converted"](source.read_text()), **choices)
    return [output for cell in done.cells if cell.cell_type == "code" for output in cell.outputs]


def require_nothing_secret(outputs: list, demo) -> None:
    """Neither the hashing key nor a raw user id, as the demo's logs have them, is among what was put out."""
    text = json.dumps(outputs)
    assert not re.search("viewer-[0-9]{8}", text)
    assert (demo.home / "hash.key").read_text().strip() not in text


@pytest.mark.parametrize("source", NOTEBOOKS, ids=lambda source: source.stem)
def test_notebook_runs_headless_in_jupyter_with_its_defaults(demo, source, monkeypatch):
    """Controls, sentences, plots, and nothing on the terminal."""
    outputs = outputs_of(source, demo, monkeypatch)
    shown = [output.data for output in outputs if "data" in output]
    assert [data for data in shown if "application/vnd.jupyter.widget-view+json" in data]
    assert [data for data in shown if "image/png" in data] and [data for data in shown if "text/markdown" in data]
    printed = "".join(output.text for output in outputs if output.output_type == "stream")
    assert "Traceback" not in printed and "WARN" not in printed and len(printed) < 500, printed
    require_nothing_secret(outputs, demo)


@pytest.mark.parametrize(
    ("notebook", "choices", "words"),
    [
        ("compare", {"metric": "hit_at_1", "baseline": "floor:random"}, "By hit_at_1, version "),
        ("what_if", {"hour": "3", "device": "tv", "add_rows": "brand new"}, "1 new, 0 gone."),
        ("promotion", {"version": "1", "action": "promote"}, "Not confirmed: nothing was changed."),
    ],
)
def test_notebook_follows_its_controls_in_jupyter(demo, monkeypatch, notebook, choices, words):
    outputs = outputs_of(ROOT / f"jobs/notebooks/{notebook}.py", demo, monkeypatch, **choices)
    sentences = [output.data["text/markdown"] for output in outputs if "text/markdown" in output.get("data", {})]
    assert [one for one in sentences if words in one], sentences
    require_nothing_secret(outputs, demo)


def test_what_must_stay_secret_would_be_found(demo):
    """The control of the tests before."""
    key = (demo.home / "hash.key").read_text().strip()
    for told in ("viewer-00000012", f"key {key}"):
        with pytest.raises(AssertionError):
            require_nothing_secret([{"text": told}], demo)


def test_join_notebook_follows_its_widgets(demo, tables):
    first, *_, last = sorted(
        str(record["day"]) for record in tables.read(schemas.JOIN_HEALTH).select("day").distinct().collect()
    )
    sentence, _, measured = shown_by("joins", demo, first_day=first, last_day=first, methods="keyed,windowed")
    assert sentence.startswith(f"From {first} to {first} ")
    assert set(measured.join_method) == {"keyed", "windowed", "all"} and first in measured.columns
    one = tables.read(schemas.JOIN_HEALTH).where(
        f"day = '{first}' AND measure = 'clicks_matched' AND join_method <> 'all'"
    )
    matched = sum(record["value"] for record in one.collect())
    assert f" {matched:,.0f} of " in sentence
    (wrong,) = shown_by("joins", demo, first_day=last, last_day=first)
    assert wrong.startswith("the first day is after the last one")
    (none,) = shown_by("joins", demo, methods="keyed", home=str(demo.home / "typo"))
    assert "is no home" in none


def test_page_notebook_orders_a_page_as_rank_does(demo, tables):
    day = str(tables.read(schemas.LABELLED_PAGE_VIEWS).agg(F.min("day")).first()[0])
    sentence, history, _, orders, _, parts = shown_by("page", demo, day=day, versions="1", why="1")
    assert sentence.startswith(f"On {day} at ") and len(history) <= 20
    stored = tables.read(schemas.RANKED_MENUS).where(f"version = '1' AND day = '{day}'")
    menus = {tuple(row["row_id"] for row in record["ranked"]) for record in stored.select("ranked").collect()}
    by_version = tuple(orders.sort_values("version 1").row)
    assert by_version in menus and tuple(parts.row) == by_version
    assert orders.clicked.any()  # page views with a click are offered first


def test_a_page_view_of_another_viewer_is_refused_until_the_choices_are_made_anew(demo):
    widgets = runtime_notebooks.RuntimeStandIn(home=str(demo.home))
    notebook = runtime_notebooks.OpenNotebook(ROOT / "jobs/notebooks/page.py", widgets)
    assert notebook.run()[0].startswith("On ")
    first, second, *_ = widgets.choices("viewer")
    of_first = widgets.choices("page_view")
    widgets.choose("viewer", second)
    (sentence,) = notebook.run(first=3)  # the cells below the widgets alone
    assert f"wanted one of viewer {second[:12]}, got one of viewer {first[:12]}" in sentence
    assert f" viewer {second[:12]} saw " in notebook.run()[0]
    assert not set(widgets.choices("page_view")) & set(of_first)


def test_what_if_notebook_moves_rows(demo):
    defaults = shown_by("what_if", demo)
    assert "0 rows change places; 0 new, 0 gone." in defaults[1]
    page = defaults[3]
    sentence, told, _, moved = shown_by("what_if", demo, drop_rows=page.row[0], add_rows="brand new, another", hour="3")
    assert "2 new, 1 gone." in told
    assert set(moved[moved.before.isna()].row) == {"brand new", "another"}
    *_, wrong = shown_by("what_if", demo, add_rows=page.row[0])[:1]
    assert wrong.startswith("a row would be twice on the page")


def test_promotion_notebook_is_a_dry_run_unless_it_is_asked(demo, tables):
    before = tables.read(schemas.PROMOTIONS).count()
    standing, reasons, acted, _, decisions = shown_by("promotion", demo)
    assert "Version 1" in standing or "Nobody serves" in standing
    assert set(reasons.limit) <= {"Passed", "Failed", "Alarm"} and len(reasons) > 3
    assert acted.startswith("Dry run: nothing was changed.")
    assert tables.read(schemas.PROMOTIONS).count() == before == len(decisions)
    chosen = shown_by("promotion", demo, version="1", action="promote")
    assert any(str(one).startswith("Not confirmed: nothing was changed.") for one in chosen)
    assert tables.read(schemas.PROMOTIONS).count() == before
    asked = shown_by("promotion", demo, version="1", action="promote", confirm="1")
    assert any("Version 1" in one for one in asked if isinstance(one, str))
    assert tables.read(schemas.PROMOTIONS).count() == before + 1
