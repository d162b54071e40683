import { useEffect, useState, useSyncExternalStore } from "react";
import { isPassing, type Problem, problemOf } from "./errors";
import { session } from "./session";

/** State of a stream: what the light in the corner of a page shows. */
export type StreamState =
  | { kind: "connecting" }
  | { kind: "live" }
  | { kind: "asleep" } // the page is hidden
  | { kind: "reconnecting"; since: number; problem: Problem }
  | { kind: "stopped"; problem: Problem }
  | { kind: "ended" };

/** Opens a stream; the state that its messages make is `fold`ed from `empty` at every connect. */
export type Feed<Message, State> = {
  open: (signal: AbortSignal) => AsyncIterable<Message>;
  empty: () => State;
  /** Takes one message into the state, which may be changed in place. */
  fold: (state: State, message: Message) => State;
  /** Whether a snapshot is complete, so that it may replace what is shown. */
  isWhole?: (state: State) => boolean;
  /** Whether nothing can follow, such as after a run's end. */
  isOver?: (state: State) => boolean;
};

const FIRST_DELAY = 500;
const LONGEST_DELAY = 10_000;

/**
 * How long a page must be hidden before its streams close. HTTP/1.1 gives a browser six connections to
 * an address, for all of its tabs together, so they close at once there.
 */
function hiddenFor(): number {
  const [navigation] = performance.getEntriesByType("navigation") as PerformanceNavigationTiming[];
  return navigation?.nextHopProtocol === "http/1.1" ? 0 : 10_000;
}

/** Full jitter between nothing and an exponential bound, in milliseconds. */
export function retryDelay(attempt: number, random = Math.random): number {
  return Math.max(50, random() * Math.min(LONGEST_DELAY, FIRST_DELAY * 2 ** attempt));
}

/**
 * One server stream that reconnects for ever, with jitter, and closes while the page is hidden.
 *
 * After a reconnect the new snapshot replaces the old state at once, so nothing flickers. Listeners
 * are told once per animation frame, however many messages come.
 */
export class Live<Message, State> {
  readonly #feed: Feed<Message, State>;
  readonly #listeners = new Set<() => void>();
  #shown: { value: State | undefined; state: StreamState };
  #abort: AbortController | undefined;
  #frame = 0;
  #sleepTimer: ReturnType<typeof setTimeout> | undefined;

  /** `before`: what is shown until the first snapshot, such as that of an earlier view. */
  constructor(feed: Feed<Message, State>, before?: State) {
    this.#feed = feed;
    this.#shown = { value: before, state: { kind: "connecting" } };
  }

  subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  snapshot = (): { value: State | undefined; state: StreamState } => this.#shown;

  start(): () => void {
    const onVisibility = () => {
      clearTimeout(this.#sleepTimer);
      if (document.hidden) this.#sleepTimer = setTimeout(() => this.#sleep(), hiddenFor());
      else if (this.#shown.state.kind === "asleep") void this.#run();
    };
    // A network that is back is a better sign than the next attempt.
    const onNetwork = () => {
      if (this.#shown.state.kind === "reconnecting") void this.#run();
    };
    document.addEventListener("visibilitychange", onVisibility);
    window.addEventListener("online", onNetwork);
    // A stream that a lost session stopped goes on after the next login.
    const unsubscribe = session.subscribe(() => {
      const { state } = this.#shown;
      const isLoggedOut = state.kind === "stopped" && state.problem.kind === "login";
      if (isLoggedOut && !session.hasEnded()) void this.#run();
    });
    // A tab that was opened in the background waits until it is looked at.
    if (document.hidden) this.#sleep();
    else void this.#run();
    return () => {
      unsubscribe();
      document.removeEventListener("visibilitychange", onVisibility);
      window.removeEventListener("online", onNetwork);
      clearTimeout(this.#sleepTimer);
      cancelAnimationFrame(this.#frame);
      this.#abort?.abort();
      this.#abort = undefined;
    };
  }

  #sleep(): void {
    if (this.#shown.state.kind === "ended" || this.#shown.state.kind === "stopped") return;
    this.#abort?.abort();
    this.#abort = undefined;
    this.#show({ state: { kind: "asleep" } });
  }

  async #run(): Promise<void> {
    this.#abort?.abort();
    const abort = new AbortController();
    this.#abort = abort;
    for (let attempt = 0; !abort.signal.aborted; attempt++) {
      try {
        let value = this.#feed.empty();
        for await (const message of this.#feed.open(abort.signal)) {
          if (abort.signal.aborted) return;
          attempt = 0;
          value = this.#feed.fold(value, message);
          if (this.#feed.isWhole?.(value) ?? true) this.#show({ value, state: { kind: "live" } });
        }
        if (abort.signal.aborted) return;
        if (this.#feed.isOver?.(value) ?? false) {
          this.#show({ value, state: { kind: "ended" } });
          return;
        }
      } catch (error) {
        if (abort.signal.aborted) return;
        const problem = problemOf(error);
        if (problem.kind === "login") session.end();
        if (!isPassing(problem)) {
          this.#show({ state: { kind: "stopped", problem } });
          return;
        }
        const before = this.#shown.state;
        const since = before.kind === "reconnecting" ? before.since : Date.now();
        this.#show({ state: { kind: "reconnecting", since, problem } });
      }
      await new Promise((resolve) => setTimeout(resolve, retryDelay(attempt)));
    }
  }

  #show(next: { value?: State; state: StreamState }): void {
    this.#shown = { value: next.value ?? this.#shown.value, state: next.state };
    cancelAnimationFrame(this.#frame);
    const tell = () => {
      for (const listener of this.#listeners) listener();
    };
    // A hidden page has no frames, and its state should still be right when it is looked at.
    if (document.hidden) tell();
    else this.#frame = requestAnimationFrame(tell);
  }
}

/**
 * The state of a feed, live for as long as the component is shown; `key` names the feed.
 *
 * Another key is another feed; with the same `family` its first snapshot replaces the old state, which
 * stays until then.
 */
export function useLive<Message, State>(
  family: string,
  key: string,
  make: () => Feed<Message, State>,
): { value: State | undefined; state: StreamState } {
  const [current, setCurrent] = useState(() => ({ family, key, live: new Live(make()) }));
  if (current.family !== family || current.key !== key) {
    const before = current.family === family ? current.live.snapshot().value : undefined;
    setCurrent({ family, key, live: new Live(make(), before) });
  }
  useEffect(() => current.live.start(), [current.live]);
  return useSyncExternalStore(current.live.subscribe, current.live.snapshot);
}
