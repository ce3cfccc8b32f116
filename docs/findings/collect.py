"""What docs/findings.md cites, taken from finished results: compact tables, the reports in words, figures.

    python docs/findings/collect.py RESULTS

RESULTS is the results folder of the small experiments. Of each, `{experiment}.csv` keeps the means over pairs of
`summary.csv` and how far they lie from their nulls, `{experiment}.rst` the report in words; the tables between
`<!-- name -->` and `<!-- end -->` in docs/findings.md are written anew from the first. A test holds the page to them.
Shares of live units are computed pair by pair; where a committed table lacks them, from its means over pairs.
"""

import math
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from PIL import Image
from scipy.special import stdtrit

from convergent import store, tables
from convergent.measures.subspace_match import COUNTS
from convergent.snapshots import network_of

HERE = Path(__file__).parent
PAGE = HERE.parent / "findings.md"
EXPERIMENTS = HERE.parents[1] / "config" / "experiments"
SMALL, RESNET = "cifar_small", "cifar_resnet_small"
LI, WANG, ACROSS = "li2016_small", "wang2018_small", "architectures_small"
FIGURES = {
    f"{LI}/trained/{SMALL}": (
        "matching_by_depth",
        "matching_curves",
        "code_types",
        "cluster_subspaces",
        "matched_units",
        "stitching",
        "unit_removal",
    ),
    f"{WANG}/trained/{SMALL}": ("subspace_match_by_depth", "subspace_match"),
    f"{WANG}/trained/{RESNET}": ("subspace_match_by_depth", "subspace_match"),
    f"{ACROSS}/across/{SMALL}--{RESNET}": ("layer_pairs",),
}
DIGITS = 4  # significant ones, in the compact tables
WIDTH = 1300  # pixels of a figure, at most
BOTH = ("ab", "ba")
UNTRAINED = "untrained"  # the comparison, and the kind of null
OF_PAIR = ["comparison", "pair", "layer"]
TOLD = re.compile(r"this gain and 1 − the mean r one to one in ``.+`` correlate by (-?[\d.]+) ± ([\d.]+)")


@dataclass(frozen=True)
class Column:
    """One column of a table of the page: a statistic with its standard error over seeds, or one of its nulls."""

    heading: str
    measure: str
    statistic: str
    null: str | None = None
    share: bool = False
    comparison: str = ""  # where it is not that of the table
    network: str = ""  # likewise

    def among(self, heading: str, comparison: str, network: str = "") -> "Column":
        return replace(self, heading=heading, comparison=comparison, network=network)

    def against(self, heading: str, null: str) -> "Column":
        return replace(self, heading=heading, null=null)


@dataclass(frozen=True)
class Table:
    """One table of the page, a row for each layer, or for each with dead units alone."""

    experiment: str
    comparison: str
    network: str
    columns: Sequence[Column]
    dead_alone: bool = False


def _share(heading: str, measure: str, statistic: str) -> Column:
    return Column(heading, measure, statistic, share=True)


