import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseAnsi, splitLinks, stripAnsi } from "./ansi";

describe("text for terminals", () => {
  it("shows colours as classes", () => {
    expect(parseAnsi("a \u001b[1;31mred\u001b[0m b")).toEqual([
      { text: "a ", classes: "" },
      { text: "red", classes: "ansi-1 ansi-bold" },
      { text: " b", classes: "" },
    ]);
  });

  it("drops what moves the cursor or names the window", () => {
    expect(stripAnsi("\u001b[2J\u001b]0;title\u0007x\u001b[10;5Hy")).toBe("xy");
  });

  it("shows overrides of the text's direction in place of obeying them", () => {
    expect(stripAnsi("a\u202eb")).toBe("a\ufffdb");
  });

  it("loses no letter of any line, and lets none through that controls", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 200 }), (line) => {
        const text = parseAnsi(line)
          .map((part) => part.text)
          .join("");
        expect(text).toBe(stripAnsi(line));
        // biome-ignore lint/suspicious/noControlCharactersInRegex: they must not be there
        expect(text).not.toMatch(/[\u0000-\u0008\u001b\u202e]/);
      }),
    );
  });
});

describe("web addresses in text", () => {
  it("ends before punctuation", () => {
    expect(splitLinks("see https://a.example/b?c=1, or (http://d.example).")).toEqual([
      { text: "see ", isLink: false },
      { text: "https://a.example/b?c=1", isLink: true },
      { text: ", or (", isLink: false },
      { text: "http://d.example", isLink: true },
      { text: ").", isLink: false },
    ]);
  });

  it("makes no link of a script", () => {
    expect(splitLinks("javascript:alert(1)")).toEqual([
      { text: "javascript:alert(1)", isLink: false },
    ]);
  });
});
