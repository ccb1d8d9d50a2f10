// Runs: results, errors, identity, streams, time-outs, and what nobody waits for.
import assert from 'node:assert/strict';
import { AsyncLocalStorage } from 'node:async_hooks';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { AbortError, BlazenError, InputRequired, ParkedElsewhere, payload, TimeoutError, WaitingForEvent, Workflow, type BlazenEvent } from 'blazen';

const START = 'blazen::StartEvent';
const stop = (result?: unknown): BlazenEvent => ({ type: 'blazen::StopEvent', result });

function single(body: Parameters<Workflow['addStep']>[2], options?: Parameters<Workflow['addStep']>[3]): Workflow {
  return new Workflow('single').addStep('only', [START], body, options) as Workflow;
}

test('the start event has the fields of the input, in order, with type first and eventType hidden', async () => {
  let seen: BlazenEvent | undefined;
  await single((event) => { seen = event; return stop(); }).run({ b: 1, a: [2] });
  assert.deepStrictEqual(seen, { type: START, b: 1, a: [2] });
  assert.deepEqual(Object.keys(seen!), ['type', 'b', 'a']);
  assert.equal((seen as { eventType?: string }).eventType, START);
});

test('payload fields called type, eventType and __proto__ survive', async () => {
  const input = JSON.parse('{"type":"mine","eventType":"too","__proto__":{"polluted":true}}') as object;
  const { data } = await single((event) => {
    assert.equal(event.type, START);
    assert.equal(event['eventType'], START);
    assert.equal(Object.getPrototypeOf(event), Object.prototype);
    assert.equal((event as { polluted?: boolean }).polluted, undefined);
    return stop(payload(event));
  }).run(input);
  assert.equal(JSON.stringify(data), '{"type":"mine","eventType":"too","__proto__":{"polluted":true}}');
  for (const one of [{ type: 'mine' }, { eventType: 'mine', a: 1 }]) {
    assert.deepEqual((await single((event) => stop(payload(event))).run(one)).data, one);
  }
});

test('a bare payload is the field `value`, and stays bare when the event is sent again', async () => {
  const wf = new Workflow('bare');
  wf.addStep('a', [START], (event) => { assert.equal(event['value'], 7); return payload('Next', [1, 2]); });
  wf.addStep('b', ['Next'], (event, ctx) => { assert.deepEqual(event['value'], [1, 2]); return { ...event, type: 'Other' }; });
  wf.addStep('c', ['Other'], (event) => stop(payload(event)));
  assert.deepEqual((await wf.run(7)).data, { value: [1, 2] });
  const again = new Workflow('again');
  again.addStep('a', [START], (event, ctx) => ctx.attempt === 1 ? payload('Next', 'x') : null);
  again.addStep('b', ['Next'], async (event, ctx) => { if (!(await ctx.get('seen'))) { await ctx.set('seen', true); return event; } return stop(payload(event)); });
  assert.equal((await again.run()).data, 'x');
});

test('identity is kept in events, results and streams', async () => {
  const map = new Map([[1, 2]]);
  class Live { secret = 1; }
  const live = new Live();
  const plain = { deep: [1] };
  const wf = new Workflow('identity');
  wf.addStep('a', [START], async (event, ctx) => {
    await ctx.writeEventToStream({ type: 'Seen', map, live, plain });
    return { type: 'Next', map, live, plain };
  });
  wf.addStep('b', ['Next'], (event) => {
    assert.equal(event['map'], map);
    assert.equal(event['live'], live);
    assert.equal(event['plain'], plain);
    return stop(live);
  });
  const items: BlazenEvent[] = [];
  const { data } = await wf.runStreaming({}, (event) => { items.push(event); });
  assert.equal(data, live);
  assert.equal(items.find((item) => item.type === 'Seen')!['live'], live);
  assert.deepEqual(items.map((item) => item.type), [START, 'Seen', 'Next', 'blazen::StopEvent']);
});

test('StopEvent: result, other fields, neither, both', async () => {
  assert.equal((await single(() => stop(5)).run()).data, 5);
  assert.deepEqual((await single(() => ({ type: 'blazen::StopEvent', a: 1 })).run()).data, { a: 1 });
  assert.equal((await single(() => ({ type: 'blazen::StopEvent' })).run()).data, null);
  await assert.rejects(single(() => ({ type: 'blazen::StopEvent', result: 1, other: 2 })).run(), /either `result` or other fields/);
});

