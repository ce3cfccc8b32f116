"""The experiment: what a user writes in YAML, as frozen dataclasses.

Each key is declared once, with its meaning and its limits; the JSON schema, the checks and the table in
config/README.md come from these declarations. The Snakefile imports this module: no scientific library.
"""

import argparse
import itertools
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from convergent import provenance
from convergent.datasets import NAMED
from convergent.declarations import build, key
from convergent.errors import InputError
from convergent.files import read_yaml
from convergent.measure_kinds import ACROSS_NETWORKS, OF_ANSWERS, OF_ONE_STAGE

# The name of a store holds those of two networks, with seeds and stages, and may have 255 characters.
NAME = r"^[a-z0-9_]{1,80}(?!\n)$"  # `$` alone accepts a line break at the end
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
    dead: Literal["unmatched", "matched", "exclude"] = key("how units without any activation in a draw count")
    ridge: float = key("added to the diagonal of the Gram matrix of units of length 1", minimum=1e-9, maximum=0.01)
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
    arguments: Mapping[str, Any] | None = key("arguments of that function", None, plain=True)
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


def of_json(text: str, source: str, expected: str = "JSON") -> Any:
    """A value from the JSON text of an option.

    Raises
    ------
    InputError : where it is not JSON, with the place
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{source}: {text!r} is not {expected} ({error})") from None


def parse_layers(kind: type) -> Callable[[str], Any]:
    """For argparse: ``"all"``, or a list of nodes (or one for each network, where `kind` is dict), from JSON text."""
    named = '["node", …]' if kind is list else '{"network": ["node", …]}'

    def layers(text: str) -> Any:
        expected = f'"all" or {named}, as JSON'
        content = of_json(text, "--layers", expected)
        if content != "all" and not isinstance(content, kind):
            raise InputError(f"--layers: {text!r} is not {expected}")
        return content

    return layers


def parse(cls: type) -> Callable[[str], Any]:
    """For argparse: a section from JSON text, or from a YAML file."""

    def section(text: str) -> Any:
        if text.lstrip().startswith("{"):
            return build(cls, of_json(text, "settings"), "settings")
        return build(cls, read_yaml(Path(text)), text)

    return section


def add_settings(parser: argparse.ArgumentParser, cls: type, section: str) -> None:
    """The option of a step that takes a section of the configuration."""
    parser.add_argument(
        "--settings", required=True, type=parse(cls), help=f"the {section} section: a YAML file, or JSON"
    )


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
