// Workflows made of workflows: elsewhere, joins, collect, pools, steps that are workflows, pipelines.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  BlazenError, LoopStage, ParallelStage, PipelineBuilder, setPool, Stage, TimeoutError, Workflow, WorkflowBuilder, type BlazenEvent, type PipelineEvent,
} from 'blazen';

const START = 'blazen::StartEvent';
const STOP = 'blazen::StopEvent';
const stop = (result?: unknown): BlazenEvent => ({ type: STOP, result });

/** A workflow of one step that gives what the function makes of the start event. */
function doing(name: string, make: (event: BlazenEvent) => unknown): Workflow {
  return new Workflow(name).addStep('only', [START], async (event) => stop(await make(event))) as Workflow;
}

test('a run travels between two hosts, each with its own step', async () => {
  const here = new Workflow('travel').addStep('here', [START], () => ({ type: 'There', n: 1 })).addElsewhere('there', ['There']);
  const there = new Workflow('travel').addElsewhere('here', [START]).addStep('there', ['There'], (event) => stop(event['n'] + 1));
  const handler = await here.runWithHandler();
  assert.equal(await handler.wait('elsewhere'), 'elsewhere');
  assert.deepEqual(handler.elsewhere(), ['there']);
  assert.equal(await (await there.resume(await handler.snapshot())).awaitResult(), 2);
  const other = new Workflow('travel').addElsewhere('here', [START]).addStep('there', ['Other'], () => stop());
  await assert.rejects(other.resume(await handler.snapshot()), (error: BlazenError) => error.code === 'SNAPSHOT_MISMATCH');
  assert.equal(here.fingerprint, there.fingerprint);
});

test('retries: by host code, by a delay of the step’s own', async () => {
  let attempts = 0;
  const fails = (hostCode: number) => (): never => { attempts++; throw Object.assign(new Error('x'), { hostCode }); };
  const wf = (code: number) => new Workflow('retry').addStep('s', [START], fails(code), { retry: { maxAttempts: 3, only: [5] } });
  await assert.rejects(wf(5).run());
  assert.equal(attempts, 3);
  attempts = 0;
  await assert.rejects(wf(6).run());
  assert.equal(attempts, 1);
  const patient = new Workflow('after').addStep('s', [START], async (event, ctx) => {
    if (ctx.attempt === 2) return stop(ctx.attempt);
    await ctx.retryAfter(5);
    throw new Error('again');
  }, { retry: { maxAttempts: 2, initialDelayMs: 100000 } });
  assert.equal((await patient.run()).data, 2);
  const handled = new Workflow('handled');
  handled.addStep('s', [START], () => { throw new TypeError('broken'); });
  handled.addStep('h', ['blazen::StepFailedEvent'], (event) => stop([event['step'], event['message']]));
  const [step, message] = (await handled.run()).data as [string, string];
  assert.equal(step, 's');
  assert.match(message, /TypeError: broken/);
});

test('joins: nobody counts', async () => {
  const wf = new Workflow('join');
  wf.addStep('fan', [START], () => [1, 2, 3].map((n) => ({ type: 'Work', n })));
  wf.addStep('work', ['Work'], async (event) => { await sleep(4 - event['n']); return event['n'] === 2 ? null : { type: 'Done', n: event['n'] }; });
  wf.addStep('join', ['Done'], async (event, ctx) => {
    const info = await ctx.joinInfo();
    return stop([(await ctx.events()).map((each) => each['n'] as number), info.reason, info.arrived]);
  }, { join: { of: 'fan', ordered: true } });
  assert.deepEqual((await wf.run()).data, [[1, 3], 'complete', 2]);
});

test('collect: all or nothing, in declared order', async () => {
  const wf = new Workflow('collect');
  wf.addStep('fan', [START], () => [{ type: 'B', v: 1 }, { type: 'A', v: 2 }, { type: 'B', v: 3 }]);
  wf.addStep('gather', ['A', 'B'], async (event, ctx) => {
    const group = await ctx.collect({ A: 1, B: 2 });
    return group === null ? null : stop(group.map((each) => [each.type, each['v']]));
  });
  assert.deepEqual((await wf.run()).data, [['A', 2], ['B', 1], ['B', 3]]);
});

