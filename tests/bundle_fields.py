"""Fields of databricks.yml outside its resources, which no strict class knows."""

from collections.abc import Iterator

# The fields of the configuration reference that this bundle may use; anything else is taken for a misspelling.
TOP_FIELDS = {"bundle", "include", "artifacts", "variables", "targets", "resources", "sync", "workspace", "permissions"}
TARGET_FIELDS = {"mode", "default", "workspace", "variables", "run_as", "permissions", "resources", "presets"}
# Of a section of databricks.yml or of a target.
SECTIONS = {
    "bundle": {"name", "databricks_cli_version"},
    "workspace": {"host", "profile", "root_path", "file_path", "artifact_path", "state_path"},
    "run_as": {"service_principal_name", "user_name"},
    "permissions": {"service_principal_name", "user_name", "group_name", "level"},
    "presets": {"tags", "name_prefix", "trigger_pause_status", "jobs_max_concurrent_runs"},
    "sync": {"include", "exclude", "paths"},
}
NAMED_SECTIONS = {
    "artifacts": {"type", "path", "executable", "build", "files", "dynamic_version"},
    "variables": {"description", "default"},
}
LEVELS = {"CAN_MANAGE", "CAN_VIEW", "CAN_RUN"}


def field_faults(top: dict) -> Iterator[str]:
    """Unknown fields, and variables and permissions that say too little; one sentence each."""
    yield from _unknown("databricks.yml", top, TOP_FIELDS)
    yield from _section_faults("databricks.yml", top)
    for name, target in top["targets"].items():
        yield from _unknown(f"target {name}", target, TARGET_FIELDS)
        yield from _section_faults(f"target {name}", target)
    for section, allowed in NAMED_SECTIONS.items():
        for name, fields in top[section].items():
            yield from _unknown(f"{section.removesuffix('s')} {name}", fields, allowed)
    for name, variable in top["variables"].items():
        if not variable.get("description"):
            yield f"variable {name} lacks a description"
        if "default" not in variable:
            yield f"variable {name} lacks a default"


def _section_faults(where: str, fields: dict) -> Iterator[str]:
    for section in SECTIONS.keys() & fields.keys():
        found = fields[section]
        for one in found if isinstance(found, list) else [found]:
            yield from _unknown(f"{where}: {section}", one, SECTIONS[section])
    for permission in fields.get("permissions", []):
        if permission.get("level") not in LEVELS:
            yield f"{where}: permissions has the level {permission.get('level')}"


def _unknown(where: str, fields: dict, allowed: set[str]) -> Iterator[str]:
    yield from (f"{where} has an unknown field {name}" for name in sorted(fields.keys() - allowed))