test('a step’s own error comes back as the same object; the handler tells step and attempt', async () => {
  class Mine extends Error { hostCode = 42; }
  const error = new Mine('no');
  for (const body of [() => { throw error; }, async () => { await sleep(1); throw error; }]) {
    await assert.rejects(single(body).run(), (caught) => caught === error);
    const handler = await single(body, { retry: { maxAttempts: 2 } }).runWithHandler();
    await assert.rejects(handler.result(), (caught) => caught === error);
    await assert.rejects(handler.result(), (caught) => caught === error);
    assert.equal(handler.error!.step, 'only');
    assert.equal(handler.error!.attempt, 2);
    assert.equal(handler.error!.code, 'STEP_FAILED');
    assert.equal(handler.error!.hostCode, 42);
    assert.match((handler.error!.cause as Error).message, /^no$/);
  }
  const odd = Symbol('odd');
  await assert.rejects(single(() => { throw odd; }).run(), (caught) => caught === odd);
});

test('bad events are refused by the name of the step', async () => {
  await assert.rejects(single(() => 5 as never).run(), /step "only".*not number/s);
  await assert.rejects(single(() => ({ type: '' })).run(), /step "only".*not empty/s);
  await assert.rejects(single(() => ({ type: 'StopEvent' })).run(), /did you mean "blazen::StopEvent"/);
  assert.throws(() => new Workflow('x').addStep('s', ['StartEvent'], () => null), /did you mean "blazen::StartEvent"/);
  assert.throws(() => new Workflow('x').addStep('s', [], () => null), /not empty/);
  assert.throws(() => new Workflow('x').addStep('s', [START], null as never), /must be a function/);
  assert.throws(() => new Workflow('x').addStep('s', [START], () => null, { tmeout: 1 } as never), /no option "tmeout"/);
  assert.throws(() => new Workflow('x').addStep('s', ['a\ud800'], () => null), /lone surrogate/);
  assert.throws(() => single(() => null).addStep('only', ['X'], () => null), /two steps "only"/);
  await assert.rejects(new Workflow('empty').run(), (error: BlazenError) => error.code === 'INVALID_WORKFLOW');
});

test('a context is over with its step', async () => {
  let kept: { get(key: string): Promise<unknown> } | undefined;
  await single((event, ctx) => { kept = ctx; return stop(); }).run();
  await assert.rejects(kept!.get('x'), /of a step that is over/);
});

test('an effect that is not awaited keeps its order', async () => {
  const { data } = await single((event, ctx) => {
    void ctx.set('a', 1);
    void ctx.set('a', 2);
    return ctx.get('a').then((value) => stop(value));
  }).run();
  assert.equal(data, 2);
});

test('time-outs and aborts have the platform’s names', async () => {
  const slow = (): Promise<never> => new Promise(() => undefined);
  const wf = single(slow);
  wf.setTimeout(0.03);
  await assert.rejects(wf.run(), (error: Error) => error instanceof TimeoutError && error.name === 'TimeoutError');
  await assert.rejects(single(slow, { timeout: 0.03 }).run(), (error: BlazenError) => error.name === 'BlazenError' || error.name === 'TimeoutError');
  const handler = await single(slow).runWithHandler();
  await handler.abort();
  await handler.abort();
  await assert.rejects(handler.result(), (error: Error) => error instanceof AbortError && error.name === 'AbortError');
  const controller = new AbortController();
  const run = single(slow).run({}, { signal: controller.signal });
  controller.abort();
  await assert.rejects(run, AbortError);
});

test('a step is told that it is cancelled', async () => {
  let told = false;
  const handler = await single(async (event, ctx) => {
    await new Promise<void>((resolve) => ctx.signal.addEventListener('abort', () => { told = true; resolve(); }));
    return stop();
  }).runWithHandler();
  await sleep(5);
  await handler.abort();
  await assert.rejects(handler.result(), AbortError);
  assert.equal(told, true);
});

