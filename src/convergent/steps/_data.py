"""What the steps that read images share: where the data sets are."""

import argparse
import os
from pathlib import Path


def add_data_root(parser: argparse.ArgumentParser) -> None:
    root = os.environ.get("CONVERGENT_DATA")
    parser.add_argument(
        "--data-root", type=Path, default=Path(root) if root else None, help="folder of the data sets: CONVERGENT_DATA"
    )
