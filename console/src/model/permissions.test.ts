import { expect, test } from "vitest";
import { allows, byNoun } from "./permissions";

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

test("a grant holds in its place and in those within it", () => {
  const grants = [
    { project: "", domain: "", permissions: ["run:read"] },
    { project: "vision", domain: "", permissions: ["run:create"] },
    { project: "speech", domain: "development", permissions: ["run:abort"] },
  ];
  const at = (project: string, domain: string) => ({ project, domain });
  expect(allows(grants, "run:read")).toBe(true);
  expect(allows(grants, "run:read", at("speech", "production"))).toBe(true);
  expect(allows(grants, "run:create")).toBe(false);
  expect(allows(grants, "run:create", at("vision", "production"))).toBe(true);
  expect(allows(grants, "run:create", at("vision", ""))).toBe(true);
  expect(allows(grants, "run:create", at("speech", "development"))).toBe(false);
  expect(allows(grants, "run:abort", at("speech", "development"))).toBe(true);
  expect(allows(grants, "run:abort", at("speech", ""))).toBe(false);
});
