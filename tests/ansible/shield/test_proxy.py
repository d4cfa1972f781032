"""The API behind TLS works as without it: long polls, event streams, uploads, and callers' addresses."""

import http.client
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from qb.client import QbClient, Unreachable
from qb.contract.keys import TokenCreate
from qb.contract.nodes import Register
from qb.contract.tasks import TaskCreate
from tests.ansible.playbook import TOP
from tests.ansible.shield.conftest import ROLE, Shielded
from tests.e2e.agent import wait_until

POLL_SECONDS = 25
NOTICED = 8.0
"""Seconds until a task that was meant for a poller that is gone reaches one that lives; 15 more were it not noticed."""
MIB = 1 << 20


@pytest.fixture(scope="module")
def keys(shielded: Shielded) -> dict[str, str]:
    """Keys of two pull nodes that joined through the proxy."""
    with shielded.client() as client:
        token = client.admin.create_token(TokenCreate(name_glob="*", max_uses=2)).token
    found = {}
    for name in ("lost", "live"):
        with QbClient(shielded.url, registration_token=token, ca_file=str(shielded.ca_file)) as joining:
            found[name] = joining.register(Register(hostname=name, wire=2, tags={"kind": "pull"})).api_key
    return found


@pytest.fixture(scope="module", autouse=True)
def idle_poll(shielded: Shielded) -> Iterator["Future[tuple[object, float]]"]:
    """A poll that nothing answers, from a node of its own, during the other tests: what it got, and after how long."""
    with shielded.client() as client:
        token = client.admin.create_token(TokenCreate(name_glob="idle", max_uses=1)).token
    with QbClient(shielded.url, registration_token=token, ca_file=str(shielded.ca_file)) as joining:
        key = joining.register(Register(hostname="idle", wire=2)).api_key

    def poll() -> tuple[object, float]:
        with shielded.client(key) as node:
            begun = time.monotonic()
            return node.poll(wait=POLL_SECONDS), time.monotonic() - begun

    with ThreadPoolExecutor(1) as threads:
        yield threads.submit(poll)


def test_check_mode_works_on_bare_machines_and_a_second_run_changes_nothing(shielded: Shielded) -> None:
    assert shielded.checked.counted("failed") == {"plane": 0, "cloud": 0}
    assert shielded.second.counted("changed") == {"plane": 0, "cloud": 0}


def test_who_knows_the_ca_is_answered_and_who_does_not_is_warned(shielded: Shielded) -> None:
    with shielded.client() as client:
        client.version()
    with pytest.raises(Unreachable, match="CERTIFICATE_VERIFY_FAILED"), QbClient(shielded.url) as stranger:
        stranger.version()
    assert "PRIVATE KEY" not in shielded.ca_file.read_text()


def test_http_is_sent_to_https(shielded: Shielded) -> None:
    with closing(http.client.HTTPConnection(shielded.plane.address, timeout=10)) as plain:
        plain.request("GET", "/healthz?a=b")
        answer = plain.getresponse()
        answer.read()
    assert answer.status in (301, 308)
    assert answer.headers["Location"] == f"{shielded.url}/healthz?a=b"


def test_nothing_but_the_proxy_listens_to_others(shielded: Shielded) -> None:
    listening = shielded.plane.sh("ss -Hltn | awk '{print $4}'").split()
    open_to_all = {address.rpartition(":")[2] for address in listening if not re.match(r"127\.|\[::1\]", address)}
    assert open_to_all == {"22", "80", "443"}


def test_answers_carry_what_browsers_should_know(shielded: Shielded) -> None:
    answer = get(shielded, "/healthz")
    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Server"] is None


def test_old_tls_is_refused(shielded: Shielded) -> None:
    # with everything allowed on this side, the other one refuses
    command = ["openssl", "s_client", "-connect", f"{shielded.plane.address}:443", "-cipher", "DEFAULT@SECLEVEL=0"]
    for version, refused in (("-tls1_1", True), ("-tls1_2", False)):
        said = subprocess.run([*command, version], capture_output=True, text=True, timeout=20, check=False, input="")
        assert ("alert protocol version" in said.stderr) == refused, said.stderr


