import { expect, it } from "vitest";
import { settingRows } from "./settings";

it("shows the value of the closest level, and where it comes from", () => {
  const value = (text: string) => ({ state: "SETTING_STATE_VALUE", stringValue: text });
  expect(
    settingRows([
      { level: "org", json: { run: { defaultQueue: value("a") }, podTemplateName: value("t") } },
      {
        level: "project",
        json: {
          run: { defaultQueue: value("b") },
          podTemplateName: { state: "SETTING_STATE_INHERIT" },
        },
      },
    ]),
  ).toEqual([
    { name: "podTemplateName", levels: { org: "t" }, value: "t", from: "org" },
    { name: "run.defaultQueue", levels: { org: "a", project: "b" }, value: "b", from: "project" },
  ]);
});
