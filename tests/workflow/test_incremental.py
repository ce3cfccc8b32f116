"""What is planned after a change, compared with what must be: only what the change reaches."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from workflow.project import RECIPE, ROOT, SMALL, Project

from convergent import provenance

# Measures of a pair that read its moments, and those that read something else.
OF_MOMENTS = {"correlation", "matching", "sparse_prediction", "clustering", "mutual_information", "subspace_match"} | {
    "similarity"
}
FUNCTIONAL = {"stitching", "unit_removal", "ensemble"}
PAIR_MEASURES = OF_MOMENTS | {"subspace_match_sampled", "cross_layer", "layer_pairs", "rsa"} | FUNCTIONAL
# Each rule, figures by their names, and the rules whose outputs it reads.
READS: dict[str, set[str]] = {
    "inspect": set(),
    "probe": set(),
    "train": {"inspect"},
    "record": {"train", "inspect", "probe"},
    "within": {"record"},
    "between": {"record"},
    "statistics": {"record", "within"},
    "correlation": {"within", "between"},
    "matching": {"record", "within", "between"},
    "sparse_prediction": {"within", "between"},
    "clustering": {"within", "between", "sparse_prediction"},
    "edges": {"record"},
    "mutual_information": {"record", "edges", "within", "between"},
    "subspace_match": {"within", "between"},
    "subspace_match_sampled": {"record"},
    "similarity": {"record", "within", "between"},
    "cross_layer": {"record"},
    "layer_pairs": {"record"},
    "rdm": {"record"},
    "rsa": {"rdm"},
    "predictions": {"train", "inspect", "probe"},
    "maps": {"within", "between"},
    "stitching": {"train", "probe", "maps"},
    "unit_removal": {"train", "probe", "within", "matching"},
    "ensemble": {"predictions"},
    "exemplars": {"record"},
    "patches": {"exemplars", "train", "probe", "matching", "subspace_match"},
    "summary": {"train", "probe", "statistics", *PAIR_MEASURES},
    "figure matching_by_depth": {"matching"},
    "figure matching_curves": {"matching"},
    "figure correlation_matrices": {"correlation", "matching"},
    "figure mutual_information": {"mutual_information", "correlation"},
    "figure sparse_prediction": {"sparse_prediction"},
    "figure code_types": {"sparse_prediction"},
    "figure mapping_weights": {"sparse_prediction", "matching"},
    "figure clusters": {"clustering", "correlation"},
    "figure matched_units": {"matching", "patches"},
    "figure minimal_match_units": {"subspace_match", "patches"},
    "figure cluster_subspaces": {"clustering"},
    "figure subspace_match": {"subspace_match"},
    "figure subspace_match_by_depth": {"subspace_match"},
    "figure subspace_match_sampled": {"subspace_match_sampled"},
    "figure similarity": {"similarity"},
    "figure cross_layer": {"cross_layer"},
    "figure layer_pairs": {"layer_pairs"},
    "figure rsa": {"rsa"},
    "figure activation_spectra": {"statistics"},
    "figure stitching": {"stitching"},
    "figure unit_removal": {"unit_removal"},
    "figure ensemble": {"ensemble", "layer_pairs"},
}
OF_FIRST_PAIR = {"figure correlation_matrices", "figure clusters", "figure matched_units"} | {
    "figure minimal_match_units",
    "figure mapping_weights",
}
FIGURES = {name for name in READS if name.startswith("figure ")}
BY_DEPTH = {"figure matching_by_depth", "figure mutual_information", "figure similarity", "figure rsa"} | {
    "figure code_types",
    "figure subspace_match_by_depth",
    "figure subspace_match_sampled",
}
# Figures with an error over seeds.
OVER_SEEDS = BY_DEPTH | {
    "figure matching_curves",
    "figure subspace_match",
    "figure stitching",
    "figure unit_removal",
    "figure ensemble",
}
TRAINED = {"record", "patches", "predictions", "stitching", "unit_removal"}  # that run trained networks
PASSES = {"within", "between", "statistics", "mutual_information", "subspace_match_sampled", "layer_pairs"}
SPARSE = {"sparse_prediction", "clustering"}
PLAN = ("jobs", "memory", "shapes", "stores", "table", "times")
# The rules that a change of meaning of each module reaches by itself.
MODULES: dict[str, set[str]] = {
    "training": {"train"},
    "augmentation": {"train"},
    "data": {"inspect", "probe", "train"} | TRAINED,
    "networks": {"inspect", "train"} | TRAINED,
    "surgery": TRAINED - {"record", "patches"},
    **{name: {"patches"} for name in ("attribution", "patches", "preferred", "receptive_fields")},
    "exemplars": {"exemplars"},
    "shown": {"patches", "figure matched_units", "figure minimal_match_units"},
    "recording": {"record"},
    "blocks": PASSES | {"exemplars"},
    "engine": PASSES | SPARSE | {"rdm", "edges", "exemplars"},
    "folds": PASSES
    | {"rdm", "edges", "cross_layer", "rsa", "ensemble", "maps", "summary"}
    | {"stitching", "unit_removal", "figure correlation_matrices"}
    | OF_MOMENTS
    | OVER_SEEDS,
    "grids": {"layer_pairs"},
    "moments": PASSES - {"statistics"},
    "tiles": PASSES - {"statistics"},
    "device": PASSES - {"statistics"},
    "compiled": (PASSES - {"statistics"}) | {"edges", "subspace_match"},
    "information": {"mutual_information"},
    "layers": {"record", "stitching", "unit_removal"},
    "layout": {"record"},
    "shards": {"record"},
    "checksums": {"record"},
    "rounding": {"record"},
    "measures/nets": {"clustering", "subspace_match", "subspace_match_sampled"},
    **{f"measures/{name}": {"subspace_match", "subspace_match_sampled"} for name in ("peeling", "removal")},
    "measures/proximal_gradient": {"sparse_prediction", "maps"},
    "measures/maps": {"maps"},
    "measures/by_fold": {"stitching", "unit_removal"},
    "histograms": {"statistics"},
    "bins": {"edges", "mutual_information"},
    "joint_histograms": {"mutual_information"},
    "samples": {"subspace_match_sampled"},
    "rdms": {"rdm"},
    "measures/summary": {"statistics", "summary", "figure ensemble"} | PAIR_MEASURES,
    **{f"measures/{measure}": {measure} for measure in ["statistics", *sorted(PAIR_MEASURES - {"matching"})]},
    "measures/matching": {"matching", "similarity"},
    "measures/assignment": {"matching", "mutual_information", "similarity", "layer_pairs", "maps"}
    | {"figure correlation_matrices"},
    "measures/row_blocks": {"cross_layer"},
    "measures/rows": {"matching", "similarity", "cross_layer"},
    "measures/cka": {"similarity", "cross_layer"},
    "measures/cca": {"similarity"},
    "measures/minimal_matches": {"subspace_match", "subspace_match_sampled"},
    "measures/subspace_match": {"subspace_match", "subspace_match_sampled"},
    "measures/lasso": {"sparse_prediction", "maps"},
    "measures/code_types": {"sparse_prediction"},
    **{f"measures/{name}": {"clustering"} for name in ("cluster_subspaces", "dendrogram", "spectral", "nystroem")},
    "measures/forward_selection": SPARSE,
    **{f"measures/{name}": SPARSE | {"layer_pairs", "maps"} for name in ("held_out", "least_squares")},
    "tables": {"summary"} | OVER_SEEDS,
    "snapshots": {"summary", "cross_layer", "figure layer_pairs"} | OVER_SEEDS,
    "gain": {"summary", "figure ensemble"},
    "measure_kinds": {"summary", "figure ensemble"},
    "reading": {"summary"},
    "wording": {"summary"},
    "setting": {"summary"},
    "figures/style": FIGURES,
    "figures/mosaic": {"figure matched_units", "figure minimal_match_units"},
    "figures/layer_map": {"figure cross_layer", "figure layer_pairs"},
    "figures/order": {"figure correlation_matrices", "figure mapping_weights"},
    "figures/bands": {"figure matching_curves", "figure subspace_match"},
    "figures/by_depth": BY_DEPTH - {"figure code_types"},
    **{f"figures/{figure.removeprefix('figure ')}": {figure} for figure in sorted(FIGURES)},
    **{f"steps/{rule}": {rule} for rule in READS if rule not in FIGURES | {"inspect"}},
    "steps/_pair": OF_MOMENTS | {"maps"},
    "steps/_trained": TRAINED,
    "steps/_trained_pair": {"stitching", "unit_removal"},
    "steps/_snapshot": {"within", "statistics", "edges", "rdm", "exemplars"},
    "steps/_sides": {"between", "maps", "patches"} | PAIR_MEASURES,
    "steps/figure": FIGURES,
    # None changes a result by itself; a new layout of the stores raises store.FORMAT.
    **{
        name: set()
        for name in ("__main__", "schema", "config", "provenance", "errors", "store", "steps/inspect", "activations")
    },
    **{name: set() for name in ("damage", "datasets", "declarations", "experiments", "files", "mapped")},
    **{name: set() for name in ("replacement", "steps/plan")},
    **{f"plan/{part}": set() for part in PLAN},
}


def downstream(rules: Iterable[str]) -> set[str]:
    """The rules and all that read what they write."""
    reached = set(rules)
    while more := {rule for rule, read in READS.items() if read & reached} - reached:
        reached |= more
    return reached


@contextmanager
def changed(path: Path, text: str) -> Iterator[None]:
    """A file with other content inside the block."""
    before = path.read_text()
    path.write_text(text)
    try:
        yield
    finally:
        path.write_text(before)


def reordered(content: Any) -> Any:
    """The same content, the keys of every mapping in reverse order."""
    if isinstance(content, dict):
        return {key: reordered(content[key]) for key in reversed(content)}
    return [reordered(item) for item in content] if isinstance(content, list) else content


def test_modules__all_named() -> None:
    package = ROOT / "src" / "convergent"
    found = {str(path.relative_to(package).with_suffix("")) for path in package.rglob("*.py")}
    assert {name for name in found if not name.endswith("__init__")} == set(MODULES)


def test_plan__nothing_changed(finished: Project) -> None:
    assert finished.planned() == Counter()


@pytest.mark.parametrize("module", ["training", "networks", "measures/matching", "figures/style", "store"])
def test_plan__meaning_of_a_module_changed(finished: Project, module: str) -> None:
    path = finished.root / "src" / "convergent" / f"{module}.py"
    with changed(path, path.read_text() + "\nCHANGED = 1\n"):
        planned = set(finished.planned()) - {"all"}
    assert planned == downstream(MODULES[module])


def test_modules__enter_the_digests_of_their_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of every module what a dry run would tell: the rules whose digest of the code it enters."""
    monkeypatch.setattr(provenance, "digest", frozenset)  # the names of the modules instead
    text = "".join(path.read_text() for path in sorted((ROOT / "rules").glob("*.smk")))
    calls = re.findall(r"^rule (\w+):(?:\n(?!rule ).*)*?code_digest\((.*)\)", text, re.M)
    entered = {"inspect": provenance.code_digest("networks", "data")}  # `identity`
    for rule, arguments in calls:
        modules = re.findall(r'"([^"]+)"', arguments)
        for name in sorted(FIGURES) if rule == "figure" else [rule]:
            figure = name.removeprefix("figure ")
            entered[name] = provenance.code_digest(*(m.replace("{wildcards.figure}", figure) for m in modules))
    assert set(entered) == set(READS)
    for module, rules in MODULES.items():
        if module != "store":  # by its FORMAT alone
            assert {rule for rule, names in entered.items() if module.replace("/", ".") in names} == rules, module


