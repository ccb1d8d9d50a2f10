/**
 * Typed state: field `f` of the object under the key `k` stands at `k.f`, its description at `k.__blazen_meta__`. Only `\` and
 * `.` are escaped in `k`; the field is everything behind the first dot that is not. All of it is written in one batch.
 */
import { BlazenError } from './errors.js';
import { Tag } from './native.js';
import type { Scope } from './scope.js';
import { encodeState, labelOf } from './values.js';

/** Stores one field of a typed object somewhere else. `key` is `k.f`. */
export interface FieldStore<C> {
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  save(key: string, value: any, ctx: C): unknown;
  load(key: string, ctx: C): unknown;
}

/** How the fields of a class are stored. */
export interface StateMeta<C> {
  /** The name under which the class is found again; its own where it is missing. */
  label?: string;
  /** Fields that are not stored; they are null after loading, before `restore` is called. */
  transient?: string[];
  /** Fields that are stored somewhere else. */
  storeBy?: Record<string, FieldStore<C>>;
  /** The method to call after loading. */
  restore?: string;
}

// eslint-disable-next-line @typescript-eslint/no-explicit-any
type StateClass = { new (): object; name: string; meta?: StateMeta<any> };

interface Described {
  v: 1;
  class: string;
  fields: string[];
  transient: string[];
  restore: string | null;
  stored_by: Record<string, { key: string; digest: string | null }>;
  import?: Record<string, string>;
}

const MARK = '__blazen_state__';
const classes = new Map<string, StateClass>();
/** The descriptions of objects whose class is not known here: they are saved again under the same. */
const generic = new WeakMap<object, Described>();

/** The key of an object, as it stands before the dot. */
export function escapeKey(key: string): string {
  return key.replace(/[\\.]/g, '\\$&');
}

function labelOfClass(type: StateClass): string {
  return type.meta?.label ?? type.name;
}

/** Lets objects of this class be made again when they are loaded. Saving one does the same. */
export function registerState(type: StateClass): void {
  classes.set(labelOfClass(type), type);
}

/** Whether `ctx.set` stores this object field by field. */
export function isTyped(value: unknown): value is object {
  return typeof value === 'object' && value !== null && ((value as Record<string, unknown>)[MARK] === true || generic.has(value));
}

/** Stores the object; gives what its stores have given. */
export function saveTyped(scope: Scope, ctx: unknown, key: string, object: object): unknown[] {
  const before = generic.get(object);
  const type = object.constructor as StateClass;
  if (before === undefined) registerState(type);
  const meta: StateMeta<unknown> = before === undefined ? type.meta ?? {} : { transient: before.transient, storeBy: {} };
  const transient = new Set(meta.transient ?? []);
  const stores = meta.storeBy ?? {};
  const fields = object as Record<string, unknown>;
  const names = Object.keys(object).filter((name) => name !== MARK && !transient.has(name));
  const prefix = escapeKey(key) + '.';
  const described: Described = {
    v: 1, class: before?.class ?? labelOfClass(type), fields: names, transient: [...transient],
    restore: before === undefined ? restoreOf(object, meta) : before.restore, stored_by: { ...before?.stored_by },
  };
  if (before?.import !== undefined) described.import = before.import;
  const sets: Parameters<Scope['batch']>[0] = [];
  for (const name of names) {
    if (Object.hasOwn(stores, name)) {
      described.stored_by[name] = { key: prefix + name, digest: null };
      continue;
    }
    const value = encodeState(fields[name]);
    if (value[0] === Tag.LIVE) {
      throw new TypeError(`the field "${name}" of ${described.class} has no serialised form: list it in meta.transient, or give it a store in meta.storeBy`);
    }
    sets.push([prefix + name, value]);
  }
  const old = scope.getState(prefix + '__blazen_meta__') as Described | undefined;
  const gone = (old?.fields ?? []).filter((name) => !names.includes(name) && !Object.hasOwn(old?.stored_by ?? {}, name));
  sets.push([prefix + '__blazen_meta__', encodeState(described)]);
  scope.batch(sets, [key, ...gone.map((name) => prefix + name)]);
  scope.remove(key, true);
  return Object.keys(stores).filter((name) => names.includes(name)).map((name) => stores[name]!.save(prefix + name, fields[name], ctx));
}

function restoreOf(object: object, meta: StateMeta<unknown>): string | null {
  if (meta.restore !== undefined) return meta.restore;
  return typeof (object as { restore?: unknown }).restore === 'function' ? 'restore' : null;
}

/** A typed object that is being loaded: what its stores give may be promises. */
export interface Loading {
  stored: unknown[];
  /** Makes the object, of what the stores have given. */
  make(stored: unknown[]): object;
}

/** Loads the object under a key; null where there is none. `wanted` is the class to make, where the caller knows it. */
export function loadTyped(scope: Scope, ctx: unknown, key: string, marked: boolean, wanted?: StateClass): Loading | null {
  const prefix = escapeKey(key) + '.';
  const all = scope.getAll(prefix);
  const described = all.get(prefix + '__blazen_meta__') as Described | undefined;
  if (described === undefined) return null;
  const type = wanted ?? classes.get(described.class);
  const stores = type?.meta?.storeBy ?? {};
  const fromStores = described.fields.filter((name) => Object.hasOwn(described.stored_by, name) && Object.hasOwn(stores, name));
  return {
    stored: fromStores.map((name) => stores[name]!.load(described.stored_by[name]!.key, ctx)),
    make(stored) {
      const object: object = type === undefined ? {} : new type();
      const put = (name: string, value: unknown): void => {
        Object.defineProperty(object, name, { value, writable: true, enumerable: true, configurable: true });
      };
      for (const name of described.fields) {
        const place = fromStores.indexOf(name);
        if (place >= 0) put(name, stored[place]);
        else if (all.has(prefix + name)) put(name, all.get(prefix + name));
      }
      for (const name of described.transient) put(name, null);
      if (type === undefined) generic.set(object, described);
      if (marked) put(MARK, true);
      const restore = type === undefined ? null : described.restore ?? type.meta?.restore ?? null;
      if (restore !== null) {
        const method = (object as Record<string, unknown>)[restore];
        if (typeof method !== 'function') throw new TypeError(`${described.class} has no method "${restore}", which its meta names as restore`);
        method.call(object);
      }
      return object;
    },
  };
}

/** Removes a key, and the typed object under it. */
export function removeKey(scope: Scope, key: string): boolean {
  const prefix = escapeKey(key) + '.';
  const described = scope.getState(prefix + '__blazen_meta__') as Described | undefined;
  const there = scope.has(key, false) || scope.has(key, true) || described !== undefined;
  if (described !== undefined) scope.batch([], [key, prefix + '__blazen_meta__', ...described.fields.map((name) => prefix + name)]);
  else scope.remove(key, false);
  scope.remove(key, true);
  return there;
}

/** The error of loading what is not there. */
export function noState(key: string): BlazenError {
  return new BlazenError(`there is no typed state under "${key}"`, { code: 'NOT_FOUND' });
}

export { labelOf };
