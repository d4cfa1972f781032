"""GET /metrics: what the server counts, and who may see it."""

from pathlib import Path

import httpx2
from prometheus_client.parser import text_string_to_metric_families

from tests.api.conftest import Running
from tests.fixtures_server import new_server

KEY = "a-key-for-the-scraper"


async def figures(running: Running) -> dict[str, float]:
    """Every sample, by ``name{label=value}``."""
    answer = await running.http.get("/metrics")
    assert answer.status_code == 200, answer.text
    found = {}
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


async def test_queue_nodes_claims_and_events_are_counted(running: Running) -> None:
    made = await running.http.post("/nodes", headers=running.admin, json={"name": "box"})
    for _ in range(3):
        await running.http.post("/tasks", headers=running.admin, json={"prompt": "work"})
    later = {"prompt": "later", "scheduled_for": "2999-01-01T00:00:00Z"}
    await running.http.post("/tasks", headers=running.admin, json=later)
    node = {"X-API-Key": made.json()["api_key"]}
    await running.http.get("/tasks/pending", headers=node)
    found = await figures(running)
    assert found["qb_queue_tasks{state=claimable}"] == 2
    assert found["qb_queue_tasks{state=waiting}"] == 1
    assert found["qb_live_tasks{status=assigned}"] == 1
    assert sum(value for name, value in found.items() if name.startswith("qb_nodes{")) == 1
    assert found["qb_claim_seconds_count"] == 1
    assert found["qb_task_events_total{kind=created}"] == 4
    assert found["qb_task_events_total{kind=claimed}"] == 1
    assert found["qb_lease_expiries_total"] == 0
    assert found["qb_database_bytes"] > 0
    assert found["qb_writer_group_size_count"] >= 5
    assert found["qb_writer_queue"] == 0
    assert found["qb_pollers_waiting"] == 0
    assert found["process_resident_memory_bytes"] > 0


async def test_requests_are_counted_by_route_and_status_and_never_by_path(running: Running) -> None:
    for number in range(5):
        await running.http.get(f"/tasks/no-such-{number}", headers=running.admin)
        await running.http.get(f"/nowhere/{number}")
        await running.http.request(f"VERB{number}", "/tasks")
    found = await figures(running)
    assert found["qb_request_seconds_count{route=show_task,status=404}"] == 5
    assert found["qb_request_seconds_count{route=other,status=404}"] == 5
    assert not [name for name in found if "no-such" in name or "nowhere" in name or "VERB" in name]


async def test_output_is_counted_in_bytes(running: Running) -> None:
    made = await running.http.post("/nodes", headers=running.admin, json={"name": "box"})
    node = {"X-API-Key": made.json()["api_key"]}
    await running.http.post("/tasks", headers=running.admin, json={"prompt": "work"})
    task = (await running.http.get("/tasks/pending", headers=node)).json()
    chunk = {"seq": 1, "stream": "stdout", "at": "2026-01-01T00:00:00Z", "text": "grün\n"}
    body = {"attempt": task["attempt"], "chunks": [chunk]}
    answer = await running.http.post(f"/tasks/{task['task_id']}/output", headers=node, json=body)
    assert answer.status_code == 200
    assert (await figures(running))["qb_output_bytes_total"] == 6


async def test_events_are_counted_once_however_often_it_is_scraped(running: Running) -> None:
    await running.http.post("/tasks", headers=running.admin, json={"prompt": "work"})
    await figures(running)
    assert (await figures(running))["qb_task_events_total{kind=created}"] == 1


async def test_the_form_is_the_one_that_is_asked_for(running: Running) -> None:
    answer = await running.http.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")


def test_with_a_key_set_only_the_key_opens_the_metrics(tmp_path: Path) -> None:
    key_file = tmp_path / "metrics.key"
    key_file.write_text(KEY + "\n")
    own = new_server(tmp_path / "qb", "--metrics-key-file", str(key_file))
    own.start()
    try:
        url = f"{own.url}/metrics"
        assert httpx2.get(url).status_code == 401
        assert httpx2.get(url, headers={"Authorization": "Bearer wrong"}).status_code == 401
        assert httpx2.get(url, headers={"X-API-Key": own.admin_key}).status_code == 401
        assert httpx2.get(url, headers={"Authorization": f"Bearer {KEY}"}).status_code == 200
        assert httpx2.get(url, headers={"X-API-Key": KEY}).status_code == 200
    finally:
        own.stop()
    assert all(KEY not in str(entry) for entry in own.log)
    assert {entry["status"] for entry in own.log if entry["event"] == "request"} == {401}