def test_plan__comments_changed_everywhere(finished: Project) -> None:
    package = finished.root / "src" / "convergent"
    sources = {path: path.read_text() for path in package.rglob("*.py")}
    for path, text in sources.items():
        path.write_text(f"# a comment\n{text}\n\n# another\n")
    planned = finished.planned()
    for path, text in sources.items():
        path.write_text(text)
    assert planned == Counter()


def test_plan__format_of_stores_raised(finished: Project) -> None:
    path = finished.root / "src" / "convergent" / "store.py"
    with changed(path, path.read_text().replace("FORMAT = ", "FORMAT = 1000 + ")):
        planned = set(finished.planned())
    assert set(READS) - planned == {"inspect", "train"}


def test_plan__keys_reordered(finished: Project) -> None:
    files = [finished.root / "config" / "config.yaml", finished.root / "config" / "networks" / "small.yaml"]
    contents = [yaml.safe_load(file.read_text()) for file in files]
    with (
        changed(files[0], yaml.safe_dump(reordered(contents[0]), sort_keys=False)),
        changed(files[1], yaml.safe_dump(reordered(contents[1]), sort_keys=False)),
    ):
        assert finished.planned() == Counter()


def test_plan__seed_added(finished: Project) -> None:
    finished.configure(seeds=[0, 1, 2, 3])
    planned = finished.planned()
    finished.configure()
    once = {"train": 1, "summary": 1, "all": 1, "predictions": 1}
    of_snapshots = dict.fromkeys(["record", "within", "statistics", "edges", "rdm"], 2)
    # Of the three new trained pairs what they answer, and each network untrained beside the other.
    pairs = dict.fromkeys(PAIR_MEASURES, 6) | dict.fromkeys(FUNCTIONAL, 3) | {"between": 6 + 6, "maps": 3 + 6}
    # The figures of the first pair are none of the new ones'.
    figures = dict.fromkeys(FIGURES - OF_FIRST_PAIR, 2) | {f"figure {measure}": 1 for measure in FUNCTIONAL}
    assert planned == Counter(once | of_snapshots | pairs | figures)


