import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { formatSearch, oneOf, parseSearch, read, someOf, text, whole, write } from "./url";

const SCHEMA = {
  phase: someOf(["failed", "aborted", "running"]),
  q: text(),
  tab: oneOf(["summary", "logs"], "summary"),
  attempt: whole(0, 1),
};

describe("state of pages in URLs", () => {
  it("keeps parameters that the page does not know", () => {
    expect(write(SCHEMA, { other: "1", q: "a" }, { q: "b" })).toEqual({ other: "1", q: "b" });
  });

  it("names a value that cannot be, and falls back", () => {
    const { values, wrong } = read(SCHEMA, { tab: "nonsense", attempt: "-1", phase: "failed,no" });
    expect(values).toEqual({ tab: "summary", attempt: 0, phase: [], q: "" });
    expect(wrong).toEqual(["phase", "tab", "attempt"]);
  });

  it("leaves out what is as without it, so that links are short", () => {
    expect(write(SCHEMA, { tab: "logs" }, { tab: "summary", phase: [] })).toEqual({});
  });

  it("reads back whatever it wrote", () => {
    const values = fc.record({
      phase: fc.subarray(["failed", "aborted", "running"]),
      q: fc.string({ maxLength: 40 }),
      tab: fc.constantFrom("summary" as const, "logs" as const),
      attempt: fc.integer({ min: 1, max: 99 }),
    });
    fc.assert(
      fc.property(values, (wanted) => {
        const search = write(SCHEMA, {}, wanted);
        const query = formatSearch(search);
        expect(read(SCHEMA, parseSearch(query)).values).toEqual(wanted);
      }),
    );
  });
});
