import { expect, it } from "vitest";
import { formatCsv } from "./csv";

it("writes rows, and quotes what has commas, quotes or line ends", () => {
  const text = formatCsv([
    ["run", "error"],
    ["r1", 'ValueError: "a", b\nc'],
    ["größe ‮", 3],
  ]);
  expect(text).toBe('\ufeffrun,error\r\nr1,"ValueError: ""a"", b\nc"\r\ngröße ‮,3\r\n');
});

it("lets no spreadsheet run what a task wrote", () => {
  const text = formatCsv([["=1+1", "+1", "@SUM(A1)", "-1", -1]]);
  expect(text).toBe("\ufeff'=1+1,'+1,'@SUM(A1),'-1,-1\r\n");
});
