/** Names with their values as lines `NAME=value`. Throws an Error that names the line that is none. */
export function parseLines(what: string, text: string): Record<string, string> {
  const lines = text.split("\n").filter((line) => line.trim() !== "");
  return Object.fromEntries(
    lines.map((line) => {
      const at = line.indexOf("=");
      if (at <= 0) throw new Error(`${what}: the line ${line} must be NAME=value`);
      return [line.slice(0, at).trim(), line.slice(at + 1)];
    }),
  );
}

export function writeLines(entries: Readonly<Record<string, string>>): string {
  return Object.entries(entries)
    .map(([name, value]) => `${name}=${value}`)
    .sort()
    .join("\n");
}