SETTINGS: list[tuple[dict[str, Any], set[str]]] = [
    ({"sparse_prediction": {"alphas": 5, "smallest": 0.1}}, {"sparse_prediction"}),
    ({"clustering": {"threshold": 0.3, "repeats": 3}}, {"clustering"}),
    ({"matching": {"rotations": 4}}, {"matching"}),
    ({"mutual_information": {"bins": 10}}, {"edges"}),
    ({"subspace_match": {"starts": 1, "orders": 1, "enumerated": 2}}, {"subspace_match"}),
    ({"subspace_match_sampled": {"positions": 100, "draws": 3}}, {"subspace_match_sampled"}),
    ({"similarity": {"permutations": 5}}, {"similarity"}),
    ({"rsa": {"images": 60, "permutations": 5}}, {"rsa"}),
    ({"stitching": {"alphas": [0.3]}}, {"maps"}),
    ({"unit_removal": {"shares": [0.5], "draws": 3}}, {"unit_removal"}),
    ({"ensemble": {"permutations": 5}}, {"ensemble"}),
    ({"patches": {"images": 5, "units": 1, "steps": 2}}, {"exemplars"}),
    ({"patches": {"images": 4, "units": 1, "steps": 3}}, {"patches"}),
    ({"rsa": {"images": 40, "permutations": 4}}, {"rdm"}),
    ({"moments": {"permutations": 2}}, {"between", "mutual_information", "layer_pairs"}),
    ({"recording": {"dtype": "float32"}}, {"record"}),
    ({"recording": {"batch": 7}}, {"record", "predictions"}),
    ({"recording": {"codec": "zstd"}}, {"record"}),
    ({"recording": {"autocast": "bfloat16"}}, {"record"}),
    ({"probe": {"images": 40, "folds": 4, "seed": 0}}, {"probe"}),
    ({"layers": {"small": ["conv2.relu", "fc1.relu"]}}, {"record"}),
]


