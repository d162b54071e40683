import { expect, it } from "vitest";
import { fillForm, initialText, inputsOf, optionsOf } from "./form";

const FORM = {
  type: "object",
  required: ["n"],
  propertyOrder: ["n", "words", "shape"],
  properties: {
    words: { type: "string", default: "hi", literalType: { simple: "STRING" } },
    n: { type: "integer", format: "int64", literalType: { simple: "INTEGER" } },
    shape: {
      oneOf: [{ type: "object" }],
      default: { a: { $float: "1.0" } },
      literalType: { x: 1 },
    },
  },
};

it("has the inputs in the order of the task", () => {
  expect(inputsOf(FORM).map(({ name, kind, isRequired }) => [name, kind, isRequired])).toEqual([
    ["n", "whole", true],
    ["words", "text", false],
    ["shape", "json", false],
  ]);
});

it("keeps a value that was not touched exactly, with its type", () => {
  const typed = new Map([
    ["n", "9007199254740993"],
    ["shape", initialText(inputsOf(FORM)[2]!)],
  ]);
  const filled = fillForm(FORM, typed);
  expect(filled.properties).toEqual({
    n: { ...FORM.properties.n, default: "9007199254740993" },
    words: FORM.properties.words,
    shape: FORM.properties.shape,
  });
});

it("names the input that lacks a value or has a wrong one", () => {
  expect(() => fillForm(FORM, new Map())).toThrow("n needs a value");
  expect(() => fillForm(FORM, new Map([["n", "1.5"]]))).toThrow("n must be a whole number");
  expect(() =>
    fillForm(
      FORM,
      new Map([
        ["n", "1"],
        ["shape", "{"],
      ]),
    ),
  ).toThrow("shape must be JSON");
});

it("writes the same as a command, quoted for a shell", () => {
  expect(
    optionsOf(
      FORM,
      new Map([
        ["n", "1"],
        ["words", "it's me"],
      ]),
    ),
  ).toBe(" --n 1 --words 'it'\\''s me'");
});
