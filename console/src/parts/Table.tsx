import type { ReactNode } from "react";

export type Column<Row> = {
  name: string;
  cell: (row: Row) => ReactNode;
  align?: "right";
  wrap?: boolean;
  /** Its name is for screen readers alone. */
  hidden?: boolean;
  /** In place of its name. */
  head?: ReactNode;
  /** False: the column is left out. */
  shown?: boolean;
};

/** A table of rows that have come; what has many pages adds `More` below it. */
export function Table<Row>(props: {
  label: string;
  columns: readonly Column<Row>[];
  rows: readonly Row[];
  keyOf: (row: Row) => string;
}) {
  const columns = props.columns.filter((column) => column.shown ?? true);
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a wide table scrolls by the keyboard
    <section className="table-box" aria-label={`${props.label}: table`} tabIndex={0}>
      <table className="list">
        <caption className="sr">{props.label}</caption>
        <thead>
          <tr>
            {columns.map((column) => (
              <th key={column.name} scope="col" className={column.align}>
                {column.head ?? (
                  <span className={column.hidden ? "sr" : undefined}>{column.name}</span>
                )}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {props.rows.map((row) => (
            <tr key={props.keyOf(row)}>
              {columns.map((column) => (
                <td
                  key={column.name}
                  className={`${column.align ?? ""} ${column.wrap ? "wrap" : ""}`}
                >
                  {column.cell(row)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

/** The row below a table that has more pages. */
export function More(props: {
  shown: number;
  isMore: boolean;
  isLoading: boolean;
  load: () => void;
}) {
  if (!props.isMore && props.shown <= 10) return null; // one sees how many they are
  if (!props.isMore)
    return <p className="quiet hint">{props.shown.toLocaleString("en")} in all.</p>;
  return (
    <p className="actions">
      <button type="button" onClick={props.load} disabled={props.isLoading}>
        {props.isLoading ? "Loading …" : "Show more"}
      </button>
      <span className="quiet">{props.shown.toLocaleString("en")} shown</span>
    </p>
  );
}
