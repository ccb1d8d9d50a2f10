/** The errors that a face can give. A step's own error comes back as it is; the rest is a {@link BlazenError}. */
import type { NativeError } from './native.js';

/** What an error of another language says about itself. */
export interface RemoteError {
  language: string;
  type: string;
  message: string;
  traceback?: string;
  /** The error object as its own language has written it: codec and bytes. */
  object?: [codec: string, data: Uint8Array];
}

/** What a {@link BlazenError} knows beside its message. */
export interface ErrorFacts {
  code: string;
  status?: number;
  hostCode?: number;
  step?: string | null;
  attempt?: number;
  offset?: number;
  detail?: unknown;
  remote?: RemoteError;
  cause?: unknown;
}

/** A failure of a run or of a call. `code` is the engine's name for it, such as `STALLED`. */
export class BlazenError extends Error {
  override name = 'BlazenError';
  /** The engine's name of the status, such as `STALLED`, `STEP_FAILED`, `NOT_FOUND`. */
  readonly code: string;
  /** The engine's number for it. */
  readonly status: number;
  /** The host's own code; 0 is unknown. */
  readonly hostCode: number;
  /** The step that failed, where one did. */
  readonly step: string | null;
  /** Which attempt it was, from 1; 0 where no step has to do with it. */
  readonly attempt: number;
  /** The byte at fault in what was given. */
  readonly offset: number | undefined;
  /** What the host that failed gave along. */
  readonly detail: unknown;
  /** What an error of another language says about itself. */
  readonly remote: RemoteError | undefined;

  constructor(message: string, facts: ErrorFacts) {
    super(message, facts.cause === undefined ? undefined : { cause: facts.cause });
    this.code = facts.code;
    this.status = facts.status ?? 0;
    this.hostCode = facts.hostCode ?? 0;
    this.step = facts.step ?? null;
    this.attempt = facts.attempt ?? 0;
    this.offset = facts.offset;
    this.detail = facts.detail;
    this.remote = facts.remote;
  }
}

/** The time of a run, of a step or of a wait is up; its name is `TimeoutError`, as the platform's own is. */
export class TimeoutError extends BlazenError {
  override name = 'TimeoutError';
}

/** The run was aborted; its name is `AbortError`, as the platform's own is. */
export class AbortError extends BlazenError {
  override name = 'AbortError';
}

/** The run can go on only in another process. */
export class ParkedElsewhere<H> extends BlazenError {
  override name = 'ParkedElsewhere';
  /** @param steps the steps that have events queued; @param handle the run, still usable */
  constructor(readonly steps: string[], readonly handle: H) {
    super(`the run waits for steps that are elsewhere: ${steps.join(', ')}; take handle.snapshot() to where they are`, { code: 'ELSEWHERE' });
  }
}

/** A question that is open. */
export interface Question {
  request_id: string;
  prompt?: string;
  metadata?: unknown;
  step?: string;
  invocation_id?: number;
  asked_ms?: number;
  age_ms?: number;
  deadline_ms?: number;
  path?: unknown;
}

/** The run waits for an answer, and nobody was told to give one. */
export class InputRequired<H> extends BlazenError {
  override name = 'InputRequired';
  /** @param questions what is asked; @param handle the run, still usable */
  constructor(readonly questions: Question[], readonly handle: H) {
    super(
      `the run asks and nobody answers: ${questions.map((question) => question.prompt ?? question.request_id).join('; ')}; `
        + 'use handle.respondToInput(id, value), or give run() an onInput',
      { code: 'ASKING' },
    );
  }
}

/** The run waits for an event from outside. */
export class WaitingForEvent<H> extends BlazenError {
  override name = 'WaitingForEvent';
  /** @param handle the run, still usable */
  constructor(readonly handle: H) {
    super('the run waits for an event from outside; use handle.sendEvent(event)', { code: 'WAITING' });
  }
}

const PREFIX = /^BLAZEN_(ERROR_)?/;
const TIMEOUTS = new Set(['TIMEOUT', 'RUN_TIMEOUT', 'STEP_TIMEOUT']);

/** Makes an error of what the engine says; `read` makes a value of a detail. */
export function errorOf(error: NativeError | undefined, read: (wire: NativeError[7]) => unknown): BlazenError {
  if (error === undefined) return new BlazenError('the engine has given no error', { code: 'INTERNAL' });
  const [status, name, message, hostCode, step, attempt, offset, detailWire, cause] = error;
  const code = name.replace(PREFIX, '');
  const detail = detailWire === undefined ? undefined : read(detailWire);
  const facts: ErrorFacts = { code, status, hostCode, step, attempt, detail };
  if (offset !== undefined) facts.offset = offset;
  if (detail instanceof RemoteDetail) facts.remote = detail.remote;
  else if (isRemote(detail)) facts.remote = detail;
  if (cause !== undefined) {
    const cause_ = errorOf(cause, read);
    facts.cause = cause_.detail instanceof Error ? cause_.detail : cause_;
    if (facts.hostCode === 0) facts.hostCode = cause_.hostCode;
  }
  if (TIMEOUTS.has(code)) return new TimeoutError(message, facts);
  if (code === 'ABORTED') return new AbortError(message, facts);
  return new BlazenError(message, facts);
}

function isRemote(detail: unknown): detail is RemoteError {
  if (typeof detail !== 'object' || detail === null) return false;
  const { language, type, message } = detail as Partial<RemoteError>;
  return typeof language === 'string' && typeof type === 'string' && typeof message === 'string';
}

/** The detail of an error that came from another language. */
export class RemoteDetail {
  constructor(readonly remote: RemoteError) {}
}
