"""The digest of the code: a change of meaning enters it, a change of words does not."""

import ast
import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from convergent import config, provenance

SOURCES = Path(provenance.__file__).parent
MODULES = sorted(
    ".".join(path.relative_to(SOURCES).with_suffix("").parts)
    for path in SOURCES.rglob("*.py")
    if path.name != "__init__.py"
)
STEPS = [
    name.removeprefix("steps.")
    for name in MODULES
    if name.startswith("steps.") and "._" not in name and name != "steps.plan"
]

PAIR = {"store", "folds", "measures.summary", "steps._pair", "steps._sides"}
PASS = {"store", "folds", "blocks", "engine"}
SUBSPACES = {"compiled"} | {
    f"measures.{name}" for name in ("subspace_match", "minimal_matches", "nets", "peeling", "removal")
}
TRAINED = {"data", "networks", "store", "steps._trained"}
ALTERED = TRAINED | {f"measures.{name}" for name in ("by_fold", "summary")}
ALTERED |= {"layers", "surgery", "folds", "steps._trained_pair", "steps._sides"}
IMPORTED = {
    "inspect": {"data", "layers", "networks"},
    "train": {"augmentation", "data", "networks", "training"},  # nothing of the floor
    "probe": {"data", "store"},
    "record": TRAINED | {"layers", "recording", "rounding", "layout", "shards", "checksums"},
    "patches": TRAINED | {"patches", "attribution", "preferred", "receptive_fields", "shown", "steps._sides"},
    "exemplars": {"store", "blocks", "engine", "exemplars", "steps._snapshot"},
    "within": PASS | {"moments", "device", "tiles", "compiled", "steps._snapshot"},
    "between": PASS | {"moments", "device", "tiles", "compiled", "steps._sides"},
    "edges": {"store", "folds", "engine", "bins", "compiled", "steps._snapshot"},
    "rdm": {"store", "folds", "engine", "rdms", "steps._snapshot"},
    "statistics": PASS | {"steps._snapshot"} | {"histograms", "measures.statistics", "measures.summary"},
    "correlation": PAIR | {"measures.correlation"},
    "mutual_information": PAIR
    | PASS
    | {"moments", "device", "tiles", "compiled", "bins", "information", "joint_histograms"}
    | {"measures.mutual_information", "measures.assignment"},
    "matching": PAIR | {"measures.matching", "measures.assignment", "measures.rows"},
    "sparse_prediction": PAIR
    | {f"measures.{name}" for name in ("sparse_prediction", "lasso", "least_squares", "forward_selection", "held_out")}
    | {"measures.code_types", "measures.proximal_gradient", "engine"},
    "clustering": PAIR
    | {f"measures.{name}" for name in ("clustering", "cluster_subspaces", "spectral", "dendrogram", "held_out")}
    | {"measures.forward_selection", "measures.least_squares", "measures.nets", "engine"},
    "subspace_match": PAIR | SUBSPACES,
    "subspace_match_sampled": PASS
    | SUBSPACES
    | {"moments", "device", "tiles", "samples", "measures.summary", "measures.subspace_match_sampled", "steps._sides"},
    "similarity": PAIR
    | {f"measures.{name}" for name in ("similarity", "cka", "cca", "matching", "assignment", "rows")},
    "cross_layer": {"store", "folds", "measures.summary", "measures.cross_layer", "measures.cka", "steps._sides"}
    | {"measures.row_blocks", "measures.rows", "snapshots"},
    "layer_pairs": PASS
    | {"grids", "moments", "device", "tiles", "compiled", "steps._sides", "measures.summary", "measures.layer_pairs"}
    | {f"measures.{name}" for name in ("assignment", "held_out", "least_squares")},
    "rsa": {"store", "folds", "measures.summary", "measures.rsa", "steps._sides"},
    "maps": (PAIR - {"measures.summary"})
    | {"measures.maps", "measures.held_out", "measures.lasso", "measures.least_squares", "measures.proximal_gradient"}
    | {"measures.assignment"},
    "stitching": ALTERED | {"measures.stitching"},
    "unit_removal": ALTERED | {"measures.unit_removal"},
    "predictions": TRAINED | {"surgery"},
    "ensemble": {"store", "folds", "measures.summary", "measures.ensemble", "steps._sides"},
    "summary": {"folds", "gain", "measure_kinds", "measures.summary", "reading", "setting", "snapshots", "tables"}
    | {"store", "wording"},
    "figure": {"store"},
}

# What plans an experiment, or describes a network, whose `identity` is the digest.
NOT_OF_STEPS = {name for name in MODULES if name.startswith("plan.")} | {"experiments", "steps.plan", "steps.inspect"}

Edit = Callable[[str, Callable[[str], str]], None]


