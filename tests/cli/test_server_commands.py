"""`qb init`, `qb serve` and `qb doctor`; the real server is started once."""

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from qb.cli.profile import Profile, profile_path, read_profiles, write_profile
from qb.client import ClientError, QbClient
from qb.contract.errors import ErrorCode
from qb.contract.fleet import Health, Version


def _profiles() -> dict[str, Profile]:
    return read_profiles(profile_path(os.environ))


def test_init_prints_the_keys_and_writes_a_profile(qb: Any, tmp_path: Path) -> None:
    ran = qb("init", "--data-dir", str(tmp_path / "d"), "--url", "http://127.0.0.1:9000/", "--json")
    assert (ran.code, ran.err) == (0, "")
    told = json.loads(ran.out)
    assert told["admin_key"].startswith("qba_")
    assert told["registration_token"].startswith("qbr_")
    assert _profiles() == {"default": Profile("http://127.0.0.1:9000", told["admin_key"])}
    assert told["profile_file"] == str(profile_path(os.environ))


def _pasted(line: str) -> list[str]:
    """The arguments that a shell makes of the command in a line."""
    return shlex.split(line.partition(": ")[2])


@pytest.mark.parametrize(
    ("url", "more"),
    [
        ([], []),
        (["--url", "http://127.0.0.1:8471"], ["--port", "8471"]),
        (["--url", "http://127.0.0.1:8080"], []),
        (["--url", "https://qb.example.org:8443"], []),
    ],
)
def test_what_to_do_next_can_be_pasted(qb: Any, tmp_path: Path, url: list[str], more: list[str]) -> None:
    place = tmp_path / "my data's"
    lines = qb("init", "--data-dir", str(place), *url).out.splitlines()
    assert _pasted(lines[-1]) == ["qb", "serve", "--data-dir", str(place), *more]


def test_a_mend_can_be_pasted(qb: Any, tmp_path: Path) -> None:
    place = tmp_path / "no such"
    for command in ("serve", "doctor"):
        ran = qb(command, "--data-dir", str(place))
        assert f"qb init --data-dir '{place}'" in ran.err + ran.out
    assert qb("init", "--data-dir", str(place)).code == 0
    assert f"qb dashboard --data-dir '{place}'" in qb("dashboard", "open", "--data-dir", str(place)).err
    assert qb("db", "backup", str(tmp_path / "b"), "--data-dir", str(place)).code == 0
    restored = tmp_path / "re stored"
    lines = qb("db", "restore", str(tmp_path / "b"), "--data-dir", str(restored)).out.splitlines()
    assert _pasted(lines[-1]) == ["qb", "serve", "--data-dir", str(restored)]


def test_init_leaves_a_profile_of_another_server_alone(qb: Any, tmp_path: Path) -> None:
    mine = Profile("https://qb.example.org", "qba_mine")
    write_profile(profile_path(os.environ), "default", mine)
    ran = qb("init", "--data-dir", str(tmp_path / "d"))
    assert ran.code == 0
    assert "still leads to https://qb.example.org" in ran.err
    assert "qba_" in ran.out
    assert _profiles() == {"default": mine}
    assert qb("--profile", "lab", "init", "--data-dir", str(tmp_path / "e")).code == 0
    assert sorted(_profiles()) == ["default", "lab"]
    assert qb("init", "--data-dir", str(tmp_path / "f"), "--force").code == 0
    assert _profiles()["default"].url == "http://127.0.0.1:8080"


def test_init_of_a_directory_in_use_is_a_conflict(qb: Any, tmp_path: Path) -> None:
    assert qb("init", "--data-dir", str(tmp_path / "d")).code == 0
    before = _profiles()
    ran = qb("init", "--data-dir", str(tmp_path / "d"))
    assert ran.code == 6
    assert ran.err.startswith(f"error: {tmp_path / 'd'} already holds a control plane")
    assert _profiles() == before


