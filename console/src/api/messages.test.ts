/// <reference types="vite/client" />
import { expect, it } from "vitest";

const files = import.meta.glob<Record<string, unknown>>("../gen/**/*_pb.ts");

it("loads every generated message, as a browser does", async () => {
  const loaded = await Promise.all(Object.values(files).map((load) => load()));
  expect(loaded.length).toBeGreaterThan(20);
});
