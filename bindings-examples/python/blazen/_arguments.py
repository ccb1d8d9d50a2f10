"""What callers give, as the library takes it. What is wrong is raised with the name of the argument: ctypes would cut a
number that is too large, and say nothing."""

import math
import numbers

_INT64_MAX = 2**63 - 1


def text(name, given):
    """A text as the two arguments that calls take: its bytes, and how many."""
    if not isinstance(given, str):
        raise TypeError(f"{name} is a str, not {given!r}")
    try:
        data = given.encode()
    except UnicodeEncodeError as failure:
        raise ValueError(f"{name} cannot be UTF-8: {failure}") from None
    return data, len(data)


def text_or_null(name, given):
    """As text; None gives NULL."""
    return (None, 0) if given is None else text(name, given)


def texts(name, given):
    """The names in a str, or in a list of them."""
    if isinstance(given, str):
        return [text(name, given)]
    try:
        return [text(name, one) for one in given]
    except TypeError:
        raise TypeError(f"{name} is a str or a list of str, not {given!r}") from None


def choice(name, given, numbers_by_name):
    """The number of one of the words that may stand here."""
    try:
        return numbers_by_name[given]
    except (KeyError, TypeError):
        words = ", ".join(map(repr, numbers_by_name))
        raise ValueError(f"{name} is one of {words}, not {given!r}") from None


def whole(name, given, bits, least=0):
    """A whole number of so many bits."""
    if isinstance(given, bool) or not isinstance(given, numbers.Integral):
        raise TypeError(f"{name} is an int, not {given!r}")
    if not least <= given < 2**bits:
        raise ValueError(f"{name} is from {least} to {2**bits - 1}, not {given}")
    return int(given)


def flag(name, given):
    """1 or 0."""
    if not isinstance(given, bool):
        raise TypeError(f"{name} is True or False, not {given!r}")
    return int(given)


def function(name, given):
    """A function, or None."""
    if given is not None and not callable(given):
        raise TypeError(f"{name} is a function, not {given!r}")
    return given


def real(name, given, what="a number"):
    """A number, maybe with a fraction."""
    if isinstance(given, bool) or not isinstance(given, numbers.Real):
        raise TypeError(f"{name} is {what}, not {given!r}")
    return float(given)


def percent(name, share):
    """A share from 0 to 1, in percent."""
    if not 0 <= real(name, share) <= 1:
        raise ValueError(f"{name} is from 0 to 1, not {share!r}")
    return round(share * 100)


def milliseconds(name, seconds):
    """A time for the library, rounded up: nothing comes too early."""
    real(name, seconds, "a number of seconds")
    if not 0 <= seconds * 1000 <= _INT64_MAX:
        raise ValueError(f"{name} is a number of seconds, 0 or more, not {seconds!r}")
    return math.ceil(seconds * 1000)


def milliseconds_or_0(name, seconds):
    """A time-out; None, for ever, is 0."""
    return 0 if seconds is None else milliseconds(name, seconds)


def deadline_milliseconds(name, seconds):
    """As milliseconds_or_0. What is over at once is refused: the library would take it for none."""
    if seconds is not None and milliseconds(name, seconds) == 0:
        raise ValueError(f"{name} is more than 0 seconds, or None: none")
    return milliseconds_or_0(name, seconds)
