"""Names of snapshots and pairs, read back."""

import pytest

from convergent import snapshots


@pytest.mark.parametrize(
    ("name", "network", "trainings"),
    [
        ("net_s-s10-epoch5", "net_s", {"net_s-s10"}),
        ("net_s-s0-final--net_s-s1-final", "net_s", {"net_s-s0", "net_s-s1"}),
        ("net_s-s0-init--net_s-s0-final", "net_s", {"net_s-s0"}),
        ("net-s0-final--net_s-s0-final", "net--net_s", {"net-s0", "net_s-s0"}),
    ],
)
def test_network_of_and_trainings_of__a_pair_or_snapshot(name: str, network: str, trainings: set[str]) -> None:
    assert snapshots.network_of(name) == network
    assert snapshots.trainings_of(name) == trainings
