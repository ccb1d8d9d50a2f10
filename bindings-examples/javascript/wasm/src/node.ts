/** The entry for Node: the engine is read from the package's file. */
import { readFile } from 'node:fs/promises';
import { useSource } from './backend.js';

useSource(() => readFile(new URL('../../engine.wasm', import.meta.url)));

export * from './index.js';
export { default } from './index.js';
