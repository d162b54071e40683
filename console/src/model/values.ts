import type { Literal, Scalar } from "../gen/flyteidl2/core/literals_pb";
import { decodeMsgpack } from "./msgpack";
import { formatDuration, msOf, msOfDuration } from "./time";

/** A value of a task, as the page shows it. */
export type Value =
  | { kind: "none" }
  | { kind: "scalar"; text: string; type: string }
  | { kind: "text"; text: string }
  | { kind: "json"; json: unknown; type: string }
  | { kind: "list"; items: Value[] }
  | { kind: "map"; entries: [string, Value][] }
  | { kind: "file"; uri: string; type: string; bytes?: bigint }
  | { kind: "opaque"; type: string; bytes: number }
  | { kind: "error"; message: string };

const LONG = 120;
const MOST_DECODED = 4_000_000; // bytes; decoding more would hold the page

/** Reads a literal. What this release does not know stays opaque, and is never lost or guessed. */
export function readValue(literal: Literal | undefined): Value {
  switch (literal?.value.case) {
    case "scalar":
      return valueOfScalar(literal.value.value);
    case "collection":
      return { kind: "list", items: literal.value.value.literals.map(readValue) };
    case "map":
      return {
        kind: "map",
        entries: Object.entries(literal.value.value.literals).map(([key, each]) => [
          key,
          readValue(each),
        ]),
      };
    case "offloadedMetadata":
      return {
        kind: "file",
        uri: literal.value.value.uri,
        type: "offloaded value",
        bytes: literal.value.value.sizeBytes,
      };
    default:
      return { kind: "none" };
  }
}

function valueOfScalar(scalar: Scalar): Value {
  switch (scalar.value.case) {
    case "primitive": {
      const primitive = scalar.value.value.value;
      switch (primitive.case) {
        case "stringValue":
          return primitive.value.length > LONG || primitive.value.includes("\n")
            ? { kind: "text", text: primitive.value }
            : { kind: "scalar", text: JSON.stringify(primitive.value), type: "str" };
        case "integer":
          return { kind: "scalar", text: String(primitive.value), type: "int" };
        case "floatValue":
          return { kind: "scalar", text: String(primitive.value), type: "float" };
        case "boolean":
          return { kind: "scalar", text: primitive.value ? "True" : "False", type: "bool" };
        case "datetime":
          return {
            kind: "scalar",
            text: new Date(msOf(primitive.value) ?? 0).toISOString(),
            type: "datetime",
          };
        case "duration":
          return {
            kind: "scalar",
            text: formatDuration(msOfDuration(primitive.value) ?? 0),
            type: "timedelta",
          };
        default:
          return { kind: "none" };
      }
    }
    case "noneType":
      return { kind: "none" };
    case "union":
      return readValue(scalar.value.value.value);
    case "generic":
      return { kind: "json", json: scalar.value.value, type: "struct" };
    case "blob":
      return {
        kind: "file",
        uri: scalar.value.value.uri,
        type: scalar.value.value.metadata?.type?.dimensionality === 1 ? "directory" : "file",
      };
    case "structuredDataset":
      return { kind: "file", uri: scalar.value.value.uri, type: "dataframe" };
    case "schema":
      return { kind: "file", uri: scalar.value.value.uri, type: "schema" };
    case "error":
      return { kind: "error", message: scalar.value.value.message };
    case "binary": {
      const { tag, value } = scalar.value.value;
      if (tag === "msgpack" && value.length > MOST_DECODED) {
        return { kind: "opaque", type: "an object too large to show here", bytes: value.length };
      }
      if (tag !== "msgpack") return { kind: "opaque", type: tag || "bytes", bytes: value.length };
      try {
        return { kind: "json", json: decodeMsgpack(value), type: "object" };
      } catch {
        return { kind: "opaque", type: "msgpack that cannot be read", bytes: value.length };
      }
    }
    default:
      return { kind: "none" };
  }
}

/** Writes a value as one would in Python. */
export function pythonOf(value: Value): string {
  switch (value.kind) {
    case "none":
      return "None";
    case "scalar":
      return value.text;
    case "text":
      return JSON.stringify(value.text);
    case "json":
      return pythonOfJson(value.json);
    case "list":
      return `[${value.items.map(pythonOf).join(", ")}]`;
    case "map":
      return `{${value.entries.map(([key, each]) => `${JSON.stringify(key)}: ${pythonOf(each)}`).join(", ")}}`;
    case "file":
      return JSON.stringify(value.uri);
    case "opaque":
      return `... # ${value.bytes} bytes of ${value.type}`;
    case "error":
      return `... # error: ${value.message}`;
  }
}

function pythonOfJson(json: unknown): string {
  if (json === null || json === undefined) return "None";
  if (json === true) return "True";
  if (json === false) return "False";
  if (json instanceof Uint8Array) return `bytes(${json.length})`;
  if (Array.isArray(json)) return `[${json.map(pythonOfJson).join(", ")}]`;
  if (typeof json === "object") {
    const entries = Object.entries(json).map(
      ([key, each]) => `${JSON.stringify(key)}: ${pythonOfJson(each)}`,
    );
    return `{${entries.join(", ")}}`;
  }
  return typeof json === "string" ? JSON.stringify(json) : String(json);
}

/** Writes anything as indented JSON; large integers and bytes too. */
export function formatJson(json: unknown): string {
  const write = (_key: string, each: unknown): unknown => {
    if (typeof each === "bigint") return each.toString();
    if (each instanceof Uint8Array) return `<${each.length} bytes>`;
    return each;
  };
  return JSON.stringify(json, write, 2) ?? "null";
}
