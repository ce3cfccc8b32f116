"""The configuration: every mistake is one line that names the key, what was found and what would be right."""

import copy
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, fields, is_dataclass
from datetime import date
from pathlib import Path
from typing import Any, get_type_hints

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from convergent import config, declarations, experiments
from convergent.errors import InputError
from convergent.provenance import canonical
from convergent.steps import plan

ROOT = Path(__file__).parents[1]
DEFAULT = yaml.safe_load((ROOT / "config" / "config.yaml").read_text(encoding="utf-8"))
RECIPE = yaml.safe_load((ROOT / "config" / "networks" / "digits_cnn.yaml").read_text(encoding="utf-8"))
OPTIONAL = {"drops": [0.5, 0.75], "warmup": 0.0, "augmentation": "none", "autocast": "none", "deterministic": True}
ABSENT = object()
CYCLE: dict[str, Any] = {"channels": [4]}
CYCLE["x"] = CYCLE
NAN, INFINITY = float("nan"), float("inf")

# Change of config.yaml, and what the message says; "…" stands for any text.
EXPERIMENT_FAULTS = [
    ("sedes", [0, 1], "configuration: unknown key 'sedes'; the keys are networks, seeds, …; did you mean seeds?"),
    (1, 2, "configuration: unknown key '1'; the keys are networks"),
    ("probe.imagess", 1, "configuration: probe: unknown key 'imagess'; … images, folds, seed; did you mean images?"),
    ("recording.type", 1, "configuration: recording: unknown key 'type'; … did you mean dtype?"),
    ("moments.precison", 1, "configuration: moments: unknown key 'precison'; … did you mean precision?"),
    ("matching.rotation", 1, "configuration: matching: unknown key 'rotation'; … did you mean rotations?"),
    ("sparse_prediction.alpha", 1, "configuration: sparse_prediction: unknown key 'alpha'; … did you mean alphas?"),
    ("clustering.repeat", 1, "configuration: clustering: unknown key 'repeat'; … did you mean repeats?"),
    ("comparisons.0.stages", "x", "configuration: comparisons[0]: unknown key 'stages'; … did you mean stage?"),
    ("seeds", ABSENT, "configuration: the key 'seeds' is missing"),
    ("probe.folds", ABSENT, "configuration: probe: the key 'folds' is missing"),
    ("comparisons.1.name", ABSENT, "configuration: comparisons[1]: the key 'name' is missing"),
    ("seeds", 4, "configuration: seeds: 4 is no list"),
    ("probe", None, "configuration: probe: None is no mapping"),
    ("recording", "float32", "configuration: recording: 'float32' is no mapping"),
    ("comparisons.0", "final", "configuration: comparisons[0]: 'final' is no mapping"),
    ("networks", "digits_cnn", "configuration: networks: 'digits_cnn' is no list"),
    ("networks", [1], "configuration: networks[0]: 1 is no text"),
    ("name", 5, "configuration: name: 5 is no text or nothing"),
    ("probe.images", "500", "configuration: probe.images: '500' is no whole number"),
    ("probe.images", 4.0, "configuration: probe.images: 4.0 is no whole number"),
    ("probe.images", True, "configuration: probe.images: True is no whole number"),
    ("seeds", [0, True], "configuration: seeds[1]: True is no whole number"),
    ("clustering.threshold", True, "configuration: clustering.threshold: True is no number"),
    ("sparse_prediction.smallest", "1e-3", "configuration: sparse_prediction.smallest: '1e-3' … write 1.0e-3"),
    ("sparse_prediction.smallest", "1E-3", "configuration: sparse_prediction.smallest: '1E-3' … write 1.0"),
    ("clustering.units_per_cluster", NAN, "configuration: clustering.units_per_cluster: nan"),
    ("clustering.units_per_cluster", INFINITY, "configuration: clustering.units_per_cluster: inf"),
    ("sparse_prediction.smallest", NAN, "configuration: sparse_prediction.smallest: nan"),
    ("seeds", [0, 1, 0], "configuration: seeds: 0 stands twice"),
    ("seeds", [0], "configuration: seeds: 1 given, at least 2 needed"),
    ("seeds", [0, -1], "configuration: seeds[1]: -1 is below 0"),
    ("networks", [], "configuration: networks: 0 given, at least 1 needed"),
    ("networks", ["digits_cnn"] * 2, "configuration: networks: 'digits_cnn' stands twice"),
    (
        "networks",
        ["digit_cnn"],
        "configuration: networks: no recipe …; there are …, digits_cnn, …; did you mean digits_cnn?",
    ),
    ("networks", ["../networks/digits_cnn"], "configuration: networks[0]: '../networks/digits_cnn' may hold only"),
    ("networks", ["Digits_CNN"], "configuration: networks[0]: 'Digits_CNN' may hold only lower-case letters"),
    ("networks", ["digits\ncnn"], "configuration: networks"),
    ("networks", ["n" * 300], "configuration: networks[0]: 'nnn…' may hold only lower-case letters, digits and _, 80"),
    ("name", "n" * 300, "configuration: name: 'nnn…' may hold only lower-case letters, digits and _, 80 at most"),
    ("probe.images", 10**400, "configuration: probe.images: 1000…000 is above 9007199254740992"),
    ("recording.positions", 10**400, "configuration: recording.positions: 1000…000 is"),
    ("seeds", [0, 2**53 + 1], "configuration: seeds[1]: 9007199254740993 is above 9007199254740992"),
    (
        "clustering.units_per_cluster",
        10**400,
        "configuration: clustering.units_per_cluster: 1000…000 is above 9007199254740992",
    ),
    ("name", "A", "configuration: name: 'A' may hold only lower-case letters, digits and _"),
    ("name", "../a", "configuration: name: '../a' may hold only lower-case letters, digits and _"),
    ("name", "a\n", r"configuration: name: 'a\n' may hold only lower-case letters, digits and _"),
    ("comparisons", [], "configuration: comparisons: 0 given, at least 1 needed"),
    ("comparisons.0.name", "a/b", "configuration: comparisons[0].name: 'a/b' may hold only lower-case letters"),
    ("comparisons", [{"name": "a", "stage": "init"}] * 2, "configuration: comparisons[1].name: 'a' stands twice"),
    ("comparisons.0.untrained", "untraned", "comparisons[0].untrained: no comparison 'untraned'; … mean untrained?"),
    ("comparisons.0.untrained", "trained", "comparisons[0].untrained: 'trained' cannot be its own null"),
    ("comparisons.1.stage", "final", "comparisons[0].untrained: 'untrained' is of stage final, not init"),
    ("name", "training", "configuration: name: training is a folder of results already; choose another name"),
    (
        "comparisons.0.pairs",
        "same_seed",
        "comparisons[0].stage_b: a seed is compared with itself at another stage than final",
    ),
    ("comparisons.0.pairs", "networks", "comparisons[0].pairs: different networks, but networks names only digits_cnn"),
    ("comparisons.0.pairs", "all", "comparisons[0].pairs: 'all' is none of seeds, same_seed, networks"),
    ("comparisons.0.stage_b", "late", "comparisons[0].stage_b: …digits_cnn.yaml keeps no stage 'late'; … init, final"),
    ("comparisons.1.stage_b", "final", "comparisons[0].untrained: 'untrained' is of stage final, not init"),
    ("comparisons.0.stage", "Final", "comparisons[0].stage: 'Final' may hold only lower-case letters, digits and _"),
    ("comparisons.0.stage", "epoch3", "comparisons[0].stage: …digits_cnn.yaml keeps no stage 'epoch3'; … init, final"),
    ("comparisons.0.stage", "finall", "comparisons[0].stage: … keeps no stage 'finall'; … did you mean final?"),
    ("probe.images", 510, "configuration: probe.images: 510 is more than the 500 held-out images of digits"),
    ("probe.images", 2, "configuration: probe.images: 2 is below 4"),
    ("probe.folds", 1, "configuration: probe.folds: 1 is below 2"),
    ("probe.folds", 7, "configuration: probe: 500 images do not divide into 7 equal folds … 497 would"),
    ("probe.folds", 501, "configuration: probe: 500 images do not divide into 501 equal folds"),
    ("probe.folds", 500, "configuration: probe.folds: 500 folds of 500 images leave fewer than 2 images each"),
    (
        "probe",
        {"images": 9970, "folds": 10, "seed": 0},
        "configuration: probe.images: 9970 images make folds of 997, which … from 2 to 64 divides: … 9960 and 9980 are",
    ),
    ("probe.seed", -1, "configuration: probe.seed: -1 is below 0"),
    ("recording.dtype", "float61", "configuration: recording.dtype: 'float61' is none of float16, float32; did you"),
    ("recording.batch", 0, "configuration: recording.batch: 0 is below 1"),
    ("moments.precision", 64, "configuration: moments.precision: 64 is none of float64, float32"),
    ("moments.permutations", 0, "configuration: moments.permutations: 0 is below 1"),
    ("matching.rotations", 1, "configuration: matching.rotations: 1 is below 2"),
    ("sparse_prediction.alphas", 1, "configuration: sparse_prediction.alphas: 1 is below 2"),
    ("sparse_prediction.smallest", 0, "configuration: sparse_prediction.smallest: 0 is not above 0"),
    ("clustering.threshold", 1, "configuration: clustering.threshold: 1 is not below 1"),
    ("clustering.threshold", -0.1, "configuration: clustering.threshold: -0.1 is below 0"),
    ("clustering.units_per_cluster", 1, "configuration: clustering.units_per_cluster: 1 is below 2"),
    ("measures", [], "configuration: measures: 0 given, at least 1 needed"),
    ("measures", ["statistic"], "configuration: measures[0]: 'statistic' is none of …; did you mean statistics?"),
    ("measures", ["matching"] * 2, "configuration: measures: 'matching' stands twice"),
    ("patches.images", -1, "configuration: patches.images: -1 is below 0"),
    ("patches.units", 0, "configuration: patches.units: 0 is below 1"),
    ("patches.step", 1, "configuration: patches: unknown key 'step'; … did you mean steps?"),
    ("name", "patches", "configuration: name: patches is a folder of results already; choose another name"),
    ("rsa.images", 9, "configuration: rsa.images: 9 images make no 10 equal folds (probe.folds)"),
    (
        "moments.precision",
        "float32",
        "configuration: moments.precision: subspace_match resolves distances that float32",
    ),
    ("subspace_match.epsilons", [0.5, 2], "configuration: subspace_match.epsilons[1]: 2 "),
    ("subspace_match.epsilons", [], "configuration: subspace_match.epsilons"),
    ("subspace_match.dead", "matchd", "configuration: subspace_match.dead: 'matchd' … did you mean matched?"),
    ("subspace_match.ridge", 0, "configuration: subspace_match.ridge: 0"),
    ("mutual_information.bins", 255, "configuration: mutual_information.bins: 255"),
    ("clustering.variant", "li2015", "configuration: clustering.variant: 'li2015' … did you mean li2016?"),
    ("similarity.svcca_variance", 1.5, "configuration: similarity.svcca_variance: 1.5"),
    ("measures", ["clustering"], "configuration: measures: clustering reads sparse_prediction; add it to the list"),
    ("measures", ["unit_removal"], "configuration: measures: unit_removal reads matching; add it to the list"),
    ("layers", "relu", "configuration: layers: 'relu' … all"),
    ("layers", ["conv1"], "configuration: layers: ['conv1'] … all"),
    ("layers", {"digits_cnn": "conv1"}, "configuration: layers.digits_cnn: 'conv1' is no list"),
    ("layers", {"digits_cnn": []}, "configuration: layers.digits_cnn: 0 given, at least 1 needed"),
    ("layers", {"digits_cnn": ["fc1", "fc1"]}, "configuration: layers.digits_cnn: 'fc1' stands twice"),
    ("layers", {"digit_cnn": ["fc1"]}, "layers: no network 'digit_cnn' in networks: digits_cnn; did you mean digits_"),
    ("layers", {1: ["fc1"]}, "configuration: layers: no network … in networks: digits_cnn"),
]

