"""Every option of every model: it trains, padding and order do nothing, and what is saved predicts the same."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from pagerec_dbx.models.build import build
from pagerec_dbx.models.config import ModelConfig
from pagerec_dbx.models.export import load_ranker, save_ranker
from pagerec_dbx.models.names import LEGACY_BINARY, MODEL_NAMES, MODEL_SETTINGS, PAGE_RANKER
from tests.knowledge import some_knowledge

MODELS = [name for name in MODEL_NAMES if name != LEGACY_BINARY]  # which is two_tower_binary, of other sizes
CONTEXT = ("hour", "weekday", "device", "location", "menu_size", "pinned", "last_watched")
OPTIONS = {
    "as designed": {},
    "recency": {"history_encoder": "recency"},
    "gru": {"history_encoder": "gru"},
    "attention": {"history_encoder": "attention"},
    "context": {"context": CONTEXT},
    "cross": {"context": ("device", "hour"), "cross_layers": 2},
    "cross of a rank": {"context": ("device", "hour"), "cross_layers": 2, "cross_rank": 3},
    "factorisation": {"context": ("device", "hour"), "factorisation": True},
    "target attention": {"history_encoder": "recency", "target_attention": True},
    "shown before": {"shown_attention": True, "row_memory": True},
    "attributes": {"row_attributes": 3, "title_attributes": 2, "attribute_tokens": 7},
    "rates and taste": {"row_attributes": 3, "attribute_tokens": 7, "row_rates": True, "viewer_taste": True},
    "network": {"row_attributes": 3, "attribute_tokens": 7, "row_rates": True, "viewer_taste": True, "row_network": 4},
    "network of counts": {"row_rates": True, "row_network": 4, "row_counts": True},
    "no own weights": {
        "own_weights": False,
        "factorisation": False,
        "context": (),
        "row_attributes": 3,
        "attribute_tokens": 7,
        "row_rates": True,
        "viewer_taste": True,
        "row_network": 4,
        "row_memory": True,
        "dropout": 0.2,
        "l2": 0.01,
    },
    "regularised": {"dropout": 0.2, "l2": 0.01, "label_smoothing": 0.1},
    "position": {"loss": "menu_softmax", "position_bias": "examination"},
    "position kept": {"loss": "menu_softmax", "position_bias": "additive", "position_kept": True},
    "hashed": {"title_buckets": 5},
    "sampled": {"loss": "sampled_softmax", "sampled_rows": 5, "sampling": "log_uniform"},
}
SMALL = ModelConfig(
    "",
    12,
    9,
    device_count=4,
    location_count=4,
    embedding_size=6,
    hidden_sizes=(8, 5),
    history_length=4,
    shown_length=5,
)


PARTS = {
    "factorisation", "target_attention", "shown_attention", "row_memory", "row_rates", "viewer_taste", "row_network"
}  # fmt: skip

# What each model was designed with, small.
DESIGNED = {
    name: {
        key: value
        for key, value in MODEL_SETTINGS.get(name, {}).items()
        if key not in ("hidden_sizes", "embedding_size")
    }
    for name in MODELS
}
DESIGNED[PAGE_RANKER] |= {"row_attributes": 3, "attribute_tokens": 7}

# All options of one model, and of the others those that touch most: the rest is for `make test-slow`.
SOON = ("as designed", "position", "network", "no own weights")
every_option = pytest.mark.parametrize(
    ("name", "option"),
    [
        pytest.param(name, option, marks=[] if name == MODELS[0] or option in SOON else [pytest.mark.slow])
        for name in MODELS
        for option in OPTIONS
        if name == PAGE_RANKER or option != "no own weights"
    ],
)


LISTS = ("history", "history_age", "menu", "pinned", "shown_row", "shown_position", "shown_clicked", "shown_age")


def a_config(name, option):
    return dataclasses.replace(SMALL, **{"name": name, **DESIGNED[name], **OPTIONS[option]})


def built(config, precision="float32"):
    """With what it knows of rows and titles, if it reads any of it, and no weight where it began: of those that begin
    at 0 whole terms would be 0, and nobody would miss them."""
    model, draw = build(config, 3, precision), np.random.default_rng(5)
    for weight in model.trainable_variables:
        weight.assign_add(draw.normal(0, 0.3, weight.shape))
    model.learn_knowledge(some_knowledge(config))
    if model.needs_click_counts:
        model.learn_click_counts(np.arange(config.row_count))
    return model


def records(count, seed=1, menu=6):
    """Page views of all sorts: histories of 0 to 4 titles, some without age, menus with unknown rows and padding."""
    draw = np.random.default_rng(seed)
    history = draw.integers(1, 12, [count, 4]) * (np.arange(4) < draw.integers(0, 5, [count, 1]))
    ages = np.sort(draw.integers(1, 10**6, [count, 4]), axis=1)[:, ::-1] * (history > 0)
    rows = np.stack([draw.permutation(np.arange(2, 2 + max(menu, 7)))[:menu] for _ in range(count)])
    sizes = draw.integers(3, menu + 1, [count, 1])
    fields = {
        "history": history,
        "history_age": ages,
        "menu": np.where(np.arange(menu) < sizes, rows, 0),
        "clicked": np.arange(menu) == draw.integers(0, 3, [count, 1]),
        "pinned": np.arange(menu)[None] == np.zeros([count, 1]),
        "hour": draw.integers(-1, 24, count),
        "weekday": draw.integers(-1, 7, count),
        "device": draw.integers(0, 4, count),
        "location": draw.integers(0, 4, count),
        "served_at": draw.integers(0, 1_200, count),
    }
    shown = np.arange(5) < draw.integers(0, 6, [count, 1])
    fields |= {
        "shown_row": draw.integers(1, 12, [count, 5]) * shown,
        "shown_position": draw.integers(1, 9, [count, 5]) * shown,
        "shown_clicked": draw.integers(0, 2, [count, 5]) * shown,
        "shown_age": np.sort(draw.integers(1, 10**6, [count, 5]), axis=1) * shown,
    }
    fields["history_age"] = np.where(draw.random([count, 4]) < 0.2, 0, ages)
    return {name: tf.constant(values, tf.int32) for name, values in fields.items()}


@every_option
def test_every_option_computes_in_bfloat16(name, option):
    plain, coarse = (built(a_config(name, option), precision) for precision in ("float32", "bfloat16"))
    loss, rounded = (float(model.compute_loss(records(24))) for model in (plain, coarse))
    assert rounded == pytest.approx(loss, rel=0.02)


@every_option
def test_every_option_s_scores_are_the_sum_of_its_parts(name, option):
    config, batch = a_config(name, option), records(5)
    model = built(config)
    parts = {part: values.numpy() for part, values in model.menu_parts(batch).items()}
    np.testing.assert_allclose(sum(parts.values()), model.menu_scores(batch).numpy(), rtol=1e-4, atol=1e-5)
    asked = {setting for setting in PARTS if getattr(config, setting)}
    assert {"own"} <= parts.keys() and asked == parts.keys() - {"own"} - {"row_attributes", "position_bias"}
    silent = {part for part in parts if np.abs(parts[part]).max() < 1e-3}
    assert silent == (set() if config.own_weights else {"own"})


@every_option
def test_every_option_trains_every_part_of_the_model(name, option):
    model = built(a_config(name, option))
    batch = records(24)
    optimizer = tf.keras.optimizers.legacy.Adam(0.02)

    @tf.function(autograph=False)  # without it the binary model, which scores page view by page view, takes a minute
    def step():
        with tf.GradientTape() as tape:
            loss = model.compute_loss(batch, training=True)
            total = loss + tf.add_n(model.losses) if model.losses else loss
        gradients = tape.gradient(total, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))

    before, first = [weight.numpy() for weight in model.trainable_variables], float(model.compute_loss(batch))
    for _ in range(12):
        step()
    assert float(model.compute_loss(batch)) < first
    still = [new.name for new, old in zip(model.trainable_variables, before, strict=True) if not np.any(new != old)]
    assert not still
    if option == "no own weights":
        penalised = [weight for weight in model.trainable_variables if weight.name in ("biases:0", "kernel:0")]
        penalised += [weight for weight in model.trainable_variables if weight.name.endswith("/kernel:0")]
        assert len(penalised) == 3  # of attributes, and both layers of the network
        squares = sum(float(tf.reduce_sum(tf.square(one))) for one in penalised)
        assert float(tf.add_n(model.losses)) == pytest.approx(0.01 * squares, rel=1e-5)
        rows = [
            model.row_scores(model.query(batch), batch["menu"] % 9, is_on).numpy() for is_on in (True, False, False)
        ]
        assert np.abs(rows[0] - rows[1]).max() > 1e-4  # dropout
        np.testing.assert_array_equal(rows[1], rows[2])
    if option == "regularised":
        penalised = [
            weight
            for weight in model.trainable_variables
            if weight.name in ("vectors:0", "biases:0") or ("tower/" in weight.name and "kernel" in weight.name)
        ]
        # Of two layers; of the logits, where those are not one; of the attributes.
        assert len(penalised) == {"two_tower_binary": 2, PAGE_RANKER: 6}.get(name, 4)
        squares = sum(float(tf.reduce_sum(tf.square(one))) for one in penalised)
        assert float(tf.add_n(model.losses)) == pytest.approx(0.01 * squares, rel=1e-5)


@every_option
def test_order_and_padding_of_a_menu_change_no_score(name, option):
    model = built(a_config(name, option))
    batch = records(5)
    scores = model.menu_scores(batch).numpy()
    longer = {key: tf.pad(batch[key], [[0, 0], [0, 3]]) for key in LISTS}
    np.testing.assert_allclose(model.menu_scores({**batch, **longer})[:, :6], scores, atol=1e-5)
    if option == "position kept":  # it is for the place that it is there
        return
    turned = model.menu_scores({**batch, "menu": batch["menu"][:, ::-1], "pinned": batch["pinned"][:, ::-1]})
    np.testing.assert_allclose(turned.numpy()[:, ::-1], scores, atol=1e-5)
    every = np.take_along_axis(model.vocabulary_scores(batch).numpy(), np.minimum(batch["menu"], 9) % 9, axis=1)
    known = batch["menu"].numpy() < 9
    np.testing.assert_allclose(every[known], scores[known], atol=1e-5)


def fields_read(config):
    """Lists of a record that scores of rows are made of."""
    fields = {"history"} if config.own_weights else set()
    if config.history_encoder != "mean" and config.own_weights:
        fields |= {"history_age"}
    if config.target_attention or "last_watched" in config.context:
        fields |= {"history_age"}
    if config.shown_attention or config.row_memory or config.viewer_taste:
        fields |= {"shown_row", "shown_clicked"}
    if config.shown_attention or config.row_memory:
        fields |= {"shown_age"}
    return fields | ({"shown_position"} if config.row_memory else set())


CHANGED = {
    "history": lambda ids: ids % 11 + 1,
    "history_age": lambda ages: ages * 3,
    "shown_row": lambda ids: ids % 8 + 1,
    "shown_position": lambda places: places + 3,
    "shown_clicked": lambda clicked: 1 - clicked,
    "shown_age": lambda ages: ages // 2,
}


@every_option
def test_what_is_no_padding_changes_scores(name, option):
    config = a_config(name, option)
    model, batch = built(config), records(5)
    scores = model.menu_scores(batch).numpy()
    for field, change in CHANGED.items():
        real = batch[field.split("_")[0] + ("_row" if field.startswith("shown") else "")] > 0
        other = {**batch, field: tf.where(real, change(batch[field]), batch[field])}
        has_changed = np.abs(model.menu_scores(other) - scores).max() > 1e-4
        assert has_changed == (field in fields_read(config)), field


RAW = {
    "history": [["t3", "t1", "nobody's"], ["", "", ""]],
    "history_age": [[9_000, 800, 60], [0, 0, 0]],
    "menu": [["r2", "new", "r0", "r5"], ["r6", "r1", "", ""]],
    "pinned": [[1, 0, 0, 1], [0, 0, 0, 0]],
    "shown_row": [["r2", "new"], ["", ""]],
    "shown_position": [[1, 2], [0, 0]],
    "shown_clicked": [[1, 0], [0, 0]],
    "shown_age": [[600, 600], [0, 0]],
    "hour": [9, -1],
    "weekday": [0, -1],
    "device": ["tv", ""],
    "location": ["nowhere", ""],
}
VOCABULARIES = {
    "titles": [f"t{number}" for number in range(10)],
    "rows": [f"r{number}" for number in range(7)],
    "devices": ["tv", "phone"],
    "locations": ["north", "south"],
}


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("two_tower_softmax", ["attention", "context", "cross", "factorisation", "position"]),
        ("single_tower_softmax", ["gru", "context", "cross of a rank", "target attention", "regularised", "hashed"]),
        ("two_tower_binary", ["recency", "context", "cross", "factorisation", "shown before", "sampled"]),
        ("page_ranker", ["attributes", "network", "shown before", "context"]),
        ("page_ranker", ["as designed"]),
        ("page_ranker", ["no own weights"]),
        ("page_ranker", ["attributes", "network of counts", "context"]),
    ],
)
def test_what_is_saved_predicts_the_same_from_raw_strings(name, options, tmp_path):
    merged = {key: value for option in options for key, value in OPTIONS[option].items()}
    if "no own weights" not in options:
        merged["context"] = CONTEXT
    config = dataclasses.replace(SMALL, **{"name": name, **DESIGNED[name], **merged})
    saved = save_ranker(built(config), config, VOCABULARIES, tmp_path / "ranker")
    loaded = load_ranker(tmp_path / "ranker", "1")
    assert loaded.config == config
    batch = {key: values.numpy() for key, values in records(7).items()}
    for scores in ("menu_scores", "vocabulary_scores"):
        np.testing.assert_allclose(getattr(loaded, scores)(batch), getattr(saved, scores)(batch), atol=1e-6)
    both = loaded.rank({key: np.array(values) for key, values in RAW.items()})
    alone = loaded.rank({key: np.array(values[:1]) for key, values in RAW.items()})
    assert both["row_id"][0].tolist() == alone["row_id"][0].tolist() and set(alone["row_id"][0]) == set(RAW["menu"][0])
    assert both["row_id"][1].tolist()[2:] == ["", ""] and np.isfinite(both["score"][1][:2]).all()
    long = {
        **{key: np.array(values[:1]) for key, values in RAW.items()},
        "menu": np.array([[f"r{at}" for at in range(500)]]),
    }
    assert np.isfinite(loaded.rank(long)["score"]).all()
