"""What tables do not offer is refused as the reader's mistake."""

from typing import Any

import pytest


@pytest.mark.parametrize("asked", ["_sort_desc=created_at", "_sort=prompt", "_sort=seq&_sort_desc=id"])
def test_a_sorting_that_is_not_offered_is_refused_with_what_is(dashboard: Any, asked: str) -> None:
    for page in (dashboard.page(f"/qb/tasks?{asked}"), dashboard.page(f"/qb/tasks.json?{asked}")):
        assert page.status_code == 400
        assert "those whose headings are links" in page.text


def test_an_offered_sorting_is_not(dashboard: Any) -> None:
    page = dashboard.page("/qb/tasks?_sort_desc=completed_at")
    assert (page.status_code, "headings are links" in page.text) == (200, False)