SEMI = Column("best partner, r", "matching", "mean_r_semi_a")
ONE_TO_ONE = Column("one to one, r", "matching", "mean_r_one_to_one")
SAME = _share("same best partner", "mutual_information", "share_same_semi_a")
EIGHT = Column("of the best 8, shared", "mutual_information", "n_best_8_shared")
CLUSTERS = _share("clusters of both networks", "clustering", "share_clusters_with_both")
OF_CLUSTER = Column("R² from the cluster", "clustering", "mean_r2_clusters")
BEST_UNIT = Column("R², best unit", "sparse_prediction", "r2_best_single_ab")
ALL_UNITS = Column("R², all units", "sparse_prediction", "r2_least_squares_ab")
DEAD = _share("dead units", "subspace_match", "share_dead")
AREA = Column("mean over ε", "subspace_match", "area_live")
PERMUTED_UNTRAINED = replace(AREA, heading="untrained, images permuted", comparison=UNTRAINED, null="permuted")
MATCH = {e: _share(f"ε = {e}", "subspace_match", f"similarity_at_{e}_live") for e in ("0.3", "0.5")}
MATCHED = [column for of in (*MATCH.values(), AREA) for column in (of, of.against("untrained", "untrained"))]
STITCHED = {
    name: _share(heading, "stitching", f"accuracy_{name}")
    for name, heading in {"one_to_one": "one to one", "lasso_few": "≤ 5 units", "least_squares": "all units"}.items()
}
REMOVED = _share("shared − rare", "unit_removal", "lost_shared_minus_rare")
GAIN = _share("gain", "ensemble", "gain")
ERRORS = Column("correlation of errors", "ensemble", "error_correlation")
CKA = Column("CKA with the most similar layer", "layer_pairs", "best_cka_a")
BEST = [
    CKA,
    CKA.against("untrained", "untrained"),
    CKA.against("B's images permuted", "permuted"),
    *(
        column
        for heading, statistic in {
            "r one to one": "best_r_one_to_one_a",
            "held-out R²": "best_r2_ba_a",
            "rank correlation of depths": "depth_correlation_a",
        }.items()
        for of in [Column(heading, "layer_pairs", statistic)]
        for column in (of, of.against("untrained", "untrained"))
    ),
]
WITHIN = [column for column in BEST if column.null is None]
STAGES = {
    "two trained": "trained",
    "two untrained": "untrained",
    "trained, untrained": "trained_untrained",
    "one after 1 and 6 epochs": "from_epoch1",
    "one after 3 and 6 epochs": "from_epoch3",
}
TABLES = (
    {
        name: Table(LI, "trained", SMALL, columns)
        for name, columns in {
            "matching": [
                SEMI,
                ONE_TO_ONE,
                ONE_TO_ONE.against("untrained", "untrained"),
                ONE_TO_ONE.against("B's axes rotated", "rotated"),
                ONE_TO_ONE.against("B's images permuted", "permuted"),
                _share("same partner", "matching", "share_same_partner_a"),
                _share("no partner > 0.5", "matching", "share_no_partner_semi_a"),
            ],
            "information": [
                SAME,
                SAME.against("B's images permuted", "permuted"),
                _share("same, one to one", "mutual_information", "share_same_one_to_one"),
                EIGHT,
                EIGHT.against("B's images permuted", "permuted"),
                Column("rank correlation with \\|r\\|", "mutual_information", "rank_correlation_absolute"),
            ],
            "clusters": [
                CLUSTERS,
                CLUSTERS.against("labels permuted", "permuted_labels"),
                OF_CLUSTER,
                OF_CLUSTER.against("untrained", "untrained"),
                Column("R² from its best unit", "clustering", "mean_best_r2_clusters"),
            ],
            "whole_layers": [
                BEST_UNIT,
                BEST_UNIT.against("untrained", "untrained"),
                ALL_UNITS,
                ALL_UNITS.against("untrained", "untrained"),
                ALL_UNITS.against("B's images permuted", "permuted"),
            ],
            "codes": [
                BEST_UNIT,
                Column("R², LASSO", "sparse_prediction", "r2_one_standard_error_ab"),
                Column("its units", "sparse_prediction", "mean_nonzero_one_standard_error_ab"),
                ALL_UNITS,
                _share("1 unit", "sparse_prediction", "share_one_ab"),
                _share("2–5 units", "sparse_prediction", "share_two_to_five_ab"),
                _share("more", "sparse_prediction", "share_more_ab"),
                _share("none", "sparse_prediction", "share_unpredictable_ab"),
            ],
            "losses": [
                Column(f"λ = {name}", "sparse_prediction", f"li2016_loss_at_{value}")
                for name, value in {"0": "0", "1e-5": "1e-05", "1e-4": "0.0001", "1e-3": "0.001"}.items()
            ]
            + [
                Column("λ = 10^-2.6", "sparse_prediction", "li2016_loss_at_0.00251"),
                Column("λ = 1e-2", "sparse_prediction", "li2016_loss_at_0.01"),
                Column("λ = 1e-1", "sparse_prediction", "li2016_loss_at_0.1"),
                Column("units at 10^-2.6", "sparse_prediction", "li2016_n_nonzero_at_0.00251"),
            ],
            "stitching": [
                _share("intact", "stitching", "accuracy_intact"),
                *(
                    column
                    for stitched in STITCHED.values()
                    for column in (stitched, stitched.against("sender untrained", "untrained_sender"))
                ),
                _share("by number", "stitching", "accuracy_identity"),
            ],
            "removal": [
                _share("rarest quarter", "unit_removal", "lost_rare"),
                _share("most shared quarter", "unit_removal", "lost_shared"),
                REMOVED,
                REMOVED.against("by variance", "variance"),
                REMOVED.against("at random", "random_units"),
                Column("rank correlation of r and variance", "unit_removal", "rank_correlation_r_variance"),
            ],
            "ensemble": [
                _share("accuracy", "ensemble", "accuracy_a"),
                GAIN,
                GAIN.against("errors independent within classes", "permuted_within_classes"),
                ERRORS,
                Column("correlation of gain and 1 − r of fc1 over pairs", "ensemble", "gain_by_dissimilarity"),
            ],
        }.items()
    }
    | {
        "layers_across": Table(ACROSS, "across", f"{SMALL}--{RESNET}", BEST),
        "layers_small": Table(ACROSS, "within", SMALL, WITHIN),
        "layers_resnet": Table(ACROSS, "within", RESNET, WITHIN),
        "ensembles": Table(
            ACROSS,
            "across",
            f"{SMALL}--{RESNET}",
            [
                GAIN,
                GAIN.against("errors independent within classes", "permuted_within_classes"),
                GAIN.among("gain, two VGGs", "within", SMALL),
                GAIN.among("gain, two ResNets", "within", RESNET),
                ERRORS,
                ERRORS.among("of two VGGs", "within", SMALL),
                ERRORS.among("of two ResNets", "within", RESNET),
            ],
        ),
    }
    | {
        f"{name}_{network}": Table(WANG, "trained", network, columns)
        for network in (SMALL, RESNET)
        for name, columns in {
            "subspaces": [
                DEAD,
                DEAD.among("untrained", UNTRAINED),
                *MATCHED,
                AREA.against("B's images permuted", "permuted"),
                AREA.against("only means shared", "chance"),
                PERMUTED_UNTRAINED,
                Column("ε of the whole layer", "subspace_match", "epsilon_full"),
                Column("median minimal match, ε = 0.5", "subspace_match", "median_minimal_size"),
            ],
            "units": [ONE_TO_ONE.among(heading, comparison) for heading, comparison in STAGES.items()],
            "stages": [AREA.among(heading, comparison) for heading, comparison in STAGES.items()],
        }.items()
    }
    | {
        name: Table(WANG, "trained", SMALL, columns, dead_alone=True)
        for name, columns in {
            "unmatched": [
                replace(column, statistic=column.statistic.removesuffix("_live"))
                for column in (*MATCHED, AREA.against("B's images permuted", "permuted"), PERMUTED_UNTRAINED)
            ],
            "dead": [DEAD.among(heading, comparison) for heading, comparison in STAGES.items()],
        }.items()
    }
)