test('pools hold across runs; max concurrency within one', async () => {
  setPool('db', 2);
  let now = 0;
  let most = 0;
  const body = async (): Promise<BlazenEvent> => {
    most = Math.max(most, ++now);
    await sleep(2);
    now--;
    return stop();
  };
  const wf = new Workflow('pool').addStep('s', [START], body, { pool: 'db' });
  await Promise.all(Array.from({ length: 8 }, () => wf.run()));
  assert.equal(most, 2);
  await assert.rejects(new Workflow('nopool').addStep('s', [START], body, { pool: 'nobody set this' }).run(), (error: BlazenError) => error.code === 'NOT_FOUND' && /nobody set this/.test(error.message));
  most = 0;
  const one = new Workflow('one');
  one.addStep('fan', [START], () => [1, 2, 3].map(() => ({ type: 'W' })));
  one.addStep('w', ['W'], async () => { most = Math.max(most, ++now); await sleep(1); now--; return { type: 'D' }; }, { maxConcurrency: 1 });
  one.addStep('j', ['D'], () => stop(), { join: { of: 'fan' } });
  await one.run();
  assert.equal(most, 1);
});

test('atomic steps: what a failed attempt wrote is not there', async () => {
  const wf = new Workflow('atomic');
  wf.addStep('s', [START], async (event, ctx) => {
    const before = await ctx.get('n');
    await ctx.set('n', 1);
    if (ctx.attempt === 1) throw new Error('first');
    return stop(before);
  }, { atomic: true, retry: { maxAttempts: 2 } });
  assert.equal((await wf.run()).data, null);
});

test('a step that is a workflow: mappers, the step’s own error, its questions', async () => {
  const inner = doing('inner', (event) => event['n'] * 2);
  const wf = new Workflow('outer');
  wf.addSubworkflowStep('sub', START, 'Doubled', inner, 10, undefined, {
    input: (event) => ({ n: event['start'] }), output: async (result, ctx) => { await ctx.set('kept', result); return { result, by: ctx.workflowName }; },
  });
  wf.addStep('end', ['Doubled'], async (event, ctx) => stop([event['result'], event['by'], await ctx.get('kept')]));
  assert.deepEqual((await wf.run({ start: 4 })).data, [8, 'outer', 8]);
  const error = new Error('deep');
  const failing = new Workflow('failing').addSubworkflowStep('sub', START, STOP, doing('thrower', () => { throw error; }));
  await assert.rejects(failing.run(), (caught) => caught === error);
  const asking = new Workflow('asks');
  asking.addStep('ask', [START], async (event, ctx) => stop(await ctx.ask('deep?')));
  const handler = await new Workflow('top').addSubworkflowStep('sub', START, STOP, asking).runWithHandler();
  await handler.wait('asking');
  await handler.respondToInput(handler.questions()[0]!.request_id, 'yes');
  assert.equal(await handler.awaitResult(), 'yes');
});

test('several workflows at once: all, or the first success', async () => {
  const all = new Workflow('all').addParallelSubworkflows('both', START, STOP, ['a', { name: 'b' }], [doing('a', () => 1), doing('b', () => 2)], 'wait_all');
  assert.deepEqual((await all.run()).data, { a: 1, b: 2 });
  const slow = doing('slow', () => new Promise(() => undefined));
  const first = new Workflow('first').addParallelSubworkflows('any', START, STOP, ['bad', 'slow', 'good'], [doing('bad', () => { throw new Error('no'); }), slow, doing('good', () => 'good')], 'FirstSuccess');
  assert.equal((await first.run()).data, 'good');
  assert.throws(() => new Workflow('x').addParallelSubworkflows('p', START, STOP, ['a'], []), /1 branches and 0 workflows/);
});

