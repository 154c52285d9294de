"""Mapping files: read, and refused in words where they cannot be right."""

import difflib
import re
from collections.abc import Iterable
from pathlib import Path

import yaml

from pagerec_dbx.errors import SettingError
from pagerec_dbx.pipelines.forms import EVENTS, FORMS, LISTS, Field
from pagerec_dbx.pipelines.mapping import UNITS, Form, Mapping, Place

_NAME = re.compile(r'[^\s"`\\:,<>\x00-\x1f](?:[^"`\\:,<>\x00-\x1f]{0,58}[^\s"`\\:,<>\x00-\x1f])?')
_WHOLE = (-(2**31), 2**31 - 1)
_BOUNDS = {"utc_offset_minutes": (-14 * 60, 14 * 60), "row_position": (0, 2**31 - 1), "position": (0, 2**31 - 1)}
_DEEPEST = 12  # keys of a path
_CONSTANT: dict[str, type[str] | type[int]] = {"text": str, "whole": int, "flag": bool}


class _Loader(yaml.SafeLoader):
    """Plain values only, and no key twice: the second would silently replace the first."""

    def construct_mapping(self, node, deep=False):
        keys = [key.value for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"`{key}` stands twice", node.start_mark)
        return super().construct_mapping(node, deep)


def read_mapping(file: Path) -> Mapping:
    """The mapping that a YAML file describes (docs/data-formats.md, "Other field names").

    Raises:
        SettingError: no such file, no YAML, or a mapping that cannot be right.
    """
    try:
        content = yaml.load(file.read_text(encoding="utf-8"), _Loader)  # noqa: S506 - a SafeLoader
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise SettingError(f"mapping file {file} cannot be read", wanted="a YAML file", got=str(error)) from error
    return mapping_from({} if content is None else content)


def mapping_from(content: object) -> Mapping:
    """The mapping that the plain content of such a file describes.

    Raises:
        SettingError: a mapping that cannot be right.
    """
    sources = _names(content, "mapping", FORMS, "source")
    forms = tuple(_form(source, sources[source]) for source in FORMS if sources.get(source) is not None)
    return Mapping(tuple(form for form in forms if form.moved))


# --- reading ----------------------------------------------------------------------------------------------------------


def _form(source: str, content: object) -> Form:
    known = {field.name: field for field in FORMS[source]}
    given = _names(content, f"`{source}`", [name for name in known if "." not in name], "field")
    places: dict[str, Place] = {}
    for name, value in given.items():
        field = known[name]
        if field.kind in LISTS and isinstance(value, dict):
            inner = [one.name.partition(".")[2] for one in FORMS[source] if one.list_name == name]
            value = dict(_names(value, f"`{source}.{name}`", ["path", *inner], "field"))
            places[name] = _place(source, field, value.pop("path", list(field.path)))
            places |= {f"{name}.{one}": _place(source, known[f"{name}.{one}"], value[one]) for one in value}
        else:
            places[name] = _place(source, field, value)
    form = Form(source, tuple((name, place) for name, place in places.items() if place != Place(known[name].path)))
    _require_needed(form)
    for list_name in (None, *(field.name for field in form.fields if field.kind in LISTS)):
        _require_apart(form, list_name)
    return form


def _names(content: object, where: str, known: Iterable[str], what: str) -> dict:
    """The content as a dict of known names."""
    if not isinstance(content, dict):
        raise SettingError(f"{where} is malformed", wanted="name: value, indented below it", got=repr(content))
    for name in content:
        if name not in known:
            close = difflib.get_close_matches(str(name), list(known), n=1)
            wanted = f"`{close[0]}`, perhaps" if close else "one of " + ", ".join(known)
            raise SettingError(f"{where} has an unknown {what} `{name}`", wanted=wanted, fix="Correct the mapping file")
    return content


def _place(source: str, field: Field, value: object) -> Place:
    if value is None:
        return Place()
    where = f"`{source}.{field.name}`"
    if not isinstance(value, dict):
        return Place(_path(where, value))
    options = ["path"] + ["unit"] * (field.kind == "time") + ["constant"] * _may_be_constant(field)
    _names(value, where, options, "option")
    if "constant" in value:
        return _constant(where, field, value)
    path = _path(where, value["path"]) if "path" in value else field.path
    unit = value.get("unit", "ms")
    if unit not in UNITS:
        raise SettingError(
            f"{where} has an unknown unit",
            wanted="one of " + ", ".join(UNITS),
            got=repr(unit),
            fix="Times in ISO 8601 need none",
        )
    return Place(path, unit)


