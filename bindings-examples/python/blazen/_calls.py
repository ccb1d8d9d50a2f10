"""The calls that can fail, as Python functions: they take the inputs, raise BlazenError, and answer the outputs.

`lib.run_wait_until(run, 0, 100)` is blazen_run_wait_until(run, 0, 100, &state, &error): it answers the state.
"""

from ctypes import byref

from . import _c, errors


def _checked(function, gives):
    def call(*inputs):
        outputs = [kind() for kind in gives]
        error = _c.HANDLE()
        status = function(*inputs, *map(byref, outputs), byref(error))
        if status != errors.Status.OK:
            raise errors.failure(status, error)
        answers = [output.value for output in outputs]
        return answers[0] if len(answers) == 1 else answers

    return call


class _Calls:
    def __init__(self):
        for name, (_, gives) in _c.FALLIBLE.items():
            setattr(self, name, _checked(getattr(_c.c, name), gives))


lib = _Calls()
