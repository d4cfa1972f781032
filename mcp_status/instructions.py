"""What a client is told about the reporter before it asks for a single tool."""

NAME = "all-time-quarterback"

INSTRUCTIONS = """\
Tells the people who wait for this task how it goes. Call report_started once when you begin, report_status at each \
milestone (every few minutes at most, not after every step), and exactly one of report_complete or report_error at \
the end. When a reply says cancel_requested, stop working. Reports never fail your work: whatever they answer, \
do not repeat them. Ask with ask_operator only what you must not decide yourself; hand results over with \
attach_artifact; log figures with log_metric. What a reply calls unsupported, leave alone."""
