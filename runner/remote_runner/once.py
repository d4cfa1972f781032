"""The transport of `run-once`: one assignment from a file, placed there over SSH, gone once it is journalled."""

from pathlib import Path

import structlog
from pydantic import ValidationError

from qb.contract.push import Handed
from remote_runner.errors import CannotStart
from remote_runner.intake import Intake, Offer
from remote_runner.tools import Tools

log = structlog.get_logger()


def read_handed(path: Path) -> Handed | None:
    """What the file holds; None when it was journalled by an earlier start. Raises CannotStart."""
    try:
        return Handed.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise CannotStart(f"--assignment {path} cannot be read: {type(error).__name__}; place it anew") from error


def hand_over(handed: Handed | None, path: Path, tools: Tools, intake: Intake) -> None:
    """Offer the assignment until there is room for it, remove the file, and wait for the end."""
    while handed is not None and not tools.stop.is_set():
        offer, why = intake.offer(handed.assignment)
        if offer is not Offer.BUSY:
            log.info("handed over", task=handed.assignment.task_id, offer=offer, why=why)
            if offer is not Offer.CLOSED:  # else it is in no journal: the next start takes it
                path.unlink(missing_ok=True)
            break
        if intake.wait_ready(1.0):
            tools.stop.wait(0.2)  # it was no slot that was missing
    intake.closed.set()
    tools.stop.wait()
