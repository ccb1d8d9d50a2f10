// In a browser, under a content security policy without eval: the page, and a worker of it.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { chromium } from 'playwright-core';

const executablePath = process.env['CHROMIUM'] ?? '/usr/bin/chromium';
const TYPES: Record<string, string> = { js: 'text/javascript', mjs: 'text/javascript', wasm: 'application/wasm', html: 'text/html' };

const PROGRAM = `
  import init, { Workflow } from '/dist/wasm/src/index.js';
  export async function main() {
    let refused = '';
    try { new Workflow('early'); } catch (error) { refused = error.message; }
    await init();
    const wf = new Workflow('browser');
    wf.addStep('a', ['blazen::StartEvent'], async (event, ctx) => {
      ctx.set('n', event.n);
      await new Promise((resolve) => setTimeout(resolve, 5));
      return { type: 'Next', bytes: new Uint8Array([1, 2]) };
    });
    wf.addStep('b', ['Next'], (event, ctx) => ({ type: 'blazen::StopEvent', result: [ctx.get('n'), ...event.bytes] }));
    const { data } = await wf.run({ n: 5 });
    const asking = new Workflow('asks').addStep('s', ['blazen::StartEvent'], async (event, ctx) => ({ type: 'blazen::StopEvent', result: await ctx.ask('?') }));
    const handler = await asking.runWithHandler();
    await handler.wait('asking');
    const resumed = await asking.resume(JSON.stringify(await handler.pause()));
    await resumed.wait('asking');
    await resumed.respondToInput(resumed.questions()[0].request_id, 'here');
    const big = new Workflow('big').addStep('s', ['blazen::StartEvent'], (event, ctx) => {
      for (let i = 0; i < 40; ++i) ctx.set('k' + i, new Uint8Array(1 << 20)); // the memory grows
      return { type: 'blazen::StopEvent', result: ctx.get('k39').length };
    });
    const chain = new Workflow('chain').addStep('s', ['blazen::StartEvent', 'Next'], (event) => event.i === 20000 ? { type: 'blazen::StopEvent' } : { type: 'Next', i: (event.i ?? 0) + 1 });
    const begin = performance.now();
    await chain.run();
    const microseconds = (performance.now() - begin) / 20;
    return { refused, data, answer: await resumed.awaitResult(), big: (await big.run()).data, microseconds };
  }
`;

test('in Chromium: a page and a worker', { skip: !existsSync(executablePath) && `there is no ${executablePath}; set CHROMIUM` }, async () => {
  const root = new URL('../../', import.meta.url);
  const server = createServer((request, response) => {
    const path = request.url!;
    const send = (type: string, data: string | Buffer): void => {
      response.setHeader('content-type', TYPES[type]!);
      response.setHeader('content-security-policy', "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'");
      response.end(data);
    };
    if (path === '/') return send('html', '<!doctype html><title>blazen</title><script type="module" src="/page.js"></script>');
    if (path === '/main.js') return send('js', PROGRAM);
    if (path === '/page.js') return send('js', "import { main } from '/main.js'; globalThis.main = main; const w = new Worker('/worker.js', { type: 'module' }); globalThis.worker = new Promise((resolve) => { w.onmessage = ({ data }) => resolve(data); }); globalThis.ready = true;");
    if (path === '/worker.js') return send('js', "import { main } from '/main.js'; main().then(postMessage, (error) => postMessage({ error: String(error) }));");
    readFile(new URL(`.${path}`, root)).then((data) => send(path.split('.').pop()!, data), () => { response.statusCode = 404; response.end(); });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] });
  try {
    const page = await browser.newPage();
    const errors: string[] = [];
    page.on('pageerror', (error) => errors.push(String(error)));
    await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
    await page.waitForFunction('globalThis.ready');
    for (const where of ['main()', 'worker']) {
      const { microseconds, refused, ...rest } = (await page.evaluate(`globalThis.${where}`)) as Record<string, unknown>;
      assert.deepEqual(rest, { data: [5, 1, 2], answer: 'here', big: 1 << 20 });
      assert.match(String(refused), /init\(\)/);
      console.log(`${where}: ${(microseconds as number).toFixed(1)} µs a step`);
    }
    assert.deepEqual(errors, []);
  } finally {
    await browser.close();
    server.close();
  }
});
