// State: namespaces, tiers, foreign values, typed state.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { serialize } from 'node:v8';
import { BlazenState, Foreign, Workflow, type BlazenEvent, type BlazenStateMeta, type Context } from 'blazen';

const START = 'blazen::StartEvent';
const stop = (result?: unknown): BlazenEvent => ({ type: 'blazen::StopEvent', result });

async function inside<T>(body: (ctx: Context) => Promise<T>): Promise<T> {
  let result: T;
  const wf = new Workflow('inside').addStep('only', [START], async (event, ctx) => { result = await body(ctx); return stop(); });
  await wf.run();
  return result!;
}

test('every tier comes back from the state as it was set, and as a copy', async () => {
  const sparse = [1, , 3]; // eslint-disable-line no-sparse-arrays
  const cyclic: Record<string, unknown> = { name: 'me' };
  cyclic['self'] = cyclic;
  const values: unknown[] = [
    null, true, 0, -1.5, 1e21, 'text', 'é😀', [], {}, [1, [2, [3]]], { a: { b: [null] } },
    NaN, Infinity, -Infinity, -0, { deep: [NaN, -0] }, new Date(1234567890123), { when: new Date(0) },
    2n ** 53n, -(2n ** 70n), { big: 2n ** 64n }, Buffer.from([1, 2, 3]), { bytes: Buffer.from([9]) },
    'lone \ud800 surrogate', { text: '\udc00' }, new Map([[{ k: 1 }, new Set([1, 'x'])]]), { inside: new Map([[1, 2]]) },
    /a+/gi, new Float32Array([1.5, 2.5]), sparse, cyclic,
  ];
  await inside(async (ctx) => {
    for (const value of values) {
      await ctx.set('k', value);
      const back = await ctx.get('k');
      assert.deepEqual(back, value);
      if (Object.is(value, -0)) assert.ok(Object.is(back, -0));
      if (typeof value === 'object' && value !== null) assert.notEqual(back, value);
    }
    await ctx.set('k', undefined);
    assert.equal(await ctx.get('k', 'other'), null);
    assert.equal(await ctx.state.has('k'), true);
    await ctx.set('k', { a: undefined, b: [undefined] });
    assert.deepStrictEqual(await ctx.get('k'), { b: [null] });
    const error = new TypeError('x', { cause: 1 });
    await ctx.set('k', error);
    const back = await ctx.get<Error>('k');
    assert.ok(back instanceof TypeError);
    assert.equal(back.message, 'x');
    assert.equal(back.cause, 1);
  });
});

test('what only JavaScript knows stands under its own codec; inside plain data it is embedded', async () => {
  const wf = new Workflow('codecs').addStep('only', [START], async (event, ctx) => {
    await ctx.set('bare', new Map([[1, 2]]));
    if (event['nested'] === true) await ctx.set('nested', { inside: new Map([[1, 2]]) });
    await ctx.ask('on?');
    return stop();
  });
  for (const nested of [false, true]) {
    const handler = await wf.runWithHandler({ nested });
    await handler.wait('asking');
    const text = Buffer.from((await handler.snapshot()).bytes).toString('latin1');
    assert.ok(text.includes('js/structured'));
    assert.equal(text.includes('blazen/cbor'), nested);
    await handler.abort();
    await assert.rejects(handler.result());
  }
});

test('moments, days and UTF-16 are read as other languages write them', async () => {
  const written: [string, unknown][] = [
    ['c074323030392d30322d31335432333a33313a33305a', new Date(1234567890000)], // tag 0
    ['d903ec6a323030392d30322d3133', new Date(Date.UTC(2009, 1, 13))], // tag 1004
    ['d841440078d800', 'x\ud800'], ['d84544780000d8', 'x\ud800'], // tags 65 and 69
  ];
  await inside(async (ctx) => {
    for (const [hex, value] of written) {
      await ctx.set('k', new Foreign('native', 'blazen/cbor', Buffer.from(hex, 'hex')));
      assert.deepStrictEqual(await ctx.get('k'), value);
    }
    await ctx.set('k', new Foreign('native', 'blazen/cbor', Buffer.from('c06161', 'hex'))); // tag 0 of "a"
    await assert.rejects((async () => ctx.get('k'))(), /tag 0/);
  });
});

