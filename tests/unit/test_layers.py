"""Imports point one way and every engine has one door: read from the syntax trees, functions' insides included."""

import ast
import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "pagerec_dbx"

# Lowest first. Modules of one line do not import each other.
ORDER = [
    ("__init__",),
    ("errors", "figures"),
    ("config",),
    ("home",),
    ("lock",),
    ("hashing",),
    ("progress",),
    ("schemas",),
    ("spark", "tables", "workers"),
    ("ledger",),
    ("importers", "simulation", "pipelines"),
    ("features",),
    ("models",),
    ("training",),
    ("evaluation",),
    ("baselines",),
    ("promotions",),
    ("registry",),
    ("scoring",),
    ("monitoring",),
    ("report",),
    ("workbench",),
    ("stages",),
    ("cli", "notebooks"),
    ("task",),
]
HEIGHT = {unit: height for height, units in enumerate(ORDER) for unit in units}

# The only files that may import an engine; a folder stands for what is in it.
DOORS = {
    "delta": ("tables.py", "spark.py"),
    "petastorm": ("features/petastorm_groups.py",),
    "horovod": ("training/distributed.py", "training/horovod_ranks.py"),
    "mlflow": ("registry/",),
    "lightgbm": ("baselines/lambdamart.py",),
    "optuna": ("training/study.py",),
}
TENSORFLOW = ("tensorflow", "tf_keras", "keras", "tensorflow_recommenders")
# What a rank runs knows no Spark, and the pipelines know no TensorFlow.
BANNED = {
    "pipelines/": TENSORFLOW,
    "simulation/": TENSORFLOW,
    "importers/": TENSORFLOW,
    "models/": ("pyspark", "delta"),
    "training/": ("pyspark", "delta"),
    "features/stream.py": ("pyspark", "delta"),
}
RANK_CODE = ("models/", "training/", "features/stream.py", "registry/client.py")


@dataclasses.dataclass(frozen=True)
class Import:
    """One imported module, and where."""

    file: str  # relative to the package's folder
    line: int
    module: str  # absolute, as `pagerec_dbx.tables` or `pyspark.sql`
    at_start: bool  # False inside a function

    @property
    def place(self) -> str:
        return f"{self.file}:{self.line}"

    @property
    def engine(self) -> str:
        return self.module.partition(".")[0]

    @property
    def unit(self) -> str | None:
        """The imported part of this package, None for another package."""
        parts = self.module.split(".")
        if parts[0] != "pagerec_dbx":
            return None
        return "__init__" if len(parts) == 1 or parts[1].startswith("__") else parts[1]


def imports_of(package: Path) -> list[Import]:
    """One record per import statement and module under a package's folder."""
    return [found for file in sorted(package.rglob("*.py")) for found in _imports_of_file(package, file)]


def _imports_of_file(package: Path, file: Path) -> Iterator[Import]:
    name = file.relative_to(package).as_posix()
    tree = ast.parse(file.read_text(encoding="utf-8"), filename=str(file))
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    inside = {id(node) for function in functions for node in ast.walk(function)}
    for node in ast.walk(tree):
        for module in _modules(node, ["pagerec_dbx", *name.split("/")[:-1]]):
            yield Import(name, node.lineno, module, at_start=id(node) not in inside)


def _modules(node: ast.AST, folder: list[str]) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        base = folder[: len(folder) - node.level + 1] if node.level else []
        module = ".".join([*base, *([node.module] if node.module else [])])
        return [f"{module}.{alias.name}" for alias in node.names] if module == "pagerec_dbx" else [module]
    if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
        function = getattr(node.func, "attr", getattr(node.func, "id", ""))
        return [str(node.args[0].value)] if function in ("import_module", "__import__") else []
    return []


def order_faults(imports: list[Import]) -> list[str]:
    """Imports that point upward or sideways."""
    faults = []
    for found in imports:
        importer = found.file.split("/")[0].removesuffix(".py")
        if importer not in HEIGHT:
            faults.append(f"{found.place} `{importer}` has no place in the order")
        elif found.unit not in (None, importer) and HEIGHT.get(found.unit, len(ORDER)) >= HEIGHT[importer]:
            faults.append(f"{found.place} `{importer}` imports `{found.unit}`, which does not lie below it")
    return faults


