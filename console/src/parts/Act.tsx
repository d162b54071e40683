import { useQueryClient } from "@tanstack/react-query";
import { type ReactNode, useState } from "react";
import { Confirm } from "./Confirm";

/** A button that asks before it changes something, and then reads what is shown again. */
export function Act(props: {
  label: string;
  title: string;
  says: ReactNode;
  verb: string;
  command?: string;
  typed?: string;
  run: () => Promise<unknown>;
  className?: string;
}) {
  const [isOpen, setOpen] = useState(false);
  const queries = useQueryClient();
  return (
    <>
      <button
        type="button"
        className={props.className ?? "small"}
        aria-label={props.className ? undefined : props.title.replace(/\?$/, "")}
        onClick={() => setOpen(true)}
      >
        {props.label}
      </button>
      {isOpen && (
        <Confirm
          title={props.title}
          verb={props.verb}
          command={props.command}
          typed={props.typed}
          onClose={() => setOpen(false)}
          run={async () => {
            await props.run();
            await queries.invalidateQueries();
          }}
        >
          <div>{props.says}</div>
        </Confirm>
      )}
    </>
  );
}
