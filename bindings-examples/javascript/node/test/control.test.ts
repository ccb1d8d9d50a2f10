// Pause, snapshots, resume, questions, sessions.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { BlazenError, Snapshot, Workflow, type BlazenEvent, type SnapshotJson, type WorkflowHandler } from 'blazen';

const START = 'blazen::StartEvent';
const stop = (result?: unknown): BlazenEvent => ({ type: 'blazen::StopEvent', result });

/** Two steps; the second waits for `gate`. */
function gated(gate: Promise<unknown>, log: string[] = [], entered?: () => void): Workflow {
  const wf = new Workflow('gated');
  wf.addStep('first', [START], async (event, ctx) => {
    log.push('first');
    await ctx.set('n', 1);
    await ctx.set('bytes', Buffer.from([1, 2]));
    await ctx.set('date', new Date(5));
    return { type: 'Next', from: event['from'] };
  });
  wf.addStep('second', ['Next'], async (event, ctx) => {
    log.push('second');
    entered?.();
    await gate;
    return { type: 'Last', from: event['from'] };
  });
  wf.addStep('third', ['Last'], async (event, ctx) => {
    log.push('third');
    return stop([event['from'], await ctx.get('n'), [...(await ctx.getBytes('bytes'))!], ((await ctx.get('date')) as Date).getTime()]);
  });
  return wf;
}

test('pause drains, gives the snapshot, and resumeInPlace goes on', async () => {
  let open = (): void => undefined;
  const gate = new Promise<void>((resolve) => { open = resolve; });
  let handler: WorkflowHandler;
  await new Promise<void>((entered) => void gated(gate, [], entered).runWithHandler({ from: 'here' }).then((started) => { handler = started; }));
  handler = handler!;
  const paused = handler.pause();
  open();
  const snapshot = await paused;
  assert.ok(snapshot instanceof Snapshot);
  assert.equal(handler.state, 'paused');
  assert.equal(snapshot.info['state'], 'paused');
  await handler.resumeInPlace();
  assert.deepEqual((await handler.result()).data, ['here', 1, [1, 2], 5]);
  await handler.resumeInPlace();
});

test('a snapshot goes on elsewhere, in every form, and completed steps are not run again', async () => {
  const never = new Promise<void>(() => undefined);
  let handler: WorkflowHandler;
  await new Promise<void>((entered) => void gated(never, [], entered).runWithHandler({ from: 'there' }).then((started) => { handler = started; }));
  handler = handler!;
  const snapshot = await handler.snapshot();
  await handler.abort();
  await assert.rejects(handler.result());
  const text = JSON.stringify(snapshot);
  const json = JSON.parse(text) as SnapshotJson;
  assert.deepEqual(Object.keys(json), ['format', 'version', 'cbor']);
  assert.deepEqual(Snapshot.from(text).bytes, new Uint8Array(snapshot.bytes));
  for (const form of [snapshot, json, text, snapshot.bytes, new Uint8Array(snapshot.bytes)]) {
    const log: string[] = [];
    const again = await gated(Promise.resolve(), log).resume(form);
    assert.equal(again.runId(), handler.runId());
    assert.deepEqual((await again.result()).data, ['there', 1, [1, 2], 5]);
    assert.deepEqual(log, ['second', 'third']);
  }
  const statically = await Workflow.resume(snapshot, gated(Promise.resolve()), { fork: true });
  assert.notEqual(statically.runId(), handler.runId());
  await statically.result();
});

test('bad snapshots are refused, each by its own message', async () => {
  const wf = gated(Promise.resolve());
  await assert.rejects(wf.resume('nonsense'), /JSON\.stringify/);
  await assert.rejects(wf.resume({ format: 'x' } as never), /"format" must be/);
  await assert.rejects(wf.resume({ format: 'blazen/snapshot', version: 2, cbor: '' } as never), /version 2/);
  await assert.rejects(wf.resume(new Uint8Array([1, 2, 3])), (error: BlazenError) => error.code === 'SNAPSHOT_INVALID');
});