test('await run() never waits on nobody', async () => {
  const parked = new Workflow('parked').addElsewhere('there', [START]);
  await assert.rejects(parked.run(), (error: ParkedElsewhere<{ state: string }>) => error instanceof ParkedElsewhere && error.steps[0] === 'there' && error.handle.state === 'elsewhere');
  const asking = single(() => ({ type: 'blazen::InputRequestEvent', prompt: 'Sure?' }));
  asking.addStep('answered', ['blazen::InputResponseEvent'], (event) => stop(event['response']));
  let required: InputRequired<{ respondToInput(id: string, answer: unknown): Promise<void>; result(): Promise<{ data: unknown }> }> | undefined;
  await assert.rejects(asking.run(), (error: NonNullable<typeof required>) => (required = error) instanceof InputRequired);
  assert.equal(required!.questions[0]!.prompt, 'Sure?');
  await required!.handle.respondToInput(required!.questions[0]!.request_id, 'yes');
  assert.equal((await required!.handle.result()).data, 'yes');
  assert.equal((await asking.run({}, { onInput: async (question) => `${question.prompt} yes` })).data, 'Sure? yes');
  const boom = new Error('boom');
  await assert.rejects(asking.run({}, { onInput: () => { throw boom; } }), (error) => error === boom || (error as BlazenError).cause === boom || /boom/.test(String(error)));
  const idle = single(() => null);
  idle.setIdle('wait');
  await assert.rejects(idle.run(), WaitingForEvent);
});

test('a stalled run says so', async () => {
  await assert.rejects(single(() => ({ type: 'Nowhere' })).run(), (error: BlazenError) => error.code === 'STALLED' && error.message.includes('Nowhere'));
});

test('the caller’s asynchronous context is kept in steps', async () => {
  const storage = new AsyncLocalStorage<string>();
  const wf = new Workflow('als');
  wf.addStep('a', [START], async () => { await sleep(1); return { type: 'Next', a: storage.getStore() }; });
  wf.addStep('b', ['Next'], (event) => stop([event['a'], storage.getStore()]));
  const results = await Promise.all(['x', 'y'].map((name) => storage.run(name, () => wf.run())));
  assert.deepEqual(results.map((result) => result.data), [['x', 'x'], ['y', 'y']]);
});

test('streams: nothing is lost between the run and the first look; the callback’s error is its own', async () => {
  const wf = new Workflow('stream');
  wf.addStep('a', [START], async (event, ctx) => {
    for (let i = 0; i < 3; ++i) await ctx.writeEventToStream({ type: 'Progress', i });
    return stop('end');
  });
  const handler = await wf.runWithHandler();
  await handler.result();
  const types: string[] = [];
  for await (const event of handler.events()) types.push(event.type);
  assert.deepEqual(types, [START, 'Progress', 'Progress', 'Progress', 'blazen::StopEvent']);
  const second = await wf.runWithHandler();
  const boom = new Error('callback');
  await assert.rejects(second.streamEvents(() => { throw boom; }), (error) => error === boom);
  assert.equal((await second.result()).data, 'end');
  const third = await wf.runWithHandler();
  const next: (string | undefined)[] = [];
  for (let i = 0; i < 6; ++i) next.push((await third.nextEvent())?.type);
  assert.deepEqual(next, [START, 'Progress', 'Progress', 'Progress', 'blazen::StopEvent', undefined]);
});

test('a step that is added after the first run holds for later runs only', async () => {
  const wf = single(() => ({ type: 'Late' }));
  await assert.rejects(wf.run(), /Late/);
  wf.addStep('late', ['Late'], () => stop('late'));
  assert.equal((await wf.run()).data, 'late');
});

test('results can be asked for again, and are the same object', async () => {
  const handler = await single(() => stop({ a: 1 })).runWithHandler();
  assert.equal(await handler.result(), await handler.result());
  assert.deepEqual(await handler.awaitResult(), { a: 1 });
});

test('thenables that call back at once, and questions whose answer nobody waits for, do not hold a step', async () => {
  const thenable = { then(resolve: (event: BlazenEvent) => void): void { resolve(stop('at once')); } };
  assert.equal((await single(() => thenable as PromiseLike<BlazenEvent>).run()).data, 'at once');
  assert.equal((await single((event, ctx) => { void ctx.ask('never mind').catch(() => undefined); return stop('asked'); }).run()).data, 'asked');
  const bad = { get then(): never { throw new Error('no then'); } };
  await assert.rejects(single(() => bad as never).run(), /no then/);
});

test('a result that JavaScript does not hold is an error, and no hang', async () => {
  const wf = single((event, ctx) => ctx.writeEventToStream({ type: 'Out', n: 1.375 }).then(() => stop({ n: 1.125 })));
  const handler = await wf.runWithHandler();
  await handler.result();
  const bytes = Buffer.from((await handler.snapshot()).bytes);
  bytes.write('1e400', bytes.indexOf('1.125'));
  const resumed = await wf.resume(bytes);
  await assert.rejects(resumed.result(), /the result has a number that JavaScript does not hold: 1e400/);
  await assert.rejects(resumed.result(), RangeError);
});
