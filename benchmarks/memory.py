"""Whether a rank's memory grows with records or epochs: its peak over whole trainings, each a process of its own.

`python -m benchmarks.memory HOME` trains on an eighth of the records and on all of them, by either reader: files of the
newest training snapshot, linked again where it has fewer records.
"""

import argparse
import itertools
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.experiment import with_records
from benchmarks.train import config_of, machine, newest
from pagerec_dbx.config import TrainSettings
from pagerec_dbx.training.job import OneRank, TrainingJob
from pagerec_dbx.training.loop import fit

EPOCHS = (1, 3)
READERS = ("petastorm", "parquet")


def main() -> None:
    """Measure each case, or (`--epochs`) one in this process."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__.splitlines()[0])
    parser.add_argument("home", type=Path, help="a home in which `pagerec prepare` has run")
    parser.add_argument("--records", type=int, default=2_000_000, help="of the larger case, or somewhat more")
    parser.add_argument("--epochs", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--reader", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.epochs:
        print(*peak(options.home, options.records, options.epochs, options.reader))
        return
    print(f"{machine()}\n\n| records | epochs | reader | peak memory, MB |\n|---|---|---|---|", flush=True)
    for records, epochs, reader in itertools.product((options.records // 8, options.records), EPOCHS, READERS):
        case = ["--records", str(records), "--epochs", str(epochs), "--reader", reader]
        command = [sys.executable, "-m", "benchmarks.memory", str(options.home), *case]
        said = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
        held, found = map(int, said.splitlines()[-1].split())
        print(f"| {held:,} | {epochs} | {reader} | {found / 1e6:,.0f} |", flush=True)


def peak(home: Path, records: int, epochs: int, reader: str) -> tuple[int, int]:
    """Records, and the most bytes that this process held, after a training."""
    whole, validation = (newest(home, part) for part in ("train", "validation"))
    settings = TrainSettings(epochs=epochs, patience=epochs, reader=reader)
    with tempfile.TemporaryDirectory() as scratch:
        train = with_records(whole, records, Path(scratch, "train"))
        job = TrainingJob(config_of(train), str(train.folder), str(validation.folder), settings, scratch)
        fit(job, OneRank(), lambda _: None)
    return train.manifest.records, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main()
