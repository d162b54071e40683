import { useState } from "react";
import { runs } from "../../api/clients";
import { Confirm } from "../../parts/Confirm";
import { flyteCommand } from "../../shell/command";
import type { Place } from "../../shell/url";
import { actionId } from "./ids";

/** Asks before an action is stopped with all that it started. */
export function Abort(props: {
  place: Place;
  run: string;
  action: string;
  title: string;
  busy: number;
  onClose: () => void;
}) {
  const [reason, setReason] = useState("");
  const { place, run, action, title, busy } = props;
  const isRun = action === "a0";
  const id = actionId(place, run, action);
  return (
    <Confirm
      title={isRun ? `Abort ${run}?` : `Abort ${title}?`}
      verb="Abort"
      command={isRun ? flyteCommand(`abort run ${run}`, place) : undefined}
      run={() =>
        isRun
          ? runs.abortRun({ runId: id.run, reason })
          : runs.abortAction({ actionId: id, reason })
      }
      onClose={props.onClose}
    >
      <p>
        {isRun
          ? `Stops ${busy.toLocaleString("en")} ${busy === 1 ? "action" : "actions"} of this run. What has ended stays as it is; retries are not charged.`
          : "Stops this action and all that it started. What has ended stays as it is."}
      </p>
      <label>
        Reason, for those who look later
        <input
          type="text"
          value={reason}
          maxLength={500}
          onChange={(event) => setReason(event.target.value)}
        />
      </label>
    </Confirm>
  );
}
