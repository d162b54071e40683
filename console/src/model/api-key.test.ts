import { expect, test } from "vitest";
import { keyCommands } from "./api-key";

test("a key names no port, so the command names one that is not 443", () => {
  expect(keyCommands("KEY", { host: "volary.example.com", port: "" })).toBe(
    "export FLYTE_API_KEY=KEY",
  );
  expect(keyCommands("KEY", { host: "localhost:8100", port: "8100" })).toContain(
    "flyte --endpoint localhost:8100",
  );
});
