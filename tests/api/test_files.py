"""Uploads, downloads and artifacts over HTTP: what is kept, what is refused, and that a refusal keeps nothing."""

import base64
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2
import pytest

from qb.domain.quotas import Quotas
from tests.api.conftest import Running, serving

BODY = b"id,name\n1,Ada\n"
LONG = "n" * 251 + ".csv"


@dataclass
class Held:
    """A task that a node holds, and headers of the node and of its agent."""

    id: str
    node: dict[str, str]
    agent: dict[str, str]


def digest(body: bytes) -> str:
    return "sha-256=" + base64.b64encode(hashlib.sha256(body).digest()).decode()


def stored(running: Running) -> list[Path]:
    return [path for path in running.core.settings.blobs.rglob("*") if path.is_file()]


async def upload(running: Running, name: str = "people.csv", body: bytes = BODY) -> dict[str, Any]:
    answer = await running.http.post("/upload", headers=running.admin, files={"file": (name, body)})
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def form(running: Running, raw: bytes, kind: str = "multipart/form-data; boundary=B") -> httpx2.Response:
    return await running.http.post("/upload", headers={**running.admin, "Content-Type": kind}, content=raw)


def part(disposition: bytes, body: bytes = BODY) -> bytes:
    return b"--B\r\nContent-Disposition: form-data; " + disposition + b"\r\n\r\n" + body + b"\r\n--B--\r\n"


async def node(running: Running, name: str) -> dict[str, str]:
    answer = await running.http.post(
        "/register",
        headers={"X-Registration-Token": running.made.registration_token},
        json={"hostname": name, "wire": 2},
    )
    assert answer.status_code == 200, answer.text
    return {"X-API-Key": answer.json()["api_key"]}


async def hold(running: Running, name: str = "box", files: list[str] | None = None) -> Held:
    key = await node(running, name)
    made = await running.http.post(
        "/tasks", headers=running.admin, json={"prompt": "go", "target_node_name": name, "files": files or []}
    )
    assert made.status_code == 201, made.text
    assignment = (await running.http.get("/tasks/pending", headers=key)).json()
    assert assignment["task_id"] == made.json()["id"]
    return Held(assignment["task_id"], key, {"X-API-Key": assignment["task_token"]})


async def test_an_upload_is_kept_under_its_checksum_and_answers_the_name_that_tasks_take(running: Running) -> None:
    found = await upload(running)
    checksum = hashlib.sha256(BODY).hexdigest()
    prefix, _, rest = found["filename"].partition("-")
    assert (len(prefix), rest) == (8, "people.csv")
    assert found | {"filename": ""} == {
        "filename": "",
        "original_name": "people.csv",
        "checksum": checksum,
        "size": len(BODY),
    }
    assert [(path.name, path.read_bytes()) for path in stored(running)] == [(checksum, BODY)]


async def test_the_same_bytes_twice_are_two_uploads_and_one_blob(running: Running) -> None:
    first, second = await upload(running), await upload(running, "other.csv")
    assert first["filename"] != second["filename"]
    assert len(stored(running)) == 1


async def test_a_file_may_be_empty(running: Running) -> None:
    assert (await upload(running, body=b""))["size"] == 0


@pytest.mark.parametrize("name", [LONG, "ä" * 125 + ".csv", 'with "quotes".csv', "back\u2028.csv", "space .csv", "-rf"])
async def test_an_unusual_name_is_kept_as_it_is(running: Running, name: str) -> None:
    found = await upload(running, name)
    assert found["original_name"] == name
    assert len(found["filename"].encode()) <= 255
    task = await hold(running, files=[found["filename"]])
    answer = await running.http.get(f"/files/{quote(name, safe='')}", headers=task.node)
    assert (answer.status_code, answer.content) == (200, BODY)


HOSTILE = {
    "none": b'filename=""',
    "a dot": b'filename="."',
    "the folder above": b'filename=".."',
    "a path": b'filename="../../etc/passwd"',
    "a backslash": b'filename="a\\\\b"',
    "a NUL": b'filename="a\x00b"',
    "a line break": b'filename="a\nb"',
    "an escaped line break": b'filename="a%0D%0Ab"',
    "a delete character": b'filename="a\x7fb"',
    "256 bytes": b'filename="' + b"n" * 256 + b'"',
    "200 letters of 2 bytes": b'filename="' + "ä".encode() * 200 + b'"',
    "bytes that are not UTF-8": b'filename="\xff.csv"',
    "an encoded separator": b"filename*=UTF-8''a%2Fb",
    "an encoded NUL": b"filename*=UTF-8''a%00b",
    "a lone surrogate": b"filename*=unicode_escape''%5Cud800",
    "an unknown charset": b"filename*=klingon''a",
}


