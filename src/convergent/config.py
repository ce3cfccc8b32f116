"""The experiment: what a user writes in YAML, as frozen dataclasses.

Each key is declared once, with its meaning and its limits; the JSON schema, the checks and the table in
config/README.md come from these declarations. The Snakefile imports this module: no scientific library.
"""

import argparse
import difflib
import itertools
import json
import math
import os
import re
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import jsonschema

from convergent import provenance
from convergent.datasets import NAMED, missing
from convergent.errors import InputError
from convergent.files import read_yaml

NAME = r"^[a-z0-9_]+(?!\n)$"  # `$` alone accepts a line break at the end
Measure = Literal[
    "statistics",
    "correlation",
    "mutual_information",
    "matching",
    "sparse_prediction",
    "clustering",
    "subspace_match",
    "subspace_match_sampled",
    "similarity",
    "cross_layer",
    "rsa",
    "layer_pairs",
    "stitching",
    "unit_removal",
    "ensemble",
]
# Measures of networks with different layers, or of none; those of networks at one stage; and those of what networks
# answer, of which an untrained one has nothing to lose.
ACROSS_NETWORKS = ("statistics", "cross_layer", "layer_pairs", "ensemble")
OF_ONE_STAGE = ("statistics", "stitching", "unit_removal")
OF_ANSWERS = ("stitching", "unit_removal", "ensemble")
# Measures that tell how alike the last layers of two networks are; the first, where it is computed, of any two.
ALIKE: tuple[Measure, ...] = ("layer_pairs", "matching")
# Folders of results/, which no experiment may be named.
FOLDERS = {"activations", "benchmarks", "edges", "exemplars", "figures", "logs", "maps", "measures", "moments"} | {
    "networks",
    "patches",
    "pooled",
    "predictions",
    "probe",
    "rdms",
    "tables",
    "training",
}


def key(doc: str, default: Any = MISSING, **limits: Any) -> Any:
    """Declare a key: its meaning, its default (none: required) and its limits in JSON schema words."""
    return field(default=default, metadata={"description": doc, **limits})


@dataclass(frozen=True)
class Probe:
    images: int = key("held-out images on which every network is recorded; a multiple of `folds`", minimum=4)
    folds: int = key("folds of consecutive images, the unit of cross-validation and of standard errors", minimum=2)
    seed: int = key("seed of the choice and order of the images", minimum=0)


@dataclass(frozen=True)
class Recording:
    dtype: Literal["float16", "float32"] = key(
        "type of the stored activations; float16 is refused where rounding takes over 0.1 % of a unit's variance"
    )
    batch: int = key("images in one forward pass", minimum=1)
    codec: Literal["crc32c", "lz4", "zstd"] = key(
        "how chunks are packed: checksums alone, or compressed before; zstd for slow or full disks"
    )
    autocast: Literal["none", "bfloat16", "float16"] = key(
        "mixed precision of the forward pass; float16 on a GPU alone"
    )
    positions: Literal["all"] | int = key(
        "`all` positions of each image, or a number of them, chosen at random with `probe.seed` for each grid of "
        "positions; spatial means are of all",
        minimum=1,
    )


@dataclass(frozen=True)
class Moments:
    precision: Literal["float64", "float32"] = key("type of the products; sums are always float64")
    permutations: int = key("replicates with the images of the second network permuted, the permuted null", minimum=1)


@dataclass(frozen=True)
class Matching:
    rotations: int = key("random rotations of the second network, the rotated null", minimum=2)
    permutations: int = key("permutations of the images, the null of matches of spatial means", minimum=1)


@dataclass(frozen=True)
class SparsePrediction:
    alphas: int = key("penalties on the logarithmic grid, besides those of Li et al. 2016 and zero", minimum=2)
    smallest: float = key(
        "smallest penalty of the grid, as a share of the largest", exclusiveMinimum=0, exclusiveMaximum=1
    )


@dataclass(frozen=True)
class Clustering:
    threshold: float = key("correlations up to this are no edge of the graph", minimum=0, exclusiveMaximum=1)
    units_per_cluster: float = key("live units of both networks for each spectral cluster", minimum=2)
    repeats: int = key("k-means starts compared for stability, and label permutations of the null", minimum=2)
    variant: Literal["normalised", "li2016"] = key(
        "normalised Laplacian, or the unnormalised one of Li et al. 2016, whose large clusters are split again"
    )
    widest_exact: int = key(
        "units of both networks together above which spectral clustering is approximated (Nyström)", minimum=2
    )