def door_faults(imports: list[Import]) -> list[str]:
    """Imports of an engine past its door, or where it is banned."""
    faults = []
    for found in imports:
        doors = DOORS.get(found.engine, ())
        if doors and not found.file.startswith(doors):
            faults.append(f"{found.place} imports {found.engine}, which only {' and '.join(doors)} may")
        for where, engines in BANNED.items():
            if found.file.startswith(where) and found.engine in engines:
                faults.append(f"{found.place} imports {found.engine}, which {where} may not")
    return faults


def rank_faults(imports: list[Import]) -> list[str]:
    """Modules that the code of a rank loads and that load Spark as they start."""
    starting = [found for found in imports if found.at_start]
    files = {found.file for found in imports}
    reached = {found.file for found in imports if found.file.startswith(RANK_CODE)}
    waiting = list(reached)
    while waiting:
        here = waiting.pop()
        loaded = {file for found in starting if found.file == here for file in _files(found, files)}
        waiting += loaded - reached
        reached |= loaded
    return [
        f"{found.place} imports {found.engine} and is loaded by a rank"
        for found in starting
        if found.file in reached and found.engine in ("pyspark", "delta")
    ]


def _files(found: Import, files: set[str]) -> set[str]:
    path = found.module.removeprefix("pagerec_dbx.").replace(".", "/")
    return files & {f"{path}.py", f"{path}/__init__.py"} if found.unit else set()


@pytest.mark.parametrize("faults", [order_faults, door_faults, rank_faults])
def test_package_keeps_its_layers(faults):
    assert faults(imports_of(PACKAGE)) == []


@pytest.fixture
def tree(tmp_path):
    """Writes a small package: file name -> text."""

    def write(**files: str) -> list[Import]:
        for name, text in files.items():
            path = tmp_path / (name.replace("__", "/") + ".py")
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        return imports_of(tmp_path)

    return write


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("from pagerec_dbx.models.build import build_model", 1),
        ("\nfrom pagerec_dbx import models", 2),
        ("def f():\n    from ..models import build", 2),
        ("def f():\n    import pagerec_dbx.models", 2),
        ("import importlib\nimportlib.import_module('pagerec_dbx.models')", 2),
        ("from pagerec_dbx.simulation import world", 1),  # a neighbour
    ],
)
def test_layers_names_an_upward_import(tree, text, line):
    (fault,) = order_faults(tree(pipelines__joins=text))
    assert fault.startswith(f"pipelines/joins.py:{line} `pipelines` imports `")


def test_layers_allows_downward_imports_and_own_folder(tree):
    imports = tree(pipelines__joins="from pagerec_dbx.schemas import X\nfrom pagerec_dbx.pipelines.silver import y\n")
    assert order_faults(imports) == []


def test_layers_names_a_module_without_a_place(tree):
    assert "`helpers` has no place" in order_faults(tree(helpers="import pagerec_dbx.errors"))[0]


@pytest.mark.parametrize(
    ("file", "text", "what"),
    [
        (
            "pipelines__bronze",
            "def f():\n    import delta.tables",
            "imports delta, which only tables.py and spark.py may",
        ),
        ("training__loop", "import mlflow", "imports mlflow, which only"),
        ("training__loop", "from horovod import tensorflow", "imports horovod, which only"),
        ("stages__tune", "def f():\n    import optuna", "imports optuna, which only training/study.py may"),
        ("features__snapshot", "import petastorm", "imports petastorm, which only"),
        ("pipelines__gold", "import tensorflow as tf", "imports tensorflow, which pipelines/ may not"),
        ("models__build", "def f():\n    from pyspark.sql import DataFrame", "imports pyspark, which models/ may not"),
        ("features__stream", "import pyspark", "imports pyspark, which features/stream.py may not"),
    ],
)
def test_layers_names_an_engine_past_its_door(tree, file, text, what):
    assert any(what in fault for fault in door_faults(tree(**{file: text})))


def test_layers_names_spark_that_a_rank_would_load(tree):
    imports = tree(
        features__stream="from pagerec_dbx.features.snapshot import open_snapshot",
        features__snapshot="from pyspark.sql import DataFrame",
    )
    assert rank_faults(imports) == ["features/snapshot.py:1 imports pyspark and is loaded by a rank"]


def test_layers_allows_spark_that_a_rank_does_not_load(tree):
    imports = tree(
        features__stream="from pagerec_dbx.features.snapshot import open_snapshot",
        features__snapshot="def write_snapshot():\n    from pyspark.sql import DataFrame",
    )
    assert rank_faults(imports) == []