@pytest.mark.parametrize("disposition", HOSTILE.values(), ids=HOSTILE)
async def test_a_hostile_name_is_refused_and_nothing_stored(running: Running, disposition: bytes) -> None:
    answer = await form(running, part(b'name="file"; ' + disposition))
    assert answer.status_code in (400, 422), answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert stored(running) == []


BAD_FORMS = {
    "nothing": b"",
    "no boundary": b"hello",
    "no end": part(b'name="file"; filename="a"')[:-8],
    "half a closing boundary": part(b'name="file"; filename="a"')[:-5],
    "no headers": b"--B\r\n",
    "endless headers": b"--B\r\nContent-Disposition: " + b"x" * 20_000,
    "another field": part(b'name="other"; filename="a"'),
    "no file name": part(b'name="file"'),
    "too many parts": b'--B\r\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n' * 100 + b"--B--\r\n",
    "two files": part(b'name="file"; filename="a"')[:-4] + b"\r\n" + part(b'name="file"; filename="b"'),
}


@pytest.mark.parametrize("raw", BAD_FORMS.values(), ids=BAD_FORMS)
async def test_a_form_that_is_not_whole_is_refused_and_nothing_stored(running: Running, raw: bytes) -> None:
    answer = await form(running, raw)
    assert answer.status_code in (400, 422), answer.text
    assert stored(running) == []


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("application/json", 415),
        ("text/plain", 415),
        ("multipart/form-data", 400),
        ("multipart/mixed; boundary=B", 415),
    ],
)
async def test_another_kind_of_body_is_refused(running: Running, kind: str, status: int) -> None:
    assert (await form(running, part(b'name="file"; filename="a"'), kind)).status_code == status


async def test_a_boundary_of_another_length_than_the_rules_allow_is_refused(running: Running) -> None:
    answer = await form(running, BODY, "multipart/form-data; boundary=" + "B" * 71)
    assert answer.status_code == 400


async def test_a_file_over_the_limit_is_refused_before_a_byte_is_taken(running: Running) -> None:
    answer = await running.http.post(
        "/upload",
        headers={**running.admin, "Content-Type": "multipart/form-data; boundary=B", "Content-Length": str(2 << 30)},
        content=b"--B",
    )
    assert answer.status_code == 413


async def test_a_file_of_just_the_limit_is_taken_and_a_byte_more_is_not(tmp_path: Path) -> None:
    async with serving(tmp_path / "qb", quotas=Quotas(file=1000)) as running:
        for size, status in ((1000, 201), (1001, 413)):
            answer = await running.http.post("/upload", headers=running.admin, files={"file": ("a", b"x" * size)})
            assert answer.status_code == status


async def test_a_task_that_names_an_unknown_upload_is_refused_with_its_name(running: Running) -> None:
    answer = await running.http.post("/tasks", headers=running.admin, json={"prompt": "go", "files": ["gone.csv"]})
    assert answer.status_code == 422
    assert "gone.csv" in answer.json()["detail"]


async def test_two_files_of_one_name_do_not_fit_in_a_task(running: Running) -> None:
    names = [(await upload(running))["filename"] for _ in range(2)]
    answer = await running.http.post("/tasks", headers=running.admin, json={"prompt": "go", "files": names})
    assert answer.status_code == 422
    assert "people.csv" in answer.json()["detail"]


async def test_a_node_gets_the_files_of_the_task_it_holds_by_their_own_names(running: Running) -> None:
    task = await hold(running, files=[(await upload(running))["filename"]])
    answer = await running.http.get("/files/people.csv", headers=task.node)
    assert answer.content == BODY
    assert answer.headers["X-Checksum-SHA256"] == hashlib.sha256(BODY).hexdigest()
    assert answer.headers["Content-Length"] == str(len(BODY))


async def test_a_file_of_another_nodes_task_is_not_found(running: Running) -> None:
    await hold(running, files=[(await upload(running))["filename"]])
    other = await node(running, "stranger")
    answers = [await running.http.get(f"/files/{name}", headers=other) for name in ("people.csv", "nothing.csv")]
    assert [answer.status_code for answer in answers] == [404, 404]
    assert answers[0].json()["detail"].replace("people", "nothing") == answers[1].json()["detail"]


async def test_a_file_is_gone_for_the_node_once_its_task_has_ended(running: Running) -> None:
    task = await hold(running, files=[(await upload(running))["filename"]])
    for status in ("running", "success"):
        report = {"task_id": task.id, "status": status, "attempt": 1}
        assert (await running.http.post("/status", headers=task.node, json=report)).status_code == 200
    assert (await running.http.get("/files/people.csv", headers=task.node)).status_code == 404


@pytest.mark.parametrize("name", ["..%2f..%2fsecret", "%00", "a%0Ab", "..", "x" * 300, "%ff"])
async def test_a_hostile_path_finds_no_file(running: Running, name: str) -> None:
    task = await hold(running, files=[(await upload(running))["filename"]])
    answer = await running.http.get(f"/files/{name}", headers=task.node)
    assert answer.status_code in (404, 422)


