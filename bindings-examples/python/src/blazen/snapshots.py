"""Snapshots: a run as it stands, to go on from anywhere."""

import base64
import binascii
import json
from collections.abc import Generator, Mapping
from typing import Any, Self

from . import _blazen

__all__ = ["PipelineSnapshot", "Snapshot"]

_FORMAT = "blazen/snapshot"


class Snapshot(bytes):
    """The bytes of a snapshot (CBOR). It may be awaited, and is itself then."""

    @property
    def info(self) -> dict[str, Any]:
        """What is in it: workflow, run_id, state, queued, in_flight, questions, steps_needed and more."""
        return _blazen.snapshot_info(bytes(self))

    @property
    def workflow_name(self) -> str:
        """The name of the workflow."""
        return str(self.info["workflow"])

    @property
    def run_id(self) -> str:
        """The id of the run."""
        return str(self.info["run_id"])

    def to_json(self) -> str:
        """The same as JSON text, which resume takes too."""
        return json.dumps({"format": _FORMAT, "version": 1, "cbor": base64.b64encode(self).decode()})

    @classmethod
    def from_json(cls, text: str | bytes | Mapping[str, Any]) -> Self:
        """The snapshot of its JSON form."""
        return cls(bytes_of(text))

    def __await__(self) -> Generator[Any, None, Self]:
        return self
        yield


class PipelineSnapshot(Snapshot):
    """A snapshot of a run of a pipeline."""

    @property
    def pipeline_name(self) -> str:
        """The name of the pipeline."""
        return self.workflow_name


def bytes_of(snapshot: Any) -> bytes:
    """The bytes of a snapshot in any of its forms: bytes, JSON text, or what that is read to."""
    if isinstance(snapshot, (bytes, bytearray, memoryview)) and not bytes(snapshot[:64]).lstrip().startswith(b"{"):
        return bytes(snapshot)
    if isinstance(snapshot, (str, bytes, bytearray)):
        try:
            snapshot = json.loads(snapshot)
        except ValueError as failure:
            raise ValueError(f"the snapshot is text, and no JSON: {failure}") from None
    if not isinstance(snapshot, Mapping):
        raise TypeError(f"a snapshot is bytes, or its JSON form, not {type(snapshot).__qualname__}")
    if snapshot.get("format") != _FORMAT:
        raise ValueError(f"the JSON is no snapshot: its format is {snapshot.get('format')!r}, not {_FORMAT!r}")
    if snapshot.get("version") != 1:
        raise ValueError(f"the snapshot has version {snapshot.get('version')!r} of its JSON form; 1 is known here")
    try:
        return base64.b64decode(snapshot["cbor"], validate=True)
    except (KeyError, TypeError, binascii.Error) as failure:
        raise ValueError(f"the member 'cbor' of the snapshot is no base64: {failure!r}") from None
