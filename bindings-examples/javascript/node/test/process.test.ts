// The process: exit, what keeps it alive, worker threads, leaks, errors that nobody asks for.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { test } from 'node:test';
import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { BlazenState, counts, Workflow, type BlazenEvent, type WorkflowHandler } from 'blazen';

const START = 'blazen::StartEvent';
const stop = (result?: unknown): BlazenEvent => ({ type: 'blazen::StopEvent', result });
const HEAD = `import { Workflow } from 'blazen';
const stop = (result) => ({ type: 'blazen::StopEvent', result });
`;

interface Ended {
  code: number | null;
  signal: string | null;
  out: string;
  ms: number;
}

/** Runs a program in a process of its own, at most ten seconds. */
function program(text: string): Promise<Ended> {
  const begin = performance.now();
  const child = spawn(process.execPath, ['--input-type=module', '-e', HEAD + text], {
    cwd: fileURLToPath(new URL('../..', import.meta.url)), stdio: ['ignore', 'pipe', 'pipe'],
  });
  let out = '';
  child.stdout.on('data', (data) => { out += String(data); });
  child.stderr.on('data', (data) => { out += String(data); });
  const timer = setTimeout(() => child.kill('SIGKILL'), 10000);
  return new Promise((resolve) => child.on('close', (code, signal) => {
    clearTimeout(timer);
    resolve({ code, signal, out, ms: performance.now() - begin });
  }));
}

test('process.exit with work under way exits, also from inside a step', async () => {
  const outside = await program(`
    const wf = new Workflow('w').addStep('s', ['blazen::StartEvent'], () => new Promise(() => {}));
    wf.run().then(() => console.log('wrong'), () => console.log('wrong'));
    setTimeout(() => process.exit(7), 20);`);
  assert.deepEqual([outside.code, outside.out], [7, '']);
  const inside = await program(`
    const wf = new Workflow('w').addStep('s', ['blazen::StartEvent'], () => { process.exit(8); });
    await wf.run();`);
  assert.deepEqual([inside.code, inside.out], [8, '']);
  const thrown = await program(`
    const wf = new Workflow('w').addStep('s', ['blazen::StartEvent'], () => new Promise(() => {}));
    await wf.runWithHandler();
    setTimeout(() => { throw new Error('elsewhere'); }, 10);`);
  assert.equal(thrown.code, 1);
  assert.match(thrown.out, /elsewhere/);
});

test('a run with work or timers keeps the process; an asking, paused or parked one does not', async () => {
  const works = await program(`
    const wf = new Workflow('w');
    wf.addStep('a', ['blazen::StartEvent'], async (event, ctx) => { await ctx.sendEvent({ type: 'Later' }, { delayMs: 50 }); });
    wf.addStep('b', ['Later'], () => { console.log('later'); return stop(); });
    await wf.runWithHandler();`);
  assert.deepEqual([works.code, works.out], [0, 'later\n']);
  const asks = await program(`
    const wf = new Workflow('w').addStep('s', ['blazen::StartEvent'], () => ({ type: 'blazen::InputRequestEvent', prompt: '?' }));
    const handler = await wf.runWithHandler();
    process.on('exit', () => console.log(handler.state));`);
  assert.deepEqual([asks.code, asks.out], [0, 'asking\n']);
  const paused = await program(`
    const wf = new Workflow('w').addStep('s', ['blazen::StartEvent'], () => ({ type: 'Next' })).addStep('t', ['Next'], () => stop());
    const handler = await wf.runWithHandler();
    await handler.pause();
    process.on('exit', () => console.log(handler.state));`);
  assert.deepEqual([paused.code, paused.out], [0, 'paused\n']);
  const parked = await program(`
    const wf = new Workflow('w').addElsewhere('s', ['blazen::StartEvent']);
    const handler = await wf.runWithHandler();
    process.on('exit', () => console.log(handler.state));`);
  assert.deepEqual([parked.code, parked.out], [0, 'elsewhere\n']);
  const awaited = await program(`
    const wf = new Workflow('w').addStep('s', ['blazen::StartEvent'], () => ({ type: 'blazen::InputRequestEvent', request_id: 'q' }))
      .addStep('t', ['blazen::InputResponseEvent'], () => stop('answered'));
    const handler = await wf.runWithHandler();
    setTimeout(() => handler.respondToInput('q', 1), 50).unref();
    console.log((await handler.result()).data);`);
  assert.deepEqual([awaited.code, awaited.out], [0, 'answered\n']);
  for (const each of [works, asks, paused, parked, awaited]) assert.ok(each.ms < 5000, `it took ${each.ms} ms`);
});

test('a failed run that nobody asked about is reported as an unhandled rejection, an asked one is not', async () => {
  const silent = await program(`
    const wf = new Workflow('w').addStep('s', ['blazen::StartEvent'], () => { throw new Error('lost and found'); });
    const handler = await wf.runWithHandler();
    await handler.streamEvents(() => {});
    await handler.result().catch((error) => console.log('asked', error.message));`);
  assert.deepEqual([silent.code, silent.out], [0, 'asked lost and found\n']);
  const unhandled = await program(`
    import { setFlagsFromString } from 'node:v8'; import { runInNewContext } from 'node:vm';
    setFlagsFromString('--expose-gc'); const gc = runInNewContext('gc');
    const wf = new Workflow('w').addStep('s', ['blazen::StartEvent'], () => { throw new Error('lost'); });
    await (async () => { await (await wf.runWithHandler()).streamEvents(() => {}); })();
    for (let i = 0; i < 20; ++i) { gc(); await new Promise((resolve) => setTimeout(resolve, 5)); }
    console.log('not reported');`);
  assert.equal(unhandled.code, 1);
  assert.match(unhandled.out, /lost/);
});

