/** Brings the engine's WebAssembly into use: the backend of this package. */
import { begin } from '../../core/dispatch.js';
import { isReady, Shared, useShared, type Native, type Platform } from '../../core/native.js';

/** What {@link init} takes: a compiled module, its bytes, where they are, or a response that brings them. */
export type Source = WebAssembly.Module | ArrayBuffer | Uint8Array | URL | string | Response | Promise<Response>;

interface Engine {
  blazenAddon(): Native;
  _malloc(bytes: number): number;
}

interface EngineOptions {
  instantiateWasm(imports: WebAssembly.Imports, receive: (instance: WebAssembly.Instance) => void): object;
  blazenGrown(memory: ArrayBuffer): void;
  blazenSoon(call: () => void): void;
  blazenTimer(delayMs: number, call: () => void): void;
  blazenKeep(kept: boolean): void;
}

type MakeEngine = (options: EngineOptions) => Promise<Engine>;

let defaultSource: () => Source | Promise<Source> = () => new URL('../../engine.wasm', import.meta.url);

/** Says where the engine is where `init` is given nothing. */
export function useSource(source: () => Source | Promise<Source>): void {
  defaultSource = source;
}

async function compile(source: Source): Promise<WebAssembly.Module> {
  const given = await source;
  if (given instanceof WebAssembly.Module) return given;
  if (given instanceof ArrayBuffer || ArrayBuffer.isView(given)) return WebAssembly.compile(given as BufferSource);
  const response = given instanceof Response ? given : await fetch(given);
  if (!response.ok) throw new Error(`@blazen/sdk: the engine is not at ${response.url}: ${response.status} ${response.statusText}`);
  return WebAssembly.compile(await response.arrayBuffer());
}

/** Calls back from the loop, as soon as that can be. */
function makeSoon(): (call: () => void) => void {
  const { setImmediate } = globalThis as { setImmediate?: (call: () => void) => void };
  if (setImmediate !== undefined) return setImmediate;
  const { port1, port2 } = new MessageChannel();
  const calls: (() => void)[] = [];
  port1.onmessage = () => calls.shift()?.();
  return (call) => {
    calls.push(call);
    port2.postMessage(null);
  };
}

type Timer = ReturnType<typeof setTimeout> & { ref?(): void; unref?(): void };

/** One timer, which a program may be kept alive by, where the platform knows that. */
function makeTimer(): Pick<EngineOptions, 'blazenTimer' | 'blazenKeep'> {
  let timer: Timer | undefined;
  let due = 0;
  let kept = false;
  const mark = (): void => {
    if (kept) timer?.ref?.();
    else timer?.unref?.();
  };
  return {
    blazenTimer(delayMs, call) {
      const wanted = performance.now() + delayMs;
      if (timer !== undefined && due <= wanted) return;
      if (timer !== undefined) clearTimeout(timer);
      due = wanted;
      timer = setTimeout(() => {
        timer = undefined;
        call();
      }, Math.min(delayMs, 0x7fffffff));
      mark();
    },
    blazenKeep(keep) {
      kept = keep;
      mark();
    },
  };
}

const platform: Platform = {
  capture: () => undefined,
  inputRequested: 'InputRequested',
  bytes: (data) => (data.constructor === Uint8Array ? data : new Uint8Array(data.buffer, data.byteOffset, data.byteLength)),
  sessionPolicy: 1,
  sessionOnPause: 1,
};

let begun: Promise<void> | undefined;

async function start(source: Source | undefined): Promise<void> {
  const module = await compile(source ?? (await defaultSource()));
  const { default: make } = (await import('../../engine.mjs' as string)) as { default: MakeEngine };
  let place = 0;
  const shared = (memory: ArrayBuffer): void => {
    if (place !== 0) useShared(new Int32Array(memory, place, Shared.LIST + Shared.LIST_MAX));
  };
  let memory: WebAssembly.Memory | undefined;
  const engine = await make({
    instantiateWasm(imports, receive) {
      void WebAssembly.instantiate(module, imports).then((instance) => {
        memory = Object.values(instance.exports).find((each) => each instanceof WebAssembly.Memory);
        receive(instance);
      });
      return {};
    },
    blazenGrown: shared,
    blazenSoon: makeSoon(),
    ...makeTimer(),
  });
  place = engine._malloc((Shared.LIST + Shared.LIST_MAX) * 4);
  const buffer = memory!.buffer as ArrayBuffer;
  new Int32Array(buffer, place, Shared.LIST + Shared.LIST_MAX).fill(0);
  shared(buffer);
  begin(engine.blazenAddon(), platform);
}

/** Brings the engine into use; nothing works before that. Once is enough: later calls answer the same. */
export async function init(source?: Source): Promise<void> {
  if (isReady()) return;
  begun ??= start(source);
  try {
    await begun;
  } catch (error) {
    begun = undefined;
    throw error;
  }
}
