"""docs/findings.md says what the committed tables say, and nothing else."""

import re
import runpy
from io import StringIO
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from convergent import tables
from convergent.plan import jobs

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "findings.md"
COLLECT = runpy.run_path(str(ROOT / "docs" / "findings" / "collect.py"))
FIGURES = ROOT / "src" / "convergent" / "figures"
# A number that was measured: with decimals, or a share. Whole numbers count seeds, layers and epochs.
NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+)?(?:e-?\d+)? ?%|(?<![\w.])\d+\.\d+")


def _numbers(text: str) -> set[str]:
    return {number.replace(" ", "") for number in NUMBER.findall(text)}


def _tables(text: str) -> str:
    """Those made from the committed results, and the published ones."""
    made = re.findall(r"<!-- \w+ -->\n(.*?)<!-- end -->", text, flags=re.DOTALL)
    published = re.findall(r"^Published.*?\n\n((?:\|.*\n)+)", text, flags=re.DOTALL | re.MULTILINE)
    return "\n".join([*made, *published])


def _uncited(section: str, page: str = "") -> set[str]:
    """Numbers in the words of a section that stand in none of its tables, or of the page's where it has none."""
    words = re.sub(r"<!-- \w+ -->\n.*?<!-- end -->|\[[^]]*\]\([^)]*\)|`[^`]*`", "", section, flags=re.DOTALL)
    return _numbers(words) - _numbers(_tables(section) or _tables(page))


def test_page__has_the_tables_of_the_committed_results() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert COLLECT["page"](text) == text