test('questions: by event, by ctx.ask, twice at once, withdrawn, and with a default', async () => {
  const wf = new Workflow('ask');
  wf.addStep('a', [START], async (event, ctx) => {
    const [one, two] = await Promise.all([ctx.ask('one?'), ctx.ask('two?', { requestId: 'my-two', metadata: { hint: 1 } })]);
    return stop([one, two]);
  });
  const handler = await wf.runWithHandler();
  assert.equal(await handler.wait('asking'), 'asking');
  const questions = handler.questions();
  assert.deepEqual(questions.map((question) => question.prompt), ['one?', 'two?']);
  assert.deepEqual(questions[1]!.metadata, { hint: 1 });
  await handler.respondToInput('my-two', { b: 2 });
  await assert.rejects(handler.respondToInput('my-two', 1), (error: BlazenError) => error.code === 'NOT_FOUND');
  // The other question outlives this process: its body is called again there, and has the first answer at once.
  await sleep(1);
  const snapshot = await handler.snapshot();
  await handler.respondToInput(questions[0]!.request_id, 'first');
  assert.deepEqual((await handler.result()).data, ['first', { b: 2 }]);
  const resumed = await wf.resume(snapshot);
  await resumed.wait('asking');
  await resumed.respondToInput(resumed.questions()[0]!.request_id, 'later');
  assert.deepEqual((await resumed.result()).data, ['later', { b: 2 }]);

  const late = new Workflow('default');
  late.addStep('a', [START], async (event, ctx) => stop(await ctx.ask('anyone?', { deadlineMs: 5, defaultAnswer: 'nobody' })));
  assert.equal(await (await late.runWithHandler()).awaitResult(), 'nobody');
  const gone = new Workflow('withdrawn');
  gone.addStep('a', [START], async (event, ctx) => stop(await ctx.ask('gone?').catch((error: BlazenError) => error.code)));
  const withdrawn = await gone.runWithHandler();
  await withdrawn.wait('asking');
  await withdrawn.withdrawQuestion(withdrawn.questions()[0]!.request_id);
  assert.equal(await withdrawn.awaitResult(), 'CANCELLED');
});

test('handler calls inside the stream’s callback are allowed', async () => {
  const wf = new Workflow('hitl');
  wf.addStep('ask', [START], () => ({ type: 'blazen::InputRequestEvent', prompt: 'name?' }));
  wf.addStep('got', ['blazen::InputResponseEvent'], (event) => stop(event['response']));
  const handler = await wf.runWithHandler();
  await handler.streamEvents((event) => {
    if (event.type === 'blazen::InputRequestEvent') void handler.respondToInput(event['requestId'] as string, 'Ada');
  });
  assert.equal(await handler.awaitResult(), 'Ada');
});

class Ref {
  constructor(readonly text: string) {}
  __blazen_serialize__(): Uint8Array {
    return Buffer.from(this.text);
  }
}

function sessions(): Workflow {
  const wf = new Workflow('sessions');
  wf.addStep('put', [START], async (event, ctx) => {
    const plain = { count: 0 };
    await ctx.session.set('plain', plain);
    plain.count = 5; // an object of the session is written when the snapshot is taken
    await ctx.set('ref', new Ref('kept')); // a live object goes to the session
    assert.equal(await ctx.state.has('ref'), false);
    assert.equal(await ctx.session.get('plain'), plain);
    if (event['unkept']) await ctx.session.set('bad', new (class Unkept {})());
    return { type: 'blazen::InputRequestEvent', request_id: 'go' };
  });
  wf.addStep('read', ['blazen::InputResponseEvent'], async (event, ctx) => stop([await ctx.get('ref'), await ctx.session.get('plain')]));
  return wf;
}

