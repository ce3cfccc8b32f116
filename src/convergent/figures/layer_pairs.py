"""Every layer of A with every layer of B on the coarser of their grids: CKA, matched r and R², beside the nulls."""

from matplotlib.figure import Figure

from convergent.figures import layer_map, style

INDICES = {
    "cka": "linear CKA",
    "r_one_to_one": "mean r one to one",
    "r2_ab": "R² of B's units from A's",
    "r2_ba": "R² of A's units from B's",
}


def draw(stores: style.Stores, untrained: style.Stores) -> Figure:
    """Mean over pairs; a column an index; rows: as they are, the same untrained, and B's images permuted."""
    trained, null = stores["layer_pairs"], untrained.get("layer_pairs", [])
    rows = [(trained, "", style.stage(trained[0]))]
    rows += [(null, "", "untrained")] if null else []
    rows += [(trained, "_permuted", "B's images permuted")]
    side = layer_map.side(trained[0])
    size = (side * len(INDICES) + 0.9, (side + 0.2) * len(rows) + 0.2)
    figure = Figure(figsize=size, layout="constrained", dpi=150)
    axes = figure.subplots(len(rows), len(INDICES), sharex=True, sharey=True, squeeze=False)
    for of_row, (opened, suffix, title) in zip(axes, rows, strict=True):
        for axis, (index, name) in zip(of_row, INDICES.items(), strict=True):
            image = layer_map.draw(axis, opened, index + suffix)
            axis.set_title(name if of_row[0] is axes[0][0] else "")
            axis.label_outer()
        of_row[0].set_ylabel(f"{title}\nlayer of A")
    figure.colorbar(image, ax=axes.ravel().tolist(), shrink=0.5, label="index")
    return figure
