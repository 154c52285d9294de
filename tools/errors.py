"""Writes docs/errors.md: every error message of the package with what to do, read from the syntax trees.

Usage: errors.py
"""

import ast
import dataclasses
import functools
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE, PAGE = ROOT / "pagerec_dbx", ROOT / "docs/errors.md"
HEAD = """# Every error message

Written by `make errors` from the code. An error is one line: what happened, what was wanted, what came instead, what to
do; `...` stands for what differs from case to case. Look a message up by a few of its words;
[operations.md](operations.md) says more about those that come in the night.
"""
_VARIES = "..."


@dataclasses.dataclass(frozen=True, order=True)
class Message:
    """One error as the code raises it."""

    kind: str  # name of its class
    what: str
    wanted: str
    fix: str


def messages(source: str) -> Iterator[Message]:
    """The errors that a module makes with a message of its own."""
    for node in ast.walk(ast.parse(source)):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id.endswith("Error")):
            continue
        named = {keyword.arg: _text(keyword.value) for keyword in node.keywords}
        if node.args and (named.keys() & {"wanted", "got", "fix"} or node.func.id in _own_kinds()):
            yield Message(node.func.id, _text(node.args[0]), named.get("wanted", ""), named.get("fix", ""))


def _text(node: ast.expr) -> str:
    """What a string says, with what is put into it left open."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part) for part in node.values)
    if isinstance(node, ast.FormattedValue) and isinstance(node.value, ast.Name):
        return _constants().get(node.value.id, _VARIES)
    if isinstance(node, ast.IfExp):
        return " / ".join(dict.fromkeys(text for text in (_text(node.body), _text(node.orelse)) if text))
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _text(node.left) + _text(node.right)
    return _VARIES


@functools.cache
def _own_kinds() -> dict[str, str]:
    """Error class -> what it is, in order of the file."""
    tree = ast.parse((PACKAGE / "errors.py").read_text(encoding="utf-8"))
    return {node.name: (ast.get_docstring(node) or "").partition("\n")[0] for node in tree.body
            if isinstance(node, ast.ClassDef)}  # fmt: skip


@functools.cache
def _constants() -> dict[str, str]:
    """The texts that messages of several modules share."""
    tree = ast.parse((PACKAGE / "errors.py").read_text(encoding="utf-8"))
    return {node.targets[0].id: node.value.value for node in tree.body
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)}  # fmt: skip


def page() -> str:
    """The whole page."""
    found: dict[str, set[Message]] = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        for message in messages(file.read_text(encoding="utf-8")):
            found.setdefault(message.kind, set()).add(message)
    parts = [HEAD]
    for kind, meaning in _own_kinds().items():
        told = sorted(one for one in found.get(kind, ()) if one.what.strip(". ") != "")
        if told:
            rows = [f"| {_cell(one.what)} | {_cell(one.wanted)} | {_cell(one.fix)} |" for one in told]
            table = "\n".join(["| message | wanted | what to do |", "|---|---|---|", *rows])
            parts.append(f"## {kind}\n\n{meaning}\n\n{table}\n")
    return "\n".join(parts)


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").replace("<", "&lt;").split())


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"{PAGE.relative_to(ROOT)} written", file=sys.stderr)
