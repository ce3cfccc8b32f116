"""Where a result came from: a digest of the code that made it and the versions it ran with.

Snakemake does not notice edits of imported modules, so each rule carries ``code_digest`` as a parameter.
The Snakefile imports this module: the standard library only.
"""

import ast
import copy
import hashlib
import json
import platform
from collections.abc import Iterable
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

VERSION = "0.1.0"
PACKAGE = Path(__file__).parent
# Settings reach a step as parameters, a changed dimension is refused on reading, an error leaves no result, a changed
# layout of the stores raises store.FORMAT, no step labels arrays from elsewhere, a folder takes the place of another
# as it is: none of these changes a result.
NOT_DIGESTED = {"schema", "config", "declarations", "provenance", "errors", "files", "activations", "replacement"}
MODULE = {"scikit-learn": "sklearn", "dask-ml": "dask_ml", "pillow": "PIL"}
RECORDED = (
    "numpy",
    "scipy",
    "scikit-learn",
    "xarray",
    "zarr",
    "dask",
    "dask-ml",
    "numba",
    "pillow",
    "torch",
    "torchvision",
    "captum",
)


def code_digest(*modules: str) -> str:
    """Digest of the meaning of some modules of the package and of every local module they import.

    Comments, docstrings and layout do not enter it. A module that imports `store` enters with
    ``store.FORMAT`` in place of the code of `store`.

    Parameters
    ----------
    modules : names inside the package, such as ``"steps.train"``

    Returns
    -------
    str : 16 hexadecimal digits
    """
    found: dict[str, str] = {}
    waiting = [*modules, *_parents(modules)]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        if name == "store":
            found[name] = f"FORMAT={_store_format()}"
        elif name not in NOT_DIGESTED:
            tree = _tree(_source(name))
            found[name] = _meaning(tree)
            waiting += _local_imports(tree)
    return digest(found)


def file_digest(path: Path) -> str:
    """Digest of the meaning of one Python file outside the package."""
    return digest(_meaning(_tree(path)))


def digest(value: object) -> str:
    """Digest of anything JSON can hold, independent of the order of keys: 16 hexadecimal digits."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:16]


def canonical(value: object) -> str:
    """JSON with sorted keys: equal settings give equal text."""
    return json.dumps(value, sort_keys=True)


def versions() -> dict[str, str]:
    """Versions of this package, of Python, of the machine type and of the libraries that shape a number."""
    installed = {name: version(name) for name in RECORDED if find_spec(MODULE.get(name, name))}
    return installed | {"convergent": VERSION, "python": platform.python_version(), "machine": platform.machine()}


def _source(name: str) -> Path:
    path = PACKAGE.joinpath(*name.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_bytes(), path)


def _meaning(tree: ast.Module) -> str:
    tree = copy.deepcopy(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = node.body[ast.get_docstring(node, clean=False) is not None :]
    return ast.unparse(tree)  # varies less between versions of Python than ast.dump


def _local_imports(tree: ast.Module) -> list[str]:
    """Modules of this package that a module imports, their parent packages included."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "convergent":
            base = (node.module or "").removeprefix("convergent").removeprefix(".")
            candidates = [".".join(filter(None, (base, alias.name))) for alias in node.names]
            names |= {name if _source(name).exists() else base for name in candidates}
        elif isinstance(node, ast.Import):
            names |= {a.name.removeprefix("convergent.") for a in node.names if a.name.startswith("convergent.")}
    return sorted(names | _parents(names))


def _parents(modules: Iterable[str]) -> set[str]:
    """The packages of some modules; the package itself is named by nothing."""
    return {"", *(name.rpartition(".")[0] for name in modules)}


def _store_format() -> str:
    for node in _tree(PACKAGE / "store.py").body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "FORMAT":
            return ast.unparse(node.value)
    raise LookupError("store.py assigns no FORMAT")
