"""Settings: defaults, file, overrides, and what is refused."""

import shlex

import pytest

from pagerec_dbx.config import PrepareSettings, TrainSettings, flat, load_settings, parse_time, settings_from
from pagerec_dbx.errors import SettingError


def test_settings_take_the_file_then_the_overrides(tmp_path):
    file = tmp_path / "settings.yml"
    file.write_text("epochs: 3\nbatch_size: 64\n")
    settings = load_settings(file, ["epochs=5", "learning_rate=1e-2", "hidden_sizes=[8, 4]"])
    assert (settings.train.epochs, settings.train.batch_size, settings.train.learning_rate) == (5, 64, 0.01)
    assert settings.model.hidden_sizes == (8, 4)


def test_a_shared_name_reaches_every_stage():
    settings = settings_from({"seed": 99})
    assert {settings.simulate.seed, settings.train.seed, settings.judge.seed} == {99}


def test_flat_settings_make_the_same_settings():
    settings = settings_from({"epochs": 7, "holdout_from": "2024-01-04T00:00:00Z"})
    assert settings_from(flat(settings)) == settings


def test_times_without_offset_are_utc():
    assert parse_time("x", "2024-01-04T01:00:00+01:00") == parse_time("x", "2024-01-04T00:00:00")


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("epoch=5", "unknown setting `epoch`: wanted `epochs`, perhaps"),
        ("epochs", "malformed override: wanted key=value, got 'epochs'"),
        ("epochs=many", "setting `epochs` has the wrong type: wanted a whole number, got 'many'. Change epochs"),
        ("epochs=0", "setting `epochs` is out of range: wanted at least 1, got 0"),
        ("embedding_size=100000", "setting `embedding_size` is out of range: wanted 1 to 8,192, got 100000"),
        ("hidden_sizes=[64,0]", "wanted one size or more of 1 to 8,192, as in [128,64], got (64, 0)"),
        ("title_buckets=0", "wanted at least 2, or null, got 0"),
        ("epochs=true", "wrong type: wanted a whole number, got True"),
        ("holdout_fraction=1", "out of range: wanted between 0 and 1, got 1.0"),
        ("holdout_from=soon", "setting `holdout_from` is no time: wanted ISO 8601"),
        ("row_groups=25", "wanted a multiple of 24, got 25"),
        ("learning_rate=.inf", "wrong type: wanted a number, got inf"),
        ("verdict_metric=luck", "wanted one of ndcg"),
        ("minimum_gain=-.001", "setting `minimum_gain` is out of range: wanted at least 0, got -0.001"),
    ],
)
def test_wrong_settings_are_refused_in_words(override, words):
    with pytest.raises(SettingError) as refused:
        load_settings(None, [override])
    assert words in str(refused.value)
    assert refused.value.exit_code == 2


@pytest.mark.parametrize("text", ["- a\n- b\n", "a: [", "1: 2\n"])
def test_malformed_files_are_refused(tmp_path, text):
    file = tmp_path / "settings.yml"
    file.write_text(text)
    with pytest.raises(SettingError, match="settings file"):
        load_settings(file)


def test_missing_file_is_refused(tmp_path):
    with pytest.raises(SettingError, match="cannot be read"):
        load_settings(tmp_path / "none.yml")


@pytest.mark.parametrize(("best_by", "kept"), [("ndcg", 1), ("loss", 2), ("last", 3)])
def test_which_epoch_is_kept(best_by, kept):
    """NDCG falls from the first epoch on, the loss is lowest in the second."""
    epochs = [(1, 0.5, 2.0), (2, 0.4, 1.5), (3, 0.3, 1.8)]
    standing = TrainSettings(best_by=best_by).standing
    assert min(epochs, key=lambda one: standing(*one))[0] == kept


@pytest.mark.parametrize(
    ("settings", "command"),
    [
        (PrepareSettings(), "pagerec prepare"),
        (PrepareSettings(shown_length=20, catalogue=True), "pagerec prepare catalogue=true shown_length=20"),
        (PrepareSettings(holdout_from="2024-01-03 12:00"), "pagerec prepare 'holdout_from=\"2024-01-03 12:00\"'"),
    ],
)
def test_a_preparation_s_command_gives_its_settings_again(settings, command):
    assert settings.as_command() == command
    assert load_settings(overrides=shlex.split(command)[2:]).prepare == settings
