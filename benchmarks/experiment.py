"""The study's whole experiment, 2 million training records and 20 epochs, by lazy Adam and once more by Keras's Adam.

`python -m benchmarks.experiment HOME` takes the home's newest snapshots. Where they hold fewer records than asked for,
files are linked a second time until there are as many: the time is that of so many records, the figures those of the
records that there are.
"""

import argparse
import dataclasses
import itertools
import tempfile
import time
from pathlib import Path

from benchmarks.ranks import linked
from benchmarks.train import BATCH, config_of, machine, newest
from pagerec_dbx.config import TrainSettings
from pagerec_dbx.features.snapshot import Snapshot
from pagerec_dbx.training.job import OneRank, TrainingJob, TrainingResult
from pagerec_dbx.training.loop import fit


def main() -> None:
    """Train both, print a line each."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.experiment", description=__doc__.splitlines()[0])
    parser.add_argument("home", type=Path, help="a home in which `pagerec prepare` has run")
    parser.add_argument("--records", type=int, default=2_000_000, help="at least")
    parser.add_argument("--epochs", type=int, default=20)
    options = parser.parse_args()
    train, validation = newest(options.home, "train"), newest(options.home, "validation")
    with tempfile.TemporaryDirectory() as scratch:
        whole = with_records(train, options.records, Path(scratch, "train"))
        print(_head(whole, train), flush=True)
        settings = TrainSettings(epochs=options.epochs, patience=options.epochs, batch_size=BATCH)
        for optimizer in ("lazy_adam", "adam"):
            own = dataclasses.replace(settings, optimizer=optimizer)
            folders = str(whole.folder), str(validation.folder)
            job = TrainingJob(config_of(train), *folders, own, str(Path(scratch, optimizer)))
            started = time.monotonic()
            result = fit(job, OneRank(), lambda report: None)
            print(line(optimizer, result, time.monotonic() - started), flush=True)


def _head(whole: Snapshot, train: Snapshot) -> str:
    return (
        f"{whole.manifest.records:,} records, at most {train.manifest.records:,} of them distinct; batch {BATCH:,}, "
        f"one rank; {machine()}\n\n"
        "| optimizer | epochs | minutes, all included | validation NDCG of the best epoch | waited for data |\n"
        "|---|---|---|---|---|"
    )


def with_records(train: Snapshot, wanted: int, folder: Path) -> Snapshot:
    """As many of the snapshot's files, linked again where they are too few, as hold as many records as wanted."""
    manifest, files, groups = train.manifest, [], []
    for file, records in itertools.cycle(zip(manifest.files, manifest.row_groups, strict=True)):
        if sum(groups) >= wanted:
            break
        files.append(file)
        groups.append(records)
    again = tuple(dataclasses.replace(file, name=f"{number}/{file.name}") for number, file in enumerate(files))
    whole = dataclasses.replace(manifest, files=again, row_groups=tuple(groups), records=sum(groups))
    return linked(Snapshot(train.folder, whole), folder, [train.folder / file.name for file in files])


def line(optimizer: str, result: TrainingResult, seconds: float) -> str:
    """One training as a row of the table."""
    best = result.reports[result.best_epoch - 1]
    waited = max(report.waited_for_data for report in result.reports)
    return f"| {optimizer} | {result.epochs} | {seconds / 60:.1f} | {best.validation_ndcg:.4f} | at most {waited:.0%} |"


if __name__ == "__main__":
    main()
