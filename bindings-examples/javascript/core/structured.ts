/**
 * The codec `js/structured`: what the structured clone algorithm takes and plain data does not: Map, Set, Date, RegExp, Error,
 * ArrayBuffer and typed arrays, holes, undefined, shared and circular references. Text of JSON: a list of nodes, the first one
 * is the value. Reading it executes no code.
 */

/** 1 is the format's version. */
const VERSION = 1;

type Node = unknown;

const VIEWS = {
  Int8Array, Uint8Array, Uint8ClampedArray, Int16Array, Uint16Array, Int32Array, Uint32Array, Float32Array, Float64Array,
  BigInt64Array, BigUint64Array, DataView,
} as const;
const ERRORS = { Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError } as const;

class NotStructured extends Error {}

function toBase64(bytes: Uint8Array): string {
  let text = '';
  for (let i = 0; i < bytes.length; i += 0x8000) text += String.fromCharCode(...bytes.subarray(i, i + 0x8000));
  return btoa(text);
}

function fromBase64(text: string): Uint8Array {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

/** Base64, standard and padded. */
export const base64 = { encode: toBase64, decode: fromBase64 };

class Writer {
  readonly nodes: Node[] = [];
  private readonly known = new Map<object, number>();

  add(value: unknown): number {
    if (typeof value === 'object' && value !== null) {
      const before = this.known.get(value);
      if (before !== undefined) return before;
    }
    const place = this.nodes.push(null) - 1;
    if (typeof value === 'object' && value !== null) this.known.set(value, place);
    this.nodes[place] = this.node(value);
    return place;
  }

  private pairs(value: object): [string, number][] {
    return Object.keys(value).map((key) => [key, this.add((value as Record<string, unknown>)[key])]);
  }

  private node(value: unknown): Node {
    switch (typeof value) {
      case 'undefined': return ['u'];
      case 'boolean': return ['v', value];
      case 'bigint': return ['n', value.toString()];
      case 'number': return Number.isFinite(value) && !Object.is(value, -0) ? ['v', value] : ['d', Object.is(value, -0) ? '-0' : String(value)];
      case 'string': return ['s', value];
      case 'object': break;
      default: throw new NotStructured();
    }
    if (value === null) return ['v', null];
    if (Array.isArray(value)) {
      const keys = Object.keys(value);
      return ['a', value.length, keys.map((key) => [key, this.add((value as unknown as Record<string, unknown>)[key])])];
    }
    const kind = Object.prototype.toString.call(value).slice(8, -1);
    const prototype = Object.getPrototypeOf(value) as object | null;
    if (prototype === null || prototype.constructor?.name === 'Object') return ['o', this.pairs(value)];
    if (value instanceof Date) return ['t', Number.isNaN(value.getTime()) ? null : value.getTime()];
    if (value instanceof RegExp) return ['r', value.source, value.flags];
    if (value instanceof Map && prototype === Map.prototype) return ['m', [...value].map(([k, v]) => [this.add(k), this.add(v)])];
    if (value instanceof Set && prototype === Set.prototype) return ['e', [...value].map((v) => this.add(v))];
    if (value instanceof ArrayBuffer) return ['b', toBase64(new Uint8Array(value))];
    if (ArrayBuffer.isView(value)) {
      if (!(kind in VIEWS)) throw new NotStructured();
      return ['w', kind, toBase64(new Uint8Array(value.buffer, value.byteOffset, value.byteLength))];
    }
    if (value instanceof Error) {
      const cause = 'cause' in value ? this.add(value.cause) : null;
      return ['x', value.name in ERRORS ? value.name : value.constructor.name, value.name, value.message, value.stack ?? '', cause, this.pairs(value)];
    }
    if (value instanceof Boolean || value instanceof Number || value instanceof String) return ['O', this.add(value.valueOf())];
    throw new NotStructured();
  }
}

/** The bytes of a value; undefined where it holds something that cannot be cloned (an object of a class, a function). */
export function writeStructured(value: unknown): Uint8Array | undefined {
  const writer = new Writer();
  try {
    writer.add(value);
  } catch (error) {
    if (error instanceof NotStructured || error instanceof RangeError) return undefined;
    throw error;
  }
  // JSON.stringify writes a lone surrogate as an escape, which is right here: nobody but JavaScript reads it.
  return new TextEncoder().encode(JSON.stringify([VERSION, writer.nodes]));
}

class Reader {
  private readonly made: unknown[] = [];
  private readonly begun = new Set<number>();
  constructor(private readonly nodes: unknown[][]) {}

  get(place: number): unknown {
    if (this.begun.has(place)) return this.made[place];
    this.begun.add(place);
    const node = this.nodes[place];
    if (!Array.isArray(node)) throw new RangeError(`js/structured: there is no node ${place}`);
    return this.make(place, node);
  }

  private fill(target: object, pairs: [string, number][]): void {
    for (const [key, place] of pairs) {
      Object.defineProperty(target, key, { value: this.get(place), writable: true, enumerable: true, configurable: true });
    }
  }

  private keep<T>(place: number, value: T): T {
    this.made[place] = value;
    return value;
  }

  private make(place: number, node: unknown[]): unknown {
    const [kind, first, second] = node;
    switch (kind) {
      case 'u': return this.keep(place, undefined);
      case 'v': case 's': return this.keep(place, first);
      case 'n': return this.keep(place, BigInt(first as string));
      case 'd': return this.keep(place, first === '-0' ? -0 : Number(first));
      case 't': return this.keep(place, new Date(first === null ? NaN : first as number));
      case 'r': return this.keep(place, new RegExp(first as string, second as string));
      case 'b': return this.keep(place, fromBase64(first as string).buffer);
      case 'O': return this.keep(place, Object(this.get(first as number)) as object);
      case 'w': {
        const make = Object.hasOwn(VIEWS, first as string) ? VIEWS[first as keyof typeof VIEWS] : undefined;
        if (make === undefined) throw new RangeError(`js/structured: there is no view ${String(first)}`);
        const View = make as new (buffer: ArrayBufferLike) => object;
        return this.keep(place, new View(fromBase64(second as string).buffer));
      }
      case 'a': {
        const result = this.keep(place, new Array<unknown>(first as number));
        this.fill(result, second as [string, number][]);
        return result;
      }
      case 'o': {
        const result = this.keep(place, {});
        this.fill(result, first as [string, number][]);
        return result;
      }
      case 'm': {
        const result = this.keep(place, new Map<unknown, unknown>());
        for (const [key, value] of first as [number, number][]) result.set(this.get(key), this.get(value));
        return result;
      }
      case 'e': {
        const result = this.keep(place, new Set<unknown>());
        for (const item of first as number[]) result.add(this.get(item));
        return result;
      }
      case 'x': {
        const [, type, name, message, stack, cause, pairs] = node as [string, string, string, string, string, number | null, [string, number][]];
        const make = Object.hasOwn(ERRORS, type) ? ERRORS[type as keyof typeof ERRORS] : Error;
        const result = this.keep(place, new make(message));
        const hidden = (key: string, value: unknown): void => {
          Object.defineProperty(result, key, { value, writable: true, enumerable: false, configurable: true });
        };
        if (result.name !== name) hidden('name', name);
        hidden('stack', stack);
        if (cause !== null) hidden('cause', this.get(cause));
        this.fill(result, pairs);
        return result;
      }
      default: throw new RangeError(`js/structured: a node of no known kind: ${String(kind)}`);
    }
  }
}

/** The value of bytes that {@link writeStructured} has written. */
export function readStructured(bytes: Uint8Array): unknown {
  const whole = JSON.parse(new TextDecoder().decode(bytes)) as unknown;
  if (!Array.isArray(whole) || whole[0] !== VERSION || !Array.isArray(whole[1])) {
    throw new RangeError('js/structured: these bytes are of another format, or of a newer version');
  }
  return new Reader(whole[1] as unknown[][]).get(0);
}