def read(experiment: str) -> pd.DataFrame:
    """The compact table of one experiment, with what follows from it or stands in its report in words alone."""
    rows = pd.read_csv(HERE / f"{experiment}.csv")
    if experiment == WANG and DEAD.statistic not in set(rows["statistic"]):
        seeds = yaml.safe_load((EXPERIMENTS / f"{experiment.replace('_', '-')}.yaml").read_text(encoding="utf-8"))[
            "seeds"
        ]
        rows = pd.concat([rows, live_of_means(rows, len(seeds))])
    if experiment == LI and (told := TOLD.search((HERE / f"{experiment}.rst").read_text(encoding="utf-8"))):
        row = {
            "comparison": "trained",
            "pair": f"{SMALL}-all",
            "layer": tables.WHOLE,
            "measure": "ensemble",
            "statistic": "gain_by_dissimilarity",
            "value": float(told[1]),
            "standard_error": float(told[2]),
        }
        rows = pd.concat([rows, pd.DataFrame([row])])
    return rows


def page(text: str) -> str:
    """The page with its tables made anew from the compact ones."""
    for name, table in TABLES.items():
        start, end = f"<!-- {name} -->\n", "<!-- end -->"
        before, found, rest = text.partition(start)
        if not found:
            raise ValueError(f"{PAGE.name} has no place for the table {name}: {start.strip()}")
        text = before + start + _drawn(table) + end + rest.partition(end)[2]
    return text


