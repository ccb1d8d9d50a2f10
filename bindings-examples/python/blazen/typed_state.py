"""BlazenState: typed state, each of whose fields is an entry of the run's state.

The field f of the object at key k is the entry `k.f`; what the object is, is the JSON in `k.__blazen_meta__`: class,
fields, transient fields, and the digests of what field stores have. A dot or a backslash in k is written with a backslash
before it, so that no two objects share an entry. The state itself knows no objects: ctx.state["k.f"] is the field, to be
read and written from any language.
"""

import abc
import dataclasses
import hashlib
import importlib

from . import errors, tiers

_META = "__blazen_meta__"
_classes = {}  # by label


class FieldStore(abc.ABC):
    """Keeps a field somewhere else. The key begins with the run's id, so that runs share nothing."""

    @abc.abstractmethod
    def save(self, key, value):
        """Keeps the value under the key, in place of what is there."""

    @abc.abstractmethod
    def load(self, key):
        """Answers what was kept last."""


class CallbackFieldStore(FieldStore):
    """A FieldStore of two functions: save_fn(key, value), and load_fn(key), which answers the value."""

    def __init__(self, save_fn, load_fn):
        self._save = save_fn
        self._load = load_fn

    def save(self, key, value):
        self._save(key, value)

    def load(self, key):
        return self._load(key)


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
    __init__, but from the fields; one that the class has got since has its default.
    """

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        _classes[_label_of(cls)] = cls

    def restore(self):
        """Is called when all fields but the transient ones are there again."""


def _label_of(cls):
    return f"{cls.__module__}:{cls.__qualname__}"


def _class_of(label):
    """The class of this label; the module that should define it is imported first."""
    if label not in _classes:
        try:
            importlib.import_module(label.partition(":")[0])
        except ImportError:
            pass
    if label not in _classes:
        raise errors.BlazenError(f"there is no BlazenState {label!r} in this process", errors.Status.NOT_FOUND)
    return _classes[label]


@dataclasses.dataclass
class _Plan:
    """Where the fields of a class go."""

    stored: list
    transient: list
    store_by: dict
    fields: dict


def _plan(cls):
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


class _Entries:
    """The keys of the object at one key."""

    def __init__(self, key):
        if not isinstance(key, str):
            raise TypeError(f"key is a str, not {key!r}")
        self._prefix = key.replace("\\", "\\\\").replace(".", "\\.") + "."
        self.meta = self.of(_META)

    def of(self, name):
        return self._prefix + name

    def elsewhere(self, ctx, name):
        """What a FieldStore calls a field."""
        return f"{ctx.run_id}/{self.of(name)}"


def save(ctx, key, thing):
    """Stores what has changed."""
    plan, entries = _plan(type(thing)), _Entries(key)
    before = ctx.state.get(entries.meta, {})
    packed = {entries.of(name): _pack(thing, name) for name in plan.stored}
    meta = {
        "class": _label_of(type(thing)),
        "fields": plan.stored,
        "transient": plan.transient,
        "stored_by": _save_elsewhere(ctx, entries, plan, thing, before.get("stored_by", {})),
    }
    packed[entries.meta] = tiers.pack(meta)
    gone = [entries.of(name) for name in before.get("fields", []) if name not in plan.stored]
    changed = {name: stored for name, stored in packed.items() if not _is_stored(ctx, name, stored)}
    ctx.state.apply(changed, remove=[*gone, key])


def _save_elsewhere(ctx, entries, plan, thing, before):
    """Gives the field stores what has changed; answers the digests of all that they have."""
    digests = {}
    for name, store in plan.store_by.items():
        value = getattr(thing, name)
        digests[name] = _digest(value)
        if digests[name] is None or digests[name] != before.get(name):
            store.save(entries.elsewhere(ctx, name), value)
    return digests


def _digest(value):
    """Changes with the value; None where it has no stored form."""
    packed = tiers.pack(value)
    return None if packed is None else hashlib.sha256(bytes([packed.tag]) + packed.data).hexdigest()


def _pack(thing, name):
    packed = tiers.pack(getattr(thing, name))
    if packed is None:
        kind = type(thing).__qualname__
        raise TypeError(f"the field {name!r} of {kind} cannot be stored: Meta.transient or Meta.store_by may name it")
    return packed


def _is_stored(ctx, name, stored):
    return name in ctx.state and ctx.state.stored(name) == stored


def load(ctx, key, default):
    """The object at this key, made anew; default where there is none."""
    entries = _Entries(key)
    meta = ctx.state.get(entries.meta)
    if meta is None:
        return default
    cls = _class_of(meta["class"])
    plan, thing = _plan(cls), cls.__new__(cls)
    for name, field in plan.fields.items():
        object.__setattr__(thing, name, _load_field(ctx, entries, plan, meta, field))
    thing.restore()
    return thing


def _load_field(ctx, entries, plan, meta, field):
    if field.name in plan.transient:
        return None
    if field.name in plan.store_by and field.name in meta["stored_by"]:
        return plan.store_by[field.name].load(entries.elsewhere(ctx, field.name))
    if entries.of(field.name) in ctx.state:
        return ctx.state[entries.of(field.name)]
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return None if field.default is dataclasses.MISSING else field.default


def forget(ctx, key):
    """Removes the object at this key, where there is one; what field stores have of it stays there."""
    entries = _Entries(key)
    if entries.meta in ctx.state:
        fields = ctx.state[entries.meta]["fields"]
        ctx.state.apply(remove=[entries.meta, *map(entries.of, fields)])