@pytest.mark.parametrize("section", re.split(r"^## ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:])
def test_page__cites_in_words_what_stands_in_the_tables_of_the_section(section: str) -> None:
    assert not _uncited(section, PAGE.read_text(encoding="utf-8"))


def test_uncited__finds_a_number_that_stands_in_no_table() -> None:
    table = "<!-- a -->\n| 0.44 ± 0.01 | 12% |\n<!-- end -->\n"
    words = "They match by 0.44 of 5 layers, [here](1.5), 12 % or 3%, not 0.45.\n| 0.46 |\n"
    published = "Published:\n\n| 0.46 |\n"
    assert _uncited(table + words) == {"0.45", "0.46", "3%"}
    assert _uncited(table + words + published) == {"0.45", "3%"}
    assert _uncited("0.44 and 0.43", table) == {"0.43"}


def test_page__shows_pictures_that_are_there() -> None:
    shown = re.findall(r"!\[[^]]*\]\(([^)]+)\)", PAGE.read_text(encoding="utf-8"))
    assert shown
    missing = [path for path in shown if not (PAGE.parent / path).is_file()]
    unused = {path.name for path in (PAGE.parent / "findings").glob("*.webp")} - {Path(path).name for path in shown}
    assert not missing
    assert not unused


def test_page__names_every_figure_of_the_workflow_with_its_bands_and_nulls() -> None:
    section = PAGE.read_text(encoding="utf-8").partition("## The figures of the papers\n")[2]
    described = dict(re.findall(r"^\| `(\w+)` \|(.*)\|$", section, flags=re.MULTILINE))
    others = re.findall(r"`(\w+)`", section.partition("Of neither paper:")[2])
    assert sorted([*described, *others]) == sorted(
        [*jobs.FIGURES_OF_ALL_PAIRS, *jobs.FIGURES_OF_ONE_PAIR, jobs.OF_EXPERIMENT]
    )
    for figure, cells in described.items():
        *_, spread, nulls = (cell.strip() for cell in cells.split("|"))
        source = (FIGURES / f"{figure}.py").read_text(encoding="utf-8")
        assert (spread == "first pair") == (figure in jobs.FIGURES_OF_ONE_PAIR)
        of_seeds = re.search(r"over_seeds\(|(by_depth|bands)\.draw\(", source)
        assert bool(re.search("error bars|bands", spread)) == bool(of_seeds)
        assert ("untrained" in nulls) == (figure in jobs.FIGURES_OF_ALL_PAIRS.keys() | jobs.FIRST_UNTRAINED)
        assert (nulls == "none") == ("patches" in jobs.FIGURES_OF_ONE_PAIR.get(figure, []))


def test_page__tells_which_networks_have_dead_units() -> None:
    rows = COLLECT["read"](COLLECT["WANG"])
    dead = rows[(rows["statistic"] == "share_dead") & (rows["value"] > 0)]
    told = {f"{table.network}-all" for table in COLLECT["TABLES"].values() if table.dead_alone}
    assert set(dead["pair"]) == told


def _rows(comparison: str, pair: str, layer: str, values: dict[str, tuple[float, dict[str, float]]]) -> list[Any]:
    """Rows of `subspace_match`, from the value and the nulls of each statistic."""
    shared = (comparison, pair, layer, "subspace_match")
    return [
        (*shared, statistic, value, 0.1, null, kind)
        for statistic, (value, nulls) in values.items()
        for kind, null in (nulls or {"": np.nan}).items()
    ]


def _counts(dead: tuple[int, int], dead_untrained: tuple[int, int] | None = None) -> dict[str, Any]:
    """Of two networks of four units."""
    nulls = ({}, {}) if dead_untrained is None else tuple({"untrained": float(n)} for n in dead_untrained)
    units = {} if dead_untrained is None else {"untrained": 4.0}
    return {f"n_units_{side}": (4.0, units) for side in "ab"} | {
        f"n_dead_{side}": (float(n), null) for side, n, null in zip("ab", dead, nulls, strict=True)
    }


def _only(rows: pd.DataFrame, **of: str) -> pd.Series:
    """The one row of these."""
    for column, value in of.items():
        rows = rows[rows[column] == value]
    assert len(rows) == 1
    return rows.iloc[0]


def test_per_live_unit__divides_values_and_nulls_by_the_live_units_they_are_of() -> None:
    nulls = {"untrained": 0.2, "permuted": 0.15}
    values = _counts((1, 1), (1, 3)) | {"area": (0.3, nulls), "epsilon_full": (0.9, nulls)}
    rows = COLLECT["per_live_unit"](
        pd.DataFrame(_rows("trained", "n-s0-final--n-s1-final", "fc", values), columns=tables.COLUMNS)
    )
    for kind, null in {"untrained": 0.4, "permuted": 0.2}.items():
        found = _only(rows, statistic="area_live", null_kind=kind)
        assert [found["value"], found["standard_error"], found["null"]] == pytest.approx([0.4, 0.1 / 0.75, null])
    assert _only(rows, statistic="share_dead")["value"] == 0.25
    assert set(rows["statistic"]) == {"area_live", "share_dead"}


def _summary(dead: dict[str, list[tuple[int, int]]], layers: int) -> pd.DataFrame:
    """Of three seeds, trained and untrained: dead units of each pair, the same in all layers, and areas at random."""
    generator = np.random.default_rng(0)
    rows = []
    for layer in range(layers):
        for i, seeds in enumerate(combinations(range(3), 2)):
            trained, untrained = ("--".join(f"n-s{seed}-{stage}" for seed in seeds) for stage in ("final", "init"))
            area, before, permuted = generator.uniform([0.4, 0.3, 0.1], [0.5, 0.4, 0.2])
            before += 0.1 * (layer % 2)
            of_trained = {"area": (area, {"untrained": before, "permuted": permuted})}
            of_untrained = {"area": (before, {"permuted": permuted})}
            counts = _counts(dead["trained"][i], dead["untrained"][i])
            rows += _rows("trained", trained, f"layer{layer}", counts | of_trained)
            rows += _rows("untrained", untrained, f"layer{layer}", _counts(dead["untrained"][i]) | of_untrained)
    table = pd.DataFrame(rows, columns=tables.COLUMNS)
    table = pd.concat([table, tables.over_pairs(table)])
    return tables.read(StringIO(table.to_csv(index=False)))


def test_of_both_directions__is_the_mean_of_value_and_nulls_over_what_both_have() -> None:
    nulls = {"untrained": 0.2, "permuted": 0.1}
    values = {"mean_r_semi_a": (0.3, nulls), "mean_r_semi_b": (0.5, {"untrained": 0.4}), "mean_r": (0.9, nulls)}
    rows = pd.DataFrame(_rows("trained", "n-s0-final--n-s1-final", "fc", values), columns=tables.COLUMNS)
    found = _only(COLLECT["of_both_directions"](rows.assign(measure="matching")))
    assert [found[name] for name in ("statistic", "null_kind")] == ["mean_r_semi_both", "untrained"]
    assert [found["value"], found["null"]] == pytest.approx([0.4, 0.3])


def test_compact__scales_each_pair_by_its_own_counts() -> None:
    summary = _summary({"trained": [(0, 0), (1, 1), (2, 2)], "untrained": [(0, 0)] * 3}, layers=1)
    of = summary[(summary["comparison"] == "trained") & (summary["statistic"] == "area")]
    of = of[(of["null_kind"] == "permuted") & ~of["pair"].str.endswith("-all")]
    means = COLLECT["compact"](summary)
    assert list(means.columns) == [*tables.COLUMNS, *tables.OF_MEANS]
    assert (means["pair"] == "n-all").all()
    found = _only(means, comparison="trained", statistic="area_live", null_kind="permuted")
    live = np.array([1, 0.75, 0.5])
    mean, error = tables.over_seeds(list(of["pair"]), of["value"].to_numpy() / live)
    assert [found["value"], found["standard_error"]] == pytest.approx([mean, error])
    assert found["null"] == pytest.approx(np.mean(of["null"].to_numpy() / live))
