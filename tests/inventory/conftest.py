"""A control plane of the test's own, and `qb` and Ansible run against it as an operator runs them."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures_server import QB, Server

ROOT = Path(__file__).parents[2]
INVENTORY = ROOT / "inventory" / "qb_nodes.py"
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(server: Server, tmp_path: Path) -> Run:
    """Run a command of this environment with QB_URL and QB_API_KEY set; keyword arguments are more variables."""

    def run(command: str, *args: object, **env: str) -> "subprocess.CompletedProcess[str]":
        known = {"QB_URL": server.url, "QB_API_KEY": server.admin_key, "QB_PROFILE": str(tmp_path / "none.toml")}
        path = str(Path(sys.executable).with_name(command))
        return subprocess.run(
            [path, *map(str, args)],
            env=os.environ | known | {"ANSIBLE_NOCOLOR": "1", "COLUMNS": "200"} | env,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )

    return run


@pytest.fixture
def sync(run: Run, tmp_path: Path) -> Run:
    """`qb inventory sync` with these hosts of group `nodes`, as JSON, which is YAML too."""

    def sync(hosts: dict[str, Any], *args: str, **env: str) -> "subprocess.CompletedProcess[str]":
        file = tmp_path / "fleet.yml"
        file.write_text(json.dumps({"nodes": {"hosts": hosts}}))
        return run(QB.name, "inventory", "sync", "--from", file, *args, **env)

    return sync
