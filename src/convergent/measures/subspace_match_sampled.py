"""Subspace match as published: the mean of s(ε) over draws of samples, each compared by itself.

Shapes [epsilon] and [distance]; shares of units, not centred, dead units unmatched. The draws share samples and, in
convolutional layers, images: their standard deviation is the noise of the protocol, not an error over images.
Source: Wang et al. 2018 (arXiv 1810.11750), section 5.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import xarray as xr

from convergent.folds import Array
from convergent.measures import subspace_match as measure
from convergent.measures.peeling import critical_epsilons
from convergent.measures.summary import summary

COUNTS = ("n_samples", "n_draws", "mean_dead_a", "mean_dead_b")


def statistics(epsilons: Sequence[float]) -> tuple[str, ...]:
    """The names of the summary."""
    return (*COUNTS, *measure.of_curve(epsilons))


def subspace_match_sampled(
    samples: Iterable[xr.Dataset],
    *,
    epsilons: Sequence[float] = measure.EPSILONS,
    ridge: float = 1e-6,
    dead: str = "unmatched",
) -> xr.Dataset:
    """Maximum match of a pair, averaged over draws of samples.

    Parameters
    ----------
    samples : Gram matrices of each draw, from `samples.between`; one is held at a time
    epsilons : distances at which the similarity is reported
    ridge, dead : as in `subspace_match`

    Returns
    -------
    means over draws ``similarity[epsilon]``, ``curve[distance]`` and ``curve_chance[distance]``, 0–1; their standard
    deviations between draws ``similarity_standard_deviation`` and ``curve_standard_deviation``; and the summary with
    the null ``chance`` (the networks share their means alone) and ``standard_deviation[statistic]`` between draws; the
    attributes ``spatial`` and ``n``, the samples of a draw
    """
    found, chance = [], []
    for drawn in samples:
        shared = drawn.attrs["n"] * np.outer(drawn["mean_a"], drawn["mean_b"])
        found.append(_critical(drawn, drawn["gram_ab"].values, ridge))
        chance.append(_critical(drawn, shared, ridge))
    size_a, n = drawn.sizes["unit_a"], drawn.attrs["n"]
    died = np.isnan(found)
    counts = np.stack([died[:, :size_a].sum(axis=1), died[:, size_a:].sum(axis=1)], axis=1)
    value = np.stack([measure.summarise(one, epsilons, dead) for one in found])
    null = np.mean([measure.summarise(one, epsilons, dead) for one in chance], axis=0)
    result = summary(
        statistics(epsilons),
        np.concatenate([[n, len(found)], counts.mean(axis=0), value.mean(axis=0)]),
        None,
        {"chance": np.concatenate([np.full(len(COUNTS), np.nan), null])},
    )
    spread = np.concatenate([[np.nan, np.nan], counts.std(axis=0, ddof=1), value.std(axis=0, ddof=1)])
    result["standard_deviation"] = ("statistic", spread, {"long_name": "standard deviation between draws"})
    for name, dimension, points in (("similarity", "epsilon", epsilons), ("curve", "distance", measure.DISTANCES)):
        shares = np.stack([measure.similarity(one, points, dead) for one in found])
        result[name] = (dimension, shares.mean(axis=0), {"long_name": f"{measure.SHARE}, mean over draws"})
        result[f"{name}_standard_deviation"] = (
            dimension,
            shares.std(axis=0, ddof=1),
            {"long_name": f"{measure.SHARE}, standard deviation between draws"},
        )
    result["curve_chance"] = (
        "distance",
        np.mean([measure.similarity(one, measure.DISTANCES, dead) for one in chance], axis=0),
        {"long_name": f"{measure.SHARE}, if the networks shared their means alone"},
    )
    result = result.assign_coords(epsilon=np.array(epsilons), distance=measure.DISTANCES)
    return result.assign_attrs(spatial=drawn.attrs["spatial"], n=n)


def _critical(drawn: xr.Dataset, between: Array, ridge: float) -> Array:
    """Critical distances of one draw, with a given Gram matrix between the networks."""
    gram = np.block([[drawn["gram_a"].values, between], [between.T, drawn["gram_b"].values]])
    return critical_epsilons(measure.scaled(gram, np.diag(gram) > 0), drawn.sizes["unit_a"], ridge)
