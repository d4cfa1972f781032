"""How many tasks each caller may create, counted for very many callers."""

from contextlib import ExitStack

import pytest
from mcp.server.mcpserver.exceptions import ToolError

from qb.fleet_mcp import callers
from qb.fleet_mcp.callers import Budget, Caller


def test_who_could_create_nothing_takes_nobodys_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callers, "MOST_CALLERS", 2)
    budget = Budget(max_tasks=1)
    for number in range(5):
        with pytest.raises(OSError, match="no answer"), budget.one(Caller(f"qbk_{number}")):
            raise OSError("no answer")
    with budget.one(Caller("qbk_later")):
        pass
    with pytest.raises(ToolError, match="limit of 1 tasks"), budget.one(Caller("qbk_later")):
        pass


def test_one_caller_too_many_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callers, "MOST_CALLERS", 2)
    budget = Budget(max_tasks=5)
    with ExitStack() as under_way:
        for number in range(2):
            under_way.enter_context(budget.one(Caller(f"qbk_{number}")))
        with pytest.raises(ToolError, match=r"2 callers.*restart"), budget.one(Caller("qbk_third")):
            pass
        with budget.one(Caller("qbk_1")):
            pass
