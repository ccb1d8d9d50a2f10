/**
 * The codec `blazen/cbor`: what JSON holds, and bytes, bignums, NaN, infinities, −0, dates, texts that are not well-formed, and
 * one embedded object of a platform ([codec, bytes] under tag 27). Deterministic (RFC 8949, section 4.2), but that maps keep
 * their order. All faces read and write it; reading it executes no code.
 */
import { isPlain, isWellFormed } from './json.js';
import { Foreign } from './foreign.js';

/** Gives the bytes of something that only the platform's own serializer takes; undefined where that does not either. */
export type Embed = (value: object) => Foreign | undefined;

const DEPTH_MAX = 500;
/** A moment: seconds since 1970. Read as a text (RFC 3339), too, and as a day alone, which other languages write. */
const TAG_DATE = 1;
const TAG_DATE_TEXT = 0;
const TAG_DAY = 1004;
const TAG_BIG = 2;
const TAG_NEGATIVE_BIG = 3;
const TAG_OBJECT = 27;
/** A typed array of big-endian 16-bit numbers (RFC 8746): UTF-16 that no UTF-8 can hold. */
const TAG_UTF16 = 65;
/** The same of little-endian numbers, which is only read. */
const TAG_UTF16_LITTLE = 69;

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

class NotPlain extends Error {}

class Writer {
  private bytes = new Uint8Array(256);
  private view = new DataView(this.bytes.buffer);
  private length = 0;
  constructor(private readonly embed: Embed) {}

  done(): Uint8Array {
    return this.bytes.slice(0, this.length);
  }

  private room(count: number): void {
    if (this.length + count <= this.bytes.length) return;
    const grown = new Uint8Array(Math.max(this.bytes.length * 2, this.length + count));
    grown.set(this.bytes.subarray(0, this.length));
    this.bytes = grown;
    this.view = new DataView(grown.buffer);
  }

  private head(major: number, count: number | bigint): void {
    this.room(9);
    const kind = major << 5;
    const n = Number(count);
    if (n < 24) {
      this.bytes[this.length++] = kind | n;
    } else if (n < 0x100) {
      this.bytes[this.length++] = kind | 24;
      this.bytes[this.length++] = n;
    } else if (n < 0x10000) {
      this.bytes[this.length++] = kind | 25;
      this.view.setUint16(this.length, n);
      this.length += 2;
    } else if (n < 0x100000000) {
      this.bytes[this.length++] = kind | 26;
      this.view.setUint32(this.length, n);
      this.length += 4;
    } else {
      this.bytes[this.length++] = kind | 27;
      this.view.setBigUint64(this.length, BigInt(count));
      this.length += 8;
    }
  }

  private raw(data: Uint8Array): void {
    this.room(data.length);
    this.bytes.set(data, this.length);
    this.length += data.length;
  }

  private byteString(data: Uint8Array): void {
    this.head(2, data.length);
    this.raw(data);
  }

  private text(value: string): void {
    if (isWellFormed(value)) {
      const data = encoder.encode(value);
      this.head(3, data.length);
      this.raw(data);
      return;
    }
    const data = new DataView(new ArrayBuffer(value.length * 2));
    for (let i = 0; i < value.length; ++i) data.setUint16(i * 2, value.charCodeAt(i));
    this.head(6, TAG_UTF16);
    this.byteString(new Uint8Array(data.buffer));
  }

  private number(value: number): void {
    if (Number.isSafeInteger(value) && !Object.is(value, -0)) {
      if (value >= 0) this.head(0, value);
      else this.head(1, -1 - value);
      return;
    }
    this.room(9);
    const half = toHalf(value);
    if (half !== undefined) {
      this.bytes[this.length] = 0xf9;
      this.view.setUint16(this.length + 1, half);
      this.length += 3;
    } else if (Object.is(Math.fround(value), value)) {
      this.bytes[this.length] = 0xfa;
      this.view.setFloat32(this.length + 1, value);
      this.length += 5;
    } else {
      this.bytes[this.length] = 0xfb;
      this.view.setFloat64(this.length + 1, value);
      this.length += 9;
    }
  }

