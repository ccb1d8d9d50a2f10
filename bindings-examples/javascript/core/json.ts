/**
 * JSON, as strictly as it has to be to travel: {@link writeJson} answers undefined for whatever JSON does not hold exactly,
 * and {@link readJson} neither rounds an integer nor lets infinity through.
 */

const SPECIAL = /["\\\u0000-\u001f\ud800-\udfff]/;
const LONE_SURROGATE = /\p{Surrogate}/u;
const DEPTH_MAX = 500;

/** Whether a text is well-formed: no surrogate stands alone in it. */
export function isWellFormed(text: string): boolean {
  return !LONE_SURROGATE.test(text);
}

function quote(text: string): string | undefined {
  if (!SPECIAL.test(text)) return '"' + text + '"';
  return isWellFormed(text) ? JSON.stringify(text) : undefined;
}

/** Whether a value is a plain object: its prototype is `Object.prototype` or null. */
export function isPlain(value: object): boolean {
  const prototype = Object.getPrototypeOf(value) as unknown;
  if (prototype === Object.prototype || prototype === null) return true;
  // Of another realm: its prototype has no prototype, and its constructor is called Object.
  return Object.getPrototypeOf(prototype) === null && (prototype as object).constructor?.name === 'Object'
    && Object.hasOwn(prototype as object, 'isPrototypeOf');
}

/** The value as JSON text; undefined where JSON does not hold it exactly. */
export function writeJson(value: unknown): string | undefined {
  return value === undefined ? 'null' : write(value, 0);
}

/** The fields of an event as JSON text, without its type. */
export function writeFields(fields: object, skipped: string): string | undefined {
  return isPlain(fields) ? writeObject(fields as Record<string, unknown>, skipped, 1) : undefined;
}

function write(value: unknown, depth: number): string | undefined {
  switch (typeof value) {
    case 'string':
      return quote(value);
    case 'number':
      if (!Number.isFinite(value) || Object.is(value, -0)) return undefined;
      return '' + value;
    case 'boolean':
      return value ? 'true' : 'false';
    case 'bigint':
      return value.toString();
    case 'object':
      if (value === null) return 'null';
      if (depth >= DEPTH_MAX) return undefined;
      if (Array.isArray(value)) return writeArray(value, depth + 1);
      return isPlain(value) ? writeObject(value as Record<string, unknown>, undefined, depth + 1) : undefined;
    default:
      return undefined;
  }
}

function writeArray(value: unknown[], depth: number): string | undefined {
  if (Object.getPrototypeOf(value) !== Array.prototype && value.constructor?.name !== 'Array') return undefined;
  let text = '[';
  for (let i = 0; i < value.length; ++i) {
    const item = value[i];
    if (item === undefined && !(i in value)) return undefined;
    const part = item === undefined ? 'null' : write(item, depth);
    if (part === undefined) return undefined;
    text += i === 0 ? part : ',' + part;
  }
  return text + ']';
}

function writeObject(value: Record<string, unknown>, skipped: string | undefined, depth: number): string | undefined {
  let text = '{';
  let first = true;
  for (const key of Object.keys(value)) {
    if (key === skipped) continue;
    const item = value[key];
    // An accessor may answer something else each time: such an object is no data.
    if (isAccessor(value, key)) return undefined;
    if (item === undefined) continue;
    const part = write(item, depth);
    if (part === undefined) return undefined;
    text += (first ? '' : ',') + keyText(key) + part;
    first = false;
  }
  return text + '}';
}

const KEYS_MAX = 4096;
const keyTexts = new Map<string, string>();

/** A key as it stands in JSON, with its colon. */
function keyText(key: string): string {
  const known = keyTexts.get(key);
  if (known !== undefined) return known;
  const name = quote(key);
  if (name === undefined) throw new TypeError(`a key must be well-formed text: ${JSON.stringify(key)} has a lone surrogate`);
  if (keyTexts.size < KEYS_MAX && key.length < 64) keyTexts.set(key, name + ':');
  return name + ':';
}

function isAccessor(value: object, key: string): boolean {
  return Object.getOwnPropertyDescriptor(value, key)?.get !== undefined;
}


const NEEDS_CARE = /\d{16}|\d[eE]\+?\d{3}|\\u[dD][89a-fA-F]/;

/** The value of JSON text. Integers beyond ±(2^53−1) are BigInt; a number that would be infinite, and half a character, are errors. */
export function readJson(text: string, what = 'the JSON'): unknown {
  if (!NEEDS_CARE.test(text)) return JSON.parse(text) as unknown;
  return new CarefulReader(text, what).read();
}

const NUMBER = /-?\d+(\.\d+)?([eE][+-]?\d+)?/y;

class CarefulReader {
  private place = 0;
  constructor(private readonly text: string, private readonly what: string) {}

  read(): unknown {
    const value = this.value();
    this.space();
    if (this.place !== this.text.length) this.refuse('has more behind its end');
    return value;
  }

  private refuse(why: string): never {
    throw new RangeError(`${this.what} ${why} (at character ${this.place}); read it as text instead`);
  }

  private space(): void {
    while (/\s/.test(this.text[this.place] ?? 'x')) this.place++;
  }

  private take(character: string): boolean {
    this.space();
    if (this.text[this.place] !== character) return false;
    this.place++;
    return true;
  }

  private value(): unknown {
    this.space();
    if (this.take('{')) {
      const result = {};
      if (this.take('}')) return result;
      do {
        this.space();
        const key = this.string();
        if (!this.take(':')) this.refuse('lacks a colon');
        Object.defineProperty(result, key, { value: this.value(), writable: true, enumerable: true, configurable: true });
      } while (this.take(','));
      if (!this.take('}')) this.refuse('lacks the end of an object');
      return result;
    }
    if (this.take('[')) {
      const result: unknown[] = [];
      if (this.take(']')) return result;
      do result.push(this.value()); while (this.take(','));
      if (!this.take(']')) this.refuse('lacks the end of an array');
      return result;
    }
    if (this.text[this.place] === '"') return this.string();
    for (const [word, meaning] of [['true', true], ['false', false], ['null', null]] as const) {
      if (this.text.startsWith(word, this.place)) {
        this.place += word.length;
        return meaning;
      }
    }
    return this.number();
  }

  private string(): string {
    const begin = this.place;
    let end = begin + 1;
    while (this.text[end] !== '"') {
      if (end >= this.text.length) this.refuse('lacks the end of a text');
      end += this.text[end] === '\\' ? 2 : 1;
    }
    this.place = end + 1;
    const value = JSON.parse(this.text.slice(begin, end + 1)) as string;
    if (!isWellFormed(value)) this.refuse('has half a character (a lone surrogate)');
    return value;
  }

  private number(): number | bigint {
    NUMBER.lastIndex = this.place;
    const found = NUMBER.exec(this.text);
    if (found === null) this.refuse('has something that is no JSON');
    this.place += found[0].length;
    const value = Number(found[0]);
    if (!Number.isFinite(value)) this.refuse(`has a number that JavaScript does not hold: ${found[0].slice(0, 40)}`);
    if (found[1] === undefined && found[2] === undefined && !Number.isSafeInteger(value)) return BigInt(found[0]);
    return value;
  }
}
