"""What a statistic is in the layers of a network, in words: its range, and its verdicts against a null."""

from collections.abc import Mapping, Sequence
from itertools import groupby

from convergent import tables

UNDEFINED = "undefined"  # beside the verdicts of `tables.verdict`
VERDICTS = {
    tables.LARGER: "larger in",
    tables.SMALLER: "smaller in",
    tables.NOT_APART: "not told apart in",
    tables.NO_VERDICT: "untested, for want of a standard error over at least three seeds, in",
    tables.NO_SPREAD: "the same in every pair, so untested, in",
    UNDEFINED: "not defined for every pair, so untested, in",
}
FEW = 2  # so many layers, or neighbours among them, are told one by one


def span(means: Mapping[str, float], form: str) -> str:
    """The least and the largest of the layers, and where they are; undefined layers are named.

    Parameters
    ----------
    means : by layer, in order of depth
    form : format of a number; of one with ``%`` differences are told in points
    """
    defined = {layer: mean for layer, mean in means.items() if mean == mean}
    if not defined:
        return "(not defined)" if list(means) == [tables.WHOLE] else "not defined in any layer"
    if list(defined) == [tables.WHOLE]:
        return f"{defined[tables.WHOLE]:z{form}}"
    least, largest = min(defined, key=defined.__getitem__), max(defined, key=defined.__getitem__)
    undefined = [layer for layer in means if layer not in defined]
    missing = f" (undefined in {_runs(undefined, list(means))})" if undefined else ""
    low, high = f"{defined[least]:z{form}}", f"{defined[largest]:z{form}}"
    if len(defined) == 1:
        return f"{low} ({_place(least)}){missing}"
    return f"{low}{missing}" if low == high else f"{low} ({_place(least)}) to {high} ({_place(largest)}){missing}"


def verdicts(excess: Mapping[str, tables.Excess], form: str) -> str:
    """Where a statistic lies above or below a null, and where the two cannot be told apart.

    Parameters
    ----------
    excess : over the null, by layer, in order of depth
    form : as in `span`
    """
    found: dict[str, list[str]] = {verdict: [] for verdict in VERDICTS}
    for layer, one in excess.items():
        found[one.verdict if one.mean == one.mean else UNDEFINED].append(layer)
    return ", ".join(
        f"{said} {_where(found[verdict], excess, form, 'any' if verdict == tables.NOT_APART else 'every')}"
        for verdict, said in VERDICTS.items()
        if found[verdict]
    )


def _where(layers: Sequence[str], excess: Mapping[str, tables.Excess], form: str, every: str) -> str:
    """Layers of one verdict and how far they lie from the null: one by one where they are few, else least and most."""
    told = {layer: _difference(excess[layer], form) for layer in layers}
    if len(layers) <= FEW:
        return ", ".join(f"{_place(layer)} ({told[layer]})" if told[layer] else _place(layer) for layer in layers)
    where = f"{every} layer" if len(layers) == len(excess) else _runs(layers, list(excess))
    least, most = (of(layers, key=lambda layer: excess[layer].mean) for of in (min, max))
    if told[least] == told[most]:
        return f"{where} ({told[least]})" if told[least] else where
    return f"{where} ({told[least]} in {_place(least)} to {told[most]} in {_place(most)})"


def _difference(excess: tables.Excess, form: str) -> str:
    """Of a share in points; nothing where it is not defined."""
    if excess.mean != excess.mean:
        return ""
    scale, digits, unit = (100, 1, " points") if form.endswith("%") else (1, 2, "")
    tested = excess.verdict in (tables.LARGER, tables.SMALLER, tables.NOT_APART)
    error = f" ± {scale * excess.standard_error:.{digits}f}" if tested else ""
    return f"{scale * excess.mean:+.{digits}f}{error}{unit}"


def _runs(layers: Sequence[str], depths: Sequence[str]) -> str:
    """Names in order of depth; of more than two neighbours the first and the last."""
    told = []
    for _, run in groupby(enumerate(layers), lambda at: depths.index(at[1]) - at[0]):
        names = [_place(layer) for _, layer in run]
        told.append(", ".join(names) if len(names) <= FEW else f"{names[0]} through {names[-1]}")
    return ", ".join(told)


def _place(layer: str) -> str:
    return "the network as a whole" if layer == tables.WHOLE else f"``{layer}``"
