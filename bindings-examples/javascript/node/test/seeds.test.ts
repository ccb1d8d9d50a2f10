// The examples of the seed "Context", letter for letter; what a placeholder leaves open is filled in around them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Workflow, Context } from 'blazen';
import { BlazenState, BlazenStateMeta, CallbackFieldStore } from "blazen";

test('setting and getting values', async () => {
  const wf = new Workflow('values');
wf.addStep("store_data", ["blazen::StartEvent"], async (event, ctx) => {
  await ctx.set("user_id", "user_123");
  await ctx.set("doc_count", 5);
  await ctx.set("tags", ["rust", "workflow"]);
  await ctx.set("config", { retries: 3, verbose: true });
  return { type: "NextEvent" };
});

wf.addStep("use_data", ["NextEvent"], async (event, ctx) => {
  const userId = await ctx.get("user_id");     // "user_123"
  const docCount = await ctx.get("doc_count"); // 5
  const tags = await ctx.get("tags");          // ["rust", "workflow"]
  const config = await ctx.get("config");      // { retries: 3, verbose: true }
  assert.deepEqual(tags, ['rust', 'workflow']);
  assert.deepEqual(config, { retries: 3, verbose: true });
  return { type: "blazen::StopEvent", result: { user: userId, docs: docCount } };
});
  assert.deepEqual((await wf.run()).data, { user: 'user_123', docs: 5 });
});

test('run id', async () => {
  const wf = new Workflow('id');
  wf.addStep('tell', ['blazen::StartEvent'], async (event, ctx) => {
const runId = await ctx.runId(); // Returns a UUID string
    return { type: 'blazen::StopEvent', result: runId };
  });
  assert.match((await wf.run()).data, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$/);
});

test('binary storage', async () => {
  const wf = new Workflow('binary');
  wf.addStep('store', ['blazen::StartEvent'], async (event, ctx) => {
// Store raw binary data
const pixels = Buffer.from([0xff, 0x00, 0x00, 0xff]);
await ctx.setBytes("image-pixels", pixels);
    return { type: 'Next' };
  });
  wf.addStep('read', ['Next'], async (event, ctx) => {
// Retrieve it in another step
const data = await ctx.getBytes("image-pixels"); // Buffer | null
    assert.ok(Buffer.isBuffer(data));
    assert.ok(Buffer.isBuffer(await ctx.get('image-pixels')));
    assert.equal(await ctx.getBytes('missing'), null);
    return { type: 'blazen::StopEvent', result: [...data] };
  });
  assert.deepEqual((await wf.run()).data, [0xff, 0, 0, 0xff]);
});

test('manual event routing', async () => {
  const wf = new Workflow('routing');
  wf.addStep('first', ['blazen::StartEvent'], async (event, ctx) => {
await ctx.sendEvent({ type: "Continue" }); // Async
return null; // Don't return an event when using sendEvent
  });
  wf.addStep('second', ['Continue'], async () => ({ type: 'blazen::StopEvent', result: 'routed' }));
  assert.equal((await wf.run()).data, 'routed');
});

test('state and session', async () => {
  const wf = new Workflow('namespaces');
wf.addStep("setup", ["blazen::StartEvent"], async (event, ctx) => {
  // Persistable state -- survives pause/resume and checkpoints.
  await ctx.state.set("inputPath", "data.csv");
  await ctx.state.set("rowCount", 0);
  await ctx.state.setBytes("thumbnail", Buffer.from([0x89, 0x50, 0x4e, 0x47]));

  // In-process-only state -- excluded from snapshots.
  await ctx.session.set("reqId", "abc123");
  await ctx.session.set("rateLimitCount", 0);

  const hasReq = await ctx.session.has("reqId");
  const reqId = await ctx.session.get("reqId");
  await ctx.session.remove("rateLimitCount");
  assert.equal(hasReq, true);
  assert.equal(reqId, 'abc123');
  assert.equal(await ctx.session.has('rateLimitCount'), false);
  assert.equal(await ctx.state.get('rowCount'), 0);

  return { type: "blazen::StopEvent", result: { ok: true } };
});
  assert.deepEqual((await wf.run()).data, { ok: true });
});

