"""A line of any form, by column expressions: what to ask Spark's reader for, and the default form made of it."""

import functools
from collections.abc import Mapping
from types import MappingProxyType

from pyspark.sql import Column
from pyspark.sql import functions as F

from pagerec_dbx.pipelines.forms import Field
from pagerec_dbx.pipelines.mapping import Form

Path = tuple[str, ...]


def line_type(form: Form) -> str:
    """The fields of a line as Spark writes them in a type, each where the form has it."""
    types = {form.place(field.name).path: _type(form, field) for field in form.inside(None)}
    return _rendered({path: kind for path, kind in types.items() if path})


def element_type(form: Form, list_name: str, instead: Mapping[str, str] = MappingProxyType({})) -> str:
    """The fields of an element of a list, likewise.

    Args:
        instead: other types than a field has, by its name.
    """
    types = {form.place(field.name).path: instead.get(field.name, field.type) for field in form.inside(list_name)}
    return _rendered({path: kind for path, kind in types.items() if path})


def _type(form: Form, field: Field) -> str:
    return f"array<struct<{element_type(form, field.name)}>>" if field.kind == "menu" else field.type


def _rendered(types: dict[Path, str]) -> str:
    """`{("a", "b"): "int"}` as "`a`:struct<`b`:int>"."""
    parts = []
    for key in dict.fromkeys(path[0] for path in types):
        inner = {path[1:]: kind for path, kind in types.items() if path[0] == key}
        parts.append(f"`{key}`:{inner[()] if () in inner else f'struct<{_rendered(inner)}>'}")
    return ",".join(parts)


def canonical(line: Column, form: Form) -> Column:
    """A line read as `line_type(form)`, as a struct of the default form; null where it is null."""
    if form.keeps():
        return line
    columns = {field.path: _value(line, form, field) for field in form.inside(None)}
    return F.when(line.isNotNull(), _struct(columns))


def canonical_element(element: Column, form: Form, list_name: str) -> Column:
    """An element of a list read as `element_type(form, list_name)`, as a struct of the default form, likewise."""
    fields = form.inside(list_name)
    if form.keeps(tuple(field.name for field in fields)):
        return element
    return F.when(element.isNotNull(), _struct({field.path: _value(element, form, field) for field in fields}))


def _value(above: Column, form: Form, field: Field) -> Column:
    place = form.place(field.name)
    if not place.path:
        missing = F.lit(place.constant)
        return missing.cast(_default_menu_type(form) if field.kind == "menu" else field.type)
    value = at(above, place.path)
    if field.kind != "menu" or form.keeps(tuple(one.name for one in form.inside(field.name))):
        return value
    return F.transform(value, lambda row: canonical_element(row, form, field.name))


def _default_menu_type(form: Form) -> str:
    return f"array<struct<{element_type(Form(form.source), 'candidates')}>>"


def _struct(columns: dict[Path, Column]) -> Column:
    """`{("a", "b"): column}` as a struct of structs."""
    parts = []
    for key in dict.fromkeys(path[0] for path in columns):
        inner = {path[1:]: column for path, column in columns.items() if path[0] == key}
        parts.append((inner[()] if () in inner else _struct(inner)).alias(key))
    return F.struct(*parts)


def at(above: Column, path: Path) -> Column:
    """What stands at a path; null where anything on the way is."""
    return functools.reduce(Column.getField, path, above)


def holds_nested(json: Column, path: Path) -> Column:
    """True where the JSON object has an object or a list at a path."""
    return _read_as(json, path, "map<string,string>").isNotNull() | _read_as(json, path, "array<string>").isNotNull()


def holds_nested_inside(json: Column, list_path: Path, path: Path) -> Column:
    """True where any element of the list at a path has an object or a list at a path of its own."""
    found = F.lit(False)
    for kind in ("map<string,string>", "array<string>"):
        elements = _read_as(json, list_path, f"array<struct<{_rendered({path: kind})}>>")
        found = found | F.exists(elements, lambda element: at(element, path).isNotNull())
    return found


def _read_as(json: Column, path: Path, kind: str) -> Column:
    return at(F.from_json(json, f"struct<{_rendered({path: kind})}>"), path)
