"""A disk that fills up on the way: the command says so, what was there stays, and the next run goes on."""

import json
import re
import shutil
import subprocess
import sys

import pytest

from tests.log_lines import service, write

DISK_KB = 64 * 1024
# The home lies on a small disk of its own, which only this script sees; it is filled up to `$4` kB.
SCRIPT = """
set -u
home=$1 logs=$2 python=$3 spare=$4
mount -t tmpfs -o size={size}k small "$home" || exit 77
run() {{ echo "$@" >> "$home/../ran"; "$python" -m pagerec_dbx.cli "$@" --home "$home"; echo "code $?" >&2; }}
run ingest --logs "$logs" --json max_quarantined_share=1 2> /dev/null
mv "$logs/../later.jsonl" "$logs/service_logs/later.jsonl"
free=$(df --output=avail -k "$home" | tail -1)
head -c $(( (free - spare) * 1024 )) /dev/zero > "$home/filler"
run ingest --logs "$logs" --json 2> "$home/../full"
rm "$home/filler"
run join --json 2> /dev/null
run ingest --logs "$logs" --json 2> /dev/null
run join --json 2> /dev/null
"""


def _pages(first: int, count: int) -> list[dict]:
    watched = [{"title_id": f"title {number}", "watched_at": 1_600_000_000_000 + number} for number in range(40)]
    rows = [f"row {number}" for number in range(40)]
    return [
        service(f"q{number}", f"viewer {number}", number, rows, watch_history=watched)
        for number in range(first, first + count)
    ]


def _require_small_disks() -> None:
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode:
        pytest.skip("needs a mount namespace of its own for a small disk: run it where `unshare -rm true` works")


@pytest.mark.slow
@pytest.mark.parametrize("spare_kb", [0, 300])
def test_a_full_disk_is_said_and_loses_nothing(tmp_path, spare_kb):
    """With room for nothing the lock cannot be taken; with a little room the tables are what does not fit."""
    _require_small_disks()
    home, logs = tmp_path / "home", tmp_path / "logs"
    home.mkdir()
    write(logs, "service_logs", _pages(0, 10))
    write(tmp_path, ".", _pages(10, 20_000), "later.jsonl")
    script = SCRIPT.format(size=DISK_KB)
    ran = subprocess.run(
        ["unshare", "-rm", "bash", "-c", script, "bash", str(home), str(logs), sys.executable, str(spare_kb)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode != 77, ran.stderr
    full = (tmp_path / "full").read_text()
    assert "No space left on device" in full or "the disk is full" in full
    assert "code 1" in full and "Traceback" not in full
    first, before, second, after = map(json.loads, ran.stdout.splitlines())  # the one that failed printed nothing
    assert (first["read"], before["page_views"]) == (10, 10)
    assert (second["read"], second["good"], after["page_views"]) == (20_000, 20_000, 20_010)


# The prepared home $2 is trained from on a small disk $1, which is full from the end of the first epoch on.
TRAINING = """
set -u
home=$1 prepared=$2 python=$3 minutes=$4
mount -t tmpfs -o size={size}k small "$home" || exit 77
cp -a "$prepared/." "$home"
run() {{ "$python" -m pagerec_dbx.cli train --home "$home" "$@"; echo "code $?" >&2; }}
settings="epochs=60 patience=60 batch_size=32 embedding_size=8 hidden_sizes=[16] checkpoint_minutes=$minutes"
run $settings 2> "$home/../full" &
until grep -q "epoch 1 of 60: loss" "$home/../full"; do sleep 0.1; done
cat /dev/zero > "$home/filler" 2> /dev/null
wait
rm "$home/filler"
run --resume "$(ls "$home/training")" 2> "$home/../resumed"
"""


@pytest.mark.slow
@pytest.mark.parametrize("minutes", [0, 5])
def test_a_full_disk_stops_a_training_that_goes_on_where_it_stood(prepared, tmp_path, minutes):
    """With a checkpoint at every chance it is what does not fit; without one the epoch's figures are."""
    _require_small_disks()
    home = tmp_path / "home"
    home.mkdir()
    arguments = ["bash", str(home), str(prepared.home.folder), sys.executable, str(minutes)]
    script = TRAINING.format(size=DISK_KB)
    ran = subprocess.run(["unshare", "-rm", "bash", "-c", script, *arguments], capture_output=True, text=True)
    assert ran.returncode != 77, ran.stderr
    full, resumed = (tmp_path / "full").read_text(), (tmp_path / "resumed").read_text()
    assert "code 1" in full and "Traceback" not in full and "unexpected" not in full, full
    said = [line for line in full.splitlines() if line.startswith("pagerec: ")]
    assert len(said) == 1 and re.search("cannot be written: .*No space left|the disk is full", said[0]), full
    assert re.search(rf"pagerec train --resume \w+ --home {re.escape(str(home))}", full), full
    assert "code 0" in resumed, resumed
    assert ("going on from epoch" in resumed) == (minutes == 0)
    assert ran.stdout.strip().isdigit()  # the version
