"""MCP tools with which an agent steers the fleet: a client of the API like any other."""
