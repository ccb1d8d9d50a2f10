"""What the compiled layer calls."""

from typing import Any

from . import _blazen, context, errors, values


def _decode(tag: int, data: bytes, codec: str, is_trusted: bool) -> Any:
    if is_trusted:
        return values.load(codec, data)
    token = values.untrusted.set(True)
    try:
        return values.load(codec, data)
    finally:
        values.untrusted.reset(token)


_blazen.install(
    encode=values.pack,
    decode=_decode,
    live_event=values.pack_event,
    serialize=values.serialize,
    deserialize=values.deserialize,
    missing=context.missing,
    set_other=context.set_other,
    **{"raise": errors.made},
)