test('accessors, toJSON and classes are no JSON', async () => {
  await inside(async (ctx) => {
    await ctx.set('k', { get now() { return 1; } }); // what it answers is kept, as structuredClone does
    assert.deepEqual(await ctx.state.get('k'), { now: 1 });
    await ctx.set('k', Object.assign(Object.create(null) as object, { a: 1 }));
    assert.deepStrictEqual(await ctx.state.get('k'), { a: 1 });
    await ctx.set('k', { toJSON: () => 'no' });
    assert.equal(await ctx.session.has('k'), true);
    class Account { balance = 1; }
    const account = new Account();
    await ctx.set('k', account);
    assert.equal(await ctx.get('k'), account);
    await assert.rejects(ctx.state.set('k', account), /Account.*ctx\.session/s);
    await ctx.set('k', 1);
    assert.equal(await ctx.session.has('k'), false);
    assert.equal(await ctx.get('k'), 1);
  });
});

test('keys: bad ones are refused, prefixes are listed, and removal takes typed objects too', async () => {
  await inside(async (ctx) => {
    await assert.rejects(ctx.set(5 as never, 1), /a key must be a text/);
    await assert.rejects(ctx.set('\ud800', 1), /lone surrogate/);
    await assert.rejects(ctx.set('k', { '\ud800': 1 }), /lone surrogate/);
    await assert.rejects(ctx.setBytes('k', 'text' as never), /must be bytes/);
    await ctx.set('a.1', 1);
    await ctx.set('a.2', 2);
    await ctx.set('b', 3);
    assert.deepEqual(await ctx.state.keys('a.'), ['a.1', 'a.2']);
    assert.equal(await ctx.remove('a.1'), true);
    assert.equal(await ctx.remove('a.1'), false);
    assert.equal(await ctx.getBytes('b'), null);
    await ctx.state.clear();
    assert.deepEqual(await ctx.state.keys(), []);
  });
});

test('foreign values pass, alone and nested, bit for bit', async () => {
  const data = new Uint8Array([0x80, 0x05, 0x4b]);
  await inside(async (ctx) => {
    await ctx.set('k', new Foreign('native', 'python/pickle', data));
    const back = await ctx.get<Foreign>('k');
    assert.ok(back instanceof Foreign);
    assert.equal(back.codec, 'python/pickle');
    assert.deepEqual(new Uint8Array(back.data), data);
    await ctx.set('k', back);
    assert.ok((await ctx.get('k')) instanceof Foreign);
    await ctx.set('k', { deep: [back] });
    assert.deepEqual(new Uint8Array((await ctx.get('k')).deep[0].data), data);
    assert.throws(() => JSON.stringify({ back }), /no JSON form/);
    await ctx.set('k', new Foreign('native', 'node/v8', serialize(new Map([[1, 2]]))));
    assert.deepEqual(await ctx.get('k'), new Map([[1, 2]]));
  });
});

class Account extends BlazenState {
  static meta: BlazenStateMeta = { transient: ['link'], label: 'Acct' };
  owner = 'nobody';
  link: object | null = { open: true };
  extra?: string;
  restore(): void {
    this.link = { restored: true };
  }
}

test('typed state: one entry a field, a plain set wins, fields that went away are swept', async () => {
  await inside(async (ctx) => {
    const account = new Account();
    account.owner = 'Ada';
    account.extra = 'x';
    await account.saveTo(ctx, 'k');
    const meta = await ctx.get('k.__blazen_meta__'.replace('k.', 'k\\.')) ?? await ctx.state.get('k.__blazen_meta__');
    assert.equal(meta.class, 'Acct');
    assert.deepEqual(meta.fields, ['owner', 'extra']);
    assert.equal(await ctx.get('k.owner'), 'Ada');
    const got = await ctx.get<Account>('k'); // the description stands under k, and the class is known
    assert.ok(got instanceof Account);
    assert.deepEqual(got.link, { restored: true });
    delete account.extra;
    await account.saveTo(ctx, 'k');
    assert.equal(await ctx.state.has('k.extra'), false);
    await ctx.set('k', 'plain');
    assert.equal(await ctx.get('k'), 'plain');
    await account.saveTo(ctx, 'k');
    assert.equal(await ctx.state.has('k'), false);
    await assert.rejects(Account.loadFrom(ctx, 'missing'), /no typed state under "missing"/);
    assert.equal(await ctx.remove('k'), true);
    assert.deepEqual(await ctx.state.keys(), []);
    class Holder extends BlazenState { socket = new (class Socket {})(); }
    await assert.rejects(new Holder().saveTo(ctx, 'h'), /"socket".*meta\.transient/s);
  });
});

