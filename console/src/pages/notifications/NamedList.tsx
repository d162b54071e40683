import { type ReactNode, useState } from "react";
import type { usePaged } from "../../api/paged";
import { Act } from "../../parts/Act";
import { List } from "../../parts/List";
import { Empty } from "../../parts/states";
import type { Column } from "../../parts/Table";
import { AuditLink } from "../../shell/AuditLink";

/** A list of things with names, each of which can be edited and deleted, with a button for a new one. */
export function NamedList<Row extends { name: string }>(props: {
  label: string;
  list: ReturnType<typeof usePaged<Row>>;
  columns: readonly Column<Row>[];
  canWrite: boolean;
  create: string;
  empty: { title: string; says: ReactNode };
  /** What the audit log calls their kind. */
  kind: string;
  deletion: { title: (row: Row) => string; says: string; command: string; typed?: boolean };
  onDelete: (row: Row) => Promise<unknown>;
  /** Buttons beside Edit. */
  more?: (row: Row) => ReactNode;
  form: (row: Row | "new", close: () => void) => ReactNode;
}) {
  const { list, canWrite, deletion } = props;
  const [editing, setEditing] = useState<Row | "new" | undefined>();
  const add = canWrite && (
    <p className="actions">
      <button type="button" className="primary" onClick={() => setEditing("new")}>
        {props.create}
      </button>
    </p>
  );
  return (
    <div className="stack">
      {list.rows !== undefined && list.rows.length > 0 && add}
      <List
        label={props.label}
        list={list}
        keyOf={(each) => each.name}
        empty={
          <Empty title={props.empty.title}>
            <p>{props.empty.says}</p>
            {add}
          </Empty>
        }
        columns={[
          ...props.columns,
          {
            name: "Change",
            hidden: true,
            shown: canWrite,
            cell: (each) => (
              <span className="tags">
                <AuditLink target={`${props.kind}:${each.name}`} name={each.name} />
                <button
                  type="button"
                  className="small"
                  aria-label={`Edit ${each.name}`}
                  onClick={() => setEditing(each)}
                >
                  Edit
                </button>
                {props.more?.(each)}
                <Act
                  label="Delete"
                  verb="Delete"
                  title={deletion.title(each)}
                  says={deletion.says}
                  typed={deletion.typed ? each.name : undefined}
                  command={`${deletion.command} ${each.name}`}
                  run={() => props.onDelete(each)}
                />
              </span>
            ),
          },
        ]}
      />
      {editing !== undefined && props.form(editing, () => setEditing(undefined))}
    </div>
  );
}
