"""A server with a clock to turn, for every test its own; and one that takes keyless reports."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.control_plane import ControlPlane, running


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[ControlPlane]:
    """A control plane as it comes."""
    with running(tmp_path / "qb") as own:
        yield own


@pytest.fixture
def keyless_plane(tmp_path: Path) -> Iterator[ControlPlane]:
    """A control plane that takes keyless reports."""
    with running(tmp_path / "qb", keyless_reports=True) as own:
        yield own
