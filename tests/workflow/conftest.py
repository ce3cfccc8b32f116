"""The small experiment, run once for real; each test looks at it or plans on top of it."""

import pytest
from workflow.project import Project, copy_of_project


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The small experiment, complete."""
    project = copy_of_project(tmp_path_factory.mktemp("project"))
    project.snakemake()
    return project
