import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { runs } from "../../api/clients";
import { SimpleType } from "../../gen/flyteidl2/core/types_pb";
import type { ActionDetails } from "../../gen/flyteidl2/workflow/run_definition_pb";
import type { EventPayload } from "../../gen/flyteidl2/workflow/run_service_pb";
import { isTerminal } from "../../model/phases";
import { readValue } from "../../model/values";
import { Failure } from "../../parts/Confirm";
import { ValueView } from "../../parts/ValueView";
import { useMay } from "../../shell/session";
import type { Place } from "../../shell/url";
import { actionId } from "./ids";

/** The question that a run waits for, with a field of its type; later, the answer and who gave it. */
export function Condition(props: {
  place: Place;
  run: string;
  action: string;
  details: ActionDetails;
}) {
  const { details } = props;
  const [text, setText] = useState("");
  const queries = useQueryClient();
  const canAnswer = useMay()("run:signal");
  const condition = details.spec.case === "condition" ? details.spec.value : undefined;
  const type =
    condition?.type?.type.case === "simple" ? condition.type.type.value : SimpleType.STRING;
  const answer = useMutation({
    mutationFn: (value: EventPayload["value"]) =>
      runs.signalEvent({
        actionId: actionId(props.place, props.run, props.action),
        parentActionName: details.metadata?.parent ?? "",
        payload: { value },
      }),
    onSuccess: () => queries.invalidateQueries({ queryKey: ["action"] }),
  });
  if (details.result.case === "signalInfo") {
    const { output, signalledBy } = details.result.value;
    return (
      <section className="note-box">
        <p>{condition?.prompt}</p>
        <p>
          Answered <ValueView value={readValue(output)} /> by{" "}
          {signalledBy?.principal.case === "user"
            ? signalledBy.principal.value.spec?.email || signalledBy.principal.value.id?.subject
            : "a program"}
        </p>
      </section>
    );
  }
  if (isTerminal(details.status?.phase ?? 0)) return null;
  const parsed = parseAnswer(type, text);
  return (
    <form
      className="warn-box form"
      onSubmit={(event) => {
        event.preventDefault();
        if (parsed !== undefined) answer.mutate(parsed);
      }}
    >
      <p>
        <strong>{condition?.prompt || "This run waits for an answer."}</strong>
      </p>
      {condition?.description && <p className="quiet">{condition.description}</p>}
      {!canAnswer ? null : type === SimpleType.BOOLEAN ? (
        <p className="actions">
          {[true, false].map((value) => (
            <button
              key={String(value)}
              type="button"
              className={value ? "primary" : ""}
              disabled={answer.isPending}
              onClick={() => answer.mutate({ case: "boolValue", value })}
            >
              {value ? "Yes" : "No"}
            </button>
          ))}
        </p>
      ) : (
        <p className="actions">
          <input
            type="text"
            aria-label="Answer"
            inputMode={type === SimpleType.STRING ? "text" : "decimal"}
            value={text}
            onChange={(event) => setText(event.target.value)}
          />
          <button
            type="submit"
            className="primary"
            disabled={parsed === undefined || answer.isPending}
          >
            Answer
          </button>
          <span className="quiet">{WORDS[type] ?? "text"}</span>
        </p>
      )}
      {answer.isError && <Failure error={answer.error} />}
    </form>
  );
}

const WORDS: Partial<Record<SimpleType, string>> = {
  [SimpleType.INTEGER]: "a whole number",
  [SimpleType.FLOAT]: "a number",
};

function parseAnswer(type: SimpleType, text: string): EventPayload["value"] | undefined {
  if (type === SimpleType.INTEGER) {
    return /^-?\d+$/.test(text) ? { case: "intValue", value: BigInt(text) } : undefined;
  }
  if (type === SimpleType.FLOAT) {
    return text.trim() !== "" && Number.isFinite(Number(text))
      ? { case: "floatValue", value: Number(text) }
      : undefined;
  }
  return { case: "stringValue", value: text };
}