class AgentState extends BlazenState {
  static meta: BlazenStateMeta = {
    // Fields that should not survive pause/resume snapshots
    transient: ["scratchpad"],

    // Per-field storage overrides
    storeBy: {
      embeddings: new CallbackFieldStore({
        saveFn: async (key, value, ctx) => {
          await ctx.setBytes(key, Buffer.from(JSON.stringify(value)));
        },
        loadFn: async (key, ctx) => {
          const buf = await ctx.getBytes(key);
          return buf ? JSON.parse(buf.toString()) : null;
        },
      }),
    },
  };

  conversationHistory: string[] = [];
  embeddings: number[][] = [];
  scratchpad: Map<string, string> = new Map();
  retryCount: number = 0;

  // Called after loadFrom() to recreate transient fields
  restore(): void {
    this.scratchpad = new Map();
  }
}

test('typed state', async () => {
  const wf = new Workflow('typed');
wf.addStep("init", ["blazen::StartEvent"], async (event, ctx) => {
  const state = new AgentState();
  state.conversationHistory.push("Hello");
  state.retryCount = 1;

  state.embeddings = [[1, 2]];
  state.scratchpad.set('gone', 'yes');
  await state.saveTo(ctx, "state");
  return { type: "ProcessEvent" };
});

wf.addStep("process", ["ProcessEvent"], async (event, ctx) => {
  const state = await AgentState.loadFrom<AgentState>(ctx, "state");

  console.log(state.conversationHistory); // ["Hello"]
  console.log(state.retryCount);          // 1
  assert.ok(state instanceof AgentState);
  assert.deepEqual(state.conversationHistory, ['Hello']);
  assert.equal(state.retryCount, 1);
  assert.deepEqual(state.embeddings, [[1, 2]]);
  assert.equal(state.scratchpad.size, 0);

  state.conversationHistory.push("World");
  await state.saveTo(ctx, "state");

  assert.deepEqual(await ctx.state.keys(), ['state.__blazen_meta__', 'state.conversationHistory', 'state.embeddings', 'state.retryCount']);
  return { type: "blazen::StopEvent", result: { history: state.conversationHistory } };
});
  assert.deepEqual((await wf.run()).data, { history: ['Hello', 'World'] });
});

test('a field store of two callbacks', async () => {
  const kept = new Map<string, unknown>();
  const store =
new CallbackFieldStore({
  saveFn: async (key, value, ctx) => { kept.set(key, value); },
  loadFn: async (key, ctx) => { return kept.get(key); },
});
  class Cached extends BlazenState {
    static meta: BlazenStateMeta = { storeBy: { big: store } };
    big = 'x'.repeat(3);
  }
  const wf = new Workflow('stores');
  wf.addStep('only', ['blazen::StartEvent'], async (event, ctx: Context) => {
    await new Cached().saveTo(ctx, 'c.d');
    const loaded = await Cached.loadFrom<Cached>(ctx, 'c.d');
    return { type: 'blazen::StopEvent', result: [loaded.big, [...kept.keys()]] };
  });
  assert.deepEqual((await wf.run()).data, ['xxx', ['c\\.d.big']]);
});

test('core concepts: a list of events fans out, nothing is a side effect', async () => {
  const wf = new Workflow('concepts');
  const seen: string[] = [];
  wf.addStep('begin', ['blazen::StartEvent'], () => [{ type: 'A' }, { type: 'B' }]);
  wf.addStep('log', ['A', 'B'], (event) => { seen.push(event.type); });
  wf.addStep('end', ['B'], () => ({ type: 'blazen::StopEvent' }));
  const result = await wf.run();
  assert.equal(result.type, 'blazen::StopEvent');
  assert.equal(result.data, null);
  assert.deepEqual(seen, ['A', 'B']);
});
