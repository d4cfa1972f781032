"""`qb key`, `qb token`, `qb audit` and what `qb node` changes, against a real control plane."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures_server import Server

Cli = Callable[..., Any]


@pytest.fixture
def admin(qb: Any, shared_server: Server, monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.setenv("QB_URL", shared_server.url)
    monkeypatch.setenv("QB_API_KEY", shared_server.admin_key)
    return qb


def made(admin: Cli, *args: str) -> Any:
    ran = admin(*args, "-o", "json")
    assert ran.code == 0, ran.err
    return json.loads(ran.out)


def test_a_key_is_made_listed_rotated_revoked_and_removed(admin: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = admin("key", "create", "cli-acme", "--nodes", "acme-*", "--tag", "site=a", "--rate", "9", "--expires", "90d")
    assert "(shown this once)" in ran.out
    assert "acme-*" in ran.out
    assert "qba_" not in admin("key", "list").out.replace("qba_", "", 1), "only prefixes are listed"
    edited = made(admin, "key", "edit", "cli-acme", "--rate", "none", "--max-running", "3", "--expires", "never")
    assert (edited["rate_limit"], edited["max_running"], edited["expires_at"]) == (None, 3, None)
    assert admin("key", "edit", "cli-acme").code == admin("key", "edit", "cli-acme", "--rate", "-1").code == 2
    first = made(admin, "key", "rotate", "cli-acme", "--grace", "2h")
    assert made(admin, "key", "show", first["id"][:8])["key_prefix"] == first["key_prefix"]
    assert made(admin, "key", "revoke", "cli-acme")["revoked_at"]
    assert "revoked" in admin("key", "list").out
    admin("key", "remove", "cli-acme")
    gone = admin("key", "show", "cli-acme")
    assert gone.code == 5
    assert gone.err == "error: no key 'cli-acme'\nhint: `qb key list` shows their names and ids\n"


def test_a_key_that_cannot_be_is_told_by_its_option(admin: Cli) -> None:
    ran = admin("key", "create", "x", "--rate", "0")
    assert (ran.code, ran.err.startswith("error: --rate: ")) == (2, True)


def test_the_wide_list_has_the_limits_of_a_key(admin: Cli) -> None:
    limits = ("--nodes", "wide-*", "--max-running", "37", "--expires", "90d")
    made(admin, "key", "create", "cli-wide", *limits)
    made(admin, "key", "create", "cli-tags", "--tag", "site=a", "--tag", "gpu=yes", "--nodes", "t-*")
    lines = admin("key", "list", "-o", "wide").out.splitlines()
    wide, tags = (next(line for line in lines if name in line) for name in ("cli-wide", "cli-tags"))
    assert "AT ONCE" in lines[0]
    assert wide.rstrip().endswith(" 37")
    assert " wide-* " in wide, "nothing comes after a pattern without tags"
    assert " in 90 d " in wide
    assert " t-*, gpu=yes, site=a" in tags


def test_a_token_lets_in_so_many_and_is_taken_back(admin: Cli) -> None:
    token = made(admin, "token", "create", "--nodes", "edge-*", "--uses", "2", "--expires", "1d")
    assert token["token"].startswith("qbr_")
    listed = admin("token", "list").out
    assert "0 of 2" in listed
    assert token["token"] not in listed
    assert made(admin, "token", "remove", token["id"][:8])["id"] == token["id"]
    assert token["id"][:8] not in admin("token", "list", "-o", "id").out


def test_a_node_is_edited_rotated_and_removed(admin: Cli) -> None:
    node = made(admin, "node", "add", "cli-box", "--tag", "site=a", "--tag", "gpu=no")
    edited = made(admin, "node", "edit", "cli-box", "--tag", "site=b", "--remove-tag", "gpu", "--rename", "cli-crate")
    assert (edited["tags"], edited["name"]) == ({"site": "b"}, "cli-crate")
    assert admin("node", "edit", "cli-crate").code == 2
    rotated = made(admin, "node", "rotate", "cli-crate", "--grace", "1h")
    assert rotated["api_key"] != node["api_key"]
    assert made(admin, "node", "remove", "cli-crate")["id"] == node["id"]
    assert admin("node", "show", "cli-crate").code == 5


def test_audit_tells_who_did_what_within_80_columns(admin: Cli) -> None:
    made(admin, "node", "add", "cli-audited")
    ran = admin("audit", "--action", "node_created", tty=True)
    assert "node created" in ran.out
    assert "admin" in ran.out
    assert all(len(line) <= 80 for line in ran.out.splitlines())
    assert made(admin, "audit", "--limit", "1")[0]["action"]


def test_an_environment_comes_from_ones_own_variables_or_a_file(
    admin: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CLI_SECRET", "hush")
    file = tmp_path / "env"
    file.write_text("# for the agent\n\nMODE=fast=er\n")
    (task,) = made(
        admin, "task", "create", "work", "--to", "nobody-here", "--env", "CLI_SECRET", "--env-file", str(file)
    )
    assert task["env_names"] == ["CLI_SECRET", "MODE"]
    refused = admin("task", "create", "work", "--env", "CLI_SECRET=hush")
    assert refused.code == 2
    assert "hush" not in refused.err
    assert admin("task", "create", "work", "--env", "NOT_SET").code != 0
    file.write_text("nonsense")
    assert "line 1 is no NAME=VALUE" in admin("task", "create", "work", "--env-file", str(file)).err
