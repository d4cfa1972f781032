"""The MCP server: which tools there are, and what a model is told about them."""

from inspect import cleandoc

from mcp.server import MCPServer
from mcp_types import ToolAnnotations

from mcp_status.extra_tools import ExtraTools
from mcp_status.instructions import INSTRUCTIONS, NAME
from mcp_status.tools import Tools
from qb import __version__

_REPORTS = ToolAnnotations(read_only_hint=False, destructive_hint=False, open_world_hint=True)
_READS = ToolAnnotations(read_only_hint=True, open_world_hint=True)


def build_server(tools: Tools, extras: ExtraTools) -> MCPServer[None]:
    """Return the server; it serves until its transport ends and owns nothing."""
    server: MCPServer[None] = MCPServer(NAME, version=__version__, instructions=INSTRUCTIONS, log_level="WARNING")
    reports = (tools.report_status, tools.report_started, tools.report_complete, tools.report_error)
    sends = (extras.submit_crush_logs, extras.attach_artifact, extras.ask_operator, extras.log_metric)
    for tool in (*reports, tools.get_job_info, *sends):
        annotations = _READS if tool == tools.get_job_info else _REPORTS
        server.add_tool(tool, description=cleandoc(tool.__doc__ or ""), annotations=annotations)
    return server