@pytest.mark.parametrize(("change", "reached"), SETTINGS, ids=[str(next(iter(change))) for change, _ in SETTINGS])
def test_plan__setting_changed(finished: Project, change: dict[str, Any], reached: set[str]) -> None:
    finished.configure(**change)
    planned = set(finished.planned()) - {"all"}
    finished.configure()
    assert planned == downstream(reached)


def test_plan__positions_changed(finished: Project) -> None:
    """Without layer_pairs, which takes no sample of them."""
    measures = [measure for measure in SMALL["measures"] if measure != "layer_pairs"]
    finished.configure(recording={"positions": 4}, measures=measures)
    planned = set(finished.planned()) - {"all"}
    finished.configure()
    assert planned == downstream({"record"}) - {"layer_pairs", "figure layer_pairs"}


def test_plan__recipe_changed(finished: Project) -> None:
    recipe = {**RECIPE, "training": {**RECIPE["training"], "epochs": 3}}
    with changed(finished.root / "config" / "networks" / "small.yaml", yaml.safe_dump(recipe)):
        planned = finished.planned()
    assert planned["train"] == len(SMALL["seeds"])


def test_plan__measure_left_out(finished: Project) -> None:
    # Patches are of the units that matching and subspace_match show.
    finished.configure(measures=["statistics", "correlation", "matching", "subspace_match"])
    planned = finished.planned()
    finished.configure()
    assert planned == Counter({"summary": 1, "all": 1})
