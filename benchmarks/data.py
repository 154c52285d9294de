"""`make bench-data`: from raw lines to training snapshots at several sizes, on simulated logs.

Prints, and writes to FOLDER/bench-data.md: seconds, records a second and share of each step; the exponent by which time
grows with size (1: in proportion); peak memory; bytes a page view; the windowed join against DuckDB's ASOF join.
"""

import argparse
import math
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.asof import compared_with_asof
from benchmarks.processes import Measured, run_pagerec

SIZES = (250_000, 500_000, 1_000_000, 2_850_000)
STEPS = ("ingest", "join", "prepare")
DAYS = 4  # the study's two of training, and later ones to judge on


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the sizes given, each in a folder of its own, which is removed afterwards unless it is kept."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.data", description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("bench-data"), help="where logs and homes go")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="page views")
    parser.add_argument("--keep", action="store_true", help="keep logs and homes")
    options = parser.parse_args(arguments)
    options.folder.mkdir(parents=True, exist_ok=True)
    measured: dict[int, dict[str, Measured]] = {}
    parts = []
    for size in options.sizes:
        folder = options.folder / str(size)
        measured[size] = _measure(folder, size)
        parts = [step_table(measured), growth_line(measured)]
        parts.append(size_table(folder / "home" / "tables", folder / "logs", size))
        parts.append(compared_with_asof(folder / "home"))
        if not options.keep:
            shutil.rmtree(folder)
        text = "\n\n".join(parts) + "\n"
        (options.folder / "bench-data.md").write_text(text, encoding="utf-8")
        print(text, flush=True)


def _measure(folder: Path, size: int) -> dict[str, Measured]:
    home, logs = str(folder / "home"), folder / "logs"
    measured = {}
    if not logs.exists():
        arguments = ("--page-views", str(size), "--days", str(DAYS), "--seed", "17")
        measured["simulate"] = run_pagerec("simulate", "--home", home, "--out", str(logs), *arguments)
    measured["ingest"] = run_pagerec("ingest", "--home", home, "--logs", str(logs))
    measured["join"] = run_pagerec("join", "--home", home)
    measured["prepare"] = run_pagerec("prepare", "--home", home)
    return measured


def step_table(measured: Mapping[int, Mapping[str, Measured]]) -> str:
    """One line a size and step; shares are of the steps from raw lines to snapshots."""
    lines = [
        "| page views | step | seconds | page views a second | share | peak memory, GB |",
        "|---|---|---|---|---|---|",
    ]
    for size, steps in measured.items():
        total = pipeline_seconds(steps)
        for name, one in steps.items():
            share = f"{one.seconds / total:.0%}" if name in STEPS else "-"
            lines.append(
                f"| {size:,} | {name} | {one.seconds:.0f} | {size / one.seconds:,.0f} | {share} "
                f"| {one.peak_bytes / 1e9:.1f} |"
            )
        lines.append(f"| {size:,} | raw lines to snapshots | {total:.0f} | {size / total:,.0f} | 100% | - |")
    return "\n".join(lines)


def pipeline_seconds(steps: Mapping[str, Measured]) -> float:
    """Seconds from raw lines to snapshots: the simulation is no part of it."""
    return sum(steps[name].seconds for name in STEPS)


def growth_line(measured: Mapping[int, Mapping[str, Measured]]) -> str:
    """By which power of the size the time grows."""
    exponent = growth_exponent({size: pipeline_seconds(steps) for size, steps in measured.items()})
    return (
        "Growth exponent: needs two sizes."
        if exponent is None
        else f"Growth exponent: {exponent:.2f} (goal: at most 1.1)."
    )


def growth_exponent(seconds: Mapping[int, float]) -> float | None:
    """The slope of log seconds over log size by least squares; None for fewer than two sizes."""
    if len(seconds) < 2:
        return None
    points = [(math.log(size), math.log(time)) for size, time in seconds.items()]
    mean_x, mean_y = (sum(values) / len(points) for values in zip(*points, strict=True))
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / sum((x - mean_x) ** 2 for x, _ in points)


def size_table(tables: Path, logs: Path, size: int) -> str:
    """Bytes a page view of the logs and of each table, as they lie on the disk, old versions included."""
    folders = {"raw logs (JSON lines)": [one for one in logs.iterdir() if one.name != "truth"]}
    folders |= {table.name: [table] for table in sorted(tables.iterdir())}
    lines = ["| what | bytes a page view |", "|---|---|"]
    lines += [f"| {name} | {sum(map(_bytes, paths)) / size:,.0f} |" for name, paths in folders.items()]
    return "\n".join(lines)


def _bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


if __name__ == "__main__":
    main()
