"""The order in which figures show the units of a pair: one-to-one partners stand on the diagonal."""

import numpy as np
import xarray as xr


def matched(matching: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the units of A, best match first, then the rest; and of B in the order of their partners."""
    position = {label: i for i, label in enumerate(matching["unit_b"].values)}
    partner = np.array([position.get(label, -1) for label in matching["partner_one_to_one_a"].values])
    return best_first(matching["r_one_to_one_a"].values, partner, matching.sizes["unit_b"])


def best_first(r: np.ndarray, partner: np.ndarray, size_b: int) -> tuple[np.ndarray, np.ndarray]:
    """The same from the position of the partner of each unit of A, −1 for none, and r with it, NaN for none."""
    rows = np.argsort(-np.nan_to_num(r, nan=-2.0), kind="stable")
    partners = partner[rows]
    partners = partners[partners >= 0]
    return rows, np.concatenate([partners, np.setdiff1d(np.arange(size_b), partners)])
