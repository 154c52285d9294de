"""A ranker's folder as an MLflow model: data and the name of our loader, no code and no pickle."""

from pathlib import Path


def save_pyfunc(folder: Path, ranker_folder: Path) -> None:
    """Write an MLflow model around a ranker, with signature and input example."""
    import mlflow.pyfunc
    import pandas as pd
    import tensorflow as tf

    from pagerec_dbx.models.export import ranker_config

    data = folder.with_name("ranker")
    data.symlink_to(ranker_folder.absolute(), target_is_directory=True)
    example = {"history": [["title"]], "history_age": [[60]], "menu": [["row-1", "row-2"]], "hour": [20]}
    example |= {"weekday": [4], "device": ["tv"], "location": [""]}
    config = ranker_config(ranker_folder)
    pins, shows = "pinned" in config.context, config.shown_length > 0
    if pins:
        example |= {"pinned": [[1, 0]]}
    if shows:
        example |= {"shown_row": [["row-2"]], "shown_position": [[1]], "shown_clicked": [[0]], "shown_age": [[3600]]}
    mlflow.pyfunc.save_model(
        str(folder),
        loader_module="pagerec_dbx.models.pyfunc",
        data_path=str(data),
        signature=_signature(pins, shows),
        input_example=pd.DataFrame(example),
        pip_requirements=[f"tensorflow=={tf.__version__}", "tf-keras", "pagerec_dbx"],
    )


def _signature(pins: bool, shows: bool):
    """
    Args:
        pins: the ranker reads which rows are pinned.
        shows: the ranker reads what was shown before.
    """
    from mlflow.models import ModelSignature
    from mlflow.types.schema import Array, ColSpec, DataType, Schema

    text, whole = DataType.string, DataType.long
    inputs = [
        ColSpec(Array(text), "history"),
        ColSpec(Array(whole), "history_age"),
        ColSpec(Array(text), "menu"),
        ColSpec(whole, "hour"),
        ColSpec(whole, "weekday"),
        ColSpec(text, "device"),
        ColSpec(text, "location"),
    ]
    if pins:
        inputs.append(ColSpec(Array(whole), "pinned"))
    if shows:
        inputs.append(ColSpec(Array(text), "shown_row"))
        inputs += [ColSpec(Array(whole), name) for name in ("shown_position", "shown_clicked", "shown_age")]
    outputs = [ColSpec(Array(text), "row_id"), ColSpec(Array(DataType.float), "score")]
    return ModelSignature(Schema(inputs), Schema(outputs))
