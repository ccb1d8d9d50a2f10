// A run that Python has begun (data/from-python.cbor) goes on here, and parks for Python again.
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import { Foreign, Snapshot, Workflow } from 'blazen';

test('a snapshot of Python: its values are read, its pickle passes unchanged', async () => {
  const bytes = await readFile(new URL('../../test/data/from-python.cbor', import.meta.url));
  const wf = new Workflow('relay').addElsewhere('begin', ['blazen::StartEvent']);
  wf.addStep('middle', ['Middle'], async (event, ctx) => {
    assert.deepStrictEqual({ ...event }, { type: 'Middle', n: 2, text: 'from Python' });
    const pickled = await ctx.get<Foreign>('pickled');
    assert.ok(pickled instanceof Foreign);
    assert.equal(pickled.codec, 'python/pickle');
    assert.deepEqual([...(await ctx.getBytes('bytes'))!], [0, 255]);
    assert.deepEqual(await ctx.get('json'), { a: [1, 2.5, null, 'é'], big: 2n ** 60n });
    await ctx.set('pickled', pickled);
    await ctx.set('js', [1, 'two']);
    return { type: 'End', n: event['n'] + 1 };
  });
  wf.addElsewhere('end', ['End']);
  const handler = await wf.resume(bytes);
  assert.equal(await handler.wait('elsewhere'), 'elsewhere');
  const snapshot = await handler.snapshot();
  assert.deepEqual(snapshot.info['steps_needed'], ['end']);
  assert.equal(snapshot.info['run_id'], Snapshot.from(bytes).info['run_id']);
  const pickle = bytes.indexOf('python/pickle');
  assert.ok(pickle > 0 && Buffer.from(snapshot.bytes).includes(bytes.subarray(pickle, pickle + 40)));
  if (process.env['BLAZEN_RELAY_OUT']) await writeFile(process.env['BLAZEN_RELAY_OUT'], snapshot.bytes);
});