test('sessions: serialisable refs travel, the rest is refused by name, and the run stays paused', async () => {
  const handler = await sessions().runWithHandler();
  await handler.wait('asking');
  const snapshot = await handler.pause();
  await handler.abort();
  await assert.rejects(sessions().resume(snapshot), /Ref/);
  const resumed = await sessions().resume(snapshot, { deserializers: { Ref: (bytes) => new Ref(Buffer.from(bytes).toString()) } });
  await resumed.respondToInput('go', null);
  const [ref, plain] = (await resumed.awaitResult()) as [Ref, unknown];
  assert.ok(ref instanceof Ref);
  assert.equal(ref.text, 'kept');
  assert.deepEqual(plain, { count: 5 });

  const skipped = await sessions().resumeWithSerializableRefs(snapshot, {});
  assert.equal(skipped.dropped().length, 1);
  await skipped.respondToInput('go', null);
  assert.deepEqual(await skipped.awaitResult(), [null, { count: 5 }]);

  const bad = await sessions().runWithHandler({ unkept: true });
  await bad.wait('asking');
  await assert.rejects(bad.pause(), (error: BlazenError) => error.code === 'NOT_SERIALIZABLE' && error.message.includes('bad'));
  assert.equal(bad.state, 'paused');
  await bad.resumeInPlace();
  await bad.respondToInput('go', null);
  assert.equal((await bad.awaitResult())[0].text, 'kept');
});

test('session policies, by each of their names', async () => {
  for (const policy of ['pickle_or_serialize', 'PickleOrSerialize', 'warn_drop', 'WarnDrop'] as const) {
    const wf = sessions();
    wf.setSessionPausePolicy(policy);
    const handler = await wf.runWithHandler({ unkept: true });
    await handler.wait('asking');
    const dropped = (await handler.pause()).info['dropped'] as string[];
    assert.ok(dropped.some((name) => name.includes('bad')));
    assert.equal(dropped.length, policy.toLowerCase().startsWith('warn') ? 3 : 1);
    await handler.abort();
  }
  const strict = sessions();
  strict.setSessionPausePolicy('hard_error');
  const handler = await strict.runWithHandler();
  await handler.wait('asking');
  await assert.rejects(handler.pause(), /ref/);
  await handler.abort();
  const clearing = sessions();
  clearing.setSessionPausePolicy('continue');
  const cleared = await clearing.runWithHandler();
  await cleared.wait('asking');
  const snapshot = await cleared.pause(); // cut before the clearing
  await cleared.resumeInPlace();
  await cleared.respondToInput('go', null);
  assert.deepEqual(await cleared.awaitResult(), [null, null]);
  const kept = await clearing.resume(snapshot, { deserializers: { Ref: (bytes) => new Ref(Buffer.from(bytes).toString()) } });
  await kept.respondToInput('go', null);
  assert.deepEqual((await kept.awaitResult())[1], { count: 5 });
  assert.throws(() => sessions().setSessionPausePolicy('no' as never), /none of pickle_or_error/);
});

test('an error that a run has failed with comes back from its snapshot', async () => {
  const wf = new Workflow('failed').addStep('only', [START], () => { throw new RangeError('too far'); });
  const handler = await wf.runWithHandler();
  await assert.rejects(handler.result());
  const resumed = await wf.resume(await handler.snapshot());
  await assert.rejects(resumed.result(), (error: Error) => error instanceof RangeError && error.message === 'too far');
});

test('an event with a live field travels, field by field', async () => {
  const wf = new Workflow('live-event');
  wf.addStep('a', [START], () => ({ type: 'Next', ref: new Ref('x'), n: 1, when: new Date(7) }));
  wf.addElsewhere('b', ['Next']);
  const handler = await wf.runWithHandler();
  await handler.wait('elsewhere');
  const snapshot = await handler.snapshot();
  const there = new Workflow('live-event');
  there.addElsewhere('a', [START]);
  there.addStep('b', ['Next'], (event) => stop([event['ref'].text, event['n'], event['when'].getTime()]));
  const resumed = await there.resume(snapshot, { deserializers: { Ref: (bytes) => new Ref(Buffer.from(bytes).toString()) } });
  assert.deepEqual(await resumed.awaitResult(), ['x', 1, 7]);
  const bad = new Workflow('bad-event');
  bad.addStep('a', [START], () => ({ type: 'Next', socket: new (class Socket {})() }));
  bad.addElsewhere('b', ['Next']);
  const parked = await bad.runWithHandler();
  await parked.wait('elsewhere');
  await assert.rejects(parked.snapshot(), /socket/);
});