  private big(value: bigint): void {
    const magnitude = value >= 0n ? value : -1n - value;
    if (magnitude < 1n << 64n) {
      this.head(value >= 0n ? 0 : 1, magnitude);
      return;
    }
    const digits = magnitude.toString(16);
    const padded = digits.length % 2 === 0 ? digits : '0' + digits;
    const data = Uint8Array.from(padded.match(/../g) ?? [], (pair) => parseInt(pair, 16));
    this.head(6, value >= 0n ? TAG_BIG : TAG_NEGATIVE_BIG);
    this.byteString(data);
  }

  private object(codec: string, data: Uint8Array): void {
    this.head(6, TAG_OBJECT);
    this.head(4, 2);
    this.text(codec);
    this.byteString(data);
  }

  value(value: unknown, depth = 0): void {
    if (depth > DEPTH_MAX) throw new NotPlain();
    switch (typeof value) {
      case 'undefined': return this.simple(0xf6);
      case 'boolean': return this.simple(value ? 0xf5 : 0xf4);
      case 'number': return this.number(value);
      case 'bigint': return this.big(value);
      case 'string': return this.text(value);
      case 'object': break;
      default: throw new NotPlain();
    }
    if (value === null) return this.simple(0xf6);
    if (value instanceof Uint8Array) return this.byteString(value);
    if (value instanceof Foreign) return this.object(value.codec, value.data);
    if (value instanceof Date) {
      this.head(6, TAG_DATE);
      return this.number(value.getTime() / 1000);
    }
    if (Array.isArray(value)) {
      this.head(4, value.length);
      for (let i = 0; i < value.length; ++i) {
        if (!(i in value)) throw new NotPlain();
        this.value(value[i], depth + 1);
      }
      return;
    }
    if (isPlain(value)) return this.map(value as Record<string, unknown>, depth);
    const embedded = this.embed(value);
    if (embedded === undefined) throw new NotPlain();
    this.object(embedded.codec, embedded.data);
  }

  private simple(byte: number): void {
    this.room(1);
    this.bytes[this.length++] = byte;
  }

  private map(value: Record<string, unknown>, depth: number): void {
    const keys = Object.keys(value).filter((key) => value[key] !== undefined);
    this.head(5, keys.length);
    for (const key of keys) {
      if (Object.getOwnPropertyDescriptor(value, key)?.get !== undefined) throw new NotPlain();
      if (!isWellFormed(key)) throw new TypeError(`a key must be well-formed text: ${JSON.stringify(key)} has a lone surrogate`);
      this.text(key);
      this.value(value[key], depth + 1);
    }
  }
}

/** The bits of a half-precision number that is exactly this one; undefined where there is none. */
function toHalf(value: number): number | undefined {
  if (Number.isNaN(value)) return 0x7e00;
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  const size = Math.abs(value);
  if (size === Infinity) return sign | 0x7c00;
  if (size === 0) return sign;
  if (size > 65504) return undefined;
  const exponent = Math.max(Math.floor(Math.log2(size)), -14);
  const fraction = (size / 2 ** exponent) * 1024;
  if (!Number.isInteger(fraction)) return undefined;
  return fraction < 1024 ? sign | fraction : sign | ((exponent + 15) << 10) | (fraction - 1024);
}

function fromHalf(bits: number): number {
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  const size = exponent === 0 ? fraction * 2 ** -24
    : exponent === 31 ? (fraction === 0 ? Infinity : NaN)
    : (1 + fraction / 1024) * 2 ** (exponent - 15);
  return bits & 0x8000 ? -size : size;
}

/** The bytes of a value; undefined where it holds something that is no plain data and that `embed` does not take. */
export function writeCbor(value: unknown, embed: Embed): Uint8Array | undefined {
  const writer = new Writer(embed);
  try {
    writer.value(value);
  } catch (error) {
    if (error instanceof NotPlain) return undefined;
    throw error;
  }
  return writer.done();
}

/** Whether these bytes are one embedded object, with nothing around it: its own codec says more. */
export function isEmbedded(cbor: Uint8Array): boolean {
  return cbor[0] === 0xd8 && cbor[1] === TAG_OBJECT;
}

class Reader {
  private place = 0;
  private readonly view: DataView;
  constructor(private readonly bytes: Uint8Array, private readonly revive: (object: Foreign) => unknown) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  whole(): unknown {
    const value = this.value(0);
    if (this.place !== this.bytes.length) this.refuse('more behind its end');
    return value;
  }

