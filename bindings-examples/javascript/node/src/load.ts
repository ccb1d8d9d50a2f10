/** Loads the addon that was built for this platform. */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** The addon; throws with what was looked for where there is none. */
export function load(require: NodeJS.Require): unknown {
  const root = new URL('../../../', import.meta.url);
  const { name } = require(fileURLToPath(new URL('platform.cjs', root))) as { name(): string };
  const file = fileURLToPath(new URL(`prebuilt/${name()}/blazen.node`, root));
  if (!existsSync(file)) {
    throw new Error(`blazen: there is no addon for this platform (${name()}): looked for ${file}; build it with \`make LIBBLAZEN_PREFIX=...\``);
  }
  return require(file);
}
