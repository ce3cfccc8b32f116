"""docs/measures.md names every statistic of the table under its measure, and none that there is not."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pandas as pd
import pytest

from convergent import gain
from convergent.config import Measure
from convergent.measures import (
    clustering,
    correlation,
    cross_layer,
    ensemble,
    layer_pairs,
    matching,
    mutual_information,
    rsa,
    similarity,
    sparse_prediction,
    statistics,
    stitching,
    subspace_match,
    subspace_match_sampled,
    unit_removal,
)

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "measures.md").read_text(encoding="utf-8")
# The rows of each table that is headed by a measure.
TABLES = dict(re.findall(r"^\| `(\w+)` \| range \| what it is \|\n\|-.*\n((?:\|.*\n)+)", PAGE, flags=re.MULTILINE))
SHORT = re.compile(r"`([\w.]*\{[\w.,{}]*,[\w.,{}]*\}[\w.]*)`")
IN_CODE = {
    "statistics": statistics.STATISTICS,
    "correlation": correlation.STATISTICS,
    "mutual_information": mutual_information.STATISTICS,
    "matching": (*matching.STATISTICS, *matching.OF_ROWS),
    "sparse_prediction": sparse_prediction.STATISTICS,
    "clustering": clustering.STATISTICS,
    "subspace_match": subspace_match.statistics(subspace_match.EPSILONS),
    "subspace_match_sampled": subspace_match_sampled.statistics(subspace_match.EPSILONS),
    "similarity": similarity.STATISTICS,
    "cross_layer": cross_layer.STATISTICS,
    "rsa": rsa.STATISTICS,
    "layer_pairs": layer_pairs.STATISTICS,
    "stitching": stitching.STATISTICS,
    "unit_removal": unit_removal.STATISTICS,
    "ensemble": (*ensemble.STATISTICS, gain.DISSIMILARITY, gain.CORRELATION),
}


def expanded(name: str) -> list[str]:
    """The names that one with braces is short for, as a shell has it."""
    if found := re.fullmatch(r"([^{]*)\{([^}]*)\}(.*)", name):
        before, choices, after = found.groups()
        return [f"{before}{choice}{rest}" for choice in choices.split(",") for rest in expanded(after)]
    return [name]


def on_page(measure: str) -> Iterator[str]:
    """The statistics that the table of a measure names."""
    for row in TABLES[measure].splitlines():
        for name in re.findall(r"`([^`]+)`", row.split(" | ")[0]):
            yield from expanded(name)


def test_expanded__is_every_choice_with_every_other() -> None:
    assert expanded("n") == ["n"]
    assert expanded("n_{a,b}") == ["n_a", "n_b"]
    assert expanded("{x,y}_{a,b}_z") == ["x_a_z", "x_b_z", "y_a_z", "y_b_z"]


def test_page__has_a_table_for_every_measure() -> None:
    assert sorted(TABLES) == sorted(IN_CODE) == sorted(get_args(Measure))


@pytest.mark.parametrize("measure", IN_CODE)
def test_page__names_every_statistic_once_under_its_measure(measure: str) -> None:
    assert sorted(on_page(measure)) == sorted(IN_CODE[measure])


@pytest.mark.parametrize("measure", IN_CODE)
def test_page__says_range_and_meaning_of_every_statistic(measure: str) -> None:
    for row in TABLES[measure].splitlines():
        assert re.fullmatch(r"\| `[^|]+` \| [^|]+ \| (?:[^|]|\\\|)+ \|", row), row


def test_page__writes_short_only_names_of_statistics() -> None:
    known = {name for names in IN_CODE.values() for name in names}
    short = SHORT.findall(PAGE)
    assert "n_live_{a,b}" in short
    assert not {name for written in short for name in expanded(written)} - known


@pytest.mark.parametrize("path", sorted(DOCS.glob("findings/*.csv")), ids=lambda path: path.stem)
def test_code__names_every_statistic_of_the_committed_results(path: Path) -> None:
    rows = pd.read_csv(path)[["measure", "statistic"]].drop_duplicates()
    rows = rows[~rows["statistic"].str.match("li2016_|mean_of_|area_at_ridge_|share_dead$")]  # added by collect.py
    assert len(rows) > 20
    for measure, statistic in rows.itertuples(index=False):  # …_both and …_live too, made there of these
        stem = statistic.removesuffix("_both")
        made_of = {statistic, f"{stem}_a", f"{stem}_ab", statistic.removesuffix("_live")}
        assert made_of & {*IN_CODE[measure]}, statistic
