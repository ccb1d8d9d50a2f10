// Figures: node bench/bench.mjs, after `make bench`. Each is the median of nine, as time and as a multiple of a bare callback
// (an object's number in, the JSON of a small event out) that is measured in the same round.
import { createRequire } from 'node:module';
import { Workflow } from 'blazen';

const bare = createRequire(import.meta.url)('./bare.node');
const START = 'blazen::StartEvent';
const ROUNDS = 9;
const N = 20000;

const chain = (body) => new Workflow('chain').addStep('s', [START, 'Next'], body).setTimeout(0);
const next = (event) => (event.i >= N ? { type: 'blazen::StopEvent' } : { type: 'Next', i: (event.i ?? 0) + 1 });
const sync = chain(next);
const async_ = chain(async (event) => next(event));
const short = new Workflow('short').addStep('s', [START], () => ({ type: 'blazen::StopEvent', result: 1 }));
const state = (work) => new Workflow('state').addStep('s', [START], async (event, ctx) => {
  for (let i = 0; i < N; ++i) await work(ctx, i);
  return { type: 'blazen::StopEvent' };
});
const sets = state((ctx, i) => ctx.set('key', i));
const gets = new Workflow('gets').addStep('s', [START], async (event, ctx) => {
  await ctx.set('key', { a: 1, b: 'two' });
  for (let i = 0; i < N; ++i) await ctx.get('key');
  return { type: 'blazen::StopEvent' };
});

const works = {
  'bare callback': () => bare.run((i) => JSON.stringify({ i }), N),
  'sync step': () => sync.run(),
  'async step': () => async_.run(),
  'state set, awaited': () => sets.run(),
  'state get, awaited': () => gets.run(),
  'short run, awaited': async () => {
    for (let i = 0; i < N / 10; ++i) await short.run();
  },
};

const times = Object.fromEntries(Object.keys(works).map((name) => [name, []]));
const ratios = Object.fromEntries(Object.keys(works).map((name) => [name, []]));
for (let round = -2; round < ROUNDS; ++round) {
  let base = 0;
  for (const [name, work] of Object.entries(works)) {
    const begin = process.hrtime.bigint();
    await work();
    const each = Number(process.hrtime.bigint() - begin) / (name.startsWith('short') ? N / 10 : N);
    base ||= each;
    if (round < 0) continue;
    times[name].push(each);
    ratios[name].push(each / base);
  }
}
const median = (list) => list.sort((a, b) => a - b)[list.length >> 1];
for (const name of Object.keys(works)) {
  console.log(`${name.padEnd(20)} ${median(times[name]).toFixed(0).padStart(6)} ns  ${median(ratios[name]).toFixed(1).padStart(5)} x`);
}
