"""The legacy's results file: read as it is, refused by name where it is wrong."""

import json
from pathlib import Path

import pytest

from pagerec_dbx.errors import LegacyFileError
from pagerec_dbx.evaluation.legacy import NAMES, read_legacy

EXAMPLE = Path(__file__).parents[2] / "pagerec_dbx" / "examples" / "legacy-study.json"


@pytest.fixture
def written(tmp_path):
    """Writes a legacy file: its figures, changed."""

    def write(text=None, **changed):
        figures = {name: 0.5 for name in NAMES} | changed
        file = tmp_path / "legacy.json"
        file.write_text(json.dumps({"training_metrics": figures, "epochs": 40}) if text is None else text)
        return file

    return write


def test_the_shipped_example_holds_the_studys_figures():
    figures = read_legacy(EXAMPLE)
    assert figures.metrics["val_binary_accuracy"] == 0.7796
    assert (figures.metrics["pop_mrr"], figures.metrics["val_mrr"]) == (0.6568, 0.6322)
    assert (figures.metrics["pop_ndcg"], figures.metrics["val_ndcg"]) == (0.7405, 0.7120)
    for short in ("mrr", "ndcg"):
        difference = figures.metrics[f"val_{short}"] - figures.metrics[f"pop_{short}"]
        assert figures.metrics[f"{short}_diff"] == pytest.approx(difference)
        relative = difference / figures.metrics[f"pop_{short}"]
        assert figures.metrics[f"{short}_rel_diff"] == pytest.approx(relative, rel=1e-6)
    for name in ("loss", "binary_accuracy", "val_loss"):  # the study reports none of these
        assert name in figures.unknown["note"].split("NOT from the study")[1]


def test_unknown_keys_are_kept(written):
    figures = read_legacy(written(precision=0.25))
    assert figures.unknown == {"precision": 0.25, "epochs": 40}
    assert set(figures.metrics) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_figure_is_named(written, name):
    figures = {other: 0.5 for other in NAMES if other != name}
    with pytest.raises(LegacyFileError, match=rf"`training_metrics\.{name}` is missing: wanted a finite number"):
        read_legacy(written(json.dumps({"training_metrics": figures})))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), None, "0.7", True, [0.7], 10**400])
def test_a_figure_that_is_no_finite_number_is_named(written, value):
    with pytest.raises(LegacyFileError, match=r"`training_metrics\.val_ndcg` is no finite number"):
        read_legacy(written(val_ndcg=value))


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("val_ndcg", 7, "0 to 1"),
        ("pop_mrr", -0.1, "0 to 1"),
        ("val_binary_accuracy", 77.96, "0 to 1"),
        ("ndcg_diff", -1.5, "-1 to 1"),
        ("mrr_rel_diff", -1.5, "-1 to inf"),
        ("val_loss", -0.1, "0 to inf"),
    ],
)
def test_a_figure_that_no_such_metric_can_have_is_named(written, name, value, wanted):
    with pytest.raises(LegacyFileError, match=rf"`training_metrics\.{name}` is no such metric: wanted {wanted}, got"):
        read_legacy(written(**{name: value}))


def test_ends_of_the_ranges_belong_to_them(written):
    ends = {"val_ndcg": 1, "pop_ndcg": 0, "ndcg_diff": 1, "ndcg_rel_diff": 40.0, "loss": 11.0, "val_loss": 0}
    assert read_legacy(written(**ends)).metrics["ndcg_rel_diff"] == 40.0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{not json", "is no JSON"),
        ("\ufeff{}", "is no JSON"),
        ("[1, 2]", "has no `training_metrics`.*got list"),
        ('{"metrics": {}}', r"has no `training_metrics`.*got keys \['metrics'\]"),
        ('{"training_metrics": [1]}', "has no `training_metrics`"),
    ],
)
def test_a_malformed_file_says_what_is_wrong(written, text, message):
    with pytest.raises(LegacyFileError, match=message):
        read_legacy(written(text))


def test_a_file_that_cannot_be_read_says_so(tmp_path):
    with pytest.raises(LegacyFileError, match="cannot be read: got FileNotFoundError. Check the path"):
        read_legacy(tmp_path / "nowhere.json")
    with pytest.raises(LegacyFileError, match="cannot be read"):
        read_legacy(tmp_path)
    (tmp_path / "latin.json").write_bytes(b'{"a": "\xe9"}')
    with pytest.raises(LegacyFileError, match="is no JSON"):
        read_legacy(tmp_path / "latin.json")
