// The workflow `travel` in JavaScript, in both packages: `node travel.mjs node|wasm begin FILE`. See README.md beside it.
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';

const [packageName, verb, ...rest] = process.argv.slice(2);
const blazen = await import({ node: '../javascript/node/dist/node/src/index.js', wasm: '../javascript/wasm/dist/wasm/src/node.js' }[packageName]);
if (packageName === 'wasm') await blazen.default();
const { Foreign, Workflow } = blazen;

const POLICY = process.env.TRAVEL_POLICY ?? 'hard_error'; // with one, something is in the session
const CODEC = 'js/structured';
const JSON_VALUE = {
  name: 'Żółć 🜁 \u0000\n"\\',
  nested: { '': [1, 2.5, -1e-7, true, null, {}], ['__proto__']: { a: [] }, type: 'x' },
  big: [9007199254740993n, 18446744073709551615n, -9223372036854775808n],
};
const BYTES = Uint8Array.of(0, 1, 127, 128, 255);
const PLAIN = { b: Uint8Array.of(0, 255), n: [NaN, -0, 1n << 70n, -(1n << 70n), Infinity, 1.5], t: 'ü' };
const DATE = new Date(Date.UTC(2026, 10, 26, 1, 2, 3));
const TEXT = '\ud800x'; // no UTF-8 holds it
const OWN = new Map([[1, 'zwei']]);
const KEYS = ['json', 'bytes', 'plain', 'date', 'text', 'own'];

const hex = (bytes) => Buffer.from(bytes).toString('hex');

// What is not JSON, as JSON.
function show(value) {
  if (value instanceof Uint8Array) return { bytes: hex(value) };
  if (typeof value === 'number' && (!Number.isFinite(value) || Object.is(value, -0))) {
    return { float: Object.is(value, -0) ? '-0' : Number.isNaN(value) ? 'nan' : value > 0 ? 'inf' : '-inf' };
  }
  if (typeof value === 'bigint' && (value < -(1n << 63n) || value >= 1n << 64n)) return { int: String(value) };
  if (value instanceof Date) return { date: value.getTime() / 1000 };
  if (typeof value === 'string' && !value.isWellFormed()) return { utf16: hex(Buffer.from(value, 'utf16le').swap16()) };
  if (Array.isArray(value)) return value.map(show);
  if (typeof value === 'object' && value !== null) {
    const shown = {};
    for (const key of Object.keys(value)) Object.defineProperty(shown, key, { value: show(value[key]), enumerable: true });
    return shown;
  }
  return value;
}

// It is ours, or opaque and of the codec that the writer named.
function checkOwn(codec, own) {
  if (codec === CODEC) assert.deepEqual(own, OWN);
  else assert(own instanceof Foreign && own.codec === codec, `\`own\` of codec ${codec} came as ${String(own)}`);
}

const showOwn = (own) => [...own][0].join(' ');

const workflow = new Workflow('travel');
workflow.setTimeout(60).setSessionPausePolicy(POLICY).setSessionPausePolicy('pause').setUnhandled('fail').setIdle('fail');

workflow.addStep('gather', ['blazen::StartEvent'], async (event, ctx) => {
  await ctx.set('codec', CODEC);
  const values = [JSON_VALUE, BYTES, PLAIN, DATE, TEXT, OWN];
  for (const [i, key] of KEYS.entries()) await ctx.set(key, values[i]);
  if (process.env.TRAVEL_POLICY !== undefined) await ctx.session.set('seat', '12 A');
  return [
    ...[1, 2, 3].map((n) => ({ type: 'Part', n })),
    { type: 'blazen::InputRequestEvent', request_id: 'first', prompt: 'first?' },
  ];
});

workflow.addStep('part', ['Part'], ({ n }, ctx) => {
  if (n === 2 && ctx.attempt === 1) throw new Error('not yet');
  return { type: 'Done', n, attempt: ctx.attempt, raw: Uint8Array.of(n, 255) };
}, { retry: { maxAttempts: 2 } });

workflow.addStep('answered', ['blazen::InputResponseEvent'], async (event, ctx) => {
  await ctx.set('answer', event.response);
  return { type: 'Done', own: await ctx.get('own') };
});

workflow.addStep('finish', ['Done'], async (event, ctx) => {
  const codec = await ctx.get('codec');
  const parts = [];
  for (const { n, attempt, raw, own } of await ctx.events()) {
    if (own === undefined) parts.push([n, attempt, hex(raw)]);
    else checkOwn(codec, own);
  }
  await ctx.set('parts', parts.sort(([n], [m]) => n - m));
  checkOwn(codec, await ctx.get('own'));
  for (const key of KEYS) await ctx.set(`${key}/again`, await ctx.get(key));
  return { type: 'Carried', bytes: await ctx.get('bytes'), plain: await ctx.get('plain'), own: await ctx.get('own') };
}, { join: { of: 'gather' } });

workflow.addStep('report', ['Carried'], async (carried, ctx) => {
  const second = await ctx.ask('second?', { requestId: 'second' });
  const again = await ctx.get('own/again');
  for (const own of [await ctx.get('own'), again, carried.own]) checkOwn(await ctx.get('codec'), own);
  const state = {};
  for (const key of KEYS.slice(0, -1)) state[key] = show(await ctx.get(`${key}/again`));
  return {
    type: 'blazen::StopEvent',
    result: {
      state: { ...state, own: showOwn(again) },
      carried: { bytes: show(carried.bytes), plain: show(carried.plain), own: showOwn(carried.own) },
      parts: await ctx.get('parts'),
      answers: [await ctx.get('answer'), second],
      seat: await ctx.session.get('seat'),
    },
  };
});

// JSON.stringify takes no BigInt.
function toJson(value) {
  const mark = (_, each) => (typeof each === 'bigint' ? `bigint:${each}` : each);
  return JSON.stringify(value, mark).replace(/"bigint:(-?\d+)"/g, '$1');
}

async function save(handler, path) {
  if (await handler.wait('asking') !== 'asking') {
    await handler.result(); // throws
    throw new Error('the run has ended instead of asking');
  }
  await writeFile(path, (await handler.pause()).bytes);
}

async function begin(path) {
  await save(await workflow.runWithHandler(), path);
}

async function goOn(path, answer, out) {
  const handler = await workflow.resume(await readFile(path));
  if (await handler.wait('asking') === 'asking') await handler.respondToInput(handler.questions()[0].request_id, answer);
  if (out === undefined) console.log(toJson((await handler.result()).data));
  else await save(handler, out);
}

await { begin, 'go-on': goOn }[verb](...rest);
