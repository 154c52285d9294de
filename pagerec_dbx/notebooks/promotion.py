"""The verdict on a version and its reasons; and promotion, where it is asked for."""

import pandas as pd
from pyspark.sql import functions as F

from pagerec_dbx import promotions
from pagerec_dbx.errors import RegistryError, SnapshotError
from pagerec_dbx.evaluation.gate import Verdict
from pagerec_dbx.evaluation.verdicts import stored_verdict
from pagerec_dbx.home import open_home
from pagerec_dbx.lock import locked
from pagerec_dbx.notebooks.plots import COLOURS, OPEN, figure
from pagerec_dbx.schemas import PROMOTIONS
from pagerec_dbx.stages.grounds import grounds_of
from pagerec_dbx.stages.promote import promote_version
from pagerec_dbx.stages.rekey_note import require_no_move
from pagerec_dbx.workbench import Workbench

DRY_RUN, PROMOTE = "dry run", "promote"


def verdict_on(bench: Workbench, version: str) -> Verdict:
    """The stored verdict on a version; nothing is judged anew.

    Raises:
        RegistryError: there is none.
    """
    verdict = stored_verdict(bench.tables, version)
    if verdict is None:
        raise RegistryError(
            f"there is no verdict on version {version} yet", fix=f"Run `pagerec compare --challenger {version}`"
        )
    return verdict


def standing(bench: Workbench, verdict: Verdict) -> str:
    """What the verdict says, and whether it still holds, in sentences; nothing is written."""
    seen = promotions.serving(bench.tables)
    serves = f"Version {seen.champion} serves." if seen.champion else "Nobody serves yet."
    if seen.champion == verdict.version:
        return f"{serves} Its verdict is the one that it was promoted by."
    allowed = "may become champion" if verdict.promote else "may not become champion"
    return f"{serves} By its verdict version {verdict.version} {allowed}. {_holds(bench, verdict, seen)}"


def _holds(bench: Workbench, verdict: Verdict, seen: promotions.Serving) -> str:
    """Whether a verdict still holds: where nobody serves and a legacy was trained, a snapshot must be opened for it."""
    try:
        changes = verdict.grounds.changes(grounds_of(bench, seen))
    except SnapshotError as error:
        return (
            f"Whether it still holds cannot be said here: {error.what}"
            f"{f' ({error.got})' if error.got else ''}. To look it up you need READ VOLUME on the home's volume "
            "`files`; where you have it, prepare again."
        )
    return f"It is void, and is made anew on promotion: {'; '.join(changes)}." if changes else "It still holds."


def reasons(verdict: Verdict) -> pd.DataFrame:
    """One record a limit: whether it was passed, and what was found."""
    parted = [reason.partition(": ") for reason in verdict.reasons]
    return pd.DataFrame([(word, told) for word, _, told in parted], columns=["limit", "found"])


def act(bench: Workbench, version: str, action: str, confirmed: str) -> str:
    """Promote the version as `pagerec promote` does, or say what is missing for it; the sentence that tells of it.

    A runtime runs cells again when a widget changes: a choice alone must not act, nor a second version after the first.

    Args:
        confirmed: what was typed; the version, where that is what is wanted.

    Raises:
        RoleError: the version is the retrained legacy.
        RegistryError: another decision came first.
        LockedHomeError: another command writes to the home.
    """
    if action != PROMOTE:
        return f"Dry run: nothing was changed. Set the widget `action` to `{PROMOTE}` to act by the verdict."
    if confirmed.strip() != version:
        typed = f"it says `{confirmed.strip()}`" if confirmed.strip() else "it is empty"
        return (
            f"Not confirmed: nothing was changed. To promote version {version} by its verdict, type {version} into the "
            f"widget `confirm`; {typed}."
        )
    home = open_home(bench.home.name, new=False)
    with locked(home, "promote"):
        require_no_move(home)
        return promote_version(bench, version).to_text()


def decisions(bench: Workbench) -> pd.DataFrame:
    """Every decision, newest first: when, on which version, by what, and why.

    Raises:
        MissingTableError: nobody was ever promoted or refused.
    """
    found = bench.tables.read(PROMOTIONS).withColumn("reasons", F.concat_ws("; ", "reasons"))
    columns = ("sequence", "decided_at", "version", "previous_version", "promoted", "action", "reasons")
    return found.select(*columns).orderBy("sequence", ascending=False).toPandas()


def service_plot(decided: pd.DataFrame, bench: Workbench):
    """Who served since when, until now by the bench's clock: a bar a version. Needs `decisions`."""
    changes, refused = decided[decided.promoted].sort_values("sequence"), decided[~decided.promoted]
    drawn = figure("service", 9, 1.4 + 0.35 * max(1, decided.version.nunique()))
    axes = drawn.add_subplot()
    now = pd.Timestamp(bench.now()).tz_convert("UTC").tz_localize(None)  # as Spark hands UTC over
    ends = [*changes.decided_at.iloc[1:], now] if len(changes) else []
    for index, (version, start, end) in enumerate(zip(changes.version, changes.decided_at, ends, strict=True)):
        axes.barh(f"version {version}", end - start, left=start, color=COLOURS[index % len(COLOURS)])
    axes.scatter(refused.decided_at, "version " + refused.version, marker="x", color=OPEN, label="not promoted")
    if len(refused):
        axes.legend(fontsize=8)
    if decided.empty:
        axes.text(0.5, 0.5, "nobody has served yet", ha="center", va="center", transform=axes.transAxes)
    axes.set_title("who served since when (UTC)", loc="left", fontsize=10)
    return drawn
