"""Imports the bare header through cffi, without a compiler, and runs a workflow of one step, written in Python.

Arguments: the header as BLAZEN_BARE leaves it, and the shared library.
"""

import json
import sys

from cffi import FFI

ffi = FFI()
with open(sys.argv[1], encoding="utf-8") as header:
    ffi.cdef(header.read())
lib = ffi.dlopen(sys.argv[2])
dropped = []


def check(status, error):
    if status != lib.BLAZEN_OK:
        sys.exit(f"{text(lib.blazen_status_name(status))}: {text(lib.blazen_error_message(error[0], ffi.NULL))}")


def text(pointer):
    return ffi.string(pointer).decode()


def value_text(value):
    length = ffi.new("size_t *")
    data = lib.blazen_value_data(value, length)
    return ffi.buffer(data, length[0])[:].decode()


def event_name(which):
    return text(lib.blazen_event_name(which, ffi.NULL))


def made(kind, call, *arguments):
    """The output of a call that makes a handle."""
    output, error = ffi.new(f"{kind} **"), ffi.new("blazen_error **")
    check(call(*arguments, output, error), error)
    return output[0]


@ffi.callback("blazen_status(void *, blazen_context *, const blazen_event *, blazen_error **)")
def step(user_data, context, event, error):
    greeting = ffi.from_handle(user_data)
    result = json.dumps({greeting: json.loads(value_text(lib.blazen_event_value(event)))}, separators=(",", ":"))
    stop = event_name(lib.BLAZEN_EVENT_STOP).encode()
    return lib.blazen_context_emit_json(context, stop, len(stop), result.encode(), len(result), error)


@ffi.callback("void(void *)")
def drop(user_data):
    dropped.append(ffi.from_handle(user_data))


def workflow(handle):
    builder = made("blazen_workflow_builder", lib.blazen_workflow_builder_create, b"greet", 5)
    start, error = event_name(lib.BLAZEN_EVENT_START).encode(), ffi.new("blazen_error **")
    check(lib.blazen_workflow_builder_add_step(builder, b"greet", 5, start, len(start), step, handle, drop, error), error)
    built = made("blazen_workflow", lib.blazen_workflow_builder_build, builder)
    lib.blazen_workflow_builder_release(builder)
    return built


def main():
    handle = ffi.new_handle("hello")
    greet = workflow(handle)
    runtime = made("blazen_runtime", lib.blazen_runtime_create, ffi.NULL)
    value = made("blazen_value", lib.blazen_value_json, b'"cffi"', 6)
    result = made("blazen_value", lib.blazen_workflow_run, greet, runtime, value)
    answer = value_text(result)
    lib.blazen_value_release(result)
    lib.blazen_value_release(value)
    lib.blazen_runtime_release(runtime)
    lib.blazen_workflow_release(greet)
    numbers = lib.BLAZEN_FOREVER, lib.BLAZEN_NAME_BYTES_MAX, lib.BLAZEN_STEP_TIMEOUT_MS_MAX, lib.BLAZEN_UNTIL_ASKING
    print(text(lib.blazen_version()), answer, "dropped", len(dropped), *numbers, event_name(lib.BLAZEN_EVENT_STOP))


main()
