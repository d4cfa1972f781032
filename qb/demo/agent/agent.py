"""The demo's agent: it reads the CSV of its task, writes a report and a chart, and says over MCP how far it is.

It speaks to the status reporter as an agent's own MCP client would, over stdio. Arguments as the container
contract gives them: ``--accept-license --task PROMPT``.
"""

import argparse
import asyncio
import csv
import itertools
import os
import signal
import sys
from pathlib import Path
from typing import Any

import report
import table
from mcp import Client, StdioServerParameters

PACE = float(os.environ.get("DEMO_PACE", "0.4"))
"""Seconds between steps, so that a person can follow them."""

PASSED_ON = ("ORCHESTRATOR_URL", "TASK_ID", "JOB_ID", "NODE_API_KEY", "QB_CA_FILE", "PATH", "SSL_CERT_FILE")

SETTLE_SECONDS = 60.0
"""How long the agent stays for its last reports to get through, should the orchestrator be away just then."""


class Cancelled(Exception):
    """An operator has cancelled the task; the message is the reporter's advice."""


async def main(prompt: str) -> int:
    """Do the task; returns the exit status."""
    environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    reporter = StdioServerParameters(command=sys.executable, args=["-m", "mcp_status"], env=environment)
    async with Client(reporter) as client:
        try:
            code = await attempt(client, prompt)
            await settle(client)
        except Cancelled as advice:
            print(f"stopped: {advice}", file=sys.stderr, flush=True)
            return 1
        except TimeoutError:
            print("the last reports did not get through", file=sys.stderr, flush=True)
    return code


async def attempt(client: Client, prompt: str) -> int:
    """Work and report the verdict; returns the exit status. Raises Cancelled."""
    await tell(client, "report_started", message="reading the files of the task")
    try:
        message = await work(client, prompt)
    except (OSError, ValueError, csv.Error) as error:
        print(f"failed: {error}", file=sys.stderr, flush=True)
        await tell(client, "report_error", error_message=str(error))
        return 1
    await tell(client, "report_complete", message=message)
    return 0


async def settle(client: Client) -> None:
    """Stay until every report has got through. Raises TimeoutError after SETTLE_SECONDS."""
    async with asyncio.timeout(SETTLE_SECONDS):
        for pause in itertools.chain((0.05, 0.1, 0.2), itertools.repeat(0.5)):
            if not (await tell(client, "get_job_info")).get("waiting_reports"):
                return
            await asyncio.sleep(pause)


async def work(client: Client, prompt: str) -> str:
    """Read, summarise, draw; returns the outcome in one sentence."""
    source = attached(Path(os.environ.get("TASK_FILES_DIR", "/nowhere")))
    target = Path(os.environ.get("TASK_OUTPUT_DIR", "."))
    await step(client, "running", 15, f"reading {source.name}")
    found = table.read(source)
    await step(client, "running", 40, f"{found.rows:,} rows, {len(found.numbers)} numeric columns")
    await step(client, "analyzing", 60, "working out means and extremes")
    text = report.markdown(source.name, prompt, found)
    await step(client, "analyzing", 80, "drawing the chart")
    report.chart(source.name, found, target / "chart.svg")
    write(target / "report.md", text)
    await step(client, "analyzing", 95, "report.md and chart.svg are written")
    return f"summarised {found.rows:,} rows of {source.name} in report.md and chart.svg"


def attached(folder: Path) -> Path:
    """The first CSV of the task. Raises ValueError when there is none."""
    found = sorted(folder.glob("*.csv")) if folder.is_dir() else []
    if not found:
        raise ValueError("no CSV is attached: create the task with --file FILE.csv")
    return found[0]


def write(target: Path, text: str) -> None:
    """Write a result."""
    target.write_text(text, "utf-8")


async def step(client: Client, status: str, progress: int, message: str) -> None:
    """Say where the work is, on the output and over MCP."""
    print(f"{progress:3d}% {message}", flush=True)
    await tell(client, "report_status", status=status, progress=progress, message=message)
    await asyncio.sleep(PACE)


async def tell(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    """Call a tool of the status reporter; returns what it answers. Raises Cancelled."""
    answer = await client.call_tool(tool, arguments)
    if answer.is_error:
        print(f"{tool}: {answer.content}", file=sys.stderr, flush=True)
    told = answer.structured_content or {}
    if told.get("cancel_requested"):
        raise Cancelled(told.get("advice", tool))
    return told


if __name__ == "__main__":
    # a container's first process ignores SIGTERM unless it says otherwise
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    parser = argparse.ArgumentParser()
    parser.add_argument("--accept-license", action="store_true")
    parser.add_argument("--task", required=True)
    sys.exit(asyncio.run(main(parser.parse_args().task)))