# artifacts


async def put(running: Running, task: Held, name: str, body: bytes, **more: Any) -> httpx2.Response:
    headers = {**task.node, **more.pop("headers", {})}
    return await running.http.put(f"/tasks/{task.id}/artifacts/{name}", headers=headers, content=body, **more)


async def test_an_artifact_is_kept_listed_and_sent_as_a_download(running: Running) -> None:
    task = await hold(running)
    answer = await put(running, task, "r%C3%A9port.md", BODY, headers={"Digest": digest(BODY)}, params={"attempt": "1"})
    assert answer.status_code == 201
    kept = answer.json()
    assert (kept["name"], kept["size"], kept["attempt"]) == ("réport.md", len(BODY), 1)
    path = f"/tasks/{task.id}/artifacts"
    assert (await running.http.get(path, headers=running.admin)).json() == [kept]
    sent = await running.http.get(f"{path}/r%C3%A9port.md", headers=running.admin)
    assert sent.content == BODY
    assert sent.headers["Content-Disposition"] == "attachment; filename*=UTF-8''r%C3%A9port.md"
    assert sent.headers["Content-Type"] == "application/octet-stream"
    assert sent.headers["X-Content-Type-Options"] == "nosniff"
    events = (await running.http.get(f"/tasks/{task.id}/events", headers=running.admin)).json()
    assert [(event["message"], event["source"]) for event in events if event["kind"] == "artifact"] == [
        ("réport.md", "runner")
    ]


async def test_an_artifact_sent_again_replaces_the_first(running: Running) -> None:
    task = await hold(running)
    for body in (b"first", b"second"):
        assert (await put(running, task, "a", body)).status_code == 201
    listed = (await running.http.get(f"/tasks/{task.id}/artifacts", headers=running.admin)).json()
    assert [(each["name"], each["size"]) for each in listed] == [("a", 6)]


async def test_the_agent_may_leave_artifacts_of_its_own_attempt(running: Running) -> None:
    task = await hold(running)
    answer = await running.http.put(f"/tasks/{task.id}/artifacts/a", headers=task.agent, content=BODY)
    assert (answer.status_code, answer.json()["attempt"]) == (201, 1)


async def test_a_wrong_digest_is_refused_and_nothing_stored(running: Running) -> None:
    task = await hold(running)
    answer = await put(running, task, "a", BODY, headers={"Digest": digest(b"other")})
    assert (answer.status_code, answer.json()["code"]) == (422, "checksum_mismatch")
    assert stored(running) == []
    assert (await running.http.get(f"/tasks/{task.id}/artifacts", headers=running.admin)).json() == []


@pytest.mark.parametrize("value", ["sha-256=%%%", "sha-256=YWJj", "sha-256=", "SHA-256=ä"])
async def test_a_digest_that_is_none_is_refused(running: Running, value: str) -> None:
    task = await hold(running)
    answer = await put(running, task, "a", BODY, headers={"Digest": value.encode("latin-1")})
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed")


async def test_a_body_shorter_than_announced_is_refused_and_nothing_stored(running: Running) -> None:
    task = await hold(running)
    answer = await put(running, task, "a", BODY, headers={"Content-Length": "1000"})
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed")
    assert stored(running) == []


@pytest.mark.parametrize("name", ["a%2Fb", "..", "%00", "a%0Ab", "n" * 256, "%5C"])
async def test_an_artifact_of_a_hostile_name_is_refused_and_nothing_stored(running: Running, name: str) -> None:
    task = await hold(running)
    answer = await put(running, task, name, BODY)
    assert answer.status_code in (404, 405, 422), answer.text
    assert stored(running) == []


async def test_a_foreign_or_unknown_task_takes_no_artifact(running: Running) -> None:
    task, stranger = await hold(running), await hold(running, "stranger")
    for headers in (stranger.node, stranger.agent):
        for task_id in (task.id, "nonsense"):
            answer = await running.http.put(f"/tasks/{task_id}/artifacts/a", headers=headers, content=BODY)
            assert answer.status_code == 404
    answer = await put(running, task, "a", BODY, params={"attempt": "7"})
    assert answer.status_code == 404
    assert stored(running) == []


async def test_an_unknown_artifact_or_task_is_not_found(running: Running) -> None:
    task = await hold(running)
    for path in (f"/tasks/{task.id}/artifacts/none", "/tasks/none/artifacts", "/tasks/none/artifacts/a"):
        assert (await running.http.get(path, headers=running.admin)).status_code == 404


async def test_what_a_crash_left_half_written_is_removed_at_the_start(running: Running) -> None:
    left = running.core.settings.blobs / "part-left"
    left.write_bytes(b"half")
    await running.app.lifespan.process_shutdown({}, {})
    await running.app.lifespan.process_startup({}, {})
    assert not left.exists()
