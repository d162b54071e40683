import { useState } from "react";
import { runs } from "../../api/clients";
import { problemOf } from "../../api/errors";
import { Confirm } from "../../parts/Confirm";
import { TextField } from "../../parts/inputs";
import type { Place } from "../../shell/url";

const AT_ONCE = 4; // a browser has six connections to an address

/** Aborts the runs that were chosen; those that could not be aborted stay chosen. */
export function AbortRuns(props: {
  place: Place;
  names: readonly string[];
  onClose: () => void;
  onAborted: (names: readonly string[]) => void;
}) {
  const { place, names } = props;
  const [reason, setReason] = useState("");
  const abort = async () => {
    const waiting = [...names];
    const aborted: string[] = [];
    const failed: { name: string; error: unknown }[] = [];
    const work = async () => {
      for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) {
        const runId = { org: "", project: place.project, domain: place.domain, name };
        try {
          await runs.abortRun({ runId, reason: reason || "chosen in the console" });
          aborted.push(name);
        } catch (error) {
          failed.push({ name, error });
        }
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    props.onAborted(aborted);
    const [first] = failed;
    if (first === undefined) return;
    if (failed.length === 1 && names.length === 1) throw first.error;
    const words = problemOf(first.error).message;
    throw new Error(`${failed.length} of ${names.length} stay, ${first.name} among them: ${words}`);
  };
  return (
    <Confirm
      title={`Abort ${names.length} ${names.length === 1 ? "run" : "runs"}?`}
      verb="Abort"
      onClose={props.onClose}
      run={abort}
    >
      <p>
        Stops every action of: {names.slice(0, 20).join(", ")}
        {names.length > 20 && ` and ${names.length - 20} more`}. Runs that have ended stay as they
        are.
      </p>
      <TextField label="Reason, for those who look later" value={reason} set={setReason} />
    </Confirm>
  );
}