def test_the_dashboard_is_behind_it(shielded: Shielded) -> None:
    answer = get(shielded, "/datasette/")
    assert answer.status in (200, 302), answer.status
    assert get(shielded, "/datasette").headers["Location"] == "/datasette/"


def test_events_arrive_as_they_happen(shielded: Shielded) -> None:
    with shielded.client() as client, shielded.client() as other, ThreadPoolExecutor(1) as threads:
        task = client.create_task(TaskCreate(prompt="x", target_node_name="nobody"))
        events = client.follow_events(task.id)
        # were the answer buffered, nothing would come before the end
        assert threads.submit(next, events).result(10).task_id == task.id
        other.cancel_task(task.id)
        assert threads.submit(list, events).result(10)


def test_a_waiting_poll_is_answered_at_once(shielded: Shielded, keys: dict[str, str]) -> None:
    with shielded.client() as client, shielded.client(keys["live"]) as node, ThreadPoolExecutor(1) as threads:
        polling = threads.submit(node.poll, wait=POLL_SECONDS)
        wait_until(lambda: spoke(client, "live"), "the poll being heard", seconds=10)
        task = client.create_task(TaskCreate(prompt="x", target_node_name="live"))
        given = polling.result(5)
        assert given is not None
        assert given.task_id == task.id


def test_a_poller_that_is_gone_is_noticed_through_the_proxy(shielded: Shielded, keys: dict[str, str]) -> None:
    with shielded.client() as client, shielded.client(keys["live"]) as node:
        polling = shielded.trust().wrap_socket(
            socket.create_connection((shielded.plane.address, 443), timeout=10), server_hostname=shielded.plane.address
        )
        request = "GET /tasks/pending?wait={} HTTP/1.1\r\nHost: {}\r\nX-API-Key: {}\r\n\r\n"
        polling.sendall(request.format(POLL_SECONDS, shielded.plane.address, keys["lost"]).encode())
        wait_until(lambda: spoke(client, "lost"), "the poll being heard", seconds=10)
        polling.close()
        begun = time.monotonic()
        task = client.create_task(TaskCreate(prompt="x", target_tags={"kind": "pull"}))
        while (given := node.poll(wait=5)) is None or given.task_id != task.id:
            assert time.monotonic() - begun < NOTICED, "the task was given to the poller that is gone"
        assert time.monotonic() - begun < NOTICED


def test_an_upload_reaches_the_api_while_it_is_sent(shielded: Shielded) -> None:
    key = shielded.admin_key()
    head, body, tail = (
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n',
        MIB * 8,
        b"\r\n--b--\r\n",
    )
    length = len(head) + 2 * body + len(tail)
    request = f"POST /upload HTTP/1.1\r\nHost: {shielded.plane.address}\r\nX-API-Key: {key}\r\n"
    request += f"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: {length}\r\n\r\n"
    with shielded.trust().wrap_socket(
        socket.create_connection((shielded.plane.address, 443), timeout=30), server_hostname=shielded.plane.address
    ) as sending:
        sending.sendall(request.encode() + head + bytes(body))
        find = "find /var/lib/all-time-quarterback/data/blobs -type f -size +4M"
        wait_until(lambda: shielded.plane.sh(find).strip() or None, "the first half having arrived", seconds=30)
        sending.sendall(bytes(body) + tail)
        answer = http.client.HTTPResponse(sending)
        answer.begin()
        assert answer.status in (200, 201), answer.read()


def test_a_large_upload_arrives_whole(shielded: Shielded, tmp_path: Path) -> None:
    file = tmp_path / "large"
    file.write_bytes(os.urandom(MIB) * 96)
    with shielded.client() as client:
        assert client.upload(file).size == 96 * MIB


def test_the_audit_log_has_the_callers_address_whatever_it_claims(shielded: Shielded) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as route:
        route.connect((shielded.plane.address, 9))
        ours = route.getsockname()[0]
    forged = {"X-Forwarded-For": "203.0.113.99", "X-API-Key": "qba_nobody", "Forwarded": "for=203.0.113.98"}
    assert get(shielded, "/nodes", forged).status == 401
    with shielded.client() as client:
        client.drain_node("live")
        client.resume_node("live")
        entries = client.admin.audit(limit="10")
    assert {entry.address for entry in entries[:3]} == {ours}


