"""All-Time Quarterback: the control plane for fleets of LLM agents in containers."""

__version__ = "0.1.0"
