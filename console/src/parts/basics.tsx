import { Link } from "@tanstack/react-router";
import { type ReactNode, useEffect, useRef, useState, useSyncExternalStore } from "react";
import { serverClock } from "../api/server";
import type { ActionPhase } from "../gen/flyteidl2/common/phase_pb";
import { lookOf } from "../model/phases";
import { formatAgo, formatDuration, formatInstant } from "../model/time";
import { usePreferences } from "../shell/preferences";

/** A phase as glyph, word and colour. */
export function Phase({ phase, bare = false }: { phase: ActionPhase; bare?: boolean }) {
  const look = lookOf(phase);
  return (
    <span className={`phase phase-${look.name}`} title={bare ? look.word : undefined}>
      <span className="glyph" aria-hidden="true">
        {look.glyph}
      </span>
      <span className={bare ? "sr" : undefined}>{look.word}</span>
    </span>
  );
}

/** How many of what is below are in which phase: a bar, and the same in words. */
export function PhaseBar({ counts }: { counts: ReadonlyMap<ActionPhase, number> }) {
  const parts = [...counts].filter(([, count]) => count > 0);
  const total = parts.reduce((sum, [, count]) => sum + count, 0);
  const words = parts.map(([phase, n]) => `${n.toLocaleString("en")} ${lookOf(phase).word}`);
  if (total === 0) return null;
  return (
    <span className="phasebar" role="img" aria-label={words.join(", ")} title={words.join(", ")}>
      {parts.map(([phase, count]) => (
        <span key={phase} className={`bar-${lookOf(phase).name}`} style={{ flexGrow: count }} />
      ))}
    </span>
  );
}

const SECOND = 1000;
const tickers = new Set<() => void>();
let timer: ReturnType<typeof setInterval> | undefined;

/** The server's time in milliseconds, read again each second while something shows it. */
export function useNow(isRunning = true): number {
  return useSyncExternalStore(
    isRunning ? subscribeToSeconds : subscribeToNothing,
    () => Math.floor(serverClock.now() / SECOND) * SECOND,
  );
}

function subscribeToSeconds(tick: () => void): () => void {
  tickers.add(tick);
  timer ??= setInterval(() => {
    for (const each of tickers) each();
  }, SECOND);
  return () => {
    tickers.delete(tick);
    if (tickers.size > 0) return;
    clearInterval(timer);
    timer = undefined;
  };
}

function subscribeToNothing(): () => void {
  return () => undefined;
}

/** When something was, relative; the instant with its zone on hover. */
export function Ago({ at }: { at: number | undefined }) {
  const now = useNow(at !== undefined);
  const { zone } = usePreferences();
  if (at === undefined) return <span className="quiet">–</span>;
  return (
    <time dateTime={new Date(at).toISOString()} title={formatInstant(at, zone)}>
      {formatAgo(at, now)}
    </time>
  );
}

/** An instant, absolute. */
export function Instant({ at }: { at: number | undefined }) {
  const { zone } = usePreferences();
  if (at === undefined) return <span className="quiet">–</span>;
  return <time dateTime={new Date(at).toISOString()}>{formatInstant(at, zone)}</time>;
}

/** The time between two instants; counts on while there is no end. */
export function Took({ from, until }: { from: number | undefined; until: number | undefined }) {
  const now = useNow(from !== undefined && until === undefined);
  if (from === undefined) return <span className="quiet">–</span>;
  return <span className="num">{formatDuration((until ?? now) - from)}</span>;
}

/** Text that a button copies. */
export function Copy({ text, label = "Copy" }: { text: string; label?: string }) {
  const [done, setDone] = useState(false);
  useEffect(() => {
    if (!done) return undefined;
    const timer = setTimeout(() => setDone(false), 1500);
    return () => clearTimeout(timer);
  }, [done]);
  const copy = () => {
    void navigator.clipboard.writeText(text).then(() => setDone(true));
  };
  return (
    <button
      type="button"
      className="small"
      onClick={copy}
      aria-label={`${label}: ${text.slice(0, 80)}`}
    >
      {done ? "Copied" : label}
    </button>
  );
}

/** A command to run in a terminal, with its button to copy. */
export function Command({ children }: { children: string }) {
  return (
    <div className="command">
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a long line scrolls by the keyboard */}
      <pre tabIndex={0}>{children}</pre>
      <Copy text={children} />
    </div>
  );
}

/** A name that is shortened in the middle when it does not fit. */
export function Name({ children }: { children: string }) {
  const tail = children.length > 24 ? 8 : 0;
  return (
    <span className="name" title={children}>
      <span className="name-head">{children.slice(0, children.length - tail)}</span>
      {tail > 0 && <span className="name-tail">{children.slice(-tail)}</span>}
    </span>
  );
}

/** Fields and their values, as a definition list; those without a value are left out. */
export function Fields({ rows }: { rows: readonly (readonly [string, ReactNode])[] }) {
  return (
    <dl className="fields">
      {rows
        .filter(
          ([, value]) => value !== undefined && value !== null && value !== "" && value !== false,
        )
        .map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
    </dl>
  );
}

/** A labelled tag: `team=vision`. */
export function Tag({ children }: { children: ReactNode }) {
  return <span className="tag">{children}</span>;
}

const FIELDS = ".dialog-body > :not(header) :is(input, select, textarea, button)";

/**
 * A dialog of the browser: it keeps the focus inside and gives it back, and Escape closes it.
 *
 * `title` is its name. Closed and forgotten when the component goes.
 */
export function Dialog(props: {
  title: string;
  onClose: () => void;
  children: ReactNode;
  className?: string;
}) {
  const ref = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const dialog = ref.current;
    const before = document.activeElement;
    dialog?.showModal();
    // By itself it would choose the button that closes it.
    dialog?.querySelector<HTMLElement>(FIELDS)?.focus();
    return () => {
      dialog?.close();
      if (before instanceof HTMLElement) before.focus();
    };
  }, []);
  return (
    <dialog
      ref={ref}
      className={props.className}
      aria-label={props.title}
      onCancel={(event) => {
        event.preventDefault();
        props.onClose();
      }}
      onClick={(event) => {
        if (event.target === ref.current) props.onClose();
      }}
      onKeyDown={() => undefined}
    >
      <div className="dialog-body">
        <header>
          <h2>{props.title}</h2>
          <button type="button" className="bare" aria-label="Close" onClick={props.onClose}>
            ✕
          </button>
        </header>
        {props.children}
      </div>
    </dialog>
  );
}

/** A link in the app, by its address. */
export function To({
  to,
  children,
  className,
}: {
  to: string;
  children: ReactNode;
  className?: string;
}) {
  const [path = "", query = ""] = to.split("?");
  const search = Object.fromEntries(new URLSearchParams(query));
  return (
    <Link to={decodePath(path)} search={search as never} className={className}>
      {children}
    </Link>
  );
}

function decodePath(path: string): string {
  return path;
}
