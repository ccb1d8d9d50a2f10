"""BlazenState: typed state, each of whose fields is an entry of the run's state.

The field f of the object at key k is the entry `k.f`; what the object is, is the JSON in `k.__blazen_meta__`. A dot or a
backslash in k is written with a backslash before it, so that no two objects share an entry.
"""

import abc
import copy
import dataclasses
import hashlib
import importlib
import inspect
from collections.abc import Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from . import values

if TYPE_CHECKING:
    from .context import Context

__all__ = ["BlazenState", "CallbackFieldStore", "FieldStore"]

_META = "__blazen_meta__"
_classes: dict[str, type["BlazenState"]] = {}  # by label


class FieldStore(abc.ABC):
    """Keeps a field somewhere else. key is `k.f`: the key of the object, a dot, the field; ctx is the Context."""

    @abc.abstractmethod
    def save(self, key: str, value: Any, ctx: "Context") -> None:
        """Keeps the value under the key, in place of what is there."""

    @abc.abstractmethod
    def load(self, key: str, ctx: "Context") -> Any:
        """Answers what was kept last."""


class CallbackFieldStore(FieldStore):
    """A FieldStore of two functions: save_fn(key, value) and load_fn(key), whose key begins with the id of the run, so that
    runs share nothing; or save_fn(key, value, ctx) and load_fn(key, ctx), with the key `k.f`."""

    def __init__(self, save_fn: Callable[..., None], load_fn: Callable[..., Any]) -> None:
        self._save, self._load = save_fn, load_fn
        self._save_takes_ctx = _takes(save_fn, 3)
        self._load_takes_ctx = _takes(load_fn, 2)

    def save(self, key: str, value: Any, ctx: "Context") -> None:
        """Calls save_fn."""
        if self._save_takes_ctx:
            self._save(key, value, ctx)
        else:
            self._save(key, value)

    def load(self, key: str, ctx: "Context") -> Any:
        """Calls load_fn."""
        return self._load(key, ctx) if self._load_takes_ctx else self._load(key)

    def key_of(self, ctx: "Context", entry: str) -> str:
        """What the functions call this field of this run."""
        return entry if self._save_takes_ctx else f"{ctx.run_id()}/{entry}"


