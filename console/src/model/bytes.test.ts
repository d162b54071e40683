import { expect, it } from "vitest";
import { formatBytes } from "./bytes";

it("writes sizes with the unit in which they are short", () => {
  const sizes = [0, 999, 1000, 1500, 99_900, 999_600, 120_000_000, 5n * 10n ** 15n];
  expect(sizes.map(formatBytes)).toEqual([
    "0 B",
    "999 B",
    "1 kB",
    "1.5 kB",
    "100 kB",
    "1 MB",
    "120 MB",
    "5000 TB",
  ]);
});
