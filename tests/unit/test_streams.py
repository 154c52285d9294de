"""Which source a log folder is streamed from. Auto Loader cannot be run here: its options are held to its manual."""

from pagerec_dbx.pipelines import streams
from pagerec_dbx.pipelines.files import LINE_END
from pagerec_dbx.pipelines.streams import can_stream, stream_source

# What Auto Loader's list of options (docs.databricks.com/ingestion/cloud-object-storage/auto-loader/options) allows
# of those that could matter for lines of text in a folder: the values, None for free ones.
BOOLEAN = {"true", "false"}
AUTO_LOADER = {
    "cloudFiles.allowOverwrites": BOOLEAN,
    "cloudFiles.backfillInterval": None,
    "cloudFiles.format": {"avro", "binaryFile", "csv", "json", "orc", "parquet", "text", "xml"},
    "cloudFiles.includeExistingFiles": BOOLEAN,
    "cloudFiles.maxBytesPerTrigger": None,
    "cloudFiles.maxFileAge": None,
    "cloudFiles.maxFilesPerTrigger": None,
    "cloudFiles.useNotifications": BOOLEAN,
    "cloudFiles.validateOptions": BOOLEAN,
}
TEXT = {"encoding", "lineSep", "wholeText"}  # of the format `text`
EVERY_SOURCE = {"ignoreCorruptFiles", "ignoreMissingFiles", "modifiedAfter", "modifiedBefore", "pathGlobFilter",
                "recursiveFileLookup"}  # fmt: skip


def faults(options: dict[str, str]) -> list[str]:
    """Options that the manual does not know, and values that it does not allow."""
    unknown = options.keys() - AUTO_LOADER.keys() - TEXT - EVERY_SOURCE
    listed = {name: AUTO_LOADER[name] for name in options if AUTO_LOADER.get(name)}
    return sorted([*unknown, *(name for name, allowed in listed.items() if options[name] not in allowed)])


def test_auto_loader_gets_no_option_that_it_does_not_know():
    kind, options = stream_source(on_databricks=True)
    assert kind == "cloudFiles" and faults(options) == []
    assert options["cloudFiles.format"] == "text"


def test_options_that_the_manual_does_not_know_are_found(monkeypatch):
    """Control: a misspelt name, a value that none may have, and an option of Spark's own file source."""
    wrong = {"cloudFiles.includeExistingFile": "true", "cloudFiles.allowOverwrites": "no", "maxFileAge": "1d"}
    monkeypatch.setattr(streams, "AUTO_LOADER", {"cloudFiles.format": "txt"} | wrong)
    assert faults(stream_source(on_databricks=True)[1]) == sorted(["cloudFiles.format", *wrong])


def test_both_sources_read_the_same_lines_of_the_same_files():
    names = ("lineSep", "pathGlobFilter")
    locally, there = (stream_source(on_databricks)[1] for on_databricks in (False, True))
    assert [locally[name] for name in names] == [there[name] for name in names] == [LINE_END, "*{.jsonl,.jsonl.gz}"]
    assert stream_source(on_databricks=False)[0] == "text"


def test_a_folder_of_which_nothing_was_listed_is_not_streamed():
    assert not can_stream([])
