// The programs of the quick start, as they stand in it.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../..', import.meta.url));

test('the quick start’s programs run', async () => {
  const readme = await readFile(join(root, '..', 'README.md'), 'utf8');
  const programs = [...readme.matchAll(/```js\n(.*?)```/gs)].map((found) => found[1]!).filter((text) => text.includes("from 'blazen'"));
  assert.equal(programs.length, 2);
  const folder = await mkdtemp(join(root, 'build', 'readme-'));
  try {
    await Promise.all(programs.map((text, i) => writeFile(join(folder, `${i}.mjs`), text)));
    const node = async (...words: string[]): Promise<string> => (await run(process.execPath, words, { cwd: folder, timeout: 10000 })).stdout;
    assert.equal(await node('0.mjs'), 'Hello, Ada\n');
    assert.equal(await node('1.mjs'), '');
    assert.equal(await node('1.mjs', 'yes'), 'yes\n');
  } finally {
    await rm(folder, { recursive: true });
  }
});
