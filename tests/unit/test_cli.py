"""What the command line says and how it ends, where no engine is needed."""

import sys

import pytest
from pyspark.sql import SparkSession

from pagerec_dbx import cli, spark
from pagerec_dbx.errors import PagerecError
from pagerec_dbx.hashing import VARIABLE
from pagerec_dbx.home import open_home
from pagerec_dbx.stages.ingest_run import NOTE
from tests.commands import run


def test_a_command_that_is_interrupted_ends_with_1(monkeypatch, tmp_path):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("pagerec_dbx.stages.doctor.doctor", interrupted)
    ran = run("doctor", "--home", str(tmp_path / "home"))
    assert (ran.code, ran.out, ran.err.strip()) == (130, "", "pagerec: stopped")


@pytest.mark.parametrize("given", [None, "a key"])
def test_simulate_says_that_a_key_was_made(monkeypatch, tmp_path, given):
    monkeypatch.delenv(VARIABLE, raising=False)
    if given:
        monkeypatch.setenv(VARIABLE, given)
    out = tmp_path / "logs"
    out.mkdir()
    (out / "in-the-way").write_text("")
    monkeypatch.setattr(cli.Workbench, "tables", None)  # the key is asked for before Spark is
    options = ["--out", str(out), "--page-views", "1", "--days", "1", "--seed", "1"]
    ran = run("simulate", "--home", str(tmp_path / "home"), *options)
    assert ran.code == 1
    assert ("Back it up" in ran.err) == (given is None)


def test_spark_that_dies_without_a_word_is_still_said(monkeypatch):
    def dies(*_):
        raise RuntimeError

    monkeypatch.setattr(SparkSession, "getActiveSession", staticmethod(lambda: None))
    monkeypatch.setattr(spark, "_local_builder", lambda *_: type("Builder", (), {"getOrCreate": dies})())
    with pytest.raises(PagerecError, match="Spark did not start: .* got RuntimeError: no message"):
        spark.spark_session()


def test_a_mistyped_folder_of_logs_makes_no_key(monkeypatch, tmp_path):
    monkeypatch.delenv(VARIABLE, raising=False)
    ran = run("ingest", "--home", str(tmp_path / "home"), "--logs", str(tmp_path / "none"))
    assert (ran.code, ran.out) == (1, "") and "does not exist" in ran.err and "Back it up" not in ran.err
    assert not (tmp_path / "home" / "hash.key").exists()


def test_the_legacy_way_wants_batches_of_a_page_view_at_least():
    ran = run("evaluate", "--version", "1", "--legacy-way", "0")
    assert (ran.code, ran.out) == (2, "") and "'--legacy-way': 0 is not in the range x>=1" in ran.err


@pytest.mark.parametrize(
    "options",
    [
        ("--plan", "--profile"),
        ("--resume", "run", "--plan"),
        ("--seeds", "5", "--plan"),
        ("--seeds", "2", "--resume", "auto"),
    ],
)
def test_train_goes_one_way_at_a_time(tmp_path, options):
    open_home(str(tmp_path / "home"))
    ran = run("train", "--home", str(tmp_path / "home"), *options)
    assert (ran.code, ran.out) == (2, "") and "do not go together. Choose one" in ran.err


