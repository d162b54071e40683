import { useQueryClient } from "@tanstack/react-query";
import { useCallback, useEffect, useRef, useState } from "react";
import { problemOf } from "../api/errors";
import { session } from "../api/session";
import type { Caller } from "../gen/shared/idl/platform/v1/caller_pb";
import { Dialog } from "../parts/basics";
import { readWho } from "./session";

/** Pages of this origin tell each other that somebody has logged in. */
const LOGINS = "volary.logins";

/** Tells other tabs that somebody is logged in here. */
export function announceLogin(): void {
  const channel = new BroadcastChannel(LOGINS);
  channel.postMessage("logged in");
  channel.close();
}

/**
 * Asks to log in again in another window, over a page that stays as it is: nothing that was typed is
 * lost. It closes by itself when the same person is logged in again.
 */
export function Expired({ was }: { was: Caller }) {
  const queries = useQueryClient();
  const [other, setOther] = useState<Caller | undefined>();
  const [note, setNote] = useState("");
  const isAsking = useRef(false);
  const ask = useCallback(async () => {
    if (isAsking.current) return;
    isAsking.current = true;
    try {
      const now = await readWho();
      if (now.subject !== was.subject || now.org !== was.org) {
        setOther(now);
        return;
      }
      queries.setQueryData(["who"], now);
      session.resume();
      void queries.invalidateQueries();
    } catch (error) {
      setNote(problemOf(error).title);
    } finally {
      isAsking.current = false;
    }
  }, [queries, was]);
  useEffect(() => {
    const channel = new BroadcastChannel(LOGINS);
    channel.onmessage = () => void ask();
    const onFocus = () => void ask();
    window.addEventListener("focus", onFocus);
    return () => {
      channel.close();
      window.removeEventListener("focus", onFocus);
    };
  }, [ask]);
  if (other !== undefined) {
    return (
      <Dialog title="This page is another person's" onClose={() => setOther(undefined)}>
        <p>
          It is of {nameOf(was)}, and you are logged in as {nameOf(other)}. Load it again to go on,
          or log in as {nameOf(was)} to keep what was typed.
        </p>
        <p className="actions">
          <button type="button" className="primary" onClick={() => location.reload()}>
            Load it as {nameOf(other)}
          </button>
          <LoginLink />
        </p>
      </Dialog>
    );
  }
  return (
    <Dialog title="Your session has ended" onClose={() => void ask()}>
      <p>Log in again in a window of its own. What you typed here stays.</p>
      {note !== "" && (
        <p className="quiet" role="status">
          Not yet: {note.toLowerCase()}.
        </p>
      )}
      <p className="actions">
        <LoginLink isPrimary />
        <button type="button" onClick={() => void ask()}>
          I am logged in
        </button>
      </p>
    </Dialog>
  );
}

function LoginLink({ isPrimary = false }: { isPrimary?: boolean }) {
  return (
    <a
      className={`button ${isPrimary ? "primary" : ""}`}
      href={`/login?next=${encodeURIComponent("/v2/me?again=yes")}`}
      target="_blank"
      rel="noreferrer"
    >
      Log in
    </a>
  );
}

function nameOf({ name, email, subject, org }: Caller): string {
  return `${name || email || subject} in ${org}`;
}
