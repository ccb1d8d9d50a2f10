// Lets the tests of what both packages share run here too: the same text, with this package's name and its init.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';

mkdirSync(new URL('shared', import.meta.url), { recursive: true });
for (const name of ['composition']) {
  const text = readFileSync(new URL(`../../node/test/${name}.test.ts`, import.meta.url), 'utf8');
  const shared = text.replace(/from 'blazen';/, "from '@blazen/sdk';\nimport init from '@blazen/sdk';\nawait init();");
  if (shared === text) throw new Error(`${name}.test.ts does not import the package as it is expected to`);
  writeFileSync(new URL(`shared/${name}.test.ts`, import.meta.url), shared);
}
