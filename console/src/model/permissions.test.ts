import { expect, test } from "vitest";
import { byNoun } from "./permissions";

test("permissions of one noun stand together, in the order of the alphabet", () => {
  expect(byNoun(["run:read", "org:read", "run:abort"])).toEqual([
    { noun: "org", verbs: [{ verb: "read", permission: "org:read" }] },
    {
      noun: "run",
      verbs: [
        { verb: "abort", permission: "run:abort" },
        { verb: "read", permission: "run:read" },
      ],
    },
  ]);
});