test('typed state of an unknown class is a record, which is saved under the same description', async () => {
  await inside(async (ctx) => {
    await ctx.state.set('r.__blazen_meta__', { v: 1, class: 'FromPython', fields: ['a'], transient: ['t'], restore: 'wake', stored_by: {}, import: { python: 'm:C' } });
    await ctx.state.set('r.a', 1);
    const record = await ctx.get('r');
    assert.equal(record.a, 1);
    assert.equal(record.t, null);
    record.a = 2;
    await ctx.set('copy', record);
    const meta = await ctx.state.get('copy.__blazen_meta__');
    assert.equal(meta.class, 'FromPython');
    assert.deepEqual(meta.import, { python: 'm:C' });
    assert.equal(await ctx.state.get('copy.a'), 2);
  });
});

test('JSON of other languages: big integers are exact, what JavaScript does not hold is an error with the text at hand', async () => {
  const there = new Workflow('numbers').addElsewhere('only', [START]);
  // The text of a snapshot's value stands in it byte for byte: it is replaced by another of the same length.
  const parked = await there.runWithHandler({ n: 1.25, big: 1111111111111111 });
  await parked.wait('elsewhere');
  const bytes = Buffer.from((await parked.snapshot()).bytes);
  const replaced = (from: string, to: string): Uint8Array => {
    const place = bytes.indexOf(from);
    assert.ok(place >= 0 && from.length >= to.length);
    return Buffer.concat([bytes.subarray(0, place), Buffer.from(to.padEnd(from.length)), bytes.subarray(place + from.length)]);
  };
  const read = async (snapshot: Uint8Array): Promise<BlazenEvent> => {
    let seen: BlazenEvent | undefined;
    const here = new Workflow('numbers').addStep('only', [START], (event) => { seen = event; return stop(); });
    await (await here.resume(snapshot)).result();
    return seen!;
  };
  assert.equal((await read(bytes))['big'], 1111111111111111);
  assert.equal((await read(replaced('"n":1.25,"big":1111111111111111', '"n":1   ,"big":9999999999999999')))['big'], 9999999999999999n);
  await assert.rejects(read(replaced('"n":1.25,"big":1111111111111111', '"n":1e400,"big":111111111111111')), /JavaScript does not hold: 1e400/);
  await assert.rejects(read(replaced('"n":1.25,"big":1111111111111111', '"n":"\\ud800", "big":1111111111')), /lone surrogate/);
  await inside(async (ctx) => {
    await ctx.set('k', { b: 1n, a: 'x"' });
    assert.equal(await ctx.getJson('k'), '{"b":1,"a":"x\\""}');
    await ctx.set('k', Buffer.from([1]));
    assert.equal(await ctx.getJson('k'), null);
  });
});

test('blazen/cbor is deterministic, and known bytes of it are read', async () => {
  await inside(async (ctx) => {
    const bytes = (hex: string): Foreign => new Foreign('native', 'blazen/cbor', Buffer.from(hex, 'hex'));
    const cases: [string, unknown][] = [
      ['f97e00', NaN], ['f97c00', Infinity], ['f98000', -0], ['fa47c35000', 100000], ['fb3ff199999999999a', 1.1], ['3903e7', -1000],
      ['c249010000000000000000', 2n ** 64n], ['c349010000000000000000', -(2n ** 64n) - 1n], ['1b0020000000000000', 2n ** 53n],
      ['c11a514b67b0', new Date(1363896240000)], ['4401020304', Buffer.from([1, 2, 3, 4])], ['a16161820102', { a: [1, 2] }], ['f6', null],
    ];
    for (const [hex, value] of cases) {
      await ctx.set('k', bytes(hex));
      assert.deepEqual(await ctx.get('k'), value, hex);
    }
    for (const hex of ['', '1a00', '9f01ff', 'c0fb', 'd8ff01', 'a10102', '0101', '5b7fffffffffffffff00']) {
      await ctx.set('k', bytes(hex));
      await assert.rejects(ctx.get('k'), RangeError, hex);
    }
  });
});