@dataclass(frozen=True)
class MutualInformation:
    bins: int = key("bins of equal mass for the values above zero, besides the bin of zeros", minimum=2, maximum=254)
    samples: int = key("samples, at most, from which the edges of the bins are taken", minimum=1000)


@dataclass(frozen=True)
class SubspaceMatch:
    centred: bool = key("subtract the mean of each unit first; Wang et al. 2018 do not")
    dead: Literal["unmatched", "matched", "exclude"] = key("how units without any activation count")
    ridge: float = key("added to the diagonal of the Gram matrix of units of length 1", minimum=1e-9, maximum=0.01)
    epsilons: tuple[float, ...] = key(
        "distances at which the similarity is reported, besides its whole curve",
        minItems=1,
        uniqueItems=True,
        items={"type": "number", "minimum": 0.01, "maximum": 1},
    )
    minimal_epsilon: float = key("distance of the minimal matches", minimum=0.01, maximum=1)
    starts: int = key("units, drawn at random, whose minimal matches are searched; 0: none", minimum=0)
    orders: int = key("random orders of removal for each of them", minimum=1)
    enumerated: int = key("minimal matches of a unit that are listed at most; 0: none is listed", minimum=0)


@dataclass(frozen=True)
class SubspaceMatchSampled:
    positions: int = key("samples of one draw, without replacement", minimum=2)
    draws: int = key("draws whose mean is reported", minimum=2)
    epsilons: tuple[float, ...] = key(
        "distances at which the similarity is reported",
        minItems=1,
        uniqueItems=True,
        items={"type": "number", "minimum": 0.01, "maximum": 1},
    )
    seed: int = key("seed of the draws", minimum=0)


@dataclass(frozen=True)
class Similarity:
    svcca_variance: float = key("share of the variance that SVCCA keeps", exclusiveMinimum=0, maximum=1)
    permutations: int = key("permutations of the images, the null of the similarity of spatial means", minimum=2)


@dataclass(frozen=True)
class Rsa:
    images: int = key("images, at most, whose dissimilarities are computed: the first of the probe", minimum=4)
    permutations: int = key("permutations of the images, the null", minimum=2)


@dataclass(frozen=True)
class Stitching:
    alphas: tuple[float, ...] = key(
        "penalties of the LASSO maps; from the largest correlation of a layer on they leave no weight",
        minItems=1,
        uniqueItems=True,
        items={"type": "number", "exclusiveMinimum": 0, "maximum": 1},
    )


@dataclass(frozen=True)
class UnitRemoval:
    shares: tuple[float, ...] = key(
        "shares of the live units of a layer that are removed, besides none and the quarter that the table tells",
        minItems=1,
        uniqueItems=True,
        items={"type": "number", "exclusiveMinimum": 0, "maximum": 1},
    )
    draws: int = key("orders at random in which units are removed, the null", minimum=1)


@dataclass(frozen=True)
class Ensemble:
    permutations: int = key("permutations of the images within each class, the null", minimum=2)


@dataclass(frozen=True)
class Patches:
    images: int = key("images of a unit, those that excite it most, a patch of each; 0: no patches at all", minimum=0)
    units: int = key(
        "best matches and worst matches that are shown of a layer, and half the members of a minimal match of each "
        "network",
        minimum=1,
    )
    steps: int = key("steps of activation maximisation, the image that a unit prefers; 0: none", minimum=0)


@dataclass(frozen=True)
class Comparison:
    name: str = key("name of the comparison, in the table and of its folder of figures", pattern=NAME)
    stage: str = key("stage at which networks are compared; where there is a `stage_b`, of A", pattern=NAME)
    stage_b: str | None = key("stage of B, where it is another", None, pattern=NAME)
    pairs: Literal["seeds", "same_seed", "networks"] = key(
        "all pairs of `seeds` of each network; the `same_seed` at two stages; or all pairs of `networks`, each seed of "
        "A beside the next one of B: networks of one seed begin with the same random numbers",
        "seeds",
    )
    untrained: str | None = key("the comparison that serves as the untrained null", None)


