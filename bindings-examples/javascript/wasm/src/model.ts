/** A chat model behind HTTP, for steps that complete text. Keys come from the runtime's environment and never from code. */
import { BlazenError } from '../../core/errors.js';

/** Who says it. */
export type Role = 'system' | 'user' | 'assistant';

/** A message of a chat. */
export class ChatMessage {
  private constructor(readonly role: Role, readonly content: string) {}

  /** What the model is to be. */
  static system(content: string): ChatMessage {
    return new ChatMessage('system', content);
  }

  /** What it is asked. */
  static user(content: string): ChatMessage {
    return new ChatMessage('user', content);
  }

  /** What it has answered. */
  static assistant(content: string): ChatMessage {
    return new ChatMessage('assistant', content);
  }
}

/** What a model has answered. */
export interface CompletionResponse {
  content: string;
  model: string;
  finishReason: string | null;
  usage: { promptTokens: number; completionTokens: number; totalTokens: number } | null;
}

/** How a completion is asked for. */
export interface CompletionOptions {
  temperature?: number;
  maxTokens?: number;
  signal?: AbortSignal;
}

interface Reply {
  model?: string;
  choices?: { message?: { content?: unknown }; finish_reason?: string | null }[];
  usage?: { prompt_tokens?: number; completion_tokens?: number; total_tokens?: number };
}

function environment(name: string): string | undefined {
  const { process } = globalThis as { process?: { env?: Record<string, string | undefined> } };
  const value = process?.env?.[name] ?? (globalThis as Record<string, unknown>)[name];
  return typeof value === 'string' && value !== '' ? value : undefined;
}

/** A model of one provider. */
export class CompletionModel {
  private constructor(private readonly model: string, private readonly base: string, private readonly keyName: string) {}

  /**
   * A model of OpenRouter. The environment has OPENROUTER_API_KEY, and may have OPENROUTER_BASE_URL and OPENROUTER_MODEL; where
   * there is no environment, they are global variables of the same names.
   */
  static openrouter(model?: string): CompletionModel {
    return new CompletionModel(
      model ?? environment('OPENROUTER_MODEL') ?? 'openrouter/auto',
      environment('OPENROUTER_BASE_URL') ?? 'https://openrouter.ai/api/v1', 'OPENROUTER_API_KEY',
    );
  }

  /** Completes a chat. */
  async complete(messages: readonly ChatMessage[], options: CompletionOptions = {}): Promise<CompletionResponse> {
    const key = environment(this.keyName);
    if (key === undefined) throw new TypeError(`${this.keyName} is not set in the runtime's environment`);
    const body: Record<string, unknown> = { model: this.model, messages: messages.map(({ role, content }) => ({ role, content })) };
    if (options.temperature !== undefined) body['temperature'] = options.temperature;
    if (options.maxTokens !== undefined) body['max_tokens'] = options.maxTokens;
    const response = await fetch(`${this.base}/chat/completions`, {
      method: 'POST', headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' }, body: JSON.stringify(body),
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    });
    const text = await response.text();
    if (!response.ok) {
      throw new BlazenError(`the model's provider has answered ${response.status}: ${text.slice(0, 500)}`, { code: 'HOST', hostCode: response.status });
    }
    const reply = JSON.parse(text) as Reply;
    const content = reply.choices?.[0]?.message?.content;
    if (typeof content !== 'string') throw new BlazenError(`the model's provider has answered without a message: ${text.slice(0, 500)}`, { code: 'HOST' });
    const { usage } = reply;
    return {
      content, model: reply.model ?? this.model, finishReason: reply.choices?.[0]?.finish_reason ?? null,
      usage: usage === undefined ? null
        : { promptTokens: usage.prompt_tokens ?? 0, completionTokens: usage.completion_tokens ?? 0, totalTokens: usage.total_tokens ?? 0 },
    };
  }
}