test('worker threads have a runtime each, and end with work under way', async () => {
  const code = `
    import { parentPort } from 'node:worker_threads';
    import { Workflow } from ${JSON.stringify(new URL('../../dist/node/src/index.js', import.meta.url).href)};
    const wf = new Workflow('w');
    wf.addStep('a', ['blazen::StartEvent'], async (event, ctx) => { await ctx.set('n', event.n); return { type: 'Next' }; });
    wf.addStep('b', ['Next'], async (event, ctx) => ({ type: 'blazen::StopEvent', result: await ctx.get('n') }));
    const sum = (await Promise.all([...Array(100).keys()].map((n) => wf.run({ n })))).reduce((all, { data }) => all + data, 0);
    void new Workflow('never').addStep('s', ['blazen::StartEvent'], () => new Promise(() => {})).run().catch(() => {});
    parentPort.postMessage(sum);
    parentPort.once('message', (how) => { if (how === 'exit') process.exit(3); });`;
  const url = new URL(`data:text/javascript,${encodeURIComponent(code)}`);
  for (const how of ['terminate', 'exit']) {
    const workers = [new Worker(url), new Worker(url)];
    const sums = await Promise.all(workers.map((worker) => new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject))));
    assert.deepEqual(sums, [4950, 4950]);
    const codes = await Promise.all(workers.map((worker) => new Promise<number>((resolve) => {
      worker.once('exit', resolve);
      if (how === 'exit') worker.postMessage('exit');
      else void worker.terminate();
    })));
    assert.deepEqual(codes, how === 'exit' ? [3, 3] : [1, 1]);
  }
  assert.equal((await new Workflow('here').addStep('s', [START], () => stop('alive')).run()).data, 'alive');
});

async function collect(): Promise<void> {
  for (let i = 0; i < 10; ++i) {
    globalThis.gc!();
    await turn();
    await sleep(2);
  }
}

test('nothing is left of runs, workflows, streams and objects that nobody has', { skip: globalThis.gc === undefined && 'needs --expose-gc' }, async () => {
  class Live { payload = Buffer.alloc(1000); }
  class Saved extends BlazenState { list = [1]; }
  const weak: WeakRef<object>[] = [];
  const use = async (): Promise<void> => {
    const wf = new Workflow('leaks');
    weak.push(new WeakRef(wf));
    wf.addStep('a', [START], async (event, ctx) => {
      const live = new Live();
      weak.push(new WeakRef(live));
      await ctx.session.set('live', live);
      await ctx.session.set('plain', { a: 1 });
      await new Saved().saveTo(ctx, 'saved');
      await ctx.writeEventToStream({ type: 'Out', live, wf });
      return { type: 'Next', live, map: new Map() };
    });
    wf.addStep('b', ['Next'], (event) => { if (event['live'].payload.length === 1) wf.describe(); return stop(event['live']); });
    await wf.run();
    await wf.runStreaming({}, () => undefined);
    const handler = await wf.runWithHandler();
    await handler.streamEvents(() => undefined);
    await handler.snapshot().catch(() => undefined);
    await (await wf.runWithHandler()).result();
    const failing = new Workflow('fails').addStep('s', [START], () => { throw new Error(String(wf.name)); });
    await assert.rejects(failing.run());
    let failed: WorkflowHandler | undefined;
    failed = await new Workflow('fails').addStep('s', [START], () => { throw new Error(typeof failed); }).runWithHandler();
    await failed.wait();
    weak.push(new WeakRef(failed));
    await failed.result().catch(() => undefined);
    const asking = new Workflow('asks').addStep('s', [START], () => ({ type: 'blazen::InputRequestEvent' }));
    const asked = await asking.runWithHandler();
    await asked.wait('asking');
    await asked.abort();
    await asked.result().catch(() => undefined);
    const outer = new Workflow('outer').addSubworkflowStep('inner', START, 'blazen::StopEvent', wf);
    await outer.run();
  };
  await use();
  await collect();
  const before = counts();
  for (let i = 0; i < 20; ++i) await use();
  await collect();
  const after = counts();
  for (const name of ['handles', 'objects', 'invocations', 'running', 'asking', 'inFlight']) {
    assert.ok(after[name]! <= before[name]!, `${name}: ${before[name]} before, ${after[name]} after`);
  }
  assert.deepEqual(weak.filter((ref) => ref.deref() !== undefined).length, 0);
  assert.equal(after['objects'], 0);
  assert.equal(after['handles'], 0);
});

test('a run that only the outside could move on ends with its last handle', { skip: globalThis.gc === undefined && 'needs --expose-gc' }, async () => {
  const before = counts();
  await (async () => {
    for (let i = 0; i < 5; ++i) {
      const handler = await new Workflow('asks').addStep('s', [START], () => ({ type: 'blazen::InputRequestEvent' })).runWithHandler();
      await handler.wait('asking');
    }
  })();
  await collect();
  const after = counts();
  assert.equal(after['asking'], 0);
  assert.equal(after['cancelled']! - before['cancelled']!, 5);
  assert.equal(after['handles'], before['handles']);
});
