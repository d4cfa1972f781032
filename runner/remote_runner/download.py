"""Brings a task's files to the node, and lets none through that is not what the task names."""

import hashlib
from itertools import zip_longest

from qb.client import QbClient, Refused
from qb.contract.states import Reason
from qb.contract.tasks import Assignment
from remote_runner.verdict import Failure
from remote_runner.workspace import Workspace


def download(client: QbClient, assignment: Assignment, workspace: Workspace, folder: str) -> None:
    """Fetch every file into the `files` of the task's `folder`.

    Raises Failure when a file is not what it should be or is not to be had, other ClientErrors as they come.
    """
    if len(assignment.file_checksums) > len(assignment.files):
        raise Failure(Reason.CHECKSUM_MISMATCH, "the assignment has more checksums than files")
    for name, checksum in zip_longest(assignment.files, assignment.file_checksums):
        try:
            found, announced = _fetch(client, assignment.task_id, workspace, folder, name)
        except Refused as error:
            if error.transient or error.status == 401:
                raise
            raise Failure(Reason.FILE_UNAVAILABLE, f"{name}: {error.detail}") from error
        except OSError as error:
            raise Failure(
                Reason.FILE_UNAVAILABLE, f"{name} cannot be kept on this node: {error.strerror or error}"
            ) from error
        expected = checksum or announced
        if expected and found != expected.lower():
            message = f"{name} has SHA-256 {found}, the task names {expected}: nothing was run"
            raise Failure(Reason.CHECKSUM_MISMATCH, message)


def _fetch(client: QbClient, task_id: str, workspace: Workspace, folder: str, name: str) -> tuple[str, str | None]:
    digest = hashlib.sha256()
    with client.download_file(name, task_id=task_id) as (chunks, announced), workspace.new_file(folder, name) as file:
        for chunk in chunks:
            digest.update(chunk)
            file.write(chunk)
    return digest.hexdigest(), announced
