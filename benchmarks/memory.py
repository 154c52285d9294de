"""Whether a rank's memory grows with records or epochs: its peak over whole trainings, each a process of its own.

`python -m benchmarks.memory HOME HOME...` trains on each home's newest training snapshot, by either reader.
"""

import argparse
import itertools
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.train import config_of, newest
from pagerec_dbx.config import TrainSettings
from pagerec_dbx.training.job import OneRank, TrainingJob
from pagerec_dbx.training.loop import fit

EPOCHS = (1, 3)
READERS = ("petastorm", "parquet")


def main() -> None:
    """Measure each case, or (`--epochs`) one in this process."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__.splitlines()[0])
    parser.add_argument("homes", type=Path, nargs="+", help="prepared homes of several sizes")
    parser.add_argument("--epochs", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--reader", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.epochs:
        print(peak_bytes(options.homes[0], options.epochs, options.reader))
        return
    print("| records | row groups | epochs | reader | peak memory, MB |\n|---|---|---|---|---|", flush=True)
    for home, epochs, reader in itertools.product(options.homes, EPOCHS, READERS):
        case = ["--epochs", str(epochs), "--reader", reader]
        command = [sys.executable, "-m", "benchmarks.memory", str(home), *case]
        said = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
        manifest, peak = newest(home, "train").manifest, int(said.splitlines()[-1]) / 1e6
        print(f"| {manifest.records:,} | {len(manifest.row_groups)} | {epochs} | {reader} | {peak:,.0f} |", flush=True)


def peak_bytes(home: Path, epochs: int, reader: str) -> int:
    """Of this process, after a training."""
    train, validation = (newest(home, part) for part in ("train", "validation"))
    settings = TrainSettings(epochs=epochs, patience=epochs, reader=reader)
    with tempfile.TemporaryDirectory() as scratch:
        job = TrainingJob(config_of(train), str(train.folder), str(validation.folder), settings, scratch)
        fit(job, OneRank(), lambda _: None)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main()
