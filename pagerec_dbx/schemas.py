"""Every table of a home: columns, types, key and grain. Types are Spark's SQL names; no engine is imported."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Column:
    """One column; `type` is a Spark SQL type, as `array<struct<row_id:string,score:double>>`."""

    name: str
    type: str
    required: bool = False  # NOT NULL


@dataclasses.dataclass(frozen=True)
class Table:
    """One table; `key` is what identifies a record, `grain` says what a record is."""

    name: str
    grain: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()
    partition_by: tuple[str, ...] = ()
    checks: tuple[str, ...] = ()  # SQL conditions that every record meets

    @property
    def column_names(self) -> list[str]:
        return [column.name for column in self.columns]


def _columns(text: str) -> tuple[Column, ...]:
    """`name type` lines; a `!` after the type means NOT NULL."""
    columns = []
    for line in text.strip().splitlines():
        name, kind = line.split()
        columns.append(Column(name, kind.rstrip("!"), required=kind.endswith("!")))
    return tuple(columns)


# What no record of these tables may be, whoever writes it: Delta refuses the commit.
_ON_ITS_DAY = "day = CAST(served_at AS DATE)"
_HAS_HASH = "length(user_hash) > 0"
_COUNTED = "records >= 1"

HISTORY = "array<struct<title_id:string,watched_at:timestamp>>"
MENU = "array<struct<row_id:string,row_title:string,position:int,pinned:boolean>>"
RANKED = "array<struct<row_id:string,score:double>>"
SHOWN = ("shown_row", "shown_position", "shown_clicked", "shown_age")  # lists of equal length: what was shown before
GROUNDS = (
    "struct<champion:string,legacy:string,holdout:string,labelled_version:bigint,examples_version:bigint,"
    "evaluations_version:bigint,newest_page_view:bigint,limits:string,champion_since:bigint,relabelled:bigint>"
)

# --- logs -------------------------------------------------------------------------------------------------------------

QUARANTINE = Table(
    "quarantine",
    "refused line",
    _columns("""
        source      string!
        reason      string!
        raw         string
        file        string!
        user_hash   string
        ingested_at timestamp!
        batch       bigint!
    """),
)

TITLES = Table(
    "titles",
    "title",
    _columns("""
        title_id   string!
        attributes map<string,array<string>>
        numbers    map<string,double>
    """),
    key=("title_id",),
)

ROWS = Table(
    "rows",
    "row",
    _columns("""
        row_id     string!
        attributes map<string,array<string>>
        numbers    map<string,double>
    """),
    key=("row_id",),
)

# Bronze keeps every line that was read, so that a line is parsed and written once: a refused one has its reason and its
# masked text and no more, a good one has its typed fields. `batch` is the number of the run that read the line. Refused
# lines lie in files of their own, from which they are copied to `quarantine` and dropped when they are old. `day` is
# among the first columns, of which Delta keeps statistics, so that one day is read from few files.

BRONZE_PAGE_VIEWS = Table(
    "bronze_page_views",
    "line of service_logs/ or hashed_payloads/",
    _columns(f"""
        source             string!
        file               string!
        batch              bigint!
        refused            boolean!
        day                date
        reason             string
        raw                string
        user_hash          string
        page_view_id       bigint
        request_id         string
        served_at          timestamp
        utc_offset_minutes int
        randomized         boolean
        device             string
        location           string
        history            {HISTORY}
        late_titles        int
        menu               {MENU}
    """),
    partition_by=("refused",),
)

BRONZE_EVENTS = Table(
    "bronze_events",
    "line of click_logs/ or page_events/",
    _columns("""
        source       string!
        file         string!
        batch        bigint!
        refused      boolean!
        day          date
        reason       string
        raw          string
        user_hash    string
        event        string
        click_id     bigint
        request_id   string
        happened_at  timestamp
        page         string
        row_id       string
        row_title    string
        row_position int
        transaction  string
    """),
    partition_by=("refused",),
)

BRONZE_ATTRIBUTES = Table(
    "bronze_attributes",
    "line of titles/ or rows/",
    _columns("""
        source     string!
        file       string!
        batch      bigint!
        refused    boolean!
        reason     string
        raw        string
        user_hash  string
        id         string
        attributes map<string,array<string>>
        numbers    map<string,double>
    """),
    partition_by=("refused",),
)

INGESTED_FILES = Table(
    "ingested_files",
    "log file that was read",
    _columns("""
        file        string!
        source      string!
        bytes       bigint!
        modified_ns bigint!
        batch       bigint!
        lines       bigint!
        good        bigint!
        quarantined bigint!
        checkpoint  string
        ingested_at timestamp!
    """),
    key=("file",),
)

# The hashes stay, so that a replay of the logs brings nobody back. `removed_at` is null until the removal was proven.
FORGOTTEN = Table(
    "forgotten",
    "viewer that was forgotten",
    _columns("""
        user_hash    string!
        forgotten_at timestamp!
        removed_at   timestamp
    """),
    key=("user_hash",),
)

CLICK_MATCHES = Table(
    "click_matches",
    "click",
    _columns("""
        click_id     bigint!
        join_method  string!
        clicked_at   timestamp!
        day          date!
        row_id       string!
        page_view_id bigint
        served_at    timestamp
        position     int
        reason       string
    """),
    key=("click_id",),
    partition_by=("day",),
    checks=("(page_view_id IS NULL) <> (reason IS NULL)",),
)

# --- page views and clicks --------------------------------------------------------------------------------------------
# `records` is the number of lines that were reduced to the one record.

PAGE_VIEWS = Table(
    "page_views",
    "page view",
    _columns(f"""
        page_view_id       bigint!
        day                date!
        source             string!
        request_id         string
        user_hash          string!
        served_at          timestamp!
        utc_offset_minutes int
        randomized         boolean!
        device             string
        location           string
        history            {HISTORY}!
        menu               {MENU}!
        late_titles        int!
        records            bigint!
    """),
    key=("page_view_id",),
    partition_by=("day",),
    checks=(_ON_ITS_DAY, "size(menu) > 0", _HAS_HASH, _COUNTED),
)

CLICKS = Table(
    "clicks",
    "click",
    _columns("""
        click_id     bigint!
        source       string!
        request_id   string
        user_hash    string!
        clicked_at   timestamp!
        row_id       string!
        row_position int
        day          date!
        records      bigint!
    """),
    key=("click_id",),
    partition_by=("day",),
    checks=("day = CAST(clicked_at AS DATE)", _HAS_HASH, _COUNTED),
)

LABELLED_PAGE_VIEWS = Table(
    "labelled_page_views",
    "page view",
    _columns(f"""
        page_view_id       bigint!
        join_method        string!
        source             string!
        request_id         string
        user_hash          string!
        served_at          timestamp!
        day                date!
        utc_offset_minutes int
        randomized         boolean!
        device             string
        location           string
        history            {HISTORY}!
        menu               {MENU}!
        clicked            array<int>!
        clicked_row_id     string
        clicked_at         timestamp
    """),
    key=("page_view_id",),
    partition_by=("day",),
    checks=(_ON_ITS_DAY, "size(clicked) = size(menu)"),
)

JOIN_HEALTH = Table(
    "join_health",
    "day, join_method, measure",
    _columns("""
        day         date!
        join_method string!
        measure     string!
        value       double
    """),
    key=("day", "join_method", "measure"),
)

# --- examples ---------------------------------------------------------------------------------------------------------

VOCABULARIES = Table(
    "vocabularies",
    "token of a kind (titles, rows, devices, locations) in a vocabulary version",
    _columns("""
        version bigint!
        kind    string!
        id      int!
        token   string!
        count   bigint!
    """),
    key=("version", "kind", "id"),
)

EXAMPLES = Table(
    "examples",
    "page view with a click",
    _columns("""
        page_view_id   bigint!
        request_id     string
        user_hash      string!
        served_at      timestamp!
        day            date!
        randomized     boolean!
        history        array<string>!
        history_age    array<int>!
        menu           array<string>!
        pinned         array<tinyint>!
        clicked        array<tinyint>!
        hour           int!
        weekday        int!
        device         string
        location       string
        shown_row      array<string>
        shown_position array<int>
        shown_clicked  array<tinyint>
        shown_age      array<int>
    """),
    key=("page_view_id",),
    partition_by=("day",),
)

PREPARATIONS = Table(
    "preparations",
    "run of `prepare`: one set of cuts, one vocabulary version, three snapshots",
    _columns("""
        preparation_id     string!
        prepared_at        timestamp!
        labelled_table     string!
        labelled_version   bigint!
        examples_table     string!
        examples_version   bigint!
        vocabulary_version bigint!
        title_count        int!
        row_count          int!
        device_count       int!
        location_count     int!
        history_length     int!
        menu_length        int!
        shown_length       int!
        validation_start   struct<served_at:timestamp,request_id:string,page_view_id:bigint>!
        holdout_start      struct<served_at:timestamp,request_id:string,page_view_id:bigint>!
        train_snapshot     string!
        validation_snapshot string!
        holdout_snapshot   string!
        counts             map<string,bigint>!
    """),
    key=("preparation_id", "prepared_at"),
)

# --- judgement --------------------------------------------------------------------------------------------------------

EVALUATIONS = Table(
    "evaluations",
    "version, floor or ceiling, protocol, holdout, page view",
    _columns("""
        version                  string!
        protocol                 string!
        holdout                  string!
        page_view_id             bigint!
        user_hash                string!
        ndcg                     double!
        ndcg_at_10               double!
        reciprocal_rank          double!
        hit_at_1                 double!
        hit_at_5                 double!
        tied_top                 double!
        auc                      double
        log_loss                 double
        expected_ndcg            double
        expected_ndcg_at_10      double
        expected_reciprocal_rank double
        expected_hit_at_1        double
        expected_hit_at_5        double
        popularity_smoothing     double
        slices                   array<string>
        probabilities            array<float>
        targets                  array<float>
    """),
    key=("version", "protocol", "holdout", "page_view_id"),
    partition_by=("holdout", "version"),
)

HOLDOUT_LOOKS = Table(
    "holdout_looks",
    "measurement of a version or baseline on a holdout",
    _columns("""
        holdout   string!
        ranker    string!
        looked_at timestamp!
    """),
)

CALIBRATIONS = Table(
    "calibrations",
    "holdout, version, bin of (page view, offered row) pairs",
    _columns("""
        holdout          string!
        version          string!
        bin              int!
        lower            double!
        upper            double!
        pairs            bigint!
        mean_probability double!
        mean_target      double!
    """),
    key=("holdout", "version", "bin"),
)

COMPARISONS = Table(
    "comparisons",
    "comparison, metric, slice",
    _columns("""
        comparison_id     string!
        holdout           string!
        challenger        string!
        baseline          string!
        protocol          string!
        metric            string!
        slice             string!
        value_challenger  double
        value_baseline    double
        difference        double
        lower             double
        upper             double
        pages             bigint
        viewers           bigint
        effective_viewers double
        p_adjusted        double
        measured          string!
        compared_at       timestamp!
    """),
    key=("comparison_id", "baseline", "protocol", "metric", "slice"),
)

PROMOTIONS = Table(
    "promotions",
    "decision",
    _columns("""
        decided_at       timestamp!
        version          string!
        previous_version string
        promoted         boolean!
        reasons          array<string>!
        comparison_id    string
        sequence         bigint!
        action           string!
    """),
    key=("sequence",),
)

VERDICTS = Table(
    "verdicts",
    "version: the latest verdict on it",
    _columns(f"""
        version       string!
        judged_at     timestamp!
        promote       boolean!
        reasons       array<string>!
        comparison_id string!
        metric        string!
        grounds       {GROUNDS}!
    """),
    key=("version",),
)

RANKED_MENUS = Table(
    "ranked_menus",
    "page view, version",
    _columns(f"""
        page_view_id bigint!
        version      string!
        served_at    timestamp!
        day          date!
        ranked       {RANKED}!
    """),
    key=("page_view_id", "version"),
    partition_by=("version", "day"),
)

# A PSI has a chance beside it and no interval, a metric an interval and no chance; null where there is none.
DRIFT = Table(
    "drift",
    "day, version, measure",
    _columns("""
        day                 date!
        version             string!
        measure             string!
        value               double!
        lower               double
        upper               double
        expected_by_chance  double
        chance_99           double
        limit               double
        passed              boolean!
        training_share      double
        day_share           double
        page_views          bigint!
        viewers             bigint!
        training_page_views bigint
        reason              string!
        monitored_at        timestamp!
    """),
    key=("day", "version", "measure"),
)
