import type { QueryObserverResult } from "@tanstack/react-query";
import { Component, type ErrorInfo, type ReactNode, useEffect, useState } from "react";
import { type Problem, problemOf } from "../api/errors";
import type { StreamState } from "../api/stream";
import { formatClock } from "../model/time";
import { usePreferences } from "../shell/preferences";
import { loginPath } from "../shell/session";

/** What went wrong, in a sentence, with what one can do. */
export function Trouble({ problem, retry }: { problem: Problem; retry?: () => void }) {
  return (
    <section className={`trouble trouble-${problem.kind}`} aria-label={problem.title}>
      <h2>{problem.title}</h2>
      <p>{problem.message}</p>
      <p className="quiet">
        {problem.code}
        {problem.requestId !== "" && ` · request ${problem.requestId}`}
      </p>
      <p className="actions">
        {problem.kind === "login" && (
          <a className="button primary" href={loginPath()}>
            Log in
          </a>
        )}
        {problem.kind === "missing" && <a href="/orgs">Choose another org</a>}
        {retry !== undefined && problem.kind !== "unbuilt" && (
          <button type="button" onClick={retry}>
            Try again
          </button>
        )}
      </p>
    </section>
  );
}

/** Rows of grey, after a moment: most answers come before they would be seen. */
export function Skeleton({ rows = 6 }: { rows?: number }) {
  const [shown, setShown] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setShown(true), 200);
    return () => clearTimeout(timer);
  }, []);
  if (!shown) return <div className="skeleton-space" role="status" aria-label="Loading" />;
  return (
    <div className="skeleton" role="status" aria-label="Loading">
      {Array.from({ length: rows }, (_, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: they are all alike
        <div key={index} />
      ))}
    </div>
  );
}

/** Nothing is there: what would be, and how it comes. */
export function Empty({ title, children }: { title: string; children?: ReactNode }) {
  return (
    <section className="empty" aria-label={title}>
      <h2>{title}</h2>
      {children}
    </section>
  );
}

/** Shows the data of a query, or why there is none yet. */
export function Loaded<Data>({
  query,
  children,
}: {
  query: QueryObserverResult<Data>;
  children: (data: Data) => ReactNode;
}) {
  if (query.data !== undefined) {
    return (
      <>
        {query.isError && (
          <p className="stale" role="status">
            What is below is of {new Date(query.dataUpdatedAt).toLocaleTimeString("en")}:{" "}
            {problemOf(query.error).title.toLowerCase()}.
          </p>
        )}
        {children(query.data)}
      </>
    );
  }
  if (query.isError) {
    return <Trouble problem={problemOf(query.error)} retry={() => void query.refetch()} />;
  }
  return <Skeleton />;
}

/** Whether what is shown is true now, and since when not. */
export function Light({ state }: { state: StreamState }) {
  const { zone } = usePreferences();
  switch (state.kind) {
    case "connecting":
      return <span className="light light-wait">connecting</span>;
    case "live":
      return <span className="light light-live">live</span>;
    case "ended":
      return <span className="light">final</span>;
    case "asleep":
      return <span className="light">paused while hidden</span>;
    case "reconnecting":
      return (
        <span className="light light-wait" role="status">
          reconnecting since {formatClock(state.since, zone)}
        </span>
      );
    case "stopped":
      return (
        <span className="light light-stop">not live: {state.problem.title.toLowerCase()}</span>
      );
  }
}

const RELOADED = "volary.reloaded";

/** Keeps a broken pane from taking the rest of the page with it. */
export class Boundary extends Component<
  { children: ReactNode; name: string; reset?: string },
  { error: unknown }
> {
  override state: { error: unknown } = { error: undefined };

  static getDerivedStateFromError(error: unknown): { error: unknown } {
    return { error };
  }

  override componentDidCatch(error: unknown, _info: ErrorInfo): void {
    // After an upgrade the parts of the old release are gone: one reload brings the new one.
    const text = String(error);
    if (!/dynamically imported module|module script/i.test(text)) return;
    if (sessionStorage.getItem(RELOADED) === location.href) return;
    sessionStorage.setItem(RELOADED, location.href);
    location.reload();
  }

  override componentDidUpdate(previous: { reset?: string }): void {
    if (previous.reset !== this.props.reset && this.state.error !== undefined) {
      this.setState({ error: undefined });
    }
  }

  override render(): ReactNode {
    if (this.state.error === undefined) return this.props.children;
    const problem: Problem = {
      kind: "other",
      title: `${this.props.name} cannot be shown`,
      message: "This part of the page has a fault. The rest of the page works.",
      code: this.state.error instanceof Error ? this.state.error.name : "Error",
      requestId: "",
    };
    return <Trouble problem={problem} retry={() => this.setState({ error: undefined })} />;
  }
}
