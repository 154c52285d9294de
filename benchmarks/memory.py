"""Whether a rank's memory grows with records or epochs: its peak over whole trainings, each a process of its own.

`python -m benchmarks.memory HOME` trains on some 250,000 records and on all of the home's newest training snapshot.
"""

import argparse
import itertools
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.ranks import linked
from benchmarks.train import config_of, first_records, newest
from pagerec_dbx.config import TrainSettings
from pagerec_dbx.training.job import OneRank, TrainingJob
from pagerec_dbx.training.loop import fit

FEW = 250_000
EPOCHS = (1, 3)


def main() -> None:
    """Measure each case, or (`--records`) one in this process."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__.splitlines()[0])
    parser.add_argument("home", type=Path, help="a home in which `pagerec prepare` has run")
    parser.add_argument("--records", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--epochs", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.records:
        print(peak_bytes(options.home, options.records, options.epochs))
        return
    records = newest(options.home, "train").manifest.records
    print("| records | epochs | peak memory, MB |\n|---|---|---|", flush=True)
    for wanted, epochs in itertools.product((min(FEW, records), records), EPOCHS):
        case = ["--records", str(wanted), "--epochs", str(epochs)]
        command = [sys.executable, "-m", "benchmarks.memory", str(options.home), *case]
        said = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
        print(f"| {wanted:,} | {epochs} | {int(said.splitlines()[-1]) / 1e6:,.0f} |", flush=True)


def peak_bytes(home: Path, records: int, epochs: int) -> int:
    """Of this process, after a training."""
    with tempfile.TemporaryDirectory() as scratch:
        train = linked(first_records(newest(home, "train"), records), Path(scratch, "train"))
        validation = newest(home, "validation")
        settings = TrainSettings(epochs=epochs, patience=epochs)
        job = TrainingJob(config_of(train), str(train.folder), str(validation.folder), settings, scratch)
        fit(job, OneRank(), lambda _: None)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main()
