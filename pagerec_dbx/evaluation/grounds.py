"""What a verdict stands on, and what of it has changed since."""

import dataclasses
import json

from pagerec_dbx.config import JudgeSettings


@dataclasses.dataclass(frozen=True)
class Grounds:
    """What a verdict stands on; when any of it changes, the verdict is void."""

    champion: str | None  # the version that serves, None for nobody
    legacy: str | None  # the legacy's architecture as it was last trained here, None if it never was
    holdout: str  # name of the newest preparation's holdout snapshot
    labelled_version: int  # Delta versions of the tables that the holdout was made from
    examples_version: int
    evaluations_version: int  # and of the table that holds everybody's figures
    newest_page_view: int | None  # microseconds since 1970, of all page views in the home
    limits: str  # the settings of judging, as JSON
    champion_since: int = 0  # the decision that made the champion; another one may bring back the same version
    relabelled: int = 0  # page views of the holdout that `join` has labelled otherwise since they were prepared

    def changes(self, now: "Grounds") -> tuple[str, ...]:
        """What is different now, in words; nothing where a verdict on these grounds still holds."""
        told = []
        for field in dataclasses.fields(self):
            before, after = getattr(self, field.name), getattr(now, field.name)
            if before != after:
                told += self._told(field.name, before, after, now)
        return tuple(told)

    def _told(self, name: str, before, after, now: "Grounds") -> list[str]:
        if name == "limits":
            return _changed_limits(json.loads(before), json.loads(after))
        if name == "relabelled":
            return [
                f"`join` has labelled {after:,} page views of the holdout otherwise since `prepare`, not {before:,}"
            ]
        if name == "champion_since":
            again = f"version {now.champion} serves by decision {after}, no longer by decision {before}"
            return [again] if self.champion == now.champion else []  # another champion is told already
        return [f"{name.replace('_', ' ')} was {before} and is {after}"]


def _changed_limits(before: dict, after: dict) -> list[str]:
    names = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    return [f"setting {name} was {before.get(name)} and is {after.get(name)}" for name in names]


def limits_of(settings: JudgeSettings) -> str:
    """The settings of judging as JSON, the same text for the same settings."""
    return json.dumps(dataclasses.asdict(settings), sort_keys=True)
