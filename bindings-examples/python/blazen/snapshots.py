"""Snapshots are bytes; this says what is in them."""

from . import _read
from ._c import c
from ._calls import lib
from ._handles import owned


def read_snapshot(handle):
    """The bytes of a snapshot."""
    return _read.data(c.snapshot_data, handle)


def snapshot_info(snapshot):
    """What is in a snapshot, as a dict: workflow, run_id, state, queued, in_flight, events_routed and more."""
    with owned(lib.snapshot_parse(snapshot, len(snapshot)), c.snapshot_release) as parsed:
        with owned(lib.snapshot_info(parsed), c.value_release) as info:
            return _read.value(info)
