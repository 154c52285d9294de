"""Fields of databricks.yml outside its resources, which no strict class knows."""

from collections.abc import Iterator

# The fields of the configuration reference that this bundle may use; anything else is taken for a misspelling.
TOP_FIELDS = {"bundle", "include", "artifacts", "variables", "targets", "resources", "sync", "workspace", "permissions"}
TARGET_FIELDS = {"mode", "default", "workspace", "variables", "run_as", "permissions", "resources", "presets"}
ARTIFACT_FIELDS = {"type", "path", "executable", "build", "files", "dynamic_version"}


def field_faults(top: dict) -> Iterator[str]:
    sections = [("databricks.yml", top, TOP_FIELDS)]
    sections += [(f"target {name}", target, TARGET_FIELDS) for name, target in top["targets"].items()]
    sections += [(f"artifact {name}", artifact, ARTIFACT_FIELDS) for name, artifact in top["artifacts"].items()]
    sections += [
        (f"variable {name}", variable, {"description", "default"}) for name, variable in top["variables"].items()
    ]
    for where, section, allowed in sections:
        yield from (f"{where} has an unknown field {name}" for name in section.keys() - allowed)
    yield from (
        f"variable {name} lacks a description" for name, v in top["variables"].items() if not v.get("description")
    )
    yield from (f"variable {name} lacks a default" for name, v in top["variables"].items() if "default" not in v)
