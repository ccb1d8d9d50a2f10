/** Events are plain objects with a `type`; the rest of them is their value. */
import { Foreign } from './foreign.js';
import { isPlain, isWellFormed, writeFields } from './json.js';
import { native, platform, Tag, type ValueArguments, type Wire } from './native.js';
import { decode, encode, held, HeldEvent, hold, LIVE_EVENT, serialized } from './values.js';

/** Any event: a type, and the fields of its value. */
export interface BlazenEvent {
  type: string;
  // A step declares nothing about the fields of what it accepts.
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  [field: string]: any;
}

export const START_EVENT = 'blazen::StartEvent';
export const STOP_EVENT = 'blazen::StopEvent';
export const INPUT_REQUEST_EVENT = 'blazen::InputRequestEvent';
export const INPUT_RESPONSE_EVENT = 'blazen::InputResponseEvent';
export const STREAM_END = 'blazen::StreamEnd';

const MISTAKEN = new Map([START_EVENT, STOP_EVENT, INPUT_REQUEST_EVENT, INPUT_RESPONSE_EVENT].map((type) => [type.slice('blazen::'.length), type]));

const TYPES_MAX = 4096;
const types = new Map<string, number>();

/** The backend's number of a type that is in use; undefined where there are too many. Such a type was checked. */
export function typeNumber(type: string): number | undefined {
  let number = types.get(type);
  if (number === undefined && types.size < TYPES_MAX) {
    number = native().intern(type);
    types.set(type, number);
  }
  return number;
}

/** Throws where a text cannot be the type of an event. */
export function checkType(type: unknown, where: string): asserts type is string {
  if (typeof type !== 'string' || type === '') throw new TypeError(`${where}: an event's type must be a text that is not empty`);
  if (!isWellFormed(type)) throw new TypeError(`${where}: an event's type must be well-formed text; this one has a lone surrogate`);
  const meant = MISTAKEN.get(type);
  if (meant !== undefined) throw new TypeError(`${where}: "${type}" is no event's type; did you mean "${meant}"?`);
}

/** The values of events whose fields do not show them as they are. */
const values = new WeakMap<object, { value: unknown }>();

/** Makes an event of a value that is no object of fields, or whose fields are called `type` or `eventType`. */
export function payload(type: string, value: unknown): BlazenEvent;
/** The value of an event, as it was given. */
export function payload(event: BlazenEvent): unknown;
export function payload(first: string | BlazenEvent, value?: unknown): unknown {
  if (typeof first === 'string') {
    checkType(first, 'payload');
    return makeEvent(first, value === undefined ? null : value);
  }
  const marked = values.get(first);
  if (marked !== undefined) return marked.value;
  if (first.type === STOP_EVENT) return stopValue(first);
  const { type: _, ...fields } = first;
  return fields;
}

function stopValue(event: Record<string, unknown>): unknown {
  let others = 0;
  for (const key of Object.keys(event)) if (key !== 'type' && key !== 'result' && event[key] !== undefined) others++;
  if (Object.hasOwn(event, 'result')) {
    if (others > 0) throw new TypeError('a StopEvent has either `result` or other fields, not both');
    return event['result'];
  }
  if (others === 0) return null;
  const { type: _, ...fields } = event;
  return fields;
}

/** An event, ready for the engine: its type, and the four arguments of its value. */
export type EncodedEvent = [type: string, ...ValueArguments];

/** Prepares an event; `where` is who gave it, for the error. */
export function encodeEvent(event: unknown, where: string): EncodedEvent {
  if (typeof event !== 'object' || event === null || Array.isArray(event)) {
    throw new TypeError(`${where}: an event must be an object with a \`type\`, not ${event === null ? 'null' : Array.isArray(event) ? 'an array' : typeof event}`);
  }
  const fields = event as Record<string, unknown>;
  const type = fields['type'] as string;
  if (!types.has(type)) checkType(type, where);
  const marked = values.get(event);
  if (marked !== undefined) return [type, ...encode(marked.value)];
  if (type === STOP_EVENT) return [type, ...encode(stopValue(fields))];
  const json = writeFields(fields, 'type');
  if (json !== undefined) return [type, Tag.JSON, json, undefined, hold(new HeldEvent(fields))];
  const kept = new HeldEvent(fields);
  const value = serialized(kept.payload(), () => hold(kept));
  return value === undefined ? [type, Tag.LIVE, true, LIVE_EVENT, hold(kept)] : [type, ...value];
}

const alias: PropertyDescriptor = { value: '', writable: true, configurable: true, enumerable: false };
const field: PropertyDescriptor = { value: undefined, writable: true, configurable: true, enumerable: true };

/** Begins an event. The alias comes first: V8 shares the shapes of objects that begin alike. */
function beginEvent(type: string): BlazenEvent {
  const event = {} as BlazenEvent;
  alias.value = type === INPUT_REQUEST_EVENT ? platform().inputRequested : type;
  Object.defineProperty(event, 'eventType', alias);
  event.type = type;
  return event;
}

/** Adds the fields; those whose names an assignment would not make a property of are defined. Says whether one is hidden. */
function addFields(event: BlazenEvent, fields: Record<string, unknown>, hidden: boolean): boolean {
  for (const key of Object.keys(fields)) {
    if (key === 'type') continue;
    if (key === 'eventType') {
      hidden = true;
      continue;
    }
    if (key === '__proto__') {
      field.value = fields[key];
      Object.defineProperty(event, key, field);
    } else {
      event[key] = fields[key];
    }
  }
  if (event.type === INPUT_REQUEST_EVENT && !Object.hasOwn(event, 'requestId')) {
    alias.value = event['request_id'];
    Object.defineProperty(event, 'requestId', alias);
  }
  return hidden;
}

function isFields(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Foreign) && isPlain(value);
}

/** Makes the flat event of a type and a value. */
export function makeEvent(type: string, value: unknown): BlazenEvent {
  const event = beginEvent(type);
  if (type === STOP_EVENT) {
    event['result'] = value;
  } else if (isFields(value)) {
    if (addFields(event, value, Object.hasOwn(value, 'type'))) values.set(event, { value });
  } else if (value !== null) {
    event['value'] = value;
    values.set(event, { value });
  }
  return event;
}

/** Reads an event of the engine. */
export function decodeEvent(type: string, wire: Wire): BlazenEvent {
  if (typeof wire === 'number') {
    const object = held(wire);
    if (object instanceof HeldEvent) {
      const event = beginEvent(type);
      if (addFields(event, object.event, false)) values.set(event, { value: object.payload() });
      return event;
    }
  }
  return makeEvent(type, decode(wire));
}

/** The value of an event that a decision is asked about. */
export function valueOf(event: BlazenEvent): unknown {
  return event.type === STOP_EVENT ? event['result'] : payload(event);
}
