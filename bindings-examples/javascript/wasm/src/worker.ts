/** The entry for edge workers: they import the engine as a module, and compile nothing. */
import engine from '../../engine.wasm';
import { useSource } from './backend.js';

useSource(() => engine);

export * from './index.js';
export { default } from './index.js';
