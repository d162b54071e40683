import { createContext, type ReactNode, useContext, useState } from "react";
import { formatBytes } from "../model/bytes";
import { formatJson, pythonOf, type Value } from "../model/values";
import { Copy } from "./basics";

/** What a page offers for a file that a value refers to, such as its download. */
export const FileActions = createContext<(uri: string) => ReactNode>(() => null);

const PREVIEW = 20_000; // characters of a text that are shown at first
const MOST_SHOWN = 2_000_000;

/** A value of a task: scalars as they are, structures to unfold, files by their address. */
export function ValueView({ value }: { value: Value }) {
  switch (value.kind) {
    case "none":
      return <span className="quiet">None</span>;
    case "scalar":
      return (
        <span>
          <code>{value.text}</code> <span className="quiet">{value.type}</span>
        </span>
      );
    case "text":
      return <LongText text={value.text} />;
    case "json":
      return isTable(value.json) ? (
        <JsonTable rows={value.json} />
      ) : (
        <JsonTree json={value.json} depth={0} />
      );
    case "list":
      return (
        <ol className="value-list">
          {value.items.slice(0, 200).map((item, index) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: a list has no other names
            <li key={index}>
              <span className="quiet num">{index}</span> <ValueView value={item} />
            </li>
          ))}
          {value.items.length > 200 && <li className="quiet">… {value.items.length - 200} more</li>}
        </ol>
      );
    case "map":
      return (
        <dl className="fields">
          {value.entries.slice(0, 200).map(([key, each]) => (
            <div key={key}>
              <dt>{key}</dt>
              <dd>
                <ValueView value={each} />
              </dd>
            </div>
          ))}
        </dl>
      );
    case "file":
      return (
        <span>
          <code className="break">{value.uri}</code>{" "}
          <span className="quiet">
            {value.type}
            {value.bytes !== undefined && value.bytes > 0n && `, ${formatBytes(value.bytes)}`}
          </span>{" "}
          <Copy text={value.uri} /> <FileAction uri={value.uri} />
        </span>
      );
    case "opaque":
      return (
        <span className="quiet">
          {formatBytes(value.bytes)} of {value.type}, kept as they are
        </span>
      );
    case "error":
      return <span className="error-line">{value.message}</span>;
  }
}

function FileAction({ uri }: { uri: string }) {
  return useContext(FileActions)(uri);
}

function LongText({ text }: { text: string }) {
  const [isWhole, setWhole] = useState(false);
  const shown = isWhole ? MOST_SHOWN : PREVIEW;
  return (
    <>
      <pre className="code">{text.slice(0, shown)}</pre>
      {text.length > shown && (
        <p className="actions">
          {!isWhole && (
            <button type="button" className="small" onClick={() => setWhole(true)}>
              Show all {text.length.toLocaleString("en")} characters
            </button>
          )}
          <span className="quiet">
            {shown.toLocaleString("en")} of {text.length.toLocaleString("en")} characters are shown.
          </span>
        </p>
      )}
    </>
  );
}

/** Named values, each with its Python form to copy. */
export function NamedValues({
  values,
  none,
}: {
  values: readonly (readonly [string, Value])[];
  none: string;
}) {
  if (values.length === 0) return <p className="quiet">{none}</p>;
  return (
    <dl className="values">
      {values.map(([name, value]) => (
        <div key={name}>
          <dt className="mono">
            {name} <Copy text={pythonOf(value)} label="Copy as Python" />
          </dt>
          <dd>
            <ValueView value={value} />
          </dd>
        </div>
      ))}
    </dl>
  );
}

function isTable(json: unknown): json is Record<string, unknown>[] {
  if (!Array.isArray(json) || json.length < 2 || json.length > 500) return false;
  const keys = (each: unknown) =>
    typeof each === "object" && each !== null && !Array.isArray(each)
      ? Object.keys(each).join()
      : undefined;
  const first = keys(json[0]);
  return first !== undefined && first !== "" && json.every((each) => keys(each) === first);
}

function JsonTable({ rows }: { rows: Record<string, unknown>[] }) {
  const columns = Object.keys(rows[0] ?? {});
  return (
    <div className="table-box">
      <table className="list">
        <thead>
          <tr>
            {columns.map((column) => (
              <th key={column} scope="col">
                {column}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.slice(0, 200).map((row, index) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: rows have no other names
            <tr key={index}>
              {columns.map((column) => (
                <td key={column} className="mono">
                  {short(row[column])}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function short(json: unknown): string {
  return typeof json === "string" ? json : formatJson(json).replaceAll(/\s+/g, " ").slice(0, 120);
}

/** JSON that unfolds, two levels open. */
export function JsonTree({ json, depth, name }: { json: unknown; depth: number; name?: string }) {
  const label = name !== undefined && <span className="json-key">{name}: </span>;
  if (json === null || typeof json !== "object" || json instanceof Uint8Array) {
    return (
      <span className="mono json-leaf">
        {label}
        {formatJson(json)}
      </span>
    );
  }
  const entries = Object.entries(json);
  const brackets = Array.isArray(json) ? ["[", "]"] : ["{", "}"];
  if (entries.length === 0)
    return (
      <span className="mono">
        {label}
        {brackets.join("")}
      </span>
    );
  return (
    <details className="json mono" open={depth < 2}>
      <summary>
        {label}
        {brackets[0]}
        <span className="quiet">{entries.length}</span>
        {brackets[1]}
      </summary>
      <ul>
        {entries.slice(0, 500).map(([key, each]) => (
          <li key={key}>
            <JsonTree json={each} depth={depth + 1} name={key} />
          </li>
        ))}
        {entries.length > 500 && <li className="quiet">… {entries.length - 500} more</li>}
      </ul>
    </details>
  );
}
