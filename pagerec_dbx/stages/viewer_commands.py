"""`forget` and `rekey` as they are commanded: files of ids and keys become hashes, and go no further than here."""

import dataclasses
import os
from pathlib import Path

from pagerec_dbx.errors import RekeyError, UsageError
from pagerec_dbx.hashing import (
    VARIABLE,
    fingerprint,
    fingerprint_of,
    read_key_file,
    required_key,
    user_hash,
    write_key_file,
)
from pagerec_dbx.home import Home, key_fingerprint, replace_fingerprint
from pagerec_dbx.stages.forget import forget
from pagerec_dbx.stages.forget import purge_unreadable as purge
from pagerec_dbx.stages.forget_result import ForgetResult, PurgeResult, VacuumResult
from pagerec_dbx.stages.ids_file import read_new_hashes, read_user_ids
from pagerec_dbx.stages.ingest_run import require_no_run
from pagerec_dbx.stages.old_versions import vacuum_old_versions
from pagerec_dbx.stages.rekey import rekey, rekeyed_tables
from pagerec_dbx.stages.rekey_note import end_move, move_of, pending_move
from pagerec_dbx.stages.rekey_result import RekeyResult
from pagerec_dbx.workbench import Workbench


def run_forget(
    bench: Workbench, ids: Path | None, purge_unreadable: bool, vacuum: bool
) -> list[ForgetResult | PurgeResult | VacuumResult]:
    """Forget the viewers of a file, then delete old versions; only what was asked for.

    Raises:
        UsageError: nothing was asked for.
        ForgetError: an `ingest` that was stopped has to be finished first; or see `forget`.
        IdsFileError, KeyFileError, SnapshotError: see `forget`.
    """
    if ids is None and not purge_unreadable and not vacuum:
        raise UsageError(
            "`pagerec forget` was told nothing to do",
            wanted="--user-id-file, --purge-unreadable or --vacuum",
            fix="See `pagerec forget --help`",
        )
    if ids is not None or purge_unreadable:
        require_no_run(bench.home)
    results: list[ForgetResult | PurgeResult | VacuumResult] = []
    if ids is not None:
        hashes = _hashes(bench.home, ids)
        results.append(forget(bench.tables, hashes, bench.now, bench.settings.forget))
    if purge_unreadable:
        results.append(purge(bench.tables))
    if vacuum:
        results.append(vacuum_old_versions(bench.tables, bench.now(), bench.settings.forget))
    return results


def _hashes(home: Home, ids: Path) -> list[str]:
    named = read_user_ids(ids)
    secret = required_key(home).read()
    return [user_hash(secret, user_id) for user_id in named]


def run_rekey(bench: Workbench, ids: Path, new_key_file: Path, drop_refused: bool) -> RekeyResult:
    """Move the home to the key of a file; the home takes it when all tables have it.

    Raises:
        IdsFileError, KeyFileError, RekeyError, SnapshotError: see `rekey`.
    """
    home = bench.home
    new_key = read_key_file(new_key_file, f"Make one: openssl rand -hex 32 > {new_key_file}")
    new = fingerprint_of(new_key)
    begun = pending_move(home)
    if begun is not None and begun.new == new == key_fingerprint(home):  # stopped when all tables were done
        result = RekeyResult(new, begun.viewers, len(rekeyed_tables(bench.tables)))
    else:
        old_key = required_key(home)
        old = fingerprint(old_key)
        if old == new:
            raise RekeyError(
                f"home {home.name} has this key already",
                wanted="another key",
                got=f"the fingerprint {new}",
                fix="Give a new key with --new-key-file, or none: nothing is to be done",
            )
        hashes = read_new_hashes(ids, old_key.read(), new_key)
        result = rekey(bench.tables, hashes, move_of(old, new, hashes), bench.now(), drop_refused)
        replace_fingerprint(home, new)
    in_environment = bool(os.environ.get(VARIABLE))
    if not in_environment:
        write_key_file(home, new_key.decode("ascii"))
    end_move(home)
    return dataclasses.replace(result, key_in_environment=in_environment)
