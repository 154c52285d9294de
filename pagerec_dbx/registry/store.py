"""Who serves: decisions on the versions of one home, and the registry made to say what the table of decisions says."""

import dataclasses
import datetime as dt
from collections.abc import Callable

from pagerec_dbx import promotions
from pagerec_dbx.errors import RegistryError, UnknownVersionError
from pagerec_dbx.evaluation.gate import Verdict
from pagerec_dbx.evaluation.grounds import Grounds
from pagerec_dbx.evaluation.verdicts import stored_verdict
from pagerec_dbx.promotions import AGAIN, PROMOTE, ROLLBACK, VOID, Decision, Serving
from pagerec_dbx.registry.versions import CHAMPION, PREVIOUS, Versions
from pagerec_dbx.tables import Tables

_LONGEST_TAG = 1_000  # characters that a catalog takes
# How the tag begins that the registered model has from just before a decision until the aliases have followed it: while
# it is there, who knows the aliases only may be behind. Two at once have one each, lest one write over the other's.
_DECIDING = "deciding_"


@dataclasses.dataclass(frozen=True)
class Registry(Versions):
    """The versions of one home, and which of them serves; the table `promotions` is the arbiter."""

    def promote(self, tables: Tables, version: str, grounds: Callable[[], Grounds], now: dt.datetime) -> Decision:
        """Write what the stored verdict on a version decided: it becomes champion, or the refusal is recorded.

        What is not in `verdicts`, or stands on other grounds than those of now, promotes nobody. The champion is not
        promoted again, whatever a verdict on it says. Both of these refusals are recorded too.

        Args:
            grounds: gives the grounds as they are; asked once, after the table of decisions was read.

        Raises:
            RegistryError: there is no verdict on the version, it is void, or another decision came first.
            RoleError: the version is the retrained legacy.
            UnknownVersionError: the registry holds no such version.
        """
        seen = self.mend(tables)
        number = self.candidate(version)
        if number == seen.champion:
            reason = f"Failed: version {number} is the champion already."
            return self._decide(tables, Decision(now, number, number, False, (reason,), None, AGAIN), seen)
        verdict = stored_verdict(tables, number)
        if verdict is None:
            raise RegistryError(
                f"there is no verdict on version {number}, and only a verdict can promote",
                fix=f"Run `pagerec promote --version {number}`, which judges it",
            )
        self._require_valid(tables, verdict, grounds(), seen, now)
        decision = Decision(
            now, number, seen.champion, verdict.promote, verdict.reasons, verdict.comparison_id, PROMOTE
        )
        return self._decide(tables, decision, seen)

    def rollback(self, tables: Tables, now: dt.datetime) -> Decision:
        """Swap champion and previous.

        Raises:
            RegistryError: there is no previous champion, or another decision came first.
        """
        seen = self.mend(tables)
        if seen.champion is None or seen.previous is None:
            raise RegistryError("there is no previous champion to go back to", fix="Promote a second version first")
        reason = f"rolled back from version {seen.champion}"
        decision = Decision(now, seen.previous, seen.champion, True, (reason,), None, ROLLBACK)
        return self._decide(tables, decision, seen)

    def mend(self, tables: Tables) -> Serving:
        """Make aliases and tags say what the table of decisions says, should a crash have kept them behind.

        Returns:
            What the table says.
        """
        seen, word = promotions.state(tables)
        self.follow(seen)
        self._tag(word)
        for name in self._deciding():
            self._client().delete_registered_model_tag(self.model_name, name)
        return seen

    def follow(self, seen: Serving) -> None:
        """Make the aliases say what the table says; an alias of nobody is removed."""
        for alias, version in ((CHAMPION, seen.champion), (PREVIOUS, seen.previous)):
            named = self.alias(alias)
            if version is None and named is not None:
                self._client().delete_registered_model_alias(self.model_name, alias)
            elif version != named:
                self._client().set_registered_model_alias(self.model_name, alias, version)

    def is_deciding(self) -> bool:
        """Whether a decision was begun whose aliases may not be set yet, by somebody at work or by a crash."""
        return bool(self._deciding())

    # --- inside -------------------------------------------------------------------------------------------------------

    def _require_valid(
        self, tables: Tables, verdict: Verdict, grounds: Grounds, seen: Serving, now: dt.datetime
    ) -> None:
        """Refuse a void verdict, and record the refusal."""
        of_table = dataclasses.replace(grounds, champion=seen.champion, champion_since=seen.changed)
        changes = "; ".join(verdict.grounds.changes(of_table))
        if not changes:
            return
        version, reasons = verdict.version, (f"Failed: the verdict is void: {changes}.",)
        self._decide(tables, Decision(now, version, seen.champion, False, reasons, verdict.comparison_id, VOID), seen)
        raise RegistryError(
            f"the verdict on version {version} is void: {changes}",
            fix=f"Run `pagerec promote --version {version}`, which judges it again",
        )

    def _decide(self, tables: Tables, decision: Decision, seen: Serving) -> Decision:
        mark = f"{_DECIDING}{seen.sequence + 1}_{decision.version}"
        self._client().set_registered_model_tag(self.model_name, mark, decision.action)
        try:
            promotions.decide(tables, decision, seen)
        except RegistryError:  # another came first, and sets the aliases itself
            self._client().delete_registered_model_tag(self.model_name, mark)
            raise
        self.mend(tables)
        return decision

    def _deciding(self) -> list[str]:
        return [name for name in self.model_tags() if name.startswith(_DECIDING)]

    def _tag(self, word: promotions.Word | None) -> None:
        """The verdict that was acted on, as tags of its version."""
        if word is None:
            return
        tags = {"verdict": "promote" if word.promoted else "refuse"}
        tags["verdict_reasons"] = "; ".join(word.reasons)[:_LONGEST_TAG]
        try:
            known = self.version(word.version).tags
        except UnknownVersionError:  # somebody has deleted it since
            return
        self.tag(word.version, {name: value for name, value in tags.items() if known.get(name) != value})
