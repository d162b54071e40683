/** What the server's headers say: its clock, and the release that it runs. */

/** Estimates the server's time, because the clock of a person's computer may be wrong. */
class ServerClock {
  #offset: number | undefined;

  /** Takes a `Date` header, which has whole seconds: its smallest error is kept. */
  observe(header: string | null): void {
    const sent = header === null ? Number.NaN : Date.parse(header);
    if (Number.isNaN(sent)) return;
    const offset = sent + 500 - Date.now();
    if (this.#offset === undefined || Math.abs(offset - this.#offset) > 1500) this.#offset = offset;
  }

  /** The server's time in milliseconds since 1970. */
  now(): number {
    const offset = this.#offset ?? 0;
    return Date.now() + (Math.abs(offset) < 1500 ? 0 : offset);
  }
}

/** Remembers the first release that answered, and tells when another one does. */
class Release {
  #first: string | undefined;
  #changed = false;
  readonly #listeners = new Set<() => void>();

  observe(header: string | null): void {
    if (header === null || header === "") return;
    this.#first ??= header;
    if (header !== this.#first && !this.#changed) {
      this.#changed = true;
      for (const listener of this.#listeners) listener();
    }
  }

  subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  hasChanged = (): boolean => this.#changed;
}

export const serverClock = new ServerClock();
export const release = new Release();