@pytest.mark.parametrize("option", [("--model", "two_tower_softmax"), ("--ranks", "2")])
def test_a_run_that_goes_on_keeps_its_model_and_ranks(tmp_path, option):
    open_home(str(tmp_path / "home"))
    ran = run("train", "--home", str(tmp_path / "home"), "--resume", "run", *option)
    assert (ran.code, ran.out) == (2, "") and f"own model and ranks: got {option[0]}. Leave it out." in ran.err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--model", "mistyped"], 2, "unknown model `mistyped`"),
        (["--resume", "mistyped"], 1, "no stopped training `mistyped`"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_spark_is_started(tmp_path, monkeypatch, arguments, code, said):
    open_home(str(tmp_path / "home"))
    monkeypatch.setattr(cli.Workbench, "tables", property(lambda self: pytest.fail("Spark was started")))
    ran = run("train", "--home", str(tmp_path / "home"), *arguments)
    assert (ran.code, ran.out) == (code, "") and said in ran.err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--model", "mistyped", "--trials", "2"], 2, "unknown model `mistyped`"),
        (["--model", "legacy_binary", "--trials", "2"], 2, "stays as it was designed and is not tuned"),
        (["--trials", "0"], 2, "'--trials': 0 is not in the range x>=1"),
        ([], 2, "Missing option '--trials'"),
        (["--trials", "2", "loss=magic"], 2, "setting `loss` is unknown"),
        (["--trials", "2", *(f"{name}=1" for name in ("batch_size", "embedding_size", "cross_layers"))], 1, "optuna"),
    ],
)
def test_what_cannot_be_tuned_is_refused_before_spark_is_started(tmp_path, monkeypatch, arguments, code, said):
    open_home(str(tmp_path / "home"))
    monkeypatch.setattr(cli.Workbench, "tables", property(lambda self: pytest.fail("Spark was started")))
    monkeypatch.setitem(sys.modules, "optuna", None)  # as where it is not installed: what is told last
    ran = run("tune", "--home", str(tmp_path / "home"), *arguments)
    assert (ran.code, ran.out) == (code, "") and said in ran.err


def test_a_file_stands_before_the_settings(tmp_path):
    ran = run("import-metarank", str(tmp_path / "none.jsonl"), "--out", str(tmp_path / "logs"), "epochs=3")
    assert ran.code == 1 and "none.jsonl" in ran.err and "setting" not in ran.err
    shown = run("import-metarank", "--help").out
    assert shown.index(" FILE") < shown.index("[KEY=VALUE]")


@pytest.mark.parametrize(
    "command",
    [
        ["join"],
        ["train"],
        ["train", "--plan"],
        ["tune", "--trials", "2"],
        ["promote", "--version", "1"],
        ["report"],
        ["rank"],
    ],
)
def test_a_home_that_is_not_there_is_not_made_by_a_command_that_needs_one(tmp_path, command):
    home = tmp_path / "mistyped"
    ran = run(*command, "--home", str(home))
    assert (ran.code, ran.out) == (1, "")
    assert f"there is no home {home}: wanted one that `pagerec ingest`" in ran.err
    assert not home.exists()


def test_a_demo_of_events_that_are_not_there_makes_no_home(tmp_path):
    home = tmp_path / "home"
    ran = run("demo", "--home", str(home), "--events", str(tmp_path / "none.gz"))
    assert ran.code == 2
    assert "none.gz' does not exist" in ran.err
    assert not home.exists()


def test_nobody_is_forgotten_while_a_stopped_ingest_has_to_be_finished(tmp_path):
    home = open_home(str(tmp_path / "home"))
    (home.folder / NOTE).write_text("{}")
    ran = run("forget", "--home", home.name, "--purge-unreadable")
    assert ran.code == 1
    assert f"was stopped on its way: wanted each line of its files in bronze before some go, got {NOTE}" in ran.err


def test_a_job_s_empty_parameters_are_as_if_they_were_not_given(monkeypatch, tmp_path):
    home = str(open_home(str(tmp_path / "home")).folder)
    nothing = run("forget", "--home", home, "--user-id-file", "")
    assert nothing.code == 2 and "`pagerec forget` was told nothing to do" in nothing.err
    asked = []
    monkeypatch.setattr(cli, "_plain", lambda result: {"page_views": 0, "version": "1"})
    monkeypatch.setattr("pagerec_dbx.stages.score.score_version", lambda bench, *given: asked.append(given))
    assert run("score", "--home", home, "--from", "", "--to", "").code == 0
    assert asked == [("champion", None, None)]
