"""Where another company's lines have the fields of the default format."""

import dataclasses

from pagerec_dbx.pipelines.forms import FORMS, Field

UNITS = ("ms", "s", "us")  # of a time that is a number


@dataclasses.dataclass(frozen=True)
class Place:
    """Where one field is found."""

    path: tuple[str, ...] = ()  # keys from the line, or from the element of the list, inward; empty: nowhere
    unit: str = "ms"  # of a time that is a number
    constant: str | int | bool | None = None  # the value of every line, where there is no path


@dataclasses.dataclass(frozen=True)
class Form:
    """How the lines of one source look."""

    source: str
    moved: tuple[tuple[str, Place], ...] = ()  # by name, what does not stand where it does by default

    @property
    def fields(self) -> tuple[Field, ...]:
        return FORMS[self.source]

    def place(self, name: str) -> Place:
        field = next(field for field in self.fields if field.name == name)
        return dict(self.moved).get(name, Place(field.path))

    def keeps(self, names: tuple[str, ...] = ()) -> bool:
        """True if these fields, or all of them, stand where they do by default."""
        return not any(not names or name in names for name, _ in self.moved)

    def inside(self, list_name: str | None) -> tuple[Field, ...]:
        """The fields of an element of a list; of the line outside of lists."""
        return tuple(field for field in self.fields if field.list_name == list_name)


@dataclasses.dataclass(frozen=True)
class IdKeys:
    """How a refused line that may be broken tells whom it is about."""

    ids: tuple[str, ...] = ("user_id",)  # what stands after such a key is a raw id, wherever it stands
    hashes: tuple[str, ...] = ("user_hash",)
    id_path: tuple[str, ...] = ()  # of the line's own user; with neither path the first key of the line counts
    hash_path: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Mapping:
    """The forms that differ from the default ones; `read_mapping` makes it from a file, checked."""

    forms: tuple[Form, ...] = ()

    def of(self, source: str) -> Form:
        return next((form for form in self.forms if form.source == source), Form(source))

    def id_keys(self, source: str) -> IdKeys:
        """The keys behind which ids stand in a line of a source: those of every source, as a line may be misplaced."""
        ids = [name for one in FORMS for name in _leaf(self.of(one), "user_id")]
        own_ids, own_hashes = _leaf(self.of(source), "user_id"), _leaf(self.of(source), "user_hash")
        hashed_here = set(own_hashes) - set(own_ids) - {"user_id"}
        id_path, hash_path = _moved(self.of(source), "user_id"), _moved(self.of(source), "user_hash")
        if id_path or hash_path:
            id_path, hash_path = _path(self.of(source), "user_id"), _path(self.of(source), "user_hash")
        return IdKeys(
            ids=tuple(name for name in dict.fromkeys(["user_id", *ids]) if name not in hashed_here),
            hashes=tuple(dict.fromkeys(["user_hash", *own_hashes])),
            id_path=id_path,
            hash_path=hash_path,
        )


def _path(form: Form, name: str) -> tuple[str, ...]:
    return form.place(name).path if any(field.name == name for field in form.fields) else ()


def _leaf(form: Form, name: str) -> tuple[str, ...]:
    return _path(form, name)[-1:]


def _moved(form: Form, name: str) -> tuple[str, ...]:
    return () if form.keeps((name,)) else _path(form, name)
