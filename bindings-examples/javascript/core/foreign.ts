/**
 * A value that only another platform's serializer can read: it is handed around as it is, and can be set, sent and nested
 * again; it comes out bit for bit. `value instanceof Foreign` is the test.
 */
export class Foreign {
  /**
   * @param tag `native`: bytes of a serializer; `live`: an object of another host in this process or of another label
   * @param codec the serializer's name, such as `python/pickle`, or the label of a live object
   * @param data its bytes; empty for a live object
   */
  constructor(readonly tag: 'native' | 'live', readonly codec: string, readonly data: Uint8Array) {}

  /** A foreign value has no JSON form. */
  toJSON(): never {
    throw new TypeError(`a Foreign value of codec "${this.codec}" has no JSON form: pass it on as it is`);
  }
}
