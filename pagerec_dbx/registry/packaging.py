"""A ranker's folder as an MLflow model: data and the name of our loader, no code and no pickle."""

from pathlib import Path


def save_pyfunc(folder: Path, ranker_folder: Path) -> None:
    """Write an MLflow model around a ranker, with signature and input example."""
    import mlflow.pyfunc
    import pandas as pd
    import tensorflow as tf

    data = folder.with_name("ranker")
    data.symlink_to(ranker_folder.absolute(), target_is_directory=True)
    example = {"history": [["title"]], "history_age": [[60]], "menu": [["row-1", "row-2"]], "hour": [20]}
    example |= {"weekday": [4], "device": ["tv"], "location": [""]}
    mlflow.pyfunc.save_model(
        str(folder),
        loader_module="pagerec_dbx.models.pyfunc",
        data_path=str(data),
        signature=_signature(),
        input_example=pd.DataFrame(example),
        pip_requirements=[f"tensorflow=={tf.__version__}", "tf-keras", "pagerec_dbx"],
    )


def _signature():
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
    outputs = [ColSpec(Array(text), "row_id"), ColSpec(Array(DataType.float), "score")]
    return ModelSignature(Schema(inputs), Schema(outputs))
