"""Help of a command with many options, in sections: `rich_help_panel` of an option names the section it is in."""

from typing import Any

from typer.core import TyperCommand

_REST = "Options"


class Sectioned(TyperCommand):
    """A command whose options stand under headings, in the order in which those first come; the unnamed ones last."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the arguments, then each section."""
        sections: dict[str, list[tuple[str, str]]] = {"Arguments": []}
        rest: list[tuple[str, str]] = []
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is None:
                continue
            section = "Arguments" if param.param_type_name == "argument" else getattr(param, "rich_help_panel", None)
            (rest if section is None else sections.setdefault(section, [])).append(record)
        for heading, records in (*sections.items(), (_REST, rest)):
            if records:
                with formatter.section(heading):
                    formatter.write_dl(records)
