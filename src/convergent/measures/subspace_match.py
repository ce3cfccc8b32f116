"""Subspace match: the share of units of two networks that span the same space of activations, at every distance ε.

(X, Y) is an ε-match iff dist(x, span Y) ≤ ε‖x‖ for all x in X and dist(y, span X) ≤ ε‖y‖ for all y in Y. The union of
all of them, the maximum match, is one too; s(ε) is its share of all units. Peeling gives every ε at once: the unit
farthest from the other side leaves, again and again, and matches from the least distance up to its own leaving on.

Squared distances are ridge objectives (`peeling`), compared with ε² + 2λ: ε < .01 is not resolved. Activations
are not centred by default, and a dead unit is one of length 0. Source: Wang et al. 2018 (arXiv 1810.11750).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from convergent import folds
from convergent.errors import InputError, at_least
from convergent.folds import Array, Pair
from convergent.measures.minimal_matches import minimal_matches
from convergent.measures.peeling import checked_epsilons, critical_epsilons
from convergent.measures.summary import summary

COUNTS = ("n_units_a", "n_units_b", "n_dead_a", "n_dead_b")
SMOOTH = ("area", "epsilon_full")
OF_MINIMAL = ("median_minimal_size", "share_minimal_pairs")
EPSILONS = (0.15, 0.2, 0.25, 0.3, 0.5)  # of Wang et al. 2018
DISTANCES = np.arange(101) / 100
DEAD = ("unmatched", "matched", "exclude")
RIDGES = (1e-8, 1e-6, 1e-4)
# Downdates move squared distances by up to 1e-15/λ, where units are collinear: below this ridge, over 1e-6.
SMALLEST_RIDGE = 1e-9
SHARE = "share of units in the maximum match"


def statistics(epsilons: Sequence[float]) -> tuple[str, ...]:
    """The names of the summary."""
    return (*COUNTS, *of_curve(epsilons), *OF_MINIMAL)


def of_curve(epsilons: Sequence[float]) -> tuple[str, ...]:
    """The names of what `summarise` tells: ``area``, ``epsilon_full``, ``similarity_at_0.15`` …"""
    return (*SMOOTH, *(f"similarity_at_{epsilon:g}" for epsilon in epsilons))


def subspace_match(
    moments: xr.Dataset,
    *,
    centred: bool = False,
    dead: str = "unmatched",
    ridge: float = 1e-6,
    epsilons: Sequence[float] = EPSILONS,
    minimal_epsilon: float = 0.5,
    starts: int = 32,
    orders: int = 4,
    enumerated: int = 20,
    generator: np.random.Generator | None = None,
) -> xr.Dataset:
    """Maximum match of a pair at every distance, and minimal matches of some of its units at one.

    Parameters
    ----------
    moments : of the pair, from `moments.of` or `folds.joined`, float64
    centred : subtract means first
    dead : how units of length 0 count: ``unmatched``, ``matched``, or not at all, ``exclude``
    ridge : λ, beside units of length 1
    epsilons : distances at which the similarity is reported
    minimal_epsilon : distance of the minimal matches
    starts, orders : units drawn from the maximum match there, and random orders of removal for each
    enumerated : minimal matches of a unit that are listed at most; 0: none is listed
    generator : of these units and orders

    Returns
    -------
    ``critical_epsilon_a[unit_a]``, ``critical_epsilon_b[unit_b]``, 0–1, the ε from which on a unit matches (NaN: dead);
    shares of units ``similarity[epsilon]``, ``curve[distance]``, ``curve_chance``, ``curve_permuted`` and
    ``curve_ridge[ridge, distance]``, with ``area_ridge[ridge]`` and ``rounding_ridge``, the rounding error of squared
    distances; what `minimal_matches` finds, its members as ``minimal_member_a[start, unit_a]`` and
    ``minimal_member_b``; and the summary with the nulls ``chance`` (the networks share their means alone) and
    ``permuted`` (the images of B permuted), in which ``area`` is ∫₀¹ s(ε) dε, ``epsilon_full`` the least ε at which all
    live units match, and ``share_minimal_pairs`` that of the minimal matches that are one unit of each network

    Raises
    ------
    InputError : for float32 moments, for a ridge that drowns in rounding, and for starts without orders
    """
    if moments.attrs.get("precision") == "float32":
        raise InputError("subspace match needs more than float32 moments hold; set moments.precision to float64")
    if dead not in DEAD:
        raise InputError(f"subspace match: dead units {dead!r}; {', '.join(DEAD)} are known")
    if ridge < SMALLEST_RIDGE:
        raise InputError(f"subspace match: the ridge {ridge:g} drowns in rounding; use at least {SMALLEST_RIDGE:g}")
    at_least(0, starts=starts, enumerated=enumerated)
    at_least(1, orders=orders)
    units_a, units_b = moments["unit_a"].values, moments["unit_b"].values
    size_a = len(units_a)
    whole = folds.total(moments)

    def critical(pair: Pair) -> Array:
        return critical_epsilons(unit_gram(pair, centred, whole), size_a, ridge)

    found = critical(whole)
    chance = critical(replace(whole, ab=replace(whole.ab, comoment=np.zeros_like(whole.ab.comoment))))
    permuted = [critical(folds.total(moments, replicate)) for replicate in range(moments.sizes["replicate"])]
    gram = unit_gram(whole, centred, whole)
    minimal = _minimal(
        gram,
        np.asarray(found <= minimal_epsilon),  # NaN ≤ ε is False
        units_a,
        units_b,
        {
            "epsilon": minimal_epsilon,
            "ridge": ridge,
            "starts": starts,
            "orders": orders,
            "enumerated": enumerated,
            "generator": generator or np.random.default_rng(0),
        },
    )
    sizes = minimal["minimal_size"].values
    died = np.isnan(found)
    value = [
        *(size_a, len(units_b), died[:size_a].sum(), died[size_a:].sum()),
        *summarise(found, epsilons, dead),
        *((np.median(sizes), np.mean(sizes == 2)) if sizes.size else (np.nan, np.nan)),
    ]
    names = statistics(epsilons)
    # Counts, shares and sizes jump: no standard error.
    error = folds.jackknife(moments, whole, lambda pair: summarise(critical(pair), (), dead))
    nulls = {
        "chance": summarise(chance, epsilons, dead),
        "permuted": np.mean([summarise(one, epsilons, dead) for one in permuted], axis=0),
    }
    result = summary(
        names,
        np.array(value),
        _padded(names, SMOOTH, error),
        {kind: _padded(names, of_curve(epsilons), null) for kind, null in nulls.items()},
    )
    result["similarity"] = ("epsilon", similarity(found, epsilons, dead), {"long_name": SHARE})
    for side, values in (("a", found[:size_a]), ("b", found[size_a:])):
        result[f"critical_epsilon_{side}"] = (
            f"unit_{side}",
            values,
            {"long_name": "distance from which on it matches"},
        )
    result = result.merge(_curves(found, chance, permuted, dead)).merge(_ridges(gram, size_a, dead)).merge(minimal)
    return result.assign_coords(unit_a=units_a, unit_b=units_b, epsilon=np.array(epsilons))


def unit_gram(pair: Pair, centred: bool = False, whole: Pair | None = None) -> Array:
    """Gram matrix [unit, unit] of the units of A, then of B, scaled to length 1; rows of dead units are 0.

    Parameters
    ----------
    pair : moments
    centred : subtract means first
    whole : moments of all samples, where `pair` holds some of them: a unit without length but for rounding is dead
    """
    gram = _joint_gram(pair, centred)
    live = np.diag(gram) > folds.RESOLUTION * _squared_lengths(whole or pair, centred)
    if centred:
        live &= np.concatenate([pair.live_a, pair.live_b])
    return scaled(gram, live)


def scaled(gram: Array, live: np.ndarray) -> Array:
    """A Gram matrix with its live units scaled to length 1, and 0 in the rows of the others."""
    length = np.sqrt(np.where(live, np.diag(gram), np.inf))
    scaled = gram / length[:, None]
    scaled /= length
    np.fill_diagonal(scaled, live)
    return scaled


def similarity(critical: Array, epsilons: Sequence[float] | Array, dead: str = "unmatched") -> Array:
    """s(ε) from critical distances: the share of units that match, [epsilon]; NaN where no unit lives."""
    if np.isnan(critical).all():
        return np.full(len(epsilons), np.nan)
    return np.asarray((_counted(critical, dead)[:, None] <= np.asarray(epsilons)).mean(axis=0))


def summarise(critical: Array, epsilons: Sequence[float], dead: str) -> Array:
    """From critical distances what `of_curve` names; NaN where no unit lives."""
    if np.isnan(critical).all():
        return np.full(len(of_curve(epsilons)), np.nan)
    area = np.mean(1 - np.minimum(_counted(critical, dead), 1))
    return np.array([area, np.nanmax(critical), *similarity(critical, epsilons, dead)])


def _counted(critical: Array, dead: str) -> Array:
    """Critical distances of all units that count."""
    died = np.isnan(critical)
    return critical[~died] if dead == "exclude" else np.where(died, 0 if dead == "matched" else np.inf, critical)


def _joint_gram(pair: Pair, centred: bool) -> Array:
    a, b, ab = (
        m.comoment if centred else m.comoment + m.n * np.outer(m.mean_a, m.mean_b) for m in (pair.a, pair.b, pair.ab)
    )
    return np.block([[a, ab], [ab.T, b]])


def _squared_lengths(pair: Pair, centred: bool) -> Array:
    """The diagonal of `_joint_gram`."""
    return np.concatenate([np.diag(m.comoment) + (0 if centred else m.n * m.mean_a**2) for m in (pair.a, pair.b)])


def _padded(names: Sequence[str], known: Sequence[str], values: Array) -> Array:
    """Values of some statistics among all; NaN for the others."""
    given = dict(zip(known, values, strict=True))
    return np.array([given.get(name, np.nan) for name in names])


def _curves(found: Array, chance: Array, permuted: Sequence[Array], dead: str) -> xr.Dataset:
    curves = {
        "curve": (similarity(found, DISTANCES, dead), SHARE),
        "curve_chance": (similarity(chance, DISTANCES, dead), f"{SHARE}, if the networks shared their means alone"),
        "curve_permuted": (
            np.mean([similarity(one, DISTANCES, dead) for one in permuted], axis=0),
            f"{SHARE}, the images of B permuted",
        ),
    }
    variables = {name: ("distance", values, {"long_name": meaning}) for name, (values, meaning) in curves.items()}
    return xr.Dataset(variables, {"distance": DISTANCES})


def _ridges(gram: Array, size_a: int, dead: str) -> xr.Dataset:
    """How much the curve depends on the ridge, and where rounding decides."""
    found, errors = zip(*(checked_epsilons(gram, size_a, ridge) for ridge in RIDGES), strict=True)
    return xr.Dataset(
        {
            "curve_ridge": (
                ("ridge", "distance"),
                np.stack([similarity(one, DISTANCES, dead) for one in found]),
                {"long_name": f"{SHARE}, under another ridge"},
            ),
            "area_ridge": ("ridge", [summarise(one, (), dead)[0] for one in found], {"long_name": "area below it"}),
            "rounding_ridge": (
                "ridge",
                list(errors),
                {"long_name": "rounding error of the largest squared distance, at most, at eight points of peeling"},
            ),
        },
        {"ridge": np.array(RIDGES), "distance": DISTANCES},
    )


def _minimal(
    gram: Array, member: np.ndarray, units_a: np.ndarray, units_b: np.ndarray, settings: Mapping[str, Any]
) -> xr.Dataset:
    """`minimal_matches` of a maximum match, with the members labelled as units of the two networks."""
    size_a = len(units_a)
    labels = np.concatenate([units_a, units_b])[member]
    found = minimal_matches(gram[np.ix_(member, member)], int(member[:size_a].sum()), labels, **settings)
    members = np.zeros((found.sizes["start"], len(member)), dtype=bool)
    members[:, member] = found["minimal_member"]
    meaning = {"long_name": "unit is in the smallest minimal match found"}
    return found.drop_vars("minimal_member").assign(
        minimal_member_a=(("start", "unit_a"), members[:, :size_a], meaning),
        minimal_member_b=(("start", "unit_b"), members[:, size_a:], meaning),
    )