# Change of the recipe.
RECIPE_FAULTS = [
    ("dat", "x", "unknown key 'dat'; the keys are data, architecture, …; did you mean data?"),
    ("architecture.nam", "x", "architecture: unknown key 'nam'; … did you mean name?"),
    ("training.thread", 1, "training: unknown key 'thread'; … did you mean threads?"),
    ("data", ABSENT, "the key 'data' is missing"),
    ("training.epochs", ABSENT, "training: the key 'epochs' is missing"),
    ("training.epochs", 2.0, "training.epochs: 2.0 is no whole number"),
    ("training.learning_rate", 0, "training.learning_rate: 0 is not above 0"),
    ("training.learning_rate", NAN, "training.learning_rate: nan"),
    ("training.learning_rate", INFINITY, "training.learning_rate: inf"),
    ("training.momentum", 1, "training.momentum: 1 is not below 1"),
    ("training.weight_decay", "5e-4", "training.weight_decay: '5e-4' is no number; … write 5.0e-4"),
    ("training.weight_decay", "lots", "training.weight_decay: 'lots' is no number"),
    (
        "training.schedule",
        "cosin",
        "training.schedule: 'cosin' is none of cosine, step, constant; did you mean cosine?",
    ),
    ("training.drops", [], "training.drops: 0 given, at least 1 needed"),
    ("training.drops", [0.5, 1], "training.drops[1]: 1 is not below 1"),
    ("training.drops", [0.5, 0.5], "training.drops: 0.5 stands twice"),
    ("training.threads", 0, "training.threads: 0 is below 1"),
    ("architecture", "resnet18", "architecture: 'resnet18' is no mapping"),
    ("architecture.arguments", [1], "architecture.arguments: [1] is no mapping"),
    ("architecture.file", "nets/mine.py", "architecture.file: there is no file …/nets/mine.py"),
    ("architecture.file", "n" * 300, "architecture.file"),
    (
        "architecture.arguments",
        {"channels": date(2024, 1, 1)},
        "architecture.arguments: Object of type date is not JSON",
    ),
    ("architecture.arguments", {"channels": {1: 2}}, "architecture.arguments: the keys of a mapping are to be texts"),
    ("architecture.arguments", {1: 2, "channels": [4]}, "architecture.arguments"),
    ("architecture.arguments", {"width": NAN}, "architecture.arguments: Out of range float values are not JSON"),
    ("architecture.arguments", CYCLE, "architecture.arguments: Circular reference detected; it may hold texts"),
    ("training.epochs", 10**400, "training.epochs: 1000…000 is above 9007199254740992"),
    ("training.learning_rate", 10**400, "training.learning_rate: 1000…000 is above 9007199254740992"),
    ("image_size", 10**400, "image_size: 1000…000 is above 9007199254740992"),
    ("data", "n" * 300, "data: 'nnn…' may hold only lower-case letters, digits and _, 80 at most"),
    (
        "stages",
        ["init", "final", f"epoch1{'0' * 5000}"],
        "stages[2]: 'epoch1000…' is not init, final or epoch1 … epoch20",
    ),
    ("stages", [], "stages: 0 given, at least 1 needed"),
    ("stages", ["init", "final", "init"], "stages: 'init' stands twice"),
    ("stages", ["init", "final", "epoch21"], "stages[2]: 'epoch21' is not init, final or epoch1 … epoch20"),
    ("stages", ["init", "final", "epoch0"], "stages[2]: 'epoch0' is not init, final or epoch1 … epoch20"),
    # Training saves epoch1: a stage of another spelling would be missed when it is recorded.
    ("stages", ["init", "final", "epoch01"], "stages[2]: 'epoch01' is not init, final or epoch1 … epoch20"),
    ("stages", ["init", "final", "epoch١"], "stages[2]: 'epoch١' is not init, final or epoch1 … epoch20"),
    ("image_size", 0, "image_size: 0 is below 1"),
    ("data", "Faces", "data: 'Faces' may hold only lower-case letters, digits and _"),
    ("data", "..", "data: '..' may hold only lower-case letters, digits and _"),
    ("data", "cifar10", "data: cifar10 is read from the folder … CONVERGENT_DATA; set it"),
    ("data", "faces", "data: faces is read from the folder … CONVERGENT_DATA; set it"),
]


