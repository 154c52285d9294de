"""`approval`: whether a person has approved of a version, by a tag on it."""

import dataclasses

from pagerec_dbx.registry.store import Registry

APPROVED = "approved"  # the tag's value, in any spelling of its letters


@dataclasses.dataclass(frozen=True)
class ApprovalResult:
    """What a version's tag says."""

    version: str
    tag: str
    found: str | None  # the tag's value, None without one

    @property
    def approved(self) -> bool:
        return self.found is not None and self.found.strip().lower() == APPROVED

    def to_json(self) -> dict:
        return {"version": self.version, "approved": self.approved, "tag": self.tag, "found": self.found}

    def to_text(self) -> str:
        if self.approved:
            return f"Version {self.version} is approved: its tag `{self.tag}` says {self.found}."
        got = "no such tag" if self.found is None else repr(self.found)
        return (
            f"Version {self.version} is not approved: wanted the tag `{self.tag}` with the value Approved, got {got}. "
            "Look at its verdict, set the tag on the version (in a catalog: the button Approve), then repair this run."
        )


def approval(registry: Registry, version: str, tag: str) -> ApprovalResult:
    """What the tag of a version says; nothing is changed and no Spark is started.

    Args:
        version: number or alias.
        tag: name of the tag; a deployment job takes its task's name.

    Raises:
        RoleError: the version is the retrained legacy.
        UnknownVersionError: the registry holds no such version or alias.
    """
    found = registry.version(registry.candidate(version))
    return ApprovalResult(found.version, tag, found.tags.get(tag))
