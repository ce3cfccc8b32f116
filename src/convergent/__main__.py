"""python -m convergent STEP …: run one step of the workflow by hand, as its rule does."""

import argparse
import ast
import importlib
import os
import sys
from pathlib import Path

from convergent.errors import InputError

STEPS = Path(__file__).parent / "steps"
# How often a thread of OpenMP looks before it sleeps. By default it looks so long that another process on the same
# cores makes a training five times slower; asleep at once (OMP_WAIT_POLICY=passive), it is a quarter slower alone.
SPINS = "20000"


def main(arguments: list[str]) -> None:
    """Run the step named by the first argument with the others; only that step is imported."""
    steps = sorted(path.stem for path in STEPS.glob("[a-z]*.py"))
    if not arguments or arguments[0] not in steps:
        lines = [f"  {step:18} {_first_line(STEPS / f'{step}.py')}" for step in steps]
        text = "\n".join(["usage: python -m convergent STEP …   (STEP --help for its arguments)", "", *lines])
        asked_for_help = arguments[:1] in (["-h"], ["--help"])
        print(text, file=sys.stdout if asked_for_help else sys.stderr)
        raise SystemExit(0 if asked_for_help else 2)
    name, *rest = arguments
    step = importlib.import_module(f"convergent.steps.{name}")
    parser = argparse.ArgumentParser(
        prog=f"python -m convergent {name}",
        description=step.__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    step.add_arguments(parser)
    try:
        step.run(**vars(parser.parse_args(rest)))
    except InputError as error:
        sys.exit(f"convergent {name}: {error}")


def _first_line(path: Path) -> str:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return docstring.splitlines()[0]


if __name__ == "__main__":
    os.environ.setdefault("GOMP_SPINCOUNT", SPINS)  # read once, when a step first loads OpenMP
    main(sys.argv[1:])
