"""What roles/package brings to a node is what was built from: its digest covers all that the wheel takes."""

import importlib.util
import shutil
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

TOP = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheelhouse() -> ModuleType:
    spec = importlib.util.spec_from_file_location("wheelhouse", TOP / "roles/package/files/wheelhouse.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_all_that_the_wheel_takes_counts(wheelhouse: ModuleType) -> None:
    wheel = tomllib.loads((TOP / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    counted = set(wheelhouse._sources(TOP))
    for taken in (*wheel["packages"], *wheel["force-include"]):
        place = TOP / taken
        files = [place] if place.is_file() else [path for path in place.rglob("*.*") if path.suffix != ".pyc"]
        assert files
        assert set(files) - counted == set(), taken


def test_a_file_of_the_interpreter_does_not_count(wheelhouse: ModuleType, tmp_path: Path) -> None:
    for name in (*wheelhouse.SOURCES, "playbooks"):
        (tmp_path / name).mkdir()
    for name in wheelhouse.FILES:
        shutil.copy(TOP / name, tmp_path / name)
    (tmp_path / "qb/main.py").touch()
    (tmp_path / "qb/main.cpython-311.pyc").touch()
    assert tmp_path / "qb/main.py" in set(wheelhouse._sources(tmp_path))
    assert tmp_path / "qb/main.cpython-311.pyc" not in set(wheelhouse._sources(tmp_path))
