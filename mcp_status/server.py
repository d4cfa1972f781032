"""The MCP server: which tools there are, and what a model is told about them."""

from inspect import cleandoc

from mcp.server import MCPServer
from mcp_types import ToolAnnotations

from mcp_status.extra_tools import ExtraTools
from mcp_status.tools import Tools
from qb import __version__

INSTRUCTIONS = """\
Tells the people who wait for this task how it goes. Call report_started once when you begin, report_status at each \
milestone (every few minutes at most, not after every step), and exactly one of report_complete or report_error at \
the end. When a reply says cancel_requested, stop working. Reports never fail your work: whatever they answer, \
do not repeat them. Ask with ask_operator only what you must not decide yourself; hand results over with \
attach_artifact; log figures with log_metric. What a reply calls unsupported, leave alone."""

_REPORTS = ToolAnnotations(read_only_hint=False, destructive_hint=False, open_world_hint=True)
_READS = ToolAnnotations(read_only_hint=True, open_world_hint=True)


def build_server(tools: Tools, extras: ExtraTools) -> MCPServer[None]:
    """Return the server; it serves until its transport ends and owns nothing."""
    server: MCPServer[None] = MCPServer(
        "all-time-quarterback", version=__version__, instructions=INSTRUCTIONS, log_level="WARNING"
    )
    reports = (tools.report_status, tools.report_started, tools.report_complete, tools.report_error)
    sends = (extras.submit_crush_logs, extras.attach_artifact, extras.ask_operator, extras.log_metric)
    for tool in (*reports, tools.get_job_info, *sends):
        annotations = _READS if tool == tools.get_job_info else _REPORTS
        server.add_tool(tool, description=cleandoc(tool.__doc__ or ""), annotations=annotations)
    return server
