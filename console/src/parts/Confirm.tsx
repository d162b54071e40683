import { useMutation } from "@tanstack/react-query";
import { type ReactNode, useState } from "react";
import { problemOf } from "../api/errors";
import { Command, Dialog } from "./basics";
import { TextField } from "./inputs";

/**
 * Asks before something changes: names the object, says what follows, and shows the same as a command.
 *
 * `typed`: a name to type first, only for what cannot be undone. `onDone` is called in place of `onClose`
 * after a success, by those who show what came of it.
 */
export function Confirm(props: {
  title: string;
  children: ReactNode;
  verb: string;
  command?: string;
  typed?: string;
  run: () => Promise<unknown>;
  onClose: () => void;
  onDone?: () => void;
}) {
  const [typed, setTyped] = useState("");
  const change = useMutation({ mutationFn: props.run, onSuccess: props.onDone ?? props.onClose });
  const isReady = props.typed === undefined || typed === props.typed;
  return (
    <Dialog title={props.title} onClose={props.onClose}>
      <form
        className="form"
        onSubmit={(event) => {
          event.preventDefault();
          if (isReady) change.mutate();
        }}
      >
        {props.children}
        {props.typed !== undefined && (
          <TextField label={`Type ${props.typed} to go on`} value={typed} set={setTyped} />
        )}
        {change.isError && <Failure error={change.error} />}
        <p className="actions">
          <button type="submit" className="primary" disabled={!isReady || change.isPending}>
            {change.isPending ? "Asked …" : props.verb}
          </button>
          <button type="button" onClick={props.onClose}>
            Cancel
          </button>
        </p>
        {props.command !== undefined && (
          <div className="field">
            <span className="hint">The same from a terminal:</span>
            <Command>{props.command}</Command>
          </div>
        )}
      </form>
    </Dialog>
  );
}

/** Why a change was refused, beside what was typed. */
export function Failure({ error }: { error: unknown }) {
  const problem = problemOf(error);
  return (
    <p className="error-box" role="alert">
      <strong>{problem.title}.</strong> {problem.message}
      {problem.requestId !== "" && <span className="quiet"> Request {problem.requestId}.</span>}
    </p>
  );
}
