"""Much output through a server process: every line arrives, and the server does not grow with it.

`make bench` does the same with 100 MB.
"""

from tests.bench.output import growth_while_read, printing_task
from tests.fixtures_server import Server

SIZE = 25_000_000
GROWTH_MIB = 50.0


async def test_a_task_that_prints_much_loses_no_line_and_leaves_the_servers_memory_alone(server: Server) -> None:
    async with printing_task(server, "chatty") as task:
        said: list[str] = []
        assert await growth_while_read(server, task, "y" * 999, SIZE, said.append) < GROWTH_MIB
    assert said[0].startswith("25,000 lines")
