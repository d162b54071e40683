/** Whether the person's session has ended while the page was open, as any call may find out. */
class SessionState {
  #hasEnded = false;
  readonly #listeners = new Set<() => void>();

  subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  hasEnded = (): boolean => this.#hasEnded;

  /** A call was refused because nobody is logged in. */
  end(): void {
    this.#set(true);
  }

  /** The same person is logged in again: calls and streams go on. */
  resume(): void {
    this.#set(false);
  }

  #set(hasEnded: boolean): void {
    if (this.#hasEnded === hasEnded) return;
    this.#hasEnded = hasEnded;
    for (const listener of this.#listeners) listener();
  }
}

export const session = new SessionState();