  private refuse(what: string): never {
    throw new RangeError(`blazen/cbor: ${what}, at byte ${this.place} of ${this.bytes.length}`);
  }

  private need(count: number): void {
    if (count > this.bytes.length - this.place) this.refuse('it ends too early');
  }

  private count(info: number): number | bigint {
    if (info < 24) return info;
    const size = 1 << (info - 24);
    if (info > 27) this.refuse('an indefinite length, which is not deterministic');
    this.need(size);
    const at = this.place;
    this.place += size;
    if (size === 1) return this.bytes[at]!;
    if (size === 2) return this.view.getUint16(at);
    if (size === 4) return this.view.getUint32(at);
    const big = this.view.getBigUint64(at);
    return big <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(big) : big;
  }

  private data(length: number | bigint): Uint8Array {
    this.need(Number(length));
    const begin = this.place;
    this.place += Number(length);
    return this.bytes.slice(begin, this.place);
  }

  private value(depth: number): unknown {
    if (depth > DEPTH_MAX * 2) this.refuse('too deep');
    this.need(1);
    const initial = this.bytes[this.place++]!;
    const major = initial >> 5;
    const info = initial & 31;
    if (major === 7) return this.simple(info);
    const count = this.count(info);
    switch (major) {
      case 0: return count;
      case 1: return typeof count === 'number' && count < Number.MAX_SAFE_INTEGER ? -1 - count : -1n - BigInt(count);
      case 2: return this.data(count);
      case 3: return decoder.decode(this.data(count));
      case 4: {
        this.need(Number(count));
        const result: unknown[] = [];
        for (let i = 0; i < count; ++i) result.push(this.value(depth + 1));
        return result;
      }
      case 5: {
        this.need(Number(count) * 2);
        const result = {};
        for (let i = 0; i < count; ++i) {
          const key = this.value(depth + 1);
          if (typeof key !== 'string') this.refuse('a key that is no text');
          Object.defineProperty(result, key, { value: this.value(depth + 1), writable: true, enumerable: true, configurable: true });
        }
        return result;
      }
      default: return this.tagged(Number(count), depth);
    }
  }

  private simple(info: number): unknown {
    switch (info) {
      case 20: return false;
      case 21: return true;
      case 22: case 23: return null;
      case 25: return fromHalf(Number(this.count(25)));
      case 26: this.need(4); this.place += 4; return this.view.getFloat32(this.place - 4);
      case 27: this.need(8); this.place += 8; return this.view.getFloat64(this.place - 8);
      default: return this.refuse('a value of no known kind');
    }
  }

  private tagged(tag: number, depth: number): unknown {
    const value = this.value(depth + 1);
    switch (tag) {
      case TAG_DATE:
        if (typeof value === 'number') return new Date(Math.round(value * 1000));
        break;
      case TAG_DATE_TEXT: case TAG_DAY:
        if (typeof value === 'string' && !Number.isNaN(Date.parse(value))) return new Date(value);
        break;
      case TAG_BIG: case TAG_NEGATIVE_BIG:
        if (value instanceof Uint8Array) {
          let digits = '0x0';
          for (const byte of value) digits += byte.toString(16).padStart(2, '0');
          return tag === TAG_BIG ? BigInt(digits) : -1n - BigInt(digits);
        }
        break;
      case TAG_UTF16: case TAG_UTF16_LITTLE:
        if (value instanceof Uint8Array && value.length % 2 === 0) {
          const units = new DataView(value.buffer, value.byteOffset, value.length);
          let text = '';
          for (let i = 0; i < value.length; i += 2) text += String.fromCharCode(units.getUint16(i, tag === TAG_UTF16_LITTLE));
          return text;
        }
        break;
      case TAG_OBJECT:
        if (Array.isArray(value) && typeof value[0] === 'string' && value[1] instanceof Uint8Array) {
          return this.revive(new Foreign('native', value[0], value[1]));
        }
        break;
    }
    return this.refuse(`tag ${tag}, which is not of this codec or holds something else`);
  }
}

/** The value of bytes; `revive` is given each embedded object. */
export function readCbor(bytes: Uint8Array, revive: (object: Foreign) => unknown): unknown {
  return new Reader(bytes, revive).whole();
}