@dataclass(frozen=True)
class Experiment:
    networks: tuple[str, ...] = key(
        "recipes in config/networks to compare", minItems=1, uniqueItems=True, items={"type": "string", "pattern": NAME}
    )
    seeds: tuple[int, ...] = key("one training of every network for each", minItems=2, uniqueItems=True)
    comparisons: tuple[Comparison, ...] = key("what is compared", minItems=1)
    layers: Literal["all"] | Mapping[str, tuple[str, ...]] = key(
        "`all` post-ReLU nodes, or a list of nodes for each network"
    )
    probe: Probe = key("the images")
    recording: Recording = key("the activations")
    moments: Moments = key("the one pass over two stores of activations")
    measures: tuple[Measure, ...] = key("the measures to compute", minItems=1, uniqueItems=True)
    matching: Matching = key("one-to-one matching")
    sparse_prediction: SparsePrediction = key("prediction of each unit from few units of the other network")
    clustering: Clustering = key("clusters of units of both networks")
    mutual_information: MutualInformation = key("mutual information of all units")
    subspace_match: SubspaceMatch = key("maximum and minimal matches of subspaces, from all samples")
    subspace_match_sampled: SubspaceMatchSampled = key("the same from samples drawn as in Wang et al. 2018")
    similarity: Similarity = key("similarity of whole layers: CKA, CCA, Procrustes")
    rsa: Rsa = key("representational similarity analysis")
    stitching: Stitching = key("layers of one network in the other")
    unit_removal: UnitRemoval = key("what is lost without some units")
    ensemble: Ensemble = key("what the mean answer of two networks gains")
    patches: Patches = key("what the units look at, of the first pair of a comparison")
    name: str | None = key("results go to results/{name}; none: to results", None, pattern=NAME)


@dataclass(frozen=True)
class Architecture:
    name: str = key("`convnet`, a classifier of torchvision, or a function in `file`")
    arguments: Mapping[str, Any] | None = key("arguments of that function", None)
    file: str | None = key("a Python file of your own that defines the function", None)