def test_init_prints_the_keys_even_when_the_profile_cannot_be_written(
    qb: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QB_PROFILE", "/proc/nowhere/profile.toml")
    ran = qb("init", "--data-dir", str(tmp_path / "d"))
    assert ran.code == 1
    assert "qba_" in ran.out
    assert "is written" not in ran.out
    assert "QB_PROFILE" in ran.err


def test_init_makes_nothing_when_the_profile_file_is_broken(qb: Any, tmp_path: Path) -> None:
    path = profile_path(os.environ)
    path.parent.mkdir()
    path.write_text("[")
    assert qb("init", "--data-dir", str(tmp_path / "d")).code == 1
    assert not (tmp_path / "d").exists()


def test_serve_of_a_directory_without_a_control_plane_names_the_mend(qb: Any, tmp_path: Path) -> None:
    ran = qb("serve", "--data-dir", str(tmp_path))
    assert ran.code == 5
    assert f"qb init --data-dir {tmp_path}" in ran.err


def test_a_task_lives_on_the_real_server(qb: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    assert qb("init", "--data-dir", str(tmp_path / "d"), "--url", url).code == 0
    command = [sys.executable, "-c", "from qb.cli.main import run; run()", "serve"]
    server = subprocess.Popen([*command, "--data-dir", str(tmp_path / "d"), "--port", str(port)])
    try:
        _until_healthy(url)
        created = qb("task", "create", "Do it", "--tag", "site=nowhere", "-o", "id")
        task_id = created.out.strip()
        assert created.code == 0
        assert qb("task", "show", task_id[:6], "-o", "id").out.strip() == task_id
        assert qb("task", "wait", task_id, "--timeout", "1s").code == 8
        assert qb("task", "cancel", task_id[:8]).code == 0
        ended = qb("task", "wait", task_id, "-o", "json")
        assert (ended.code, json.loads(ended.out)["reason"]) == (7, "cancelled_by_operator")
        assert "cancelled by the operator" in qb("task", "events", task_id).out
        monkeypatch.setenv("QB_API_KEY", "qba_wrong")
        assert qb("task", "list").code == 4
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(20)


def _until_healthy(url: str) -> None:
    deadline = time.monotonic() + 20
    with QbClient(url) as client:
        while True:
            try:
                client.health()
                return
            except ClientError:
                assert time.monotonic() < deadline, "the server did not come up"
                time.sleep(0.05)


@pytest.fixture
def well(connected: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """An orchestrator that is well, and a podman that answers."""
    connected.answers("GET", "/health", Health(status="ok", version="0.1.0"))
    connected.answers("GET", "/version", Version(version="0.1.0", wire=2))
    connected.answers("GET", "/tasks", [])
    info = {"version": {"Version": "9.0"}, "host": {"ociRuntime": {"name": "crun"}}}
    _command(tmp_path / "bin" / "podman", f"echo '{json.dumps(info)}'")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    return connected


def _command(path: Path, body: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def _findings(ran: Any) -> dict[str, tuple[str, str | None]]:
    return {each["check"]: (each["outcome"], each["mend"]) for each in json.loads(ran.out)}


def _free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def test_doctor_finds_nothing_where_all_is_well(qb: Any, well: Any, tmp_path: Path) -> None:
    assert qb("init", "--data-dir", str(tmp_path / "d")).code == 0
    ran = qb("doctor", "--data-dir", str(tmp_path / "d"), "--port", _free_port(), "-o", "json")
    assert ran.code == 0, ran.out
    assert {outcome for outcome, _ in _findings(ran).values()} == {"ok"}
    checks = {"versions", "podman", "database", "settings", "orchestrator", "wire", "clock", "key", "ports"}
    assert set(_findings(ran)) == checks


def test_doctor_names_a_mend_for_each_failure(
    qb: Any, well: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QB_URL", "http://127.0.0.1:1")
    _command(tmp_path / "bin" / "podman", "echo 'no subuid ranges' >&2; exit 125")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        ran = qb("doctor", "--data-dir", str(tmp_path / "none"), "--port", port, "-o", "json")
    assert ran.code == 1
    failed = {check: mend for check, (outcome, mend) in _findings(ran).items() if outcome == "fail"}
    assert set(failed) == {"podman", "database", "orchestrator", "ports"}
    assert all(failed.values())


def test_doctor_tells_a_key_that_is_not_accepted_and_an_older_server(qb: Any, well: Any) -> None:
    well.replies["GET", "/tasks"].clear()
    well.replies["GET", "/version"].clear()
    well.refuses("GET", "/tasks", 401, ErrorCode.UNAUTHENTICATED, "the key is not known")
    well.answers("GET", "/version", Version(version="0.0.1", wire=1))
    ran = qb("doctor", "--port", _free_port())
    assert ran.code == 1
    assert "FAIL  key" in ran.out
    assert "FAIL  wire" in ran.out
    assert "upgrade the orchestrator" in ran.out


SECRET = "qba_" + "0123456789abcdef" * 2


def test_doctor_tells_which_key_is_used_and_where_it_comes_from(
    qb: Any, well: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = profile_path(os.environ)
    write_profile(path, "default", Profile(well.url, SECRET))
    monkeypatch.delenv("QB_API_KEY")
    for key, source in ((None, f"profile 'default' in {path}"), (SECRET.upper(), "QB_API_KEY")):
        if key:
            monkeypatch.setenv("QB_API_KEY", key)
        ran = qb("doctor", "--port", _free_port())
        begin = (key or SECRET)[:12]
        (line,) = [line for line in ran.out.splitlines() if line.startswith("ok    settings")]
        assert line.endswith(f"key {begin}…, from {source}")
        assert f"{begin}… is accepted" in ran.out
        assert begin + "8" not in ran.out
    well.replies["GET", "/tasks"].clear()
    well.refuses("GET", "/tasks", 401, ErrorCode.UNAUTHENTICATED, "the key is not known")
    ran = qb("doctor", "--port", _free_port())
    assert f"{SECRET.upper()[:12]}…, from QB_API_KEY: the key is not known" in ran.out


def test_doctor_shows_little_of_a_short_key(qb: Any, well: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QB_API_KEY", "hunter2hunter2")
    assert "; key hunt…, from QB_API_KEY\n" in qb("doctor", "--port", _free_port()).out
    monkeypatch.delenv("QB_API_KEY")
    assert "; no key\n" in qb("doctor", "--port", _free_port()).out


def test_doctor_tells_a_damaged_database(qb: Any, well: Any, tmp_path: Path) -> None:
    assert qb("init", "--data-dir", str(tmp_path / "d")).code == 0
    with (tmp_path / "d" / "qb.db").open("r+b") as file:
        file.write(b"not a database at all")
    ran = qb("doctor", "--data-dir", str(tmp_path / "d"), "--port", _free_port(), "-o", "json")
    assert _findings(ran)["database"][0] == "fail"
    (tmp_path / "d" / "keys.db").chmod(0o644)
    ran = qb("doctor", "--data-dir", str(tmp_path / "d"), "--port", _free_port(), "-o", "json")
    assert _findings(ran)["database"][1] == f"chmod 600 {tmp_path / 'd' / 'keys.db'}"
