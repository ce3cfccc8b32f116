"""An experiment as a whole: read with the recipes of its networks, and checked before anything runs.

The Snakefile imports this module: no scientific library.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from convergent import provenance
from convergent.config import Comparison, Experiment, Recipe, data_root, measures_of
from convergent.datasets import NAMED, missing
from convergent.declarations import build, closest, listed
from convergent.errors import InputError
from convergent.files import read_yaml
from convergent.measure_kinds import ACROSS_NETWORKS, OF_ANSWERS, OF_ONE_STAGE

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
# Chunks of activations divide a fold and have at least two images: as many as its least divisor, however large they
# are. Up to here that is 100 MB for the first layer of a ResNet-50; 997 images, a prime number, would be 1.6 GB.
LEAST_DIVISOR = 64


def load(config: Mapping[str, Any], root: Path) -> tuple[Experiment, dict[str, Recipe]]:
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
            f"configuration: networks: no recipe {path}; there are {listed(known)}{closest(path.stem, known)}"
        )
    recipe: Recipe = build(Recipe, read_yaml(path), str(path))
    for i, stage in enumerate(recipe.stages):
        epoch = re.fullmatch(r"epoch([1-9][0-9]{0,8})", stage)
        if stage not in ("init", "final") and not (epoch and 1 <= int(epoch[1]) <= recipe.training.epochs):
            last = recipe.training.epochs
            raise InputError(f"{path}: stages[{i}]: {stage!r} is not init, final or epoch1 … epoch{last}")
    return recipe


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
    size = probe.images // probe.folds
    if all(size % divisor for divisor in range(2, LEAST_DIVISOR + 1)):  # then it is odd, and its neighbours are even
        raise InputError(
            f"configuration: probe.images: {probe.images} images make folds of {size}, which no number from 2 to "
            f"{LEAST_DIVISOR} divides: one chunk of activations would be a whole fold; "
            f"{(size - 1) * probe.folds} and {(size + 1) * probe.folds} are the nearest that would do"
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
                f"configuration: layers: no network {network!r} in networks: {listed(experiment.networks)}"
                f"{closest(str(network), experiment.networks)}"
            )


def _check_comparison(experiment: Experiment, comparison: Comparison, where: str) -> None:
    if comparison.pairs == "same_seed" and comparison.stage_b in (None, comparison.stage):
        raise InputError(f"{where}.stage_b: a seed is compared with itself at another stage than {comparison.stage}")
    if comparison.pairs == "networks" and len(experiment.networks) < 2:
        raise InputError(f"{where}.pairs: different networks, but networks names only {experiment.networks[0]}")
    if not measures_of(experiment, comparison):
        raise InputError(
            f"{where}: none of the measures is for such pairs; different networks have {listed(ACROSS_NETWORKS)}, two "
            f"stages all but {listed(OF_ONE_STAGE)}, the stage init all but {listed(OF_ANSWERS)}"
        )
    if comparison.untrained is None:
        return
    named = {other.name: other for other in experiment.comparisons}
    if comparison.untrained not in named:
        raise InputError(
            f"{where}.untrained: no comparison {comparison.untrained!r}; there are {listed(named)}"
            f"{closest(comparison.untrained, named)}"
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
                f"{listed(sizes)}"
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
                    f"{listed(recipe.stages)}{closest(stage, recipe.stages)}"
                )


def _held_out(data: str) -> int | None:
    """Held-out images of a data set, of a folder at most its files; None where the folder is not there."""
    root = data_root()
    if data in NAMED:
        return NAMED[data].held_out
    if root is None or not (root / data).is_dir():
        return None
    return sum(1 for _ in (root / data / "test").glob("*/*"))


def _check_code(file: Path, where: str) -> None:
    """What changes a network is digested before any job, which reads the code but runs none of it."""
    try:
        provenance.file_digest(file)
    except OSError as error:
        raise InputError(f"{where}: architecture.file: {file}: not to be read: {error.strerror}") from None
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:  # the last two: nested too deep
        raise InputError(f"{where}: architecture.file: {file}: {type(error).__name__}: {error}") from None


def _check_files(recipe: Recipe, where: str, root: Path) -> None:
    file = recipe.architecture.file
    if file is not None and not os.path.isfile(root / file):
        raise InputError(f"{where}: architecture.file: there is no file {root / file}")
    if file is not None:
        _check_code(root / file, where)
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
    for part in ("train", "test") if known is None else ():
        if next((folder / part).glob("*/*"), None) is None:
            raise InputError(f"{where}: data: no images in {folder / part}; {missing(recipe.data, data)}")
