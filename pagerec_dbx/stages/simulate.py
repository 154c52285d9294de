"""`pagerec simulate`: raw logs of a world whose best order is known."""

import dataclasses
import json
from pathlib import Path

import numpy as np
from pyspark.sql import DataFrame, SparkSession

from pagerec_dbx.config import SimulateSettings
from pagerec_dbx.errors import UsageError
from pagerec_dbx.hashing import HashingKey
from pagerec_dbx.progress import watch_spark
from pagerec_dbx.simulation import counts
from pagerec_dbx.simulation.chance import Chance
from pagerec_dbx.simulation.clicks import logged_clicks
from pagerec_dbx.simulation.faults import with_places, with_spoiled_copies, with_spoiled_text
from pagerec_dbx.simulation.lines import all_lines, with_text
from pagerec_dbx.simulation.pages import day0_ms, first_day, partition_count, simulated_pages
from pagerec_dbx.simulation.world import World, attributes, make_world
from pagerec_dbx.simulation.writing import in_files, write_lines, write_objects, write_truth, written_aside


@dataclasses.dataclass(frozen=True)
class SimulateResult:
    """What a simulation wrote."""

    page_views: int  # distinct
    viewers: int
    lines: dict[str, int]  # by log
    faults: dict[str, int]  # by kind
    out: str


def simulate(
    spark: SparkSession, home_key: HashingKey, out: Path, page_views: int, days: int, settings: SimulateSettings
) -> SimulateResult:
    """Write the logs of a simulated world to OUT and its truth to OUT/truth.

    Raises:
        LogsError: OUT is not empty.
        UsageError: no page views, or no days.
    """
    for name, value in (("--page-views", page_views), ("--days", days)):
        if value < 1:
            raise UsageError(f"{name} is out of range", wanted="at least 1", got=str(value))
    world, chance = make_world(settings), Chance(settings.seed)
    with written_aside(out) as folder, watch_spark(spark, "simulate"):
        drawn = simulated_pages(spark, home_key, world, page_views, days, settings)
        pages = write_truth(drawn, folder / "truth" / "page_views")
        clicks = write_truth(logged_clicks(pages, chance, world, settings), folder / "truth" / "clicks")
        places = _places(pages, clicks, chance, world, settings, page_views / days)
        lines = with_spoiled_text(with_text(in_files(places, partition_count(spark, page_views)), world))
        write_lines(lines, folder, first_day(settings), settings.gzip_logs)
        titles, rows = attributes(world, settings)
        write_objects(titles, folder / "titles" / "titles.jsonl", settings.gzip_logs)
        write_objects(rows, folder / "rows" / "rows.jsonl", settings.gzip_logs)
        result, details = _counted(pages, clicks, places, out)
        _write_json(details, folder / "truth" / "faults.json")
        _write_json(_described(world, settings, page_views, days), folder / "truth" / "world.json")
    return result


def _places(
    pages: DataFrame, clicks: DataFrame, chance: Chance, world: World, settings: SimulateSettings, pages_a_day: float
) -> DataFrame:
    """Every line with its place in a file, not yet written out."""
    lines = with_spoiled_copies(all_lines(pages, clicks, chance, world, settings), chance, settings)
    parts = max(1, round(pages_a_day / settings.lines_per_file))
    return with_places(lines, chance, settings, day0_ms(settings), parts)


def _counted(pages: DataFrame, clicks: DataFrame, places: DataFrame, out: Path) -> tuple[SimulateResult, dict]:
    of_pages, of_lines, of_clicks = (
        counts.counted_pages(pages),
        counts.counted_lines(places),
        counts.counted_clicks(clicks),
    )
    result = SimulateResult(
        page_views=of_pages["page_views"],
        viewers=of_pages["viewers"],
        lines=counts.lines_by_log(of_lines),
        faults=counts.faults(of_pages, of_lines, of_clicks),
        out=str(out),
    )
    details = {
        **of_pages,
        "lines": result.lines,
        "faults": result.faults,
        "refused": counts.refusals(of_lines),
        "clicks": of_clicks,
    }
    return result, details


def _described(world: World, settings: SimulateSettings, page_views: int, days: int) -> dict:
    """The settings, and what the world drew from them."""
    arrays = {
        name: np.round(value, 12).tolist() for name, value in vars(world).items() if not name.startswith("title_")
    }
    return {
        "simulated": True,
        "page_views": page_views,
        "days": days,
        "settings": dataclasses.asdict(settings),
        "row_ids": world.row_ids,
        **arrays,
    }


def _write_json(content: dict, file: Path) -> None:
    file.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
