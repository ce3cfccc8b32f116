"""A copy of the project with a small experiment, to run and to plan in."""

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
DEFAULT = yaml.safe_load((ROOT / "config" / "config.yaml").read_text())
COPIED = ("Snakefile", "rules", "config", "envs", "profiles", "src")

RECIPE = {
    "data": "digits",
    "architecture": {"name": "convnet", "arguments": {"channels": [4, 6, 6], "hidden": [8]}},
    "training": {"epochs": 2, "batch_size": 128, "learning_rate": 0.05},
    "stages": ["init", "final"],
}
SMALL = {
    "networks": ["small"],
    "seeds": [0, 1, 2],
    "probe": {"images": 80, "folds": 4, "seed": 0},
    "matching": {"rotations": 3, "permutations": 4},
    "sparse_prediction": {"alphas": 4, "smallest": 0.1},
    "clustering": {"repeats": 3},
    "subspace_match": {"starts": 2, "orders": 1, "enumerated": 2},
    "subspace_match_sampled": {"positions": 100, "draws": 2},
    "similarity": {"permutations": 4},
    "rsa": {"images": 60, "permutations": 4},
    "measures": [*DEFAULT["measures"], "layer_pairs", "stitching", "unit_removal", "ensemble"],
    "stitching": {"alphas": [0.3, 0.03]},
    "unit_removal": {"shares": [0.5], "draws": 2},
    "ensemble": {"permutations": 4},
    "patches": {"images": 4, "units": 1, "steps": 2},
}


@dataclass(frozen=True)
class Project:
    """A copy of the project in a folder of its own."""

    root: Path

    def snakemake(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "CONVERGENT_DATA")}
        command = [sys.executable, "-m", "snakemake", *arguments]
        done = subprocess.run(command, cwd=self.root, env=environment, capture_output=True, text=True, check=False)
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def planned(self, *arguments: str) -> Counter[str]:
        """What a dry run would do: the jobs of each rule, those of figure under the figure's name."""
        text = self.snakemake("--dry-run", *arguments).stdout
        jobs = re.findall(r"^(?:local)?rule (\w+):\n((?:    .*\n)+)", text, flags=re.MULTILINE)
        figure = re.compile(r"wildcards: .*(figure)=(\w+)")
        return Counter(" ".join(match.groups()) if (match := figure.search(block)) else rule for rule, block in jobs)

    def configure(self, **changes: object) -> None:
        """Rewrite config/config.yaml: the small experiment with changes to its sections."""
        merged = dict(DEFAULT)
        for name, value in {**SMALL, **changes}.items():
            section = merged.get(name) if isinstance(merged.get(name), dict) else {}
            merged[name] = {**section, **value} if isinstance(value, dict) else value
        (self.root / "config" / "config.yaml").write_text(yaml.safe_dump(merged, sort_keys=False))


def copy_of_project(root: Path) -> Project:
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, root / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            shutil.copy(source, root / name)
    (root / "config" / "networks" / "small.yaml").write_text(yaml.safe_dump(RECIPE))
    project = Project(root)
    project.configure()
    return project
