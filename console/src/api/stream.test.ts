import fc from "fast-check";
import { expect, it } from "vitest";
import { retryDelay } from "./stream";

it("waits at most ten seconds before it tries again, and never nothing", () => {
  fc.assert(
    fc.property(fc.nat(500), fc.double({ min: 0, max: 1, noNaN: true }), (attempt, chance) => {
      const delay = retryDelay(attempt, () => chance);
      expect(delay).toBeGreaterThanOrEqual(50);
      expect(delay).toBeLessThanOrEqual(10_000);
    }),
  );
});
