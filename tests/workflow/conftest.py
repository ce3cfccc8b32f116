"""The small experiment, run once for real; each test looks at it or plans on top of it."""

from pathlib import Path

import pytest
from workflow.project import Project, copy_of_project

FOLDER = Path(__file__).parent


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The small experiment, complete."""
    project = copy_of_project(tmp_path_factory.mktemp("project"))
    project.snakemake()
    return project


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """These tests first: they share one process, which would otherwise work alone at the end."""
    items.sort(key=lambda item: item.path.parent != FOLDER)
