"""What `pagerec tune` says."""

import dataclasses

from pagerec_dbx.figures import number
from pagerec_dbx.training.study import FAILED, FINISHED, PRUNED, Trial, as_overrides


@dataclasses.dataclass(frozen=True)
class TuneResult:
    """The search as it stands, and the version that was made of its best trial."""

    model: str
    ranks: int
    study: str
    run_id: str  # below which the trials' runs stand
    trials: tuple[Trial, ...]  # those of stopped runs of the command included
    best: Trial
    version: str
    trained_run_id: str  # of that version

    @property
    def counts(self) -> dict[str, int]:
        """How many trials ended in which way."""
        return {state: sum(one.state == state for one in self.trials) for state in (FINISHED, PRUNED, FAILED)}

    def to_json(self) -> dict:
        return {**dataclasses.asdict(self), **self.counts}

    def to_text(self) -> str:
        """For the terminal."""
        counts = ", ".join(f"{count} {state}" for state, count in self.counts.items() if count)
        flattered = "" if len(self.trials) == 1 else f" as the best of {len(self.trials)} on the same days it flatters;"
        return "\n".join(
            [
                f"{self.model}: {len(self.trials)} trial{'' if len(self.trials) == 1 else 's'}, {counts}",
                f"best: trial {self.best.number}, validation NDCG {number(self.best.validation_ndcg)};{flattered} "
                "only the holdout tells",
                f"its settings: {as_overrides(self.best.settings)}",
                f"trained anew with them and registered as challenger: version {self.version}",
            ]
        )