@pytest.fixture
def edit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Edit:
    """Edit a module in a copy of the package that the digests are made of."""
    package = tmp_path / "convergent"
    shutil.copytree(SOURCES, package, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(provenance, "PACKAGE", package)

    def edited(module: str, change: Callable[[str], str]) -> None:
        path = provenance._source(module)
        before = path.read_text(encoding="utf-8")
        after = change(before)
        assert after != before
        path.write_text(after, encoding="utf-8")
        provenance._tree.cache_clear()

    return edited


def another_meaning(source: str) -> str:
    return f"{source}\nADDED = 1\n"


def replaced(old: str, new: str) -> Callable[[str], str]:
    return lambda source: source.replace(old, new)


def other_docstrings(source: str) -> str:
    """The module with every docstring in other words."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            docstring = ast.get_docstring(node, clean=False)
            source = source.replace(docstring, "Other words.") if docstring else source
    return source


WORDS = [
    pytest.param(lambda source: f"# a comment\n{source}# another\n", id="comments"),
    pytest.param(other_docstrings, id="docstrings"),
    pytest.param(replaced("\n\n\n", "\n\n\n\n\n"), id="blank lines"),
    pytest.param(replaced(" = ", "  =  "), id="spaces"),
]


@pytest.mark.parametrize("change", WORDS)
@pytest.mark.parametrize("module", ["steps.statistics", "moments", "measures.matching"])
def test_code_digest__takes_no_notice_of_words(edit: Edit, module: str, change: Callable[[str], str]) -> None:
    before = provenance.code_digest(module)
    edit(module, change)
    assert provenance.code_digest(module) == before


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        ("steps.matching", "settings: Matching", "settings: object"),
        ("measures.matching", "def ", "async def "),
        ("moments", "float64", "float32"),
        ("moments", " - ", " + "),
    ],
)
def test_code_digest__changes_with_the_meaning(edit: Edit, module: str, old: str, new: str) -> None:
    before = provenance.code_digest(module)
    edit(module, replaced(old, new))
    assert provenance.code_digest(module) != before


@pytest.mark.parametrize("step", ["train", "matching"])
def test_code_digest__changes_with_just_what_the_step_imports(edit: Edit, step: str) -> None:
    before = provenance.code_digest(f"steps.{step}")
    entering = (IMPORTED[step] | {f"steps.{step}"}) - {"store"}  # of the store, FORMAT alone enters
    for module in set(MODULES) - entering:
        edit(module, another_meaning)
    assert provenance.code_digest(f"steps.{step}") == before
    seen = {before}
    for module in entering:
        edit(module, another_meaning)
        assert provenance.code_digest(f"steps.{step}") not in seen, module
        seen.add(provenance.code_digest(f"steps.{step}"))


@pytest.mark.parametrize("step", STEPS)
def test_code_digest__enters_just_what_the_step_imports(monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    entered: dict[str, str] = {}
    monkeypatch.setattr(provenance, "digest", entered.update)
    provenance.code_digest(f"steps.{step}")
    assert entered.keys() - {"", "steps", "measures", "figures"} == IMPORTED[step] | {f"steps.{step}"}


SETTINGS_OF_A_STEP = {"add_settings", "data_root", "network_identity", "of_json", "parse", "parse_layers"} | {
    name for name, found in vars(config).items() if dataclasses.is_dataclass(found)
}


@pytest.mark.parametrize("module", sorted(set(MODULES) - provenance.NOT_DIGESTED - NOT_OF_STEPS))
def test_config__gives_the_steps_settings_and_nothing_else_that_a_result_may_depend_on(module: str) -> None:
    tree = ast.parse(provenance._source(module).read_text(encoding="utf-8"))
    imported = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "convergent.config"
        for alias in node.names
    }
    assert imported <= SETTINGS_OF_A_STEP


@pytest.mark.parametrize("step", STEPS)
def test_code_digest__enters_the_format_of_stores_in_all_but_inspection_and_training(edit: Edit, step: str) -> None:
    before = provenance.code_digest(f"steps.{step}")
    edit("store", replaced("\nFORMAT = ", "\nFORMAT = 1 + "))
    assert (provenance.code_digest(f"steps.{step}") == before) == (step in ("inspect", "train"))


@pytest.mark.parametrize("package", ["", "steps", "measures"])
def test_code_digest__enters_the_packages_of_what_is_imported(edit: Edit, package: str) -> None:
    before = provenance.code_digest("steps.matching")
    edit(package, another_meaning)
    assert provenance.code_digest("steps.matching") != before


@pytest.mark.parametrize("package", ["", "steps"])
def test_code_digest__enters_the_packages_of_the_step_itself(edit: Edit, package: str) -> None:
    before = provenance.code_digest("steps.train")
    edit(package, another_meaning)
    assert provenance.code_digest("steps.train") != before


def test_code_digest__joins_modules_in_any_order() -> None:
    one, other = "steps.figure", "figures.clusters"
    assert provenance.code_digest(one, other) == provenance.code_digest(other, one)
    assert provenance.code_digest(one, other) != provenance.code_digest(one)


@pytest.mark.parametrize("line", ["from convergent import added", "import convergent.added"])
def test_code_digest__follows_every_form_of_import(edit: Edit, line: str) -> None:
    (provenance.PACKAGE / "added.py").write_text("VALUE = 1\n", encoding="utf-8")
    edit("steps.within", lambda source: f"{source}\n{line}\n")
    before = provenance.code_digest("steps.within")
    edit("added", replaced("1", "2"))
    assert provenance.code_digest("steps.within") != before


def test_digest__takes_no_notice_of_the_order_of_keys() -> None:
    assert provenance.digest({"a": 1, "b": [1, 2]}) == provenance.digest({"b": [1, 2], "a": 1})
    assert provenance.digest({"a": 1, "b": [1, 2]}) != provenance.digest({"a": 1, "b": [2, 1]})
    assert len(provenance.digest(None)) == 16


def test_versions__are_of_what_is_installed() -> None:
    found = provenance.versions()
    assert {*provenance.RECORDED, "convergent", "python", "machine"} == set(found)
    assert found["convergent"] == provenance.VERSION


@pytest.mark.parametrize("module", MODULES)
def test_code_digest__meets_no_relative_import_which_it_would_not_follow(module: str) -> None:
    tree = ast.parse(provenance._source(module).read_text(encoding="utf-8"))
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level]
