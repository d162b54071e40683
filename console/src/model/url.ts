/**
 * State of pages in their URL. A page declares a schema; unknown parameters are kept, and values that
 * cannot be are dropped and named, so that a link never breaks a page.
 */

export type Param<Value> = {
  parse: (text: string) => Value | undefined;
  format: (value: Value) => string;
  fallback: Value;
};

// biome-ignore lint/suspicious/noExplicitAny: a schema holds parameters of any type
export type Schema = Record<string, Param<any>>;
export type Values<S extends Schema> = { [K in keyof S]: S[K]["fallback"] };
export type Search = Record<string, string>;

export function text(fallback = ""): Param<string> {
  return { parse: (raw) => raw.slice(0, 500), format: (value) => value, fallback };
}

export function oneOf<const T extends string>(known: readonly T[], fallback: T): Param<T> {
  return {
    parse: (raw) => known.find((each) => each === raw),
    format: (value) => value,
    fallback,
  };
}

/** Several of a set, written `failed,aborted`; none of them means no filter. */
export function someOf(known: Iterable<string>): Param<readonly string[]> {
  const names = new Set(known);
  return {
    parse: (raw) => {
      const parts = raw.split(",");
      return parts.every((each) => names.has(each)) ? parts : undefined;
    },
    format: (value) => value.join(","),
    fallback: [],
  };
}

export function whole(fallback: number, least = 0): Param<number> {
  return {
    parse: (raw) => (/^\d{1,9}$/.test(raw) && Number(raw) >= least ? Number(raw) : undefined),
    format: String,
    fallback,
  };
}

/** Reads what a schema knows; `wrong` names the parameters whose values cannot be. */
export function read<S extends Schema>(
  schema: S,
  search: Search,
): { values: Values<S>; wrong: string[] } {
  const wrong: string[] = [];
  const entries = Object.entries(schema).map(([name, param]) => {
    const raw = search[name];
    if (raw === undefined || raw === "") return [name, param.fallback];
    const value = param.parse(raw);
    if (value === undefined) wrong.push(name);
    return [name, value ?? param.fallback];
  });
  return { values: Object.fromEntries(entries) as Values<S>, wrong };
}

/** Writes changed values into a search; a value that is its fallback disappears. */
export function write<S extends Schema>(
  schema: S,
  search: Search,
  changes: Partial<Values<S>>,
): Search {
  const next = { ...search };
  for (const [name, value] of Object.entries(changes)) {
    const param = schema[name];
    if (param === undefined) continue;
    const written = value === undefined ? "" : param.format(value);
    if (written === "" || written === param.format(param.fallback)) delete next[name];
    else next[name] = written;
  }
  return next;
}

/** Parses a query string to its last value by name. */
export function parseSearch(query: string): Search {
  return Object.fromEntries(new URLSearchParams(query));
}

/** Writes a search as a query string, in the order of names, so that equal states are equal links. */
export function formatSearch(search: Record<string, unknown>): string {
  const entries = Object.entries(search)
    .filter((entry): entry is [string, string] => typeof entry[1] === "string" && entry[1] !== "")
    .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  const query = new URLSearchParams(entries).toString();
  return query === "" ? "" : `?${query}`;
}