@dataclass(frozen=True)
class Training:
    epochs: int = key("passes over the training images", minimum=1)
    batch_size: int = key("images in one step", minimum=1)
    learning_rate: float = key("peak learning rate of SGD", exclusiveMinimum=0)
    momentum: float = key("momentum of SGD", 0.9, minimum=0, exclusiveMaximum=1)
    weight_decay: float = key("weight decay of SGD", 0.0, minimum=0)
    schedule: Literal["cosine", "step", "constant"] = key(
        "how the learning rate falls: along half a cosine, to a tenth at each of `drops`, not at all", "cosine"
    )
    drops: tuple[float, ...] = key(
        "shares of the training, after it has warmed up, at which the schedule `step` falls",
        (0.5, 0.75),
        minItems=1,
        uniqueItems=True,
        items={"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
    )
    warmup: float = key("share of the training in which the rate rises to its peak", 0.0, minimum=0, exclusiveMaximum=1)
    augmentation: Literal["none", "flip", "flip_crop"] = key(
        "random changes of training images: none, mirrored, mirrored and moved by up to 1/8", "none"
    )
    autocast: Literal["none", "bfloat16"] = key("type of the products while training, weights stay float32", "none")
    deterministic: bool = key("the same weights from the same seed on one machine; off: faster on a GPU", True)
    threads: int = key("cores of one training; part of the recipe, as the weights depend on it", 1, minimum=1)


@dataclass(frozen=True)
class Recipe:
    data: str = key(f"{', '.join(f'`{name}`' for name in NAMED)}, or a folder below CONVERGENT_DATA", pattern=NAME)
    architecture: Architecture = key("the network")
    training: Training = key("how it is trained")
    stages: tuple[str, ...] = key("stages to keep: `init`, `epoch{n}`, `final`", minItems=1, uniqueItems=True)
    image_size: int | None = key(
        "side in pixels to which the images of `imagenet` or a folder are resized and cropped", None, minimum=1
    )


def load(config: Mapping[str, Any], root: Path) -> "tuple[Experiment, dict[str, Recipe]]":
    """Check a whole experiment before anything runs.

    Parameters
    ----------
    config : the merged configuration, as Snakemake hands it over
    root : the folder that holds config/networks

    Returns
    -------
    the experiment, and the recipe of each of its networks

    Raises
    ------
    InputError : one line that names the key, what was found and what would be right
    """
    experiment: Experiment = build(Experiment, config, "configuration")
    check_experiment(experiment)
    recipes = {
        network: load_recipe(root / "config" / "networks" / f"{network}.yaml") for network in experiment.networks
    }
    for network, recipe in recipes.items():
        _check_files(recipe, f"config/networks/{network}.yaml", root)
    check_recipes(experiment, recipes)
    return experiment, recipes


def load_recipe(path: Path) -> Recipe:
    """Read and check one recipe."""
    if not os.path.isfile(path):
        known = sorted(p.stem for p in path.parent.glob("*.yaml"))
        raise InputError(
            f"configuration: networks: no recipe {path}; there are {_listed(known)}{_closest(path.stem, known)}"
        )
    recipe: Recipe = build(Recipe, read_yaml(path), str(path))
    for i, stage in enumerate(recipe.stages):
        epoch = re.fullmatch(r"epoch([1-9][0-9]*)", stage)
        if stage not in ("init", "final") and not (epoch and 1 <= int(epoch[1]) <= recipe.training.epochs):
            last = recipe.training.epochs
            raise InputError(f"{path}: stages[{i}]: {stage!r} is not init, final or epoch1 … epoch{last}")
    return recipe


def build(cls: type, content: Any, source: str) -> Any:
    """A dataclass from plain YAML content, checked against its declarations.

    Raises
    ------
    InputError : for the first fault found, ``{source}: {path of the key}: {what is wrong}``
    """
    errors = sorted(
        _Validator(json_schema(cls)).iter_errors(content),
        key=lambda e: (len(e.absolute_path), e.validator != "additionalProperties", str(list(e.absolute_path))),
    )
    if errors:
        raise InputError(f"{source}: {_explain(errors[0], cls)}")
    return _construct(cls, content)


def parse(cls: type) -> Callable[[str], Any]:
    """For argparse: a section from JSON text, or from a YAML file."""

    def section(text: str) -> Any:
        if text.lstrip().startswith("{"):
            return build(cls, json.loads(text), "settings")
        return build(cls, read_yaml(Path(text)), text)

    return section


def add_settings(parser: argparse.ArgumentParser, cls: type, section: str) -> None:
    """The option of a step that takes a section of the configuration."""
    parser.add_argument(
        "--settings", required=True, type=parse(cls), help=f"the {section} section: a YAML file, or JSON"
    )


def json_schema(cls: type) -> dict[str, Any]:
    """The JSON schema of a dataclass of this module; config/schema.json is that of `Experiment`."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **_schema_of(cls)}


def data_root() -> Path | None:
    """The folder of the data sets, from the environment variable CONVERGENT_DATA."""
    root = os.environ.get("CONVERGENT_DATA")
    return Path(root) if root else None


def network_identity(recipe: Recipe, root: Path) -> str:
    """Digest of all that decides the graph of a network: its recipe, the code that builds it, a file of the user's."""
    file = recipe.architecture.file
    return provenance.digest(
        {
            "architecture": asdict(recipe.architecture),
            "data": [recipe.data, recipe.image_size],
            "code": provenance.code_digest("networks", "data"),
            "file": provenance.file_digest(root / file) if file else None,
        }
    )


def layers_of(layers: str | Mapping[str, Sequence[str]], network: str) -> Literal["all"] | Sequence[str]:
    """The layers of one network, from those of an experiment: all where it names none."""
    return "all" if isinstance(layers, str) else layers.get(network, "all")


def check_layers(
    network: str, layers: Literal["all"] | Sequence[str], nodes: Sequence[str], relu: Sequence[str]
) -> None:
    """Refuse layers that are no nodes of a network's graph, `nodes`, of which `relu` follow a ReLU."""
    if layers == "all" and not relu:
        raise InputError(f"{network} has no post-ReLU layers; name some of its nodes under layers: {_listed(nodes)}")
    for layer in () if layers == "all" else layers:
        if layer not in nodes:
            raise InputError(
                f"configuration: layers: {network} has no layer {layer!r}; its post-ReLU layers are {_listed(relu)}"
                f"{_closest(layer, nodes)}"
            )


def pairs(experiment: Experiment, comparison: Comparison) -> list[tuple[str, str]]:
    """The pairs of snapshots of a comparison, of each network or of two networks in turn."""
    networks, seeds = experiment.networks, sorted(experiment.seeds)
    match comparison.pairs:
        case "seeds":
            sides = [((n, s), (n, t)) for n in networks for s, t in itertools.combinations(seeds, 2)]
        case "same_seed":
            sides = [((n, s), (n, s)) for n in networks for s in seeds]
        case "networks":
            # Not those of one seed: both draw the weights of their first layers from the same random numbers.
            next_seeds = seeds[1:] + seeds[:1]
            two = itertools.combinations(networks, 2)
            sides = [((m, s), (n, t)) for m, n in two for s, t in zip(seeds, next_seeds, strict=True)]
    stages = comparison.stage, comparison.stage_b or comparison.stage
    return [(f"{m}-s{s}-{stages[0]}", f"{n}-s{t}-{stages[1]}") for (m, s), (n, t) in sides]


def measures_of(experiment: Experiment, comparison: Comparison) -> list[Measure]:
    """The measures of a comparison: those that its networks and stages allow."""
    stages = {comparison.stage, comparison.stage_b or comparison.stage}
    return [
        measure
        for measure in experiment.measures
        if (comparison.pairs != "networks" or measure in ACROSS_NETWORKS)
        and (len(stages) == 1 or measure not in OF_ONE_STAGE)
        and ("init" not in stages or measure not in OF_ANSWERS)
    ]


def check_experiment(experiment: Experiment) -> None:
    """Refuse keys that do not go together.

    Raises
    ------
    InputError : one line that names the key, what was found and what would be right
    """
    probe, names = experiment.probe, [comparison.name for comparison in experiment.comparisons]
    if experiment.name in FOLDERS:
        raise InputError(f"configuration: name: {experiment.name} is a folder of results already; choose another name")
    if probe.images % probe.folds:
        raise InputError(
            f"configuration: probe: {probe.images} images do not divide into {probe.folds} equal folds of at least "
            f"2 images; {max(probe.images - probe.images % probe.folds, 2 * probe.folds)} would"
        )
    if probe.images // probe.folds < 2:
        raise InputError(
            f"configuration: probe.folds: {probe.folds} folds of {probe.images} images leave fewer than 2 images each"
        )
    if "clustering" in experiment.measures and "sparse_prediction" not in experiment.measures:
        raise InputError("configuration: measures: clustering reads sparse_prediction; add it to the list")
    if "unit_removal" in experiment.measures and "matching" not in experiment.measures:
        raise InputError("configuration: measures: unit_removal reads matching; add it to the list")
    for i, comparison in enumerate(experiment.comparisons):
        if comparison.name in names[:i]:
            raise InputError(f"configuration: comparisons[{i}].name: {comparison.name!r} stands twice")
        _check_comparison(experiment, comparison, f"configuration: comparisons[{i}]")
    if experiment.rsa.images < probe.folds:
        raise InputError(
            f"configuration: rsa.images: {experiment.rsa.images} images make no {probe.folds} equal folds (probe.folds)"
        )
    if "layer_pairs" in experiment.measures and experiment.recording.positions != "all":
        raise InputError(
            "configuration: recording.positions: layer_pairs averages grids, of which a sample has no cells; set all, "
            "or leave layer_pairs out of measures"
        )
    if "subspace_match" in experiment.measures and experiment.moments.precision != "float64":
        raise InputError(
            "configuration: moments.precision: subspace_match resolves distances that float32 does not; "
            "set float64, or leave subspace_match out of measures"
        )
    for network in experiment.layers if isinstance(experiment.layers, Mapping) else ():
        if network not in experiment.networks:
            raise InputError(
                f"configuration: layers: no network {network!r} in networks: {_listed(experiment.networks)}"
                f"{_closest(str(network), experiment.networks)}"
            )


def _check_comparison(experiment: Experiment, comparison: Comparison, where: str) -> None:
    if comparison.pairs == "same_seed" and comparison.stage_b in (None, comparison.stage):
        raise InputError(f"{where}.stage_b: a seed is compared with itself at another stage than {comparison.stage}")
    if comparison.pairs == "networks" and len(experiment.networks) < 2:
        raise InputError(f"{where}.pairs: different networks, but networks names only {experiment.networks[0]}")
    if not measures_of(experiment, comparison):
        raise InputError(
            f"{where}: none of the measures is for such pairs; different networks have {_listed(ACROSS_NETWORKS)}, two "
            f"stages all but {_listed(OF_ONE_STAGE)}, the stage init all but {_listed(OF_ANSWERS)}"
        )
    if comparison.untrained is None:
        return
    named = {other.name: other for other in experiment.comparisons}
    if comparison.untrained not in named:
        raise InputError(
            f"{where}.untrained: no comparison {comparison.untrained!r}; there are {_listed(named)}"
            f"{_closest(comparison.untrained, named)}"
        )
    if comparison.untrained == comparison.name:
        raise InputError(f"{where}.untrained: {comparison.name!r} cannot be its own null")
    null = named[comparison.untrained]
    stages = null.stage, null.stage_b or null.stage
    if stages != ("init", "init"):
        raise InputError(
            f"{where}.untrained: {null.name!r} is of stage {next(s for s in stages if s != 'init')}, not init"
        )
    if null.pairs != comparison.pairs:
        raise InputError(f"{where}.untrained: {null.name!r} has pairs of {null.pairs}, this one of {comparison.pairs}")


def check_recipes(experiment: Experiment, recipes: Mapping[str, Recipe]) -> None:
    """Refuse recipes that cannot serve an experiment, as far as that is known before there are any data.

    Raises
    ------
    InputError : one line that names the key, what was found and what would be right
    """
    sizes = {recipe.data: recipe.image_size for recipe in recipes.values()}
    for i, comparison in enumerate(experiment.comparisons):
        if comparison.pairs == "networks" and len(sizes) > 1:
            raise InputError(
                f"configuration: comparisons[{i}].pairs: networks are compared on the same images, but theirs are "
                f"{_listed(sizes)}"
            )
    for network, recipe in recipes.items():
        where = f"config/networks/{network}.yaml"
        if recipe.image_size != sizes[recipe.data]:
            raise InputError(
                f"{where}: image_size: {recipe.image_size}, but another network of the experiment reads {recipe.data} "
                f"at {sizes[recipe.data]}; compare networks on images of one size"
            )
        _check_stages(experiment, recipe, where)
        held_out = _held_out(recipe.data)
        if held_out is not None and experiment.probe.images > held_out:
            raise InputError(
                f"configuration: probe.images: {experiment.probe.images} is more than the {held_out} held-out images "
                f"of {recipe.data}"
            )


def _check_stages(experiment: Experiment, recipe: Recipe, where: str) -> None:
    for i, comparison in enumerate(experiment.comparisons):
        for name, stage in (("stage", comparison.stage), ("stage_b", comparison.stage_b)):
            if stage is not None and stage not in recipe.stages:
                raise InputError(
                    f"configuration: comparisons[{i}].{name}: {where} keeps no stage {stage!r}; it keeps "
                    f"{_listed(recipe.stages)}{_closest(stage, recipe.stages)}"
                )


def _held_out(data: str) -> int | None:
    """Held-out images of a data set, of a folder at most its files; None where the folder is not there."""
    root = data_root()
    if data in NAMED:
        return NAMED[data].held_out
    if root is None or not (root / data).is_dir():
        return None
    return sum(1 for _ in (root / data / "test").glob("*/*"))


def _check_files(recipe: Recipe, where: str, root: Path) -> None:
    file = recipe.architecture.file
    if file is not None and not os.path.isfile(root / file):
        raise InputError(f"{where}: architecture.file: there is no file {root / file}")
    known = NAMED.get(recipe.data)
    sized = known is not None and known.shape is not None
    if sized and recipe.image_size is not None:
        raise InputError(
            f"{where}: image_size: {recipe.image_size}, but images of {recipe.data} have theirs; leave it out"
        )
    if known is not None and known.place is None:
        return
    data = data_root()
    if data is None:
        raise InputError(
            f"{where}: data: {recipe.data} is read from the folder named by the environment variable "
            "CONVERGENT_DATA; set it"
        )
    folder = data / (known.place if known is not None and known.place else recipe.data)
    if not folder.is_dir():
        raise InputError(f"{where}: data: no folder {folder} (CONVERGENT_DATA={data}); {missing(recipe.data, data)}")
    if not sized and recipe.image_size is None:
        raise InputError(f"{where}: image_size: needed for {recipe.data}, whose images are of many sizes")


def _schema_of(annotation: Any) -> dict[str, Any]:
    """JSON schema of a type annotation."""
    if is_dataclass(annotation):
        hints = get_type_hints(annotation)
        properties = {f.name: {**_schema_of(hints[f.name]), **f.metadata} for f in fields(annotation)}
        required = [f.name for f in fields(annotation) if f.default is MISSING]
        return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    if get_origin(annotation) in (Union, types.UnionType):
        options = [_schema_of(option) for option in get_args(annotation)]
        if all(set(option) == {"type"} for option in options):
            return {"type": [option["type"] for option in options]}
        return {"anyOf": options}
    if get_origin(annotation) is Literal:
        return {"enum": list(get_args(annotation))}
    if get_origin(annotation) is tuple:
        return {"type": "array", "items": _item(get_args(annotation)[0])}
    if get_origin(annotation) is Mapping:
        content = get_args(annotation)[1]
        if content is Any:
            return {"type": "object"}
        return {"type": "object", "additionalProperties": _schema_of(content) | {"minItems": 1, "uniqueItems": True}}
    return {"type": {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}[annotation]}


def _is_integer(checker: Any, value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(checker: Any, value: Any) -> bool:
    return _is_integer(checker, value) or (isinstance(value, float) and math.isfinite(value))


# JSON schema takes 4.0 for an integer; a seed or a number of images is written without a point. NaN is no number.
_Validator = jsonschema.validators.extend(
    jsonschema.Draft202012Validator,
    type_checker=jsonschema.Draft202012Validator.TYPE_CHECKER.redefine_many(
        {"integer": _is_integer, "number": _is_number}
    ),
)


def _item(annotation: Any) -> dict[str, Any]:
    """Every list of names holds names that become parts of paths; every list of numbers holds seeds."""
    schema = _schema_of(annotation)
    return schema | {"minimum": 0} if annotation is int else schema


def _construct(annotation: Any, content: Any) -> Any:
    if is_dataclass(annotation):
        hints = get_type_hints(annotation)
        return annotation(**{name: _construct(hints[name], value) for name, value in content.items()})  # type: ignore[operator]
    if get_origin(annotation) is tuple:
        return tuple(_construct(get_args(annotation)[0], item) for item in content)
    return content


# What YAML calls the types of JSON schema.
WORDS = {
    "array": "list",
    "boolean": "true or false",
    "integer": "whole number",
    "null": "nothing",
    "number": "number",
    "object": "mapping",
    "string": "text",
}


def _explain(error: jsonschema.ValidationError, cls: type) -> str:
    """A fault as one line: the key, what was found, what would be right."""
    where = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in error.absolute_path).lstrip(".")
    found: Any = error.instance
    expected: Any = error.validator_value
    schema: Any = error.schema
    match error.validator:
        case "additionalProperties":
            known = list(schema["properties"])
            unknown = sorted(str(name) for name in found if name not in known)
            what = f"unknown key {unknown[0]!r}; the keys are {_listed(known)}{_closest(unknown[0], known)}"
        case "required":
            what = f"the key {next(name for name in expected if name not in found)!r} is missing"
        case "type":
            names = " or ".join(WORDS[name] for name in ([expected] if isinstance(expected, str) else expected))
            what = f"{found!r} is no {names}"
            number = re.fullmatch(r"([+-]?\d+(?:\.\d*)?)[eE]([+-]?\d+)", found) if isinstance(found, str) else None
            if "number" in names and number:
                what += f"; YAML reads it as text, write {float(number[1])}e{int(number[2]):+d}"
        case "enum":
            what = f"{found!r} is none of {_listed(expected)}{_closest(str(found), [str(e) for e in expected])}"
        case "uniqueItems":
            what = f"{next(item for i, item in enumerate(found) if item in found[:i])!r} stands twice"
        case "minItems":
            what = f"{len(found)} given, at least {expected} needed"
        case "minimum" | "exclusiveMinimum":
            what = f"{found!r} is {'below' if error.validator == 'minimum' else 'not above'} {expected}"
        case "maximum" | "exclusiveMaximum":
            what = f"{found!r} is {'above' if error.validator == 'maximum' else 'not below'} {expected}"
        case "anyOf":
            inner = [e for e in error.context if len(e.absolute_path) > len(error.absolute_path)]
            if inner:
                return _explain(inner[0], cls)
            what = f"{found!r} is not: {schema['description']}"
        case "pattern":
            what = f"{found!r} may hold only lower-case letters, digits and _"
        case _:
            what = " ".join(error.message.split())
    return f"{where}: {what}" if where else what


def _listed(names: Iterable[Any]) -> str:
    return ", ".join(map(str, names)) or "none"


def _closest(name: str, known: Iterable[Any]) -> str:
    close = difflib.get_close_matches(name, [str(k) for k in known], n=1)
    return f"; did you mean {close[0]}?" if close else ""
