"""A small training job on a prepared home, for the tests of training."""

import dataclasses
from pathlib import Path

from pagerec_dbx.features.preparation import latest_preparation
from pagerec_dbx.models.config import ModelConfig
from pagerec_dbx.training.job import TrainingJob


def training_job(prepared, folder: Path) -> TrainingJob:
    """The newest preparation of the home, with a network of a few hundred weights."""
    preparation = latest_preparation(prepared.tables)
    config = ModelConfig(
        "two_tower_softmax", preparation.title_count, preparation.row_count, embedding_size=8, hidden_sizes=(16,)
    )
    return TrainingJob(
        config=config,
        train_snapshot=str(preparation.folder(prepared.home, "train")),
        validation_snapshot=str(preparation.folder(prepared.home, "validation")),
        settings=prepared.settings.train,
        folder=str(folder),
    )


def with_settings(job: TrainingJob, **changes) -> TrainingJob:
    """The same job with other settings of training."""
    return dataclasses.replace(job, settings=dataclasses.replace(job.settings, **changes))
