"""Click weights from a real training snapshot: what is counted, and a training that uses it."""

import dataclasses
from collections import Counter
from pathlib import Path

import numpy as np

from pagerec_dbx.features.snapshot import open_snapshot, read_batches
from pagerec_dbx.training.job import OneRank
from pagerec_dbx.training.loop import fit
from pagerec_dbx.training.propensities import place_counts, randomized_clicks
from tests.training_jobs import training_job, with_settings


def test_places_and_rows_are_counted_as_they_stand_in_the_records(prepared, tmp_path):
    snapshot = open_snapshot(Path(training_job(prepared, tmp_path / "run").train_snapshot))
    numbers = range(1, len(snapshot.paths), 2)
    shown, clicked, of_random, pages = Counter(), Counter(), Counter(), 0
    of_files = set(np.concatenate([_ids(snapshot, number) for number in numbers]).tolist())
    for batch in read_batches(snapshot, 500):
        for number, is_random in enumerate(batch["randomized"]):
            if batch["page_view_id"][number] in of_files:
                pages += 1
                size = int((batch["menu"][number] > 0).sum())
                for place, row in enumerate(batch["menu"][number]):
                    if row:
                        shown[place, int(row)] += 1
                        clicked[place, int(row)] += int(batch["clicked"][number, place])
                        of_random[size, place] += int(batch["clicked"][number, place] and is_random)
    assert 0 < pages < snapshot.manifest.records
    found, random = place_counts(snapshot, numbers), randomized_clicks(snapshot, numbers)
    for counts, wanted in ((found.shown, shown), (found.clicked, clicked), (random, of_random)):
        assert {(int(one), int(other)): int(counts[one, other]) for one, other in np.argwhere(counts)} == +wanted
    assert 0 < random.sum() < found.clicked.sum()


def _ids(snapshot, number):
    alone = dataclasses.replace(snapshot.manifest, files=(snapshot.manifest.files[number],))
    return np.concatenate(
        [batch["page_view_id"] for batch in read_batches(type(snapshot)(snapshot.folder, alone), 500)]
    )


def test_a_training_weighs_its_clicks(prepared, tmp_path):
    job = with_settings(training_job(prepared, tmp_path / "plain"), epochs=1)
    plain = fit(job, OneRank(), print).reports[0]
    config = dataclasses.replace(job.config, propensities="em")
    weighed = fit(dataclasses.replace(job, config=config, folder=str(tmp_path / "weighed")), OneRank(), print).reports[
        0
    ]
    assert weighed.loss > 1.2 * plain.loss  # a click counts 1 at the first place, and more below