def _takes(function: Callable[..., Any], count: int) -> bool:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return False
    named = [each for each in parameters if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
    return sum(each.default is each.empty for each in named) >= count


class BlazenState:
    """The base of a dataclass for ctx.set and ctx.get.

        @dataclass
        class Job(BlazenState):
            path: str = ""
            weights: bytes = b""
            file: object = None

            class Meta:
                transient = {"file"}                     # never stored: None, until restore() makes it again
                store_by = {"weights": FolderStore()}    # kept by a FieldStore, not in the state

            def restore(self):
                self.file = open(self.path)

    A set writes the fields that have changed, all of them or, with an error, none. A get makes a new object: not by
    __init__, but from the fields; one that the class has got since has its default. Meta.label is the name of the class for
    other languages; without it, it is the class name.
    """

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        _classes[_label_of(cls)] = cls

    def restore(self) -> None:
        """Is called when all fields but the transient ones are there again."""


class UnknownState(SimpleNamespace):
    """An object of a class that this process does not have: its fields. ctx.set stores it again as what it was."""

    _blazen_meta: dict[str, Any]


def _label_of(cls: type) -> str:
    label = getattr(getattr(cls, "Meta", None), "label", None)
    return label if isinstance(label, str) else cls.__name__


def _class_of(meta: dict[str, Any]) -> type[BlazenState] | None:
    """The class that a meta names; its module is imported where that is needed."""
    module, _, qualname = str(meta.get("import", {}).get("python", "")).partition(":")
    known = _classes.get(meta["class"])
    if known is not None and (not qualname or known.__qualname__ == qualname or known.__module__ != module):
        return known
    if module:
        try:
            found: Any = importlib.import_module(module)
            for part in qualname.split("."):
                found = getattr(found, part)
            if isinstance(found, type) and issubclass(found, BlazenState):
                return found
        except (ImportError, AttributeError):
            pass
    return known


@dataclasses.dataclass
class _Plan:
    """Where the fields of a class go."""

    stored: list[str]
    transient: list[str]
    store_by: dict[str, Any]
    fields: dict[str, dataclasses.Field[Any]]


def _plan(cls: type[BlazenState]) -> _Plan:
    if not dataclasses.is_dataclass(cls):
        raise TypeError(f"{cls.__qualname__} is a BlazenState, and so has to be a dataclass")
    meta = getattr(cls, "Meta", None)
    transient, store_by = set(getattr(meta, "transient", ())), dict(getattr(meta, "store_by", {}))
    fields = {field.name: field for field in dataclasses.fields(cls)}
    for name in transient | store_by.keys():
        if name not in fields:
            raise TypeError(f"{cls.__qualname__}.Meta names {name!r}, which is no field")
    if transient & store_by.keys():
        raise TypeError(f"{cls.__qualname__}.Meta names {sorted(transient & store_by.keys())} in both")
    stored = [name for name in fields if name not in transient and name not in store_by]
    return _Plan(stored, sorted(transient), store_by, fields)


def _entry(key: str, name: str) -> str:
    return key.replace("\\", "\\\\").replace(".", "\\.") + "." + name


def _meta_of(ctx: "Context", key: str) -> dict[str, Any] | None:
    found = ctx._read(_entry(key, _META))
    return None if found is None else found[0]


def save(ctx: "Context", key: str, thing: "BlazenState | UnknownState") -> None:
    """Stores what has changed, in one crossing."""
    if not isinstance(key, str):
        raise TypeError(f"key is a str, not {key!r}")
    if isinstance(thing, UnknownState):
        _save_unknown(ctx, key, thing)
        return
    plan, before = _plan(type(thing)), _meta_of(ctx, key) or {}
    written = {_entry(key, name): _pack(thing, name) for name in plan.stored}
    cls = type(thing)
    stored_by = _save_elsewhere(ctx, key, plan, thing, before.get("stored_by", {}))
    meta = {
        "v": 1,
        "class": _label_of(cls),
        "fields": plan.stored,
        "transient": plan.transient,
        "restore": "restore" if cls.restore is not BlazenState.restore else None,
        "stored_by": stored_by,
        "import": {"python": f"{cls.__module__}:{cls.__qualname__}"},
    }
    written[_entry(key, _META)] = packed(meta)
    gone = [_entry(key, name) for name in before.get("fields", []) if name not in plan.fields]
    changed = [(name, *each) for name, each in written.items() if not _is_stored(ctx, name, each)]
    ctx._apply(changed, [*gone, key])


def _save_unknown(ctx: "Context", key: str, thing: UnknownState) -> None:
    meta = thing._blazen_meta
    written = {_entry(key, name): packed(getattr(thing, name, None)) for name in meta["fields"]}
    written[_entry(key, _META)] = packed(meta)
    ctx._apply([(name, *each) for name, each in written.items() if not _is_stored(ctx, name, each)], [key])


def packed(thing: Any) -> tuple[int, bytes, str]:
    """The stored form of an object; one that has none is refused."""
    tag, data, codec = values.stored(thing)
    if data is None:
        raise values.NotStorable(f"{type(thing).__qualname__} has no stored form")
    return int(tag), data, codec


def _save_elsewhere(
    ctx: "Context", key: str, plan: _Plan, thing: BlazenState, before: dict[str, Any]
) -> dict[str, Any]:
    """Gives the field stores what has changed; answers under which keys they have what."""
    kept = {}
    for name, store in plan.store_by.items():
        value, entry = getattr(thing, name), _entry(key, name)
        its_key = store.key_of(ctx, entry) if isinstance(store, CallbackFieldStore) else entry
        digest = _digest(value)
        if digest is None or before.get(name) != {"key": its_key, "digest": digest}:
            store.save(its_key, value, ctx)
        kept[name] = {"key": its_key, "digest": digest}
    return kept


def _digest(value: Any) -> str | None:
    """Changes with the value; None where it has no stored form."""
    tag, data, _ = values.stored(value)
    return None if data is None else hashlib.sha256(bytes([tag]) + data).hexdigest()


def _pack(thing: BlazenState, name: str) -> tuple[int, bytes, str]:
    try:
        return packed(getattr(thing, name))
    except values.NotStorable:
        kind = type(thing).__qualname__
        raise values.NotStorable(
            f"the field {name!r} of {kind} has no stored form: Meta.transient or Meta.store_by may name it"
        ) from None


def _is_stored(ctx: "Context", name: str, packed: tuple[int, bytes, str]) -> bool:
    found = ctx._stored(name)
    return found is not None and found[:3] == packed


def load(ctx: "Context", key: str, default: Any) -> Any:
    """The object at this key, made anew; default where there is none."""
    meta = _meta_of(ctx, key)
    if meta is None:
        return default
    cls = _class_of(meta)
    if cls is None:
        fields = {name: ctx.get(_entry(key, name)) for name in meta["fields"]}
        made = UnknownState(**fields, **dict.fromkeys(meta["transient"]))
        made._blazen_meta = meta
        return made
    plan, thing = _plan(cls), cls.__new__(cls)
    for name, field in plan.fields.items():
        object.__setattr__(thing, name, _load_field(ctx, key, plan, meta, field))
    thing.restore()
    return thing


def _load_field(ctx: "Context", key: str, plan: _Plan, meta: dict[str, Any], field: "dataclasses.Field[Any]") -> Any:
    if field.name in plan.transient:
        return None
    kept = meta.get("stored_by", {}).get(field.name)
    if field.name in plan.store_by and kept is not None:
        return plan.store_by[field.name].load(kept["key"], ctx)
    found = ctx._read(_entry(key, field.name))
    if found is not None:
        return found[0]
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return None if field.default is dataclasses.MISSING else copy.copy(field.default)


def is_there(ctx: "Context", key: str) -> bool:
    """Whether there is an object at this key."""
    return ctx._has(_entry(key, _META))


def forget(ctx: "Context", key: str) -> bool:
    """Removes the object at this key, where there is one; what field stores have of it stays there."""
    meta = _meta_of(ctx, key)
    if meta is None:
        return False
    ctx._apply([], [_entry(key, _META), *(_entry(key, name) for name in meta["fields"])])
    return True