def changed(content: Any, path: str | int, value: object) -> Any:
    """A copy of plain content in which the key at a dotted path has another value, or is `ABSENT`."""
    content = copy.deepcopy(content)
    *above, last = [int(part) if part.isdigit() else part for part in path.split(".")] if path != 1 else [1]
    inner = content
    for part in above:
        inner = inner[part]
    if value is ABSENT:
        del inner[last]
    else:
        inner[last] = value
    return content


def refusal(experiment: Any, root: Path) -> str:
    with pytest.raises(InputError) as caught:
        experiments.load(experiment, root)
    return str(caught.value)


def says(message: str, expected: str) -> bool:
    return re.search(".*".join(re.escape(part.strip()) for part in expected.split("…")), message) is not None


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a copy of config/, and an environment without data sets."""
    folder = tmp_path_factory.mktemp("root")
    shutil.copytree(ROOT / "config" / "networks", folder / "config" / "networks")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("CONVERGENT_DATA", raising=False)
        yield folder


@pytest.fixture
def network(root: Path) -> Iterator[Path]:
    """Where to write the recipe of a network of the name ``mine``."""
    path = root / "config" / "networks" / "mine.yaml"
    yield path
    path.unlink()


@pytest.mark.parametrize(("path", "value", "expected"), EXPERIMENT_FAULTS)
def test_load__tells_a_fault_of_the_experiment_in_one_line(root: Path, path: str, value: object, expected: str) -> None:
    message = refusal(changed(DEFAULT, path, value), root)
    assert "\n" not in message
    assert says(message, expected), message


@pytest.mark.parametrize(("path", "value", "expected"), RECIPE_FAULTS)
def test_load__tells_a_fault_of_a_recipe_in_one_line(
    root: Path, network: Path, path: str, value: object, expected: str
) -> None:
    network.write_text(yaml.safe_dump(changed(RECIPE, path, value), allow_unicode=True), encoding="utf-8")
    message = refusal(DEFAULT | {"networks": ["mine"]}, root)
    assert "\n" not in message
    assert says(message, f"config/networks/mine.yaml: … {expected}"), message


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (b"x = 1\ndef net(num_classes, in_channels) return 3", "SyntaxError: expected ':' (own.py, line 2)"),
        (b"'\xff'", "own.py, line 1"),
        (b"x = '\0'", "null bytes"),
        (b"x = " + b"-" * 10_000 + b"1", "own.py: …Error"),
        (b"x = " + b"(" * 10_000, "own.py: …Error"),
    ],
    ids=["syntax", "encoding", "null", "deep", "parentheses"],
)
def test_load__reads_the_code_of_a_network_before_any_job(
    root: Path, network: Path, code: bytes, expected: str
) -> None:
    (root / "own.py").write_bytes(code)
    network.write_text(yaml.safe_dump(changed(RECIPE, "architecture", {"name": "net", "file": "own.py"})))
    message = refusal(DEFAULT | {"networks": ["mine"]}, root)
    assert "\n" not in message
    assert says(message, f"config/networks/mine.yaml: architecture.file: … {expected}"), message


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "empty"),
        (b"[data, digits]", "['data', 'digits'] is no mapping"),
        (b"digits", "'digits' is no mapping"),
        (b"data: [", "not YAML: … line 1, column 8"),
        (b"data: digits\n\tstages: [init]", "not YAML: … line 2, column 1"),
        (b"data: \xff", "not YAML"),
        (b"data: digits\nseeds: [0]\ndata: cifar10\n", "not YAML: 'data' stands twice … line 1, column 1"),
    ],
)
def test_load_recipe__tells_a_file_that_is_no_recipe_in_one_line(network: Path, content: bytes, expected: str) -> None:
    network.write_bytes(content)
    with pytest.raises(InputError) as caught:
        experiments.load_recipe(network)
    assert "\n" not in str(caught.value)
    assert says(str(caught.value), f"mine.yaml: {expected}"), str(caught.value)


@pytest.mark.parametrize("content", [None, [], ["networks"], "networks", 1])
def test_load__refuses_an_experiment_that_is_no_mapping(root: Path, content: object) -> None:
    told = "empty" if content is None else "… is no mapping"
    assert says(refusal(content, root), f"configuration: {told}")


@pytest.mark.parametrize("section", ["training", "probe"])
def test_build__names_the_misspelt_key_rather_than_the_one_it_leaves_missing(section: str) -> None:
    cls, content = (config.Training, RECIPE["training"]) if section == "training" else (config.Probe, DEFAULT["probe"])
    first, *_ = content
    misspelt = {f"{name}s" if name == first else name: value for name, value in content.items()}
    with pytest.raises(InputError, match=f"unknown key '{first}s'.*did you mean {first}"):
        declarations.build(cls, misspelt, section)


@pytest.mark.parametrize("text", ["5e-4", "1e3", "2e+2", "-1e3"])
def test_build__advises_a_number_that_yaml_reads_as_one(text: str) -> None:
    assert isinstance(yaml.safe_load(text), str)
    with pytest.raises(InputError) as caught:
        declarations.build(config.Training, RECIPE["training"] | {"learning_rate": text}, "recipe")
    advised = str(caught.value).rpartition("write ")[2]
    assert yaml.safe_load(advised) == float(text)


@pytest.mark.parametrize(
    ("data", "there", "expected"),
    [
        (
            "cifar10",
            [],
            "data: no folder …/cifar-10-batches-py (CONVERGENT_DATA=…); have it loaded by "
            "torchvision.datasets.CIFAR10('…', download=True)",
        ),
        (
            "imagenet",
            [],
            "data: no folder …/imagenet (CONVERGENT_DATA=…); it holds ILSVRC2012_devkit_t12.tar.gz, and train and val",
        ),
        (
            "faces",
            ["cifar-10-batches-py"],
            "data: no folder …/faces (CONVERGENT_DATA=…); it holds train and test, each with a folder of images",
        ),
        ("faces", ["faces"], "image_size: needed for faces, whose images are of many sizes"),
    ],
)
def test_load__tells_what_is_missing_below_the_data_folder(
    root: Path,
    network: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    data: str,
    there: list[str],
    expected: str,
) -> None:
    monkeypatch.setenv("CONVERGENT_DATA", str(tmp_path))
    for folder in there:
        (tmp_path / folder).mkdir()
    network.write_text(yaml.safe_dump(RECIPE | {"data": data}), encoding="utf-8")
    message = refusal(DEFAULT | {"networks": ["mine"]}, root)
    assert says(message, f"config/networks/mine.yaml: {expected}"), message


@pytest.mark.parametrize(
    ("size", "divides"),
    [(2, True), (61, True), (64, True), (67, False), (61 * 67, True), (67 * 67, False), (996, True)],
)
def test_check_experiment__refuses_folds_that_are_one_large_chunk(size: int, divides: bool) -> None:
    """By hand: 61 is the largest prime number below the bound, 67 the next; what the message names is accepted."""

    def of(images: int) -> config.Experiment:
        probe = {"images": images, "folds": 3, "seed": 0}
        built: config.Experiment = declarations.build(config.Experiment, DEFAULT | {"probe": probe}, "test")
        return built

    if divides:
        experiments.check_experiment(of(3 * size))
    else:
        with pytest.raises(InputError, match=f"{3 * size} images make folds of {size}") as refused:
            experiments.check_experiment(of(3 * size))
        below, above = map(int, re.findall(r"(\d+) and (\d+) are", str(refused.value))[0])
        assert below < 3 * size < above
        for images in (below, above):
            experiments.check_experiment(of(images))


def test_load__accepts_a_folder_of_images(
    root: Path, network: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONVERGENT_DATA", str(tmp_path))
    network.write_text(yaml.safe_dump(RECIPE | {"data": "faces", "image_size": 32}), encoding="utf-8")
    experiment = DEFAULT | {"networks": ["mine"], "probe": {"images": 20, "folds": 10, "seed": 0}}
    for part, count in (("train", 1), ("test", 20)):
        folder = tmp_path / "faces" / part / "face"
        folder.mkdir(parents=True)
        with pytest.raises(
            InputError, match=rf"mine\.yaml: data: no images in .*/faces/{part}; it holds train and test"
        ):
            experiments.load(experiment, root)
        for i in range(count):
            (folder / f"{i}.png").touch()
    _, recipes = experiments.load(experiment, root)
    assert recipes["mine"].image_size == 32
    with pytest.raises(InputError, match=r"probe\.images: 30 is more than the 20 held-out images of faces"):
        experiments.load(experiment | {"probe": {"images": 30, "folds": 10, "seed": 0}}, root)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("name", "pilot_2"),
        ("name", None),
        ("layers", {"digits_cnn": ["conv1.relu"]}),
        ("comparisons.0.untrained", None),
        ("comparisons.0.untrained", ABSENT),
        ("probe.images", 20),
        ("clustering.threshold", 0),
        ("measures", ["sparse_prediction", "clustering"]),
        ("measures", ["matching", "stitching", "unit_removal", "ensemble"]),
    ],
)
def test_load__accepts(root: Path, path: str, value: object) -> None:
    experiment, recipes = experiments.load(changed(DEFAULT, path, value), root)
    assert list(recipes) == list(experiment.networks) == ["digits_cnn"]


def test_load__gives_what_the_files_say(root: Path) -> None:
    experiment, recipes = experiments.load(DEFAULT, root)
    left_out = {"stage_b": None, "pairs": "seeds", "untrained": None}
    comparisons = [left_out | comparison for comparison in DEFAULT["comparisons"]]
    assert json.loads(canonical(asdict(experiment))) == DEFAULT | {"comparisons": comparisons, "name": None}
    assert json.loads(canonical(asdict(recipes["digits_cnn"]))) == RECIPE | {
        "image_size": None,
        "architecture": RECIPE["architecture"] | {"file": None},
        "training": OPTIONAL | RECIPE["training"],
    }


def turned(content: Any) -> Any:
    """The same content with the keys of every mapping in reverse."""
    if isinstance(content, dict):
        return {name: turned(content[name]) for name in reversed(content)}
    return [turned(item) for item in content] if isinstance(content, list) else content


def test_load__takes_no_notice_of_the_order_of_keys(root: Path, network: Path) -> None:
    network.write_text(yaml.safe_dump(turned(RECIPE), sort_keys=False), encoding="utf-8")
    (one, recipes), (other, turned_recipes) = (
        experiments.load(content | {"networks": [name]}, root)
        for content, name in [(DEFAULT, "digits_cnn"), (turned(DEFAULT), "mine")]
    )
    assert canonical(asdict(one) | {"networks": []}) == canonical(asdict(other) | {"networks": []})
    assert canonical(asdict(recipes["digits_cnn"])) == canonical(asdict(turned_recipes["mine"]))


@pytest.mark.parametrize("absent", ["architecture.arguments", "training.momentum", "training.schedule", None])
def test_parse__reads_a_recipe_as_the_workflow_hands_it_over(absent: str | None) -> None:
    recipe = declarations.build(config.Recipe, changed(RECIPE, absent, ABSENT) if absent else RECIPE, "recipe")
    assert config.parse(config.Recipe)(canonical(asdict(recipe))) == recipe


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("absent.yaml", r"there is no file absent\.yaml"),
        ("{'rotations': 2}", r"settings: .+ is not JSON \(Expecting property name .+: line 1 column 2 \(char 1\)\)"),
        ('{"rotations" 2}', r"settings: .+ is not JSON \(Expecting ':' delimiter: line 1 column 14 \(char 13\)\)"),
    ],
)
def test_parse__raises_what_is_told_in_one_line(text: str, told: str) -> None:
    with pytest.raises(InputError, match=rf"\A{told}\Z"):
        config.parse(config.Matching)(text)


@pytest.mark.parametrize(
    ("kind", "text"),
    [(list, '"all"'), (dict, '"all"'), (list, '["conv1.relu"]'), (dict, '{"net": ["conv1.relu"]}')],
)
def test_parse_layers__takes_all_or_what_is_named(kind: type, text: str) -> None:
    assert config.parse_layers(kind)(text) == json.loads(text)


@pytest.mark.parametrize(
    ("kind", "text", "told"),
    [
        (list, "conv1.relu", r'"all" or \["node", …\], as JSON \(Expecting value: line 1 column 1 \(char 0\)\)'),
        (list, '"conv1.relu"', r'"all" or \["node", …\], as JSON'),
        (list, '{"net": ["conv1.relu"]}', r'"all" or \["node", …\], as JSON'),
        (dict, '["conv1.relu"]', r'"all" or {"network": \["node", …\]}, as JSON'),
    ],
)
def test_parse_layers__says_what_is_expected(kind: type, text: str, told: str) -> None:
    with pytest.raises(InputError, match=rf"\A--layers: {re.escape(repr(text))} is not {told}\Z"):
        config.parse_layers(kind)(text)


def test_pairs__are_all_pairs_of_seeds_of_every_network_whatever_the_order() -> None:
    networks, seeds = ("b", "a"), (5, 1, 30)
    content = DEFAULT | {"networks": list(networks), "seeds": list(seeds)}
    experiment = declarations.build(config.Experiment, content, "experiment")
    assert config.pairs(experiment, experiment.comparisons[0]) == [
        (f"{network}-s{one}-final", f"{network}-s{other}-final")
        for network in networks
        for one, other in [(1, 5), (1, 30), (5, 30)]
    ]


@pytest.mark.parametrize(
    ("comparison", "expected"),
    [
        ({"stage": "final", "stage_b": "init"}, ["b-s1-final--b-s5-init", "a-s1-final--a-s5-init"]),
        (
            {"stage": "init", "stage_b": "final", "pairs": "same_seed"},
            [f"{network}-s{seed}-init--{network}-s{seed}-final" for network in "ba" for seed in (1, 5)],
        ),
        ({"stage": "final", "pairs": "networks"}, ["b-s1-final--a-s5-final", "b-s5-final--a-s1-final"]),
    ],
)
def test_pairs__of_other_stages_and_networks(comparison: dict[str, Any], expected: list[str]) -> None:
    content = DEFAULT | {"networks": ["b", "a"], "seeds": [5, 1], "comparisons": [{"name": "one"} | comparison]}
    experiment = declarations.build(config.Experiment, content, "experiment")
    experiments.check_experiment(experiment)
    assert ["--".join(pair) for pair in config.pairs(experiment, experiment.comparisons[0])] == expected


@pytest.mark.parametrize("path", sorted((ROOT / "config" / "experiments").glob("*.yaml")), ids=lambda path: path.stem)
def test_experiments__that_come_with_the_project_fit_their_recipes(path: Path) -> None:
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    merged = DEFAULT | {k: {**DEFAULT[k], **v} if isinstance(DEFAULT.get(k), dict) else v for k, v in content.items()}
    experiment = declarations.build(config.Experiment, merged, "experiment")
    experiments.check_experiment(experiment)
    recipes = [(name, ROOT / "config" / "networks" / f"{name}.yaml") for name in experiment.networks]
    experiments.check_recipes(experiment, {name: experiments.load_recipe(file) for name, file in recipes})
    assert experiment.name == path.stem.replace("-", "_")


def test_check_experiment__refuses_to_average_a_sample_of_positions() -> None:
    content = changed(DEFAULT, "recording.positions", 8) | {"measures": ["layer_pairs"]}
    with pytest.raises(InputError, match=r"^configuration: recording.positions: layer_pairs averages grids"):
        experiments.check_experiment(declarations.build(config.Experiment, content, "experiment"))


def test_measures_of__are_those_that_networks_and_stages_allow() -> None:
    content = DEFAULT | {
        "networks": ["b", "a"],
        "measures": [*DEFAULT["measures"], "layer_pairs", "stitching", "ensemble"],
    }
    kinds: list[dict[str, Any]] = [
        {"pairs": "networks"},
        {"pairs": "seeds"},
        {"stage": "epoch1", "stage_b": "final"},
        {"stage": "init"},
    ]
    content["comparisons"] = [{"name": f"n{i}", "stage": "final"} | kind for i, kind in enumerate(kinds)]
    experiment = declarations.build(config.Experiment, content, "experiment")
    found = [config.measures_of(experiment, comparison) for comparison in experiment.comparisons]
    default = [*DEFAULT["measures"], "layer_pairs"]
    assert found == [
        ["statistics", "cross_layer", "layer_pairs", "ensemble"],
        [*default, "stitching", "ensemble"],
        [*default[1:], "ensemble"],
        default,
    ]


def places(content: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every key of nested content, and a new one beside each."""
    items = content.items() if isinstance(content, dict) else enumerate(content)
    for name, value in items:
        yield (*above, name)
        if isinstance(value, dict | list):
            yield from places(value, (*above, name))
    if isinstance(content, dict):
        yield (*above, "new")


