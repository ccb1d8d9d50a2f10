/** Typed state: a class whose fields are stored one by one. */
import type { FieldStore as CoreFieldStore, StateMeta } from '../../core/typed.js';
import { noState } from '../../core/typed.js';
import type { Context } from './context.js';

/** Stores one field of a typed object somewhere else. */
export interface FieldStore extends CoreFieldStore<Context> {
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  save(key: string, value: any, ctx: Context): Promise<void>;
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  load(key: string, ctx: Context): Promise<any>;
}

/** How the fields of a class are stored. */
export interface BlazenStateMeta extends StateMeta<Context> {
  storeBy?: Record<string, FieldStore>;
}

/** A {@link FieldStore} of two functions. */
export class CallbackFieldStore implements FieldStore {
  readonly #functions: {
    // eslint-disable-next-line @typescript-eslint/no-explicit-any
    saveFn: (key: string, value: any, ctx: Context) => unknown;
    loadFn: (key: string, ctx: Context) => unknown;
  };

  /** @param functions what saves the value of `key`, and what loads it again */
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  constructor(functions: { saveFn: (key: string, value: any, ctx: Context) => unknown; loadFn: (key: string, ctx: Context) => unknown }) {
    this.#functions = functions;
  }

  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  async save(key: string, value: any, ctx: Context): Promise<void> {
    await this.#functions.saveFn(key, value, ctx);
  }

  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  async load(key: string, ctx: Context): Promise<any> {
    return this.#functions.loadFn(key, ctx);
  }
}

/**
 * The base of typed state. `static meta`, a {@link BlazenStateMeta}, says how the fields are stored; a method `restore()`
 * makes the transient ones again, and is called after loading.
 */
export class BlazenState {
  /** Stores the object under this key. */
  async saveTo(ctx: Context, key: string): Promise<void> {
    await ctx.saveTyped_(key, this);
  }

  /** Loads the object under this key; rejects where there is none. */
  static async loadFrom<T extends BlazenState>(ctx: Context, key: string): Promise<T> {
    const object = await ctx.loadTyped_(key, false, this as unknown as new () => object);
    if (object === null) throw noState(key);
    return object as T;
  }
}