def test_the_long_poll_has_its_25_seconds(idle_poll: "Future[tuple[object, float]]") -> None:
    given, seconds = idle_poll.result(POLL_SECONDS + 10)
    assert given is None
    assert POLL_SECONDS - 1 < seconds < POLL_SECONDS + 5


def test_a_restart_keeps_the_ca(shielded: Shielded) -> None:
    shielded.plane.sh("systemctl restart caddy.service")
    with shielded.client() as client:
        client.version()
    shielded.plane.sh("systemctl reload caddy.service")
    with shielded.client() as client:
        client.version()


def test_while_the_control_plane_starts_anew_callers_wait(shielded: Shielded) -> None:
    restarting = threading.Thread(target=shielded.plane.sh, args=("systemctl restart qb-control-plane.service",))
    restarting.start()
    try:
        while restarting.is_alive():
            answer = get(shielded, "/healthz")
            assert answer.status == 200
    finally:
        restarting.join(60)


def test_acme_makes_a_configuration_that_caddy_takes(shielded: Shielded, tmp_path: Path) -> None:
    # no authority can be reached from here: the syntax is all that is tried
    written = tmp_path / "Caddyfile"
    variables = ["-e", "@roles/proxy/defaults/main.yml", "-e", "@roles/proxy/vars/main.yml"]
    settings = '{"proxy_tls": "acme", "proxy_names": ["qb.example.org"], "proxy_acme_email": "ops@example.org"}'
    command = [f"{sys.prefix}/bin/ansible", "localhost", "-m", "template", *variables, "-e", settings]
    command += [
        "-e",
        "qb_url=https://qb.example.org",
        "-a",
        f"src=roles/proxy/templates/Caddyfile.j2 dest={written} mode=0600",
    ]
    subprocess.run(command, cwd=TOP, check=True, capture_output=True, timeout=60, stdin=subprocess.DEVNULL)
    validate = "d=$(mktemp -d); cat >$d/f; XDG_DATA_HOME=$d caddy validate --adapter caddyfile --config $d/f 2>&1"
    assert "Valid configuration" in shielded.plane.sh(validate, stdin=written.read_bytes())
    assert "acme-v02.api.letsencrypt.org" in written.read_text()


def test_ones_own_certificate_takes_the_place_of_the_ca(shielded: Shielded, tmp_path: Path) -> None:
    own = {
        "proxy_tls": "files",
        "proxy_certificate": tmp_path / "own.pem",
        "proxy_certificate_key": tmp_path / "own.key",
    }
    address = shielded.plane.address
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
    ]
    command += ["-subj", "/CN=own", "-addext", f"subjectAltName=IP:{address}", "-addext", "basicConstraints=CA:TRUE"]
    command += ["-out", str(tmp_path / "own.pem"), "-keyout", str(tmp_path / "own.key")]
    subprocess.run(command, check=True, capture_output=True, timeout=30)
    options = [part for name, value in own.items() for part in ("-e", f"{name}={value}")]
    role = (ROLE, "-e", "role=proxy", "-e", "on=plane")
    played = shielded.operator.play(*role, *options, "-vvv", "--diff").good()
    assert "PRIVATE KEY" not in played.output
    with QbClient(shielded.url, ca_file=str(tmp_path / "own.pem")) as client:
        client.version()
    assert shielded.plane.sh("stat -c '%U %G %a' /etc/caddy/quarterback.key") == "root caddy 640\n"
    shielded.operator.play(*role).good()
    with shielded.client() as client:
        client.version()


def get(shielded: Shielded, path: str, headers: dict[str, str] | None = None) -> http.client.HTTPResponse:
    """One request over TLS, and its answer, of which the body is read and gone."""
    with closing(
        http.client.HTTPSConnection(shielded.plane.address, context=shielded.trust(), timeout=15)
    ) as connection:
        connection.request("GET", path, headers=headers or {})
        answer = connection.getresponse()
        answer.read()
        return answer


def spoke(client: QbClient, name: str) -> bool | None:
    """Whether the node has said something since it joined."""
    node = client.node(name)
    return node.last_seen_at != node.registered_at or None