def at(content: Any, place: tuple[Any, ...]) -> Any:
    for part in place:
        content = content[part]
    return content


def texts(content: object) -> Iterator[str]:
    """Keys and values."""
    if isinstance(content, str):
        yield content
    elif isinstance(content, dict):
        yield from content
        yield from texts(list(content.values()))
    elif isinstance(content, list):
        for inner in content:
            yield from texts(inner)


def placed(content: Any, place: tuple[Any, ...], value: object) -> Any:
    content = copy.deepcopy(content)
    at(content, place[:-1])[place[-1]] = value
    return content


WORDS = sorted(
    {
        *texts(DEFAULT),
        *texts(RECIPE),
        *texts(yaml.safe_load((ROOT / "config" / "experiments" / "li2016.yaml").read_text())),
    }
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
YAML = st.recursive(
    SCALARS,
    # YAML has keys of every type.
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(SCALARS | st.just("digits_cnn"), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(place=st.sampled_from(list(places(DEFAULT))), value=YAML)
def test_load__raises_nothing_but_an_input_error(root: Path, place: tuple[Any, ...], value: object) -> None:
    try:
        experiments.load(placed(DEFAULT, place, value), root)
    except InputError as error:
        assert "\n" not in str(error)  # noqa: PT017


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(place=st.sampled_from(list(places(RECIPE))), value=YAML)
def test_load__raises_nothing_but_an_input_error_for_a_recipe(
    root: Path, place: tuple[Any, ...], value: object
) -> None:
    path = root / "config" / "networks" / "drawn.yaml"
    path.write_text(yaml.safe_dump(placed(RECIPE, place, value), allow_unicode=True), encoding="utf-8")
    try:
        experiments.load(DEFAULT | {"networks": ["drawn"]}, root)
    except InputError as error:
        assert "\n" not in str(error)  # noqa: PT017
    finally:
        path.unlink()


def near(value: object) -> st.SearchStrategy[Any]:
    """Of the same type: at its edges, and far beyond."""
    if isinstance(value, bool):
        return st.booleans()
    if isinstance(value, int):
        return st.integers(0, 3) | st.sampled_from([value - 1, value + 1, 2 * value, 100 * value, 10**9])
    if isinstance(value, float):
        return st.floats(0, 1) | st.sampled_from([value / 2, 2 * value, 1e-300, 1e300])
    if isinstance(value, str):
        return st.sampled_from(WORDS)
    if isinstance(value, list):
        return st.lists(st.sampled_from(value).flatmap(lambda item: st.just(item) | near(item)), max_size=len(value))
    return YAML


@st.composite
def altered(draw: st.DrawFn, content: dict[str, Any]) -> dict[str, Any]:
    """With up to three changes."""
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.sampled_from([place for place in places(content) if place[-1] != "new"]))
        content = placed(content, place, draw(near(at(content, place))))
    return content


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a copy of config/ to write in."""
    folder = tmp_path_factory.mktemp("own")
    shutil.copytree(ROOT / "config" / "networks", folder / "config" / "networks")
    return folder


@settings(max_examples=400, deadline=None, derandomize=True, database=None)
@given(experiment=st.just(DEFAULT) | altered(DEFAULT), recipe=st.just(RECIPE) | altered(RECIPE))
def test_plan__raises_nothing_but_an_input_error(
    own: Path, experiment: dict[str, Any], recipe: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """From what is written to the plan, as the rules ask for it."""
    written = {"config/config.yaml": DEFAULT, "mine.yaml": experiment, "config/networks/digits_cnn.yaml": recipe}
    for path, content in written.items():
        (own / path).write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(own)
        try:
            plan.run(config=Path("mine.yaml"), for_machines=False, like=None)
        except InputError as error:
            assert "\n" not in str(error)  # noqa: PT017
        else:
            assert "summary" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("overlay", "expected"),
    [
        ({"probe": {"folds": 7}}, "configuration: probe: 500 images do not divide into 7 equal folds"),
        ({"sead": [0, 1]}, "configuration: unknown key 'sead'; … did you mean seeds?"),
        ({"networks": ["digit_cnn"]}, "configuration: networks: no recipe …; did you mean digits_cnn?"),
    ],
)
def test_snakemake__stops_with_one_line_and_writes_nothing(
    project: Path, overlay: dict[str, Any], expected: str
) -> None:
    (project / "overlay.yaml").write_text(yaml.safe_dump(overlay), encoding="utf-8")
    command = [sys.executable, "-m", "snakemake", "-n", "--configfile", "overlay.yaml"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    told = [line for line in done.stderr.splitlines() if line.startswith("convergent: ")]
    assert len(told) == 1
    assert says(told[0], f"convergent: {expected}"), told
    assert "Traceback" not in done.stdout + done.stderr
    assert "rror" not in done.stdout + done.stderr
    assert not (project / "results").exists()


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what Snakemake reads."""
    folder = tmp_path_factory.mktemp("project")
    shutil.copy(ROOT / "Snakefile", folder)
    for name in ("rules", "config", "src", "envs", "profiles"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def declared(cls: type, above: str = "") -> Iterator[tuple[str, Any]]:
    """Every key of a dataclass of config.py with its field, nested ones by dotted path."""
    hints = get_type_hints(cls)
    for field in fields(cls):
        path, hint = f"{above}{field.name}", hints[field.name]
        yield path, field
        inner = config.Comparison if field.name == "comparisons" else hint
        if is_dataclass(inner):
            yield from declared(inner, f"{path}[]." if field.name == "comparisons" else f"{path}.")


def rows(heading: str) -> dict[str, list[str]]:
    """The rows of the table below a heading of config/README.md, by key."""
    text = (ROOT / "config" / "README.md").read_text(encoding="utf-8").split(f"\n## {heading}\n")[1].split("\n## ")[0]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in text.splitlines() if "|" in line]
    return {row[0].strip("`"): row[1:] for row in cells[2:]}


@pytest.mark.parametrize("heading", ["The experiment", "A recipe"])
def test_readme__tells_every_key_as_it_is_declared(heading: str) -> None:
    cls, content = (config.Experiment, DEFAULT) if heading == "The experiment" else (config.Recipe, RECIPE)
    keys = dict(declared(cls))
    table = rows(heading)
    assert list(table) == list(keys)
    for path, (meaning, limits, default, anew) in table.items():
        assert meaning == keys[path].metadata["description"]
        bounds = [v for k, v in keys[path].metadata.items() if "inimum" in k or "aximum" in k or k == "minItems"]
        assert all(str(bound) in limits for bound in bounds), path
        found = content
        for part in path.replace("[]", ".0").split("."):
            found = found[int(part)] if part.isdigit() else (found or {}).get(part)
        if found is not None and not isinstance(found, dict) and path != "comparisons":
            assert yaml.safe_load(default.strip("`")) == found, path
        assert anew or isinstance(found, dict), path


def test_schema__is_the_one_of_the_declarations() -> None:
    generated = json.dumps(declarations.json_schema(config.Experiment), indent=1) + "\n"
    assert (ROOT / "config" / "schema.json").read_text(encoding="utf-8") == generated


def test_schema__holds_for_the_default_experiment_and_refuses_a_fault() -> None:
    schema = json.loads((ROOT / "config" / "schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(DEFAULT, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(changed(DEFAULT, "probe.folds", 1), schema)
