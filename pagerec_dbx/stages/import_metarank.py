"""`pagerec import-metarank`: Metarank-format events -> raw logs in the default format."""

from pagerec_dbx.importers.metarank import ImportResult, import_metarank

__all__ = ["ImportResult", "import_metarank"]
