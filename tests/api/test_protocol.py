"""What is no HTTP is refused in the form of every other refusal."""

import socket

import pytest

from qb.contract.errors import PROBLEM_TYPE, Problem
from tests.fixtures_server import Server


@pytest.mark.parametrize("sent", [b"\x00\x01\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nIf-Match: \x0e\r\n\r\n"])
def test_what_is_no_http_gets_a_problem_document(sent: bytes, shared_server: Server) -> None:
    with socket.create_connection(("127.0.0.1", shared_server.port), timeout=10) as wire:
        wire.sendall(sent)
        answer = b"".join(iter(lambda: wire.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = head.decode().lower().split("\r\n")
    assert lines[0] == "http/1.1 400 bad request"
    assert f"content-type: {PROBLEM_TYPE}" in lines
    problem = Problem.model_validate_json(body)
    assert (problem.status, f"x-request-id: {problem.request_id}" in lines) == (400, True)