def _drawn(table: Table) -> str:
    rows = read(table.experiment)
    cells = []
    for column in table.columns:
        comparison, network = column.comparison or table.comparison, column.network or table.network
        cells.append(_cells(rows[(rows["comparison"] == comparison) & (rows["pair"] == f"{network}-all")], column))
    layers = list(dict.fromkeys(layer for of_column in cells for layer in of_column))
    if table.dead_alone:
        dead = rows[
            (rows["statistic"] == DEAD.statistic) & (rows["pair"] == f"{table.network}-all") & (rows["value"] > 0)
        ]
        layers = [layer for layer in layers if layer in set(dead["layer"])]
    lines = [["", *(column.heading for column in table.columns)], ["---", *["---:"] * len(cells)]]
    lines += [[layer, *(of_column.get(layer, "") for of_column in cells)] for layer in layers]
    return "\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines) + "\n"


def _cells(rows: pd.DataFrame, column: Column) -> dict[str, str]:
    """By layer: value ± standard error, or the null, starred where the value lies beyond it."""
    chosen = rows[(rows["measure"] == column.measure) & (rows["statistic"] == column.statistic)]
    if column.null is not None:
        chosen = chosen[chosen["null_kind"] == column.null]
    return {str(row["layer"]): _cell(row, column) for _, row in chosen.drop_duplicates("layer").iterrows()}


def _cell(row: pd.Series, column: Column) -> str:
    def number(value: float) -> str:
        if math.isnan(value):
            return "–"
        return f"{value:.1%}" if column.share else f"{value:.2f}"

    if column.null is not None:
        return number(row["null"]) + (" *" if row["beyond"] else "")
    return number(row["value"]) + (f" ± {number(row['standard_error'])}" if row["standard_error"] >= 0 else "")


def compact(summary: pd.DataFrame) -> pd.DataFrame:
    """The means over pairs, and by how much they differ from their nulls, pair by pair.

    ``excess`` and ``excess_standard_error``, over seeds; ``beyond``: outside the 95 % interval of Student's t.
    """
    means = summary[summary["pair"].str.endswith("-all")].reset_index(drop=True)
    excess = pd.DataFrame([_excess(summary, row) for _, row in means.iterrows()])
    return pd.concat([means, excess], axis="columns")


def _excess(summary: pd.DataFrame, row: pd.Series) -> dict[str, float | bool]:
    of = (row["comparison"], row["pair"].removesuffix("-all"), row["measure"], row["statistic"], row["null_kind"])
    mean, error, seeds = tables.excess(summary, *of).get(row["layer"], (math.nan, math.nan, 0))
    return {"excess": mean, "excess_standard_error": error, "beyond": bool(_beyond(mean, error, seeds))}


def _beyond(mean: Any, error: Any, seeds: int) -> Any:
    varies = error > 1e-9 * np.maximum(abs(mean), 1)  # the same in every pair is no evidence
    return varies & (abs(mean) > stdtrit(seeds - 1, 0.975) * error)


def with_live(summary: pd.DataFrame) -> pd.DataFrame:
    """A summary with the shares of live units, of every pair and as means over pairs."""
    of_pairs = per_live_unit(summary[~summary["pair"].str.endswith("-all")])[summary.columns]
    return pd.concat([summary, of_pairs, *tables.over_pairs(of_pairs)], ignore_index=True)


def per_live_unit(rows: pd.DataFrame) -> pd.DataFrame:
    """Shares of subspace match, in which dead units count as unmatched, as shares of the live units.

    Parameters
    ----------
    rows : of pairs; or of means over pairs, which are divided by mean shares of live units

    Returns
    -------
    ``area_live`` and ``similarity_at_…_live``; in ``live`` and ``live_null`` the shares of live units that their values
    and nulls were divided by, the untrained null by its own; and ``share_dead``
    """
    of = rows[rows["measure"] == "subspace_match"]
    counted = of[of["statistic"].isin(COUNTS)]
    live = _share_live(counted, "value").rename("live")
    live_untrained = _share_live(counted[counted["null_kind"] == UNTRAINED], "null").rename("live_null")
    shares = (
        of[of["statistic"].str.match("area$|similarity_at_")].join(live, on=OF_PAIR).join(live_untrained, on=OF_PAIR)
    )
    shares["live_null"] = shares["live_null"].where(shares["null_kind"] == UNTRAINED, shares["live"])
    shares["statistic"] += "_live"
    shares[["value", "standard_error"]] = shares[["value", "standard_error"]].div(shares["live"], axis="index")
    shares["null"] /= shares["live_null"]
    dead = counted.drop_duplicates(OF_PAIR).join(live, on=OF_PAIR)
    dead = dead.assign(
        statistic=DEAD.statistic, value=1 - dead["live"], standard_error=np.nan, null=np.nan, null_kind=np.nan
    )
    return pd.concat([shares, dead], ignore_index=True)


