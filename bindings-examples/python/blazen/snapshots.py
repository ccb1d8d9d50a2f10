"""Snapshots are bytes; this says what is in them."""

from . import _read
from ._c import c
from ._calls import lib
from ._handles import owned


def parsed(snapshot):
    """A handle of a snapshot's bytes, owned during a `with` block."""
    if not isinstance(snapshot, bytes):
        raise TypeError(f"snapshot is bytes, not {type(snapshot).__name__}")
    return owned(lib.snapshot_parse(snapshot, len(snapshot)), c.snapshot_release)


def read_snapshot(handle):
    """The bytes of a snapshot."""
    return _read.data(c.snapshot_data, handle)


def snapshot_info(snapshot):
    """What is in a snapshot, as a dict: workflow, run_id, state, queued, in_flight, events_routed and more."""
    with parsed(snapshot) as handle, owned(lib.snapshot_info(handle), c.value_release) as info:
        return _read.value(info)


def snapshot_metadata(snapshot):
    """The metadata that the run was given; None where there is none."""
    with parsed(snapshot) as handle:
        return _read.value_or_none(c.snapshot_metadata(handle))
