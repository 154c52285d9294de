"""Tokens and their ids: counted on the training part, kept in the table `vocabularies`, never renumbered."""

import dataclasses
from collections.abc import Iterable, Mapping

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from pagerec_dbx.errors import GrainError, MissingTableError
from pagerec_dbx.schemas import VOCABULARIES
from pagerec_dbx.tables import Tables, spark_schema, union_all

TITLES, ROWS, DEVICES, LOCATIONS = KINDS = ("titles", "rows", "devices", "locations")
PADDING, UNKNOWN, FIRST = 0, 1, 2  # ids of no token, of any other token, of the first token
MAX_CONTEXTS = 1_000  # entries of the device and of the location vocabulary, padding and unknown included

Counted = Mapping[str, tuple[tuple[str, int], ...]]  # kind -> (token, count) in the order that new ids follow


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """One version: for each kind its tokens in the order of their ids, from id 2."""

    version: int
    tokens: Mapping[str, tuple[str, ...]]

    def size(self, kind: str) -> int:
        """Entries of a kind, padding and unknown included: what an embedding needs."""
        return len(self.tokens[kind]) + FIRST

    @property
    def sizes(self) -> dict[str, int]:
        return {kind: self.size(kind) for kind in KINDS}


def tokens_from_page_views(page_views: DataFrame) -> DataFrame:
    """One record per token on a page view, with its kind: titles of the history, rows of the menu, device, location.

    Each kind reads the one field that it needs: exploding them together carried every page view's whole menu along.
    """
    columns = {
        TITLES: F.explode("history.title_id"),
        ROWS: F.explode("menu.row_id"),
        DEVICES: F.col("device"),
        LOCATIONS: F.col("location"),
    }
    tokens = [page_views.select(F.lit(kind).alias("kind"), token.alias("token")) for kind, token in columns.items()]
    return union_all(tokens).where("token <> ''")


def count_tokens(page_views: DataFrame, limits: Mapping[str, int], min_count: int) -> Counted:
    """The most frequent tokens of the training part, by falling count, then token; one distributed count.

    Args:
        page_views: the training part of `labelled_page_views`, with and without a click.
        limits: entries of each kind's vocabulary, padding and unknown included.
        min_count: tokens seen less often are left out.
    """
    rank = F.row_number().over(Window.partitionBy("kind").orderBy(F.desc("count"), "token"))
    room = F.element_at(F.create_map(*[F.lit(part) for pair in limits.items() for part in pair]), F.col("kind"))
    counted = tokens_from_page_views(page_views).groupBy("kind", "token").count().where(F.col("count") >= min_count)
    kept = counted.withColumn("rank", rank).where(F.col("rank") <= room - FIRST)
    records = kept.orderBy("kind", "rank").collect()  # no more than the vocabularies hold
    return {
        kind: tuple((record["token"], record["count"]) for record in records if record["kind"] == kind)
        for kind in KINDS
    }


def with_catalogue(counted: Counted, known: Mapping[str, DataFrame], limits: Mapping[str, int]) -> Counted:
    """The counted tokens, then those of a catalogue that training never saw, with a count of 0, by name.

    Args:
        known: by kind, tokens in one column, each once.
        limits: as `count_tokens`; counted tokens come first.
    """
    all_tokens = dict(counted)
    for kind, tokens in known.items():
        held = {token for token, _ in counted[kind]}
        ordered = tokens.orderBy(tokens.columns[0]).limit(limits[kind] - FIRST).collect()  # no more than fit
        new = [record[0] for record in ordered if record[0] not in held]
        all_tokens[kind] = (*counted[kind], *((token, 0) for token in new))[: limits[kind] - FIRST]
    return all_tokens


def extended(known: tuple[str, ...], counted: Iterable[str], size: int) -> tuple[str, ...]:
    """Known tokens under the ids they have, then new ones in the order given, up to `size` entries with ids 0 and 1.

    A token keeps its id although the training part no longer has it: a model trained before still reads that id.
    """
    held = set(known)
    new = [token for token in counted if token not in held]
    return (*known, *new)[: size - FIRST]


def store_vocabulary(tables: Tables, counted: Counted, limits: Mapping[str, int]) -> Vocabulary:
    """The version that holds these tokens: an earlier one of equal content, else a new one, which is written.

    Over all versions of a home an id means one token; so a version is known by the sizes of its kinds.

    Raises:
        GrainError: the table gives one id two meanings.
    """
    tables.create(VOCABULARIES)
    known, versions = _lineage(tables)
    tokens = {kind: extended(known[kind], [token for token, _ in counted[kind]], limits[kind]) for kind in KINDS}
    sizes = {kind: len(tokens[kind]) for kind in KINDS}
    for version in sorted(versions):
        if versions[version] == sizes:
            return Vocabulary(version, tokens)
    vocabulary = Vocabulary(max(versions, default=0) + 1, tokens)
    tables.append(VOCABULARIES, tables.spark.createDataFrame(_records(vocabulary, counted), spark_schema(VOCABULARIES)))
    return vocabulary


def _records(vocabulary: Vocabulary, counted: Counted) -> list[tuple]:
    counts = {(kind, token): count for kind in KINDS for token, count in counted[kind]}
    return [
        (vocabulary.version, kind, number, token, counts.get((kind, token), 0))
        for kind in KINDS
        for number, token in enumerate(vocabulary.tokens[kind], start=FIRST)
    ]


def _lineage(tables: Tables) -> tuple[dict[str, tuple[str, ...]], dict[int, dict[str, int]]]:
    """Every token that ever had an id, by kind in the order of ids; and the number of tokens by version and kind."""
    meanings = tables.read(VOCABULARIES).groupBy("kind", "id", "token").agg(F.collect_set("version").alias("versions"))
    known: dict[str, list[str]] = {kind: [] for kind in KINDS}
    versions: dict[int, dict[str, int]] = {}
    for record in meanings.orderBy("kind", "id", "token").collect():  # as many as vocabulary entries
        tokens = known[record["kind"]]
        tokens.append(record["token"])
        if len(tokens) != record["id"] - FIRST + 1:
            raise GrainError(
                f"`vocabularies` gives id {record['id']} of {record['kind']} no single meaning",
                got=repr(record["token"]),
                fix="Restore the table to an earlier version",
            )
        for version in record["versions"]:
            sizes = versions.setdefault(version, dict.fromkeys(KINDS, 0))
            sizes[record["kind"]] += 1
    return {kind: tuple(tokens) for kind, tokens in known.items()}, versions


def read_vocabulary(tables: Tables, version: int, kind: str) -> list[str]:
    """The tokens of one kind in the order of their ids, from id 2.

    Raises:
        MissingTableError: no `prepare` has made this version.
    """
    return list(load_vocabulary(tables, version).tokens[kind])


def load_vocabulary(tables: Tables, version: int) -> Vocabulary:
    """One version with all its kinds.

    Raises:
        MissingTableError: no `prepare` has made this version.
    """
    records = tables.read(VOCABULARIES).where(F.col("version") == version).orderBy("kind", "id").collect()
    if not records:
        raise MissingTableError(f"there is no vocabulary version {version}", fix="Run `pagerec prepare`")
    tokens = {kind: tuple(record["token"] for record in records if record["kind"] == kind) for kind in KINDS}
    return Vocabulary(version, tokens)