def _share_live(counted: pd.DataFrame, column: str) -> pd.Series:
    counts = counted.drop_duplicates([*OF_PAIR, "statistic"]).pivot(index=OF_PAIR, columns="statistic", values=column)
    return 1 - (counts["n_dead_a"] + counts["n_dead_b"]) / (counts["n_units_a"] + counts["n_units_b"])


def live_of_means(means: pd.DataFrame, seeds: int) -> pd.DataFrame:
    """`per_live_unit` of a compact table, with ``excess`` and ``beyond`` as for pairs that all have the mean counts.

    Errors over seeds are those of sums, so that of the excess v/l − n/m follows from those of v, n and v − n.
    """
    rows = per_live_unit(means)
    live, live_null, null = rows.pop("live"), rows.pop("live_null"), rows["null"]
    place = ["pair", "layer", "statistic"]
    untrained = rows[rows["comparison"] == UNTRAINED].drop_duplicates(place).set_index(place)["standard_error"]
    error_null = rows[place].join(untrained.rename("of_null"), on=place)["of_null"].where(live != live_null, 0)
    ratio = live / live_null
    variance = (1 - ratio) * rows["standard_error"] ** 2 + (1 - 1 / ratio) * error_null**2
    variance += rows["excess_standard_error"] ** 2 / (live * live_null)
    rows["excess"] = rows["excess"] / live + (1 / ratio - 1) * null
    rows["excess_standard_error"] = np.sqrt(variance.clip(lower=0))
    rows["beyond"] = _beyond(rows["excess"], rows["excess_standard_error"], seeds)
    return rows


def published_penalties(folder: Path) -> Iterator[dict[str, object]]:
    """Rows of the loss and the number of units at each λ of Li et al. 2016, which no summary holds: of all pairs."""
    paths = sorted(folder.glob("*-final--*-final.zarr"))
    opened = [store.read(path, "measure").layers for path in paths]
    for layer, first in opened[0].items():
        for i, penalty in enumerate(first["li2016_lambda"].values):
            for name in ("loss", "n_nonzero"):
                values = [np.mean([layers[layer][f"li2016_{name}_{d}"][i] for d in BOTH]) for layers in opened]
                mean, error = tables.over_seeds([path.stem for path in paths], np.array(values))
                yield {
                    "comparison": "trained",
                    "pair": f"{network_of(paths[0].stem)}-all",
                    "layer": layer,
                    "measure": "sparse_prediction",
                    "statistic": f"li2016_{name}_at_{penalty:.3g}",
                    "value": mean,
                    "standard_error": error,
                    "beyond": False,
                }


def collect(results: Path) -> None:
    """Write all that the page cites."""
    for experiment in (LI, WANG, ACROSS):
        summary = pd.read_csv(results / experiment / "tables" / "summary.csv")
        rows = compact(with_live(summary) if experiment == WANG else summary)
        if experiment == LI:
            penalties = published_penalties(results / experiment / "measures" / "sparse_prediction")
            rows = pd.concat([rows, pd.DataFrame(penalties)])
        rows.to_csv(HERE / f"{experiment}.csv", index=False, float_format=f"%.{DIGITS}g")
        shutil.copy(results / experiment / "tables" / "reading.rst", HERE / f"{experiment}.rst")
    for folder, figures in FIGURES.items():
        experiment, comparison, networks = folder.split("/")
        for figure in figures:
            drawn = Image.open(results / experiment / "figures" / comparison / networks / f"{figure}.png")
            drawn.thumbnail((WIDTH, drawn.height))
            drawn.convert("RGB").quantize(96).save(HERE / f"{networks}_{figure}.png", optimize=True)
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python docs/findings/collect.py RESULTS")
    collect(Path(sys.argv[1]))
