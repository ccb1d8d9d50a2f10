// The examples of the seed "WASM Workflows", letter for letter; what a placeholder leaves open is filled in around them, and the
// network is a server of this machine.
import assert from 'node:assert/strict';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, test } from 'node:test';
import init, { Workflow, ChatMessage, CompletionModel } from '@blazen/sdk';
import { WorkflowBuilder, type BlazenEvent } from '@blazen/sdk';
await init();

let server: Server;
let base: string;
const asked: { authorization: string | undefined; body: { messages: { role: string; content: string }[] } }[] = [];

before(async () => {
  server = createServer((request, response) => {
    if (request.method === 'GET') {
      response.end('A long article about workflows.');
      return;
    }
    let text = '';
    request.on('data', (data) => { text += String(data); });
    request.on('end', () => {
      asked.push({ authorization: request.headers.authorization, body: JSON.parse(text) });
      if (text.includes('unwell')) {
        response.statusCode = 503;
        response.end('overloaded');
        return;
      }
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify({ model: 'm', choices: [{ message: { role: 'assistant', content: 'In short: workflows.' }, finish_reason: 'stop' }], usage: { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3 } }));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  process.env['OPENROUTER_API_KEY'] = 'a key';
  process.env['OPENROUTER_BASE_URL'] = base;
});
after(() => server.close());

test('creating a workflow', async () => {
  const realFetch = globalThis.fetch;
  const realLog = console.log;
  const logged: unknown[] = [];
  // The article of the example is on the local server.
  globalThis.fetch = ((url: string, options?: RequestInit) => realFetch(url === 'https://example.com/article' ? base : url, options)) as typeof fetch;
  console.log = (...words: unknown[]) => { logged.push(...words); };
  try {
const wf = new Workflow('summarizer');
wf.addStep('fetch_text', ['blazen::StartEvent'], async (event, ctx) => {
ctx.set('source', event.url);
const text = await fetch(event.url).then(r => r.text());
return { type: 'SummarizeEvent', text };
});
wf.addStep('summarize', ['SummarizeEvent'], async (event, ctx) => {
// The WASM SDK reads OPENROUTER_API_KEY from the runtime environment.
// Factory methods do not accept runtime keys -- configure the env var
// at deploy time (see the Edge Deployment guide for strategies).
const model = CompletionModel.openrouter();
const response = await model.complete([
ChatMessage.system('Summarize the following text in 2-3 sentences.'),
ChatMessage.user(event.text),
]);
return {
type: 'blazen::StopEvent',
result: { summary: response.content },
};
});
const result = await wf.run({ url: 'https://example.com/article' });
console.log(result.data.summary);
  } finally {
    globalThis.fetch = realFetch;
    console.log = realLog;
  }
  assert.deepEqual(logged, ['In short: workflows.']);
  assert.equal(asked[0]!.authorization, 'Bearer a key');
  assert.deepEqual(asked[0]!.body.messages, [
    { role: 'system', content: 'Summarize the following text in 2-3 sentences.' }, { role: 'user', content: 'A long article about workflows.' },
  ]);
});

test('a model that is unwell, or has no key, says so', async () => {
  await assert.rejects(CompletionModel.openrouter().complete([ChatMessage.user('unwell')]), /answered 503: overloaded/);
  delete process.env['OPENROUTER_API_KEY'];
  await assert.rejects(CompletionModel.openrouter().complete([ChatMessage.user('x')]), /OPENROUTER_API_KEY is not set/);
});

test('storing and retrieving values', async () => {
  const wf = new Workflow('values');
wf.addStep('store', ['blazen::StartEvent'], async (event, ctx) => {
ctx.set('user', event.name);
ctx.set('count', 42);
ctx.set('tags', ['intro', 'demo']);
return { type: 'NextEvent' };
});
wf.addStep('read', ['NextEvent'], async (event, ctx) => {
const user = ctx.get('user'); // 'Alice'
const count = ctx.get('count'); // 42
const missing = ctx.get('nope'); // null
  assert.equal(missing, null);
return { type: 'blazen::StopEvent', result: { user, count } };
});
  assert.deepEqual((await wf.run({ name: 'Alice' })).data, { user: 'Alice', count: 42 });
});

test('state and session', async () => {
  const wf = new Workflow('session');
  const realLog = console.log;
  const logged: unknown[] = [];
  console.log = (...words: unknown[]) => { logged.push(...words); };
wf.addStep('share_live', ['blazen::StartEvent'], (event, ctx) => {
ctx.state.set('counter', 5);
const liveObj = { tag: 'live', count: 0 };
ctx.session.set('shared', liveObj);
console.log(ctx.session.get('shared') === liveObj); // true -- identity preserved
liveObj.count += 1;
console.log(ctx.session.get('shared').count); // 1 -- same object reference
return { type: 'blazen::StopEvent', result: {} };
});
  await wf.run().finally(() => { console.log = realLog; });
  assert.deepEqual(logged, [true, 1]);
});

test('binary data', async () => {
  const wf = new Workflow('binary');
wf.addStep('binary', ['blazen::StartEvent'], async (event, ctx) => {
const data = new Uint8Array([0x48, 0x65, 0x6c, 0x6c, 0x6f]);
// Either approach works for storing binary:
ctx.set('via_set', data); // auto-detected as binary
ctx.setBytes('via_explicit', data); // explicit binary storage
// Both return Uint8Array on read:
const a = ctx.get('via_set'); // Uint8Array
const b = ctx.getBytes('via_explicit'); // Uint8Array | null
  assert.deepStrictEqual(a, data);
  assert.deepStrictEqual(b, data);
return { type: 'blazen::StopEvent', result: { ok: true } };
});
  assert.deepEqual((await wf.run()).data, { ok: true });
});

test('emitting events, run id, workflow name', async () => {
  const wf = new Workflow('summarizer');
  const seen: unknown[] = [];
wf.addStep('kickoff', ['blazen::StartEvent'], async (event, ctx) => {
ctx.sendEvent({ type: 'SideTask', payload: 'extra work' });
return { type: 'MainTask' };
});
  wf.addStep('side', ['SideTask'], (event) => { seen.push(event.payload); });
wf.addStep('log', ['MainTask'], async (event, ctx) => {
seen.push('Run:', ctx.runId());
seen.push(ctx.workflowName); // 'summarizer'
return { type: 'blazen::StopEvent', result: {} };
});
  await wf.run();
  assert.equal(seen[0], 'extra work');
  assert.match(seen[2] as string, /^[0-9a-f-]{14}4[0-9a-f-]{21}$/);
  assert.equal(seen[3], 'summarizer');
});

const connections: string[] = [];
const createConnection = (url: string, token: string): { open: string } => { connections.push(`${url} ${token}`); return { open: url }; };

class SessionState {
url = '';
token = '';
conn: unknown = null; // non-serializable -- will be recreated
requestCount = 0;
static meta = {
transient: ['conn'], // excluded from storage
storeBy: {}, // custom FieldStore per field (optional)
restore: 'reconnect', // method name called after reconstruction
};
reconnect() {
if (this.url && this.token) {
this.conn = createConnection(this.url, this.token);
}
}
}

test('BlazenState', async () => {
  const wf = new Workflow('state');
wf.addStep('init', ['blazen::StartEvent'], async (event, ctx) => {
const state = new SessionState() as SessionState & { __blazen_state__?: boolean };
state.url = event.url;
state.token = event.token;
state.__blazen_state__ = true;
ctx.set('session', state); // auto-decomposes per field
return { type: 'ProcessEvent' };
});
  const realLog = console.log;
  const logged: unknown[] = [];
  console.log = (...words: unknown[]) => { logged.push(...words); };
wf.addStep('process', ['ProcessEvent'], async (event, ctx) => {
const state = ctx.get('session'); // auto-reconstructs, calls reconnect()
console.log(state.url); // preserved
console.log(state.conn); // recreated by reconnect()
  assert.ok(state instanceof SessionState);
  assert.equal((state as { __blazen_state__?: boolean }).__blazen_state__, true);
  assert.deepEqual(ctx.state.keys(), ['session.__blazen_meta__', 'session.requestCount', 'session.token', 'session.url']);
return { type: 'blazen::StopEvent', result: { requests: state.requestCount } };
});
  const { data } = await wf.run({ url: 'db://x', token: 't' }).finally(() => { console.log = realLog; });
  assert.deepEqual(data, { requests: 0 });
  assert.deepEqual(logged, ['db://x', { open: 'db://x' }]);
  assert.deepEqual(connections, ['db://x t']);
});

const storage = new Map<string, string>();
const localStorage = { setItem: (key: string, value: string) => { storage.set(key, value); }, getItem: (key: string) => storage.get(key) ?? null };

const externalCache = {
save(key: string, value: unknown, ctx: unknown) { localStorage.setItem(key, JSON.stringify(value)); },
load(key: string, ctx: unknown) { return JSON.parse(localStorage.getItem(key) ?? 'null'); },
};
class AppState {
preferences = {};
activeTab = 'home';
static meta = {
storeBy: { preferences: externalCache },
};
}

test('field stores', async () => {
  const wf = new Workflow('stores');
  wf.addStep('only', ['blazen::StartEvent'], (event, ctx) => {
    ctx.set('app', Object.assign(new AppState(), { preferences: { dark: true }, __blazen_state__: true }));
    const app = ctx.get<AppState>('app')!;
    assert.equal(ctx.state.has('app.preferences'), false);
    return { type: 'blazen::StopEvent', result: [app.preferences, app.activeTab] };
  });
  assert.deepEqual((await wf.run()).data, [{ dark: true }, 'home']);
  assert.deepEqual([...storage.keys()], ['app.preferences']);
  const wrong = new Workflow('promises');
  class Slow { field = 1; static meta = { storeBy: { field: { save: async () => undefined, load: async () => 1 } } }; }
  wrong.addStep('only', ['blazen::StartEvent'], (event, ctx) => { ctx.set('k', Object.assign(new Slow(), { __blazen_state__: true })); });
  await assert.rejects(wrong.run(), /must be done when it returns/);
});

test('streaming events', async () => {
  const wf = new Workflow('streaming');
  const logged: unknown[][] = [];
  const realLog = console.log;
  console.log = (...words: unknown[]) => { logged.push(words); };
  try {
wf.addStep('process', ['blazen::StartEvent'], async (event, ctx) => {
for (let i = 0; i < 5; i++) {
ctx.sendEvent({ type: 'Progress', step: i });
}
return { type: 'blazen::StopEvent', result: { done: true } };
});
// Callback-style streaming: invoke the callback for every event the
// workflow emits. The promise resolves with the final StopEvent payload.
const result = await wf.runStreaming({}, (event) => {
console.log(event.eventType, event);
});
  assert.deepEqual(result.data, { done: true });
  } finally {
    console.log = realLog;
  }
  assert.deepEqual(logged.filter(([type]) => type === 'Progress').map(([, event]) => (event as BlazenEvent)['step']), [0, 1, 2, 3, 4]);
  assert.equal(logged[0]![0], 'blazen::StartEvent');
  assert.equal(logged.at(-1)![0], 'blazen::StopEvent');
});

function asking(): Workflow {
  const wf = new Workflow('asking');
  wf.addStep('ask', ['blazen::StartEvent'], (event, ctx) => {
    ctx.session.set('mine', { __blazen_type__: 'MyType', __blazen_serialize__: () => new Uint8Array([1, 2]) });
    return { type: 'blazen::InputRequestEvent', prompt: 'who?' };
  });
  wf.addStep('end', ['blazen::InputResponseEvent'], (event, ctx) => ({ type: 'blazen::StopEvent', result: [event.response, ctx.session.get('mine')] }));
  return wf;
}

test('handler-based execution, human in the loop', async () => {
  const wf = asking();
  const input = { url: 'https://example.com' };
const handler = await wf.runWithHandler(input);
await handler.streamEvents((ev) => {
if (ev.eventType === 'InputRequested') {
// Reply to the specific request by id. The step's awaiter resumes
// with the supplied response value.
handler.respondToInput(ev.requestId, 'answer');
}
});
  assert.equal((await handler.awaitResult())[0], 'answer');
});

test('snapshot, pause, resume, resuming from a serialized snapshot', async () => {
  const kv = { store: new Map<string, string>(), async put(key: string, value: string) { this.store.set(key, value); } };
  const myDeserialize = (bytes: Uint8Array): unknown => ({ made: [...bytes] });
  const builder = new WorkflowBuilder('asking');
  // The same steps as above, by a builder.
  builder.addStep('ask', ['blazen::StartEvent'], () => null);
  builder.addStep('end', ['blazen::InputResponseEvent'], (event, ctx) => ({ type: 'blazen::StopEvent', result: [event.response, ctx.session.get('mine')] }));
  const wf = asking();
  const input = {};
  const handler = await wf.runWithHandler(input);
  await handler.wait('asking');
// Capture state mid-run without affecting execution.
const snap = await handler.snapshot();
// ...later, after the workflow has paused itself...
await handler.resumeInPlace();
await kv.put('wf-snap', JSON.stringify(snap));
// Later, in a new process or worker invocation:
const restored = await Workflow.fromBuilder(builder).resumeWithSerializableRefs(
snap,
{
// Map session-ref type names to their deserializers. Each callback
// receives the bytes that were captured at snapshot time and must
// return the live JS value to reinstall into ctx.session.
MyType: (bytes) => myDeserialize(bytes),
},
);
  await restored.respondToInput(restored.questions()[0]!.request_id, 'restored');
  assert.deepEqual(await restored.awaitResult(), ['restored', { made: [1, 2] }]);
  const fromText = await Workflow.fromBuilder(builder).resumeWithSerializableRefs(kv.store.get('wf-snap')!, {});
  assert.equal(fromText.dropped().length, 1);
  await fromText.respondToInput(fromText.questions()[0]!.request_id, 'text');
  assert.deepEqual(await fromText.awaitResult(), ['text', null]);
  const snapshot = await handler.pause();
  assert.equal(handler.state, 'paused');
  await handler.resumeInPlace();
  await handler.respondToInput(handler.questions()[0]!.request_id, 'here');
  assert.deepEqual(await handler.awaitResult(), ['here', null]); // by default a pause clears the session
  await (await Workflow.fromBuilder(builder).resumeWithSerializableRefs(snapshot, {})).cancel();
});

test('session pause policy', async () => {
  const builder = new WorkflowBuilder('policy');
  builder.addStep('s', ['blazen::StartEvent'], () => null);
// On the builder before constructing the workflow:
const workflow = builder.setSessionPausePolicy('pause').build();
  const wf = new Workflow('policy').addStep('s', ['blazen::StartEvent'], () => null);
// Or directly on an already-built workflow:
wf.setSessionPausePolicy('continue');
  const policy = (each: { describe(): Record<string, unknown> }) => (each.describe()['policies'] as Record<string, unknown>)['session_on_pause'];
  assert.equal(policy(workflow), 'keep');
  assert.equal(policy(wf), 'clear');
});

test('branching and time-outs', async () => {
  const wf = new Workflow('branching');
  const seen: string[] = [];
wf.addStep('classify', ['blazen::StartEvent'], async (event, ctx) => {
return [
{ type: 'PositiveEvent', text: event.text },
{ type: 'NegativeEvent', text: event.text },
];
});
  wf.addStep('p', ['PositiveEvent'], (event) => { seen.push(`+${event.text}`); });
  wf.addStep('n', ['NegativeEvent'], (event) => { seen.push(`-${event.text}`); return { type: 'blazen::StopEvent' }; });
wf.setTimeout(30); // 30 seconds
  await wf.run({ text: 'x' });
  assert.deepEqual(seen, ['+x', '-x']);
  const slow = new Workflow('slow').addStep('s', ['blazen::StartEvent'], () => new Promise<never>(() => undefined));
  slow.setTimeout(0.03);
  await assert.rejects(slow.run(), { name: 'TimeoutError' });
});