def _path(where: str, value: object) -> tuple[str, ...]:
    keys = value.split(".") if isinstance(value, str) else value
    if (
        not isinstance(keys, list)
        or not 1 <= len(keys) <= _DEEPEST
        or not all(isinstance(key, str) and _NAME.fullmatch(key) for key in keys)
        or (isinstance(value, str) and (keys[0] == "$" or "[" in value))
    ):
        raise SettingError(
            f"{where} has a malformed path",
            wanted="keys joined by dots, as ctx.user.id, or a list of them",
            got=repr(value),
            fix="Begin at the line, or at the element of the list; no $, no [0], nothing left empty, no key of more "
            'than 60 letters or with one of " ` \\ : , < >',
        )
    return tuple(keys)


def _may_be_constant(field: Field) -> bool:
    return field.kind in _CONSTANT and field.list_name is None


def _constant(where: str, field: Field, value: dict) -> Place:
    constant, kind = value["constant"], _CONSTANT[field.kind]
    if set(value) != {"constant"} or not isinstance(constant, kind) or (isinstance(constant, bool) and kind is int):
        wanted = {str: "a text", int: "a whole number", bool: "true or false"}[kind]
        raise SettingError(f"{where} has a wrong constant", wanted=f"{wanted}, and no path", got=repr(value))
    low, high = _BOUNDS.get(field.name, _WHOLE)
    if isinstance(constant, int) and not low <= constant <= high:
        raise SettingError(f"{where} has a wrong constant", wanted=f"{low:,} to {high:,}", got=repr(constant))
    if field.name == "event" and constant not in EVENTS:
        raise SettingError(f"{where} has a wrong constant", wanted="one of " + ", ".join(EVENTS), got=repr(constant))
    return Place(constant=constant)


# --- what cannot be right ---------------------------------------------------------------------------------------------


def _require_needed(form: Form) -> None:
    names = {field.name for field in form.fields}
    groups: list[tuple[str, ...]] = [(field.name,) for field in form.fields if field.needed]
    if {"user_id", "user_hash"} <= names:
        groups.append(("user_id", "user_hash"))
    for group in groups:
        list_name, dot, _ = group[0].partition(".")
        without_list = dot and not form.place(list_name).path
        if not without_list and not any(_is_somewhere(form.place(name)) for name in group):
            raise SettingError(
                f"`{form.source}.{' or '.join(group)}` is mapped to nothing, and no line is good without it",
                wanted="a path",
                got="null",
                fix="Give its path, or leave it out if it stands where it does by default",
            )


def _is_somewhere(place: Place) -> bool:
    return bool(place.path) or place.constant is not None


def _require_apart(form: Form, list_name: str | None) -> None:
    """No two fields in one place, none inside another, none that differ in the case of letters alone."""
    placed = [(field.name, form.place(field.name).path) for field in form.inside(list_name)]
    placed = [(name, path) for name, path in placed if path]
    for number, (name, path) in enumerate(placed):
        for other, other_path in placed[:number]:
            shared = min(len(path), len(other_path))
            lower, other_lower = ([key.lower() for key in keys] for keys in (path, other_path))
            if lower[:shared] == other_lower[:shared]:
                raise _in_one_place(form, (other, other_path), (name, path))
            same = next(i for i in range(shared) if lower[i] != other_lower[i])
            if path[:same] != other_path[:same]:
                raise _in_one_place(form, (other, other_path[:same]), (name, path[:same]))


def _in_one_place(form: Form, one: tuple[str, tuple], other: tuple[str, tuple]) -> SettingError:
    (name, path), (other_name, other_path) = one, other
    same, nested = path == other_path, len(path) != len(other_path)
    what = "in one place" if same else "one inside the other" if nested else "in places that differ by case alone"
    places = " and ".join(dict.fromkeys(f"`{'.'.join(keys)}`" for keys in (path, other_path)))
    return SettingError(
        f"`{form.source}` has {name} and {other_name} {what}",
        wanted="a place of its own for each",
        got=places,
        fix="Map what the lines do not have to null; what is left out keeps its default path",
    )
