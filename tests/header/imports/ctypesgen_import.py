"""Uses the ctypes declarations that ctypesgen made from the header: makes a JSON value and reads it back.

Argument: the folder of the generated module, blazen_ctypes.py.
"""

import ctypes
import sys

sys.path.insert(0, sys.argv[1])
import blazen_ctypes as blazen  # noqa: E402


def check(status, error):
    if status != blazen.BLAZEN_OK:
        sys.exit(f"{blazen.blazen_status_name(status)}: {blazen.blazen_error_message(error, None)}")


def main():
    value = ctypes.POINTER(blazen.blazen_value)()
    error = ctypes.POINTER(blazen.blazen_error)()
    text, length = b'{"hello":"ctypesgen"}', ctypes.c_size_t()
    check(blazen.blazen_value_json(text, len(text), ctypes.byref(value), ctypes.byref(error)), error)
    data = blazen.blazen_value_data(value, ctypes.byref(length))
    answer = ctypes.string_at(data, length.value).decode()
    blazen.blazen_value_release(value)
    assert blazen.blazen_abi() == blazen.BLAZEN_ABI
    numbers = blazen.BLAZEN_FOREVER, blazen.BLAZEN_NAME_BYTES_MAX, blazen.BLAZEN_STEP_TIMEOUT_MS_MAX, blazen.BLAZEN_UNTIL_ASKING
    print(blazen.blazen_version().decode(), answer, *numbers, blazen.blazen_event_name(blazen.BLAZEN_EVENT_STOP, None).decode())


main()