test('a pipeline: stages, branches, loops, conditions, progress, results', async () => {
  const pipeline = new PipelineBuilder('line')
    .stage(new Stage('add', doing('add', (event) => event['value'] + 1), { input: (last) => last.n }))
    .stage(new Stage('skipped', doing('never', () => 'never'), { condition: (last) => last > 100 }))
    .parallel(new ParallelStage('both', [new Stage('twice', doing('twice', (event) => event['value'] * 2)), new Stage('same', doing('same', (event) => event['value']))]))
    .loopStage(new LoopStage('grow', 10, new Stage('inc', doing('inc', (event) => ({ n: (event['twice'] ?? event['n']) + 1 }))), { until: (result) => result.n >= 7 }))
    .timeoutPerStage(10)
    .totalTimeout(60)
    .build();
  const result = await pipeline.run({ n: 1 });
  assert.deepEqual(result.finalOutput, { n: 7 });
  assert.equal(result.pipelineName, 'line');
  assert.match(result.runId, /^[0-9a-f-]{36}$/);
  assert.deepEqual(result.stageResults.map(({ name, output, skipped }) => [name, output, skipped]), [
    ['add', 2, false], ['skipped', null, true], ['both', { twice: 4, same: 2 }, false], ['grow', { n: 7 }, false],
  ]);
  assert.ok(result.stageResults.every(({ durationMs }) => durationMs >= 0));
  const handler = await pipeline.start({ n: 1 });
  const events: PipelineEvent[] = [];
  await handler.streamEvents((event) => { events.push(event); });
  assert.ok(events.some((event) => event.branchName === 'twice' && event.workflowRunId !== null));
  assert.equal(handler.progress().percent, 100);
  assert.deepEqual((await handler.result()).finalOutput, { n: 7 });
});

test('a pipeline is resumed in the middle of a stage, and can be a step', async () => {
  const human = (): Workflow => new Workflow('human').addStep('ask', [START], async (event, ctx) => stop(await ctx.ask('go on?'))) as Workflow;
  let begun = 0;
  const make = () => new PipelineBuilder('resumed').stage(new Stage('one', doing('one', () => ++begun))).stage(new Stage('two', human())).build();
  const handler = await make().start();
  await handler.run.wait('asking');
  assert.equal(handler.progress().current, 1);
  const snapshot = await handler.pause();
  await handler.abort();
  await assert.rejects(handler.result());
  const resumed = await make().resume(JSON.stringify(snapshot));
  await resumed.run.wait('asking');
  await resumed.respondToInput(resumed.run.questions()[0]!.request_id, 'on');
  assert.equal((await resumed.result()).finalOutput, 'on');
  assert.equal(begun, 1);
  const wf = new Workflow('holds').addSubpipelineStep('line', START, STOP, new PipelineBuilder('in').stage(new Stage('x', doing('x', () => 'from inside'))).build());
  assert.equal((await wf.run()).data, 'from inside');
  assert.throws(() => new PipelineBuilder('empty').build(), (error: BlazenError) => error.code === 'INVALID_WORKFLOW');
  assert.throws(() => new PipelineBuilder('wrong').stage(new LoopStage('l', 1, new Stage('x', human())) as never), /a Stage is wanted/);
});

test('builders: defaults of all steps, several workflows of one', async () => {
  const builder = Workflow.builder('built').stepTimeout(0.02).stepRetry({ maxAttempts: 1 }).timeout(5).sessionPausePolicy('warn_drop');
  builder.addStep('s', [START], async (event) => event['slow'] ? new Promise<never>(() => undefined) : stop('quick'));
  const one = builder.build();
  builder.addStep('t', ['T'], () => null);
  const two = Workflow.fromBuilder(builder);
  assert.notEqual(one, two);
  assert.ok(two instanceof Workflow);
  assert.equal((await one.run()).data, 'quick');
  await assert.rejects(two.run({ slow: true }), (error: BlazenError) => error.code === 'STEP_FAILED' && error.cause instanceof TimeoutError || error instanceof TimeoutError);
  assert.equal((one.describe()['steps'] as unknown[]).length, 1);
  assert.equal((two.describe()['steps'] as unknown[]).length, 2);
  assert.match(two.draw(), /flowchart/);
  assert.match(two.draw('dot'), /digraph/);
  assert.ok(new WorkflowBuilder('x').noTimeout() instanceof WorkflowBuilder);
});
