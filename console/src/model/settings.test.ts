import { describe, expect, it } from "vitest";
import { type Entry, entriesOf, jsonOf, rebase, settingRows } from "./settings";

const value = (text: string): Entry => ({ state: "value", text });
const unset: Entry = { state: "unset", text: "" };
const WRITTEN = {
  run: {
    default_queue: { state: "SETTING_STATE_VALUE", string_value: "gpu" },
    max_action_concurrency: { state: "SETTING_STATE_VALUE", int_value: "20" },
  },
  task_resource: {
    max: { memory: { state: "SETTING_STATE_VALUE", quantity_value: "64Gi" } },
    mirror_limits_request: { state: "SETTING_STATE_VALUE", bool_value: true },
    default_accelerator: {
      state: "SETTING_STATE_VALUE",
      accelerator_value: { device: "nvidia-l4" },
    },
  },
  labels: { state: "SETTING_STATE_VALUE", map_value: { entries: { b: "2=3", a: "1" } } },
  pod_template_name: { state: "SETTING_STATE_UNSET" },
};

describe("entries of settings", () => {
  it("are texts of a form, and become the same settings again", () => {
    const entries = entriesOf(WRITTEN);
    expect([...entries]).toEqual([
      ["run.default_queue", value("gpu")],
      ["run.max_action_concurrency", value("20")],
      ["task_resource.max.memory", value("64Gi")],
      ["task_resource.mirror_limits_request", value("true")],
      ["task_resource.default_accelerator", value("nvidia-l4")],
      ["labels", value("a=1\nb=2=3")],
      ["pod_template_name", unset],
    ]);
    expect(jsonOf(entries)).toEqual(WRITTEN);
  });

  it("leave out what is inherited", () => {
    expect(entriesOf({ run: { default_queue: { state: "SETTING_STATE_INHERIT" } } }).size).toBe(0);
    expect(entriesOf({ run: { default_queue: {} } }).size).toBe(0);
  });

  it("keep a device with more than a name as JSON", () => {
    const device = { device: "nvidia-a100", partition_size: "1g.5gb" };
    const written = {
      task_resource: {
        default_accelerator: { state: "SETTING_STATE_VALUE", accelerator_value: device },
      },
    };
    expect(jsonOf(entriesOf(written))).toEqual(written);
  });

  it.each([
    ["run.max_action_concurrency", "many", "must be a whole number"],
    ["labels", "team", "must be NAME=value"],
    ["task_resource.default_accelerator", "{", "name of a device"],
  ])("name %s when its text cannot be a value", (key, text, words) => {
    expect(() => jsonOf(new Map([[key, value(text)]]))).toThrow(words);
    expect(() => jsonOf(new Map([[key, value(text)]]))).toThrow(key);
  });
});

describe("rows of settings", () => {
  it("show the value of the closest level, and where it comes from", () => {
    const org = new Map([
      ["run.default_queue", value("a")],
      ["pod_template_name", value("t")],
    ]);
    const project = new Map([
      ["run.default_queue", value("b")],
      ["pod_template_name", unset],
    ]);
    expect(
      settingRows([
        { level: "org", entries: org },
        { level: "project", entries: project },
      ]),
    ).toEqual([
      {
        key: "run.default_queue",
        levels: { org: "a", project: "b" },
        value: "b",
        from: "project",
      },
      {
        key: "pod_template_name",
        levels: { org: "t", project: "unset" },
        value: "",
        from: "project",
      },
    ]);
  });

  it("merge maps entry by entry", () => {
    const [row] = settingRows([
      { level: "org", entries: new Map([["labels", value("a=1\nb=1")]]) },
      { level: "project", entries: new Map([["labels", value("b=2")]]) },
    ]);
    expect(row).toMatchObject({ value: "a=1\nb=2", from: "org and project" });
  });

  it("show settings of a later release too", () => {
    const entries = new Map([["later.thing", value("x")]]);
    expect(settingRows([{ level: "org", entries }]).map(({ key }) => key)).toEqual(["later.thing"]);
  });
});

describe("changes upon settings that were changed meanwhile", () => {
  const read = new Map([
    ["a", value("1")],
    ["b", value("1")],
    ["c", value("1")],
  ]);

  it("take over what only one of both changed", () => {
    const mine = new Map([...read, ["a", value("2")]]);
    const theirs = new Map([...read, ["b", value("3")]]);
    theirs.delete("c");
    const { entries, conflicts } = rebase(read, mine, theirs);
    expect(Object.fromEntries(entries)).toEqual({ a: value("2"), b: value("3") });
    expect(conflicts).toEqual([]);
  });

  it("keep what was typed where both changed, and say so", () => {
    const mine = new Map([...read, ["a", value("2")]]);
    mine.delete("b");
    const theirs = new Map([...read, ["a", value("3")], ["b", value("4")]]);
    const { entries, conflicts } = rebase(read, mine, theirs);
    expect(Object.fromEntries(entries)).toEqual({ a: value("2"), c: value("1") });
    expect(conflicts).toEqual([
      { key: "a", theirs: value("3"), mine: value("2") },
      { key: "b", theirs: value("4"), mine: undefined },
    ]);
  });

  it("are no conflict where both changed alike", () => {
    const both = new Map([...read, ["a", value("2")]]);
    expect(rebase(read, both, both).conflicts).toEqual([]);
  });
});
