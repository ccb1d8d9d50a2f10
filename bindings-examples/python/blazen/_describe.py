"""What an exception says, as the message of an error of the library."""

import traceback


def describe(exception):
    """Its type and message as UTF-8, even where its own __str__ fails."""
    text = "".join(traceback.format_exception_only(type(exception), exception)).strip()
    return text.encode("utf-8", "backslashreplace")
