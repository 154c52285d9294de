"""A training's weights -> a registered version, once what was logged scores as what was trained."""

import functools
import json
import tempfile
from pathlib import Path

import numpy as np

from pagerec_dbx.errors import RegistryError
from pagerec_dbx.features.preparation import Preparation
from pagerec_dbx.features.snapshot import Snapshot, open_snapshot, read_batches
from pagerec_dbx.features.vocabulary import KINDS, read_vocabulary
from pagerec_dbx.models.names import LEGACY_BINARY
from pagerec_dbx.registry.store import Registry
from pagerec_dbx.registry.versions import CHALLENGER, LEGACY
from pagerec_dbx.tables import Tables


def export(tables: Tables, registry: Registry, job, run_id: str, preparation: Preparation, result) -> str:
    """Put the best weights into the model, save it with its vocabularies and register it; its version.

    Raises:
        RegistryError: the exported model does not score as the trained one does; nothing is registered.
    """
    from pagerec_dbx.models.build import build
    from pagerec_dbx.models.export import save_ranker
    from pagerec_dbx.training.weights import load_weights

    model = build(job.config, job.settings.seed)
    load_weights(model, job.weights_file)
    vocabularies = {kind: read_vocabulary(tables, preparation.vocabulary_version, kind) for kind in KINDS}
    validation = open_snapshot(preparation.folder(registry.home, "validation"))
    tags = {
        "model": job.config.name,
        "preparation": preparation.preparation_id,
        "trained_until": json.dumps(validation.manifest.last.as_json()),
        "parameters": str(result.parameters),
        "ranks": str(result.ranks),
    }
    is_legacy = job.config.name == LEGACY_BINARY
    if is_legacy:
        tags["role"] = LEGACY
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "ranker")
        trained = save_ranker(model, job.config, vocabularies, folder)
        check = functools.partial(require_equal_scores, trained, validation)
        return registry.register(run_id, folder, tags, check, alias=LEGACY if is_legacy else CHALLENGER)


def require_equal_scores(trained, validation: Snapshot, folder: Path) -> None:
    """Load what was logged and hold its scores against those of the model in memory.

    Raises:
        RegistryError: they are more than 1e-6 apart.
    """
    from pagerec_dbx.models.export import load_ranker

    records = next(read_batches(validation, 64))
    logged = load_ranker(folder, "logged")
    for name in ("menu_scores", "vocabulary_scores"):
        wanted, got = getattr(trained, name)(records), getattr(logged, name)(records)
        real = ~(np.isneginf(wanted) & np.isneginf(got))  # padding has no score in either
        furthest = float(np.max(np.abs(wanted[real] - got[real])))
        if not furthest <= 1e-6:
            raise RegistryError(
                f"the logged model's {name} differ from the trained model's",
                wanted="at most 1e-6 apart",
                got=f"{furthest:.3g}",
                fix="Nothing was registered; train again",
            )
