import { create } from "@bufbuild/protobuf";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { LiteralSchema } from "../gen/flyteidl2/core/literals_pb";
import { decodeMsgpack } from "./msgpack";
import { pythonOf, readValue } from "./values";

function binary(bytes: number[]) {
  return create(LiteralSchema, {
    value: {
      case: "scalar",
      value: { value: { case: "binary", value: { tag: "msgpack", value: new Uint8Array(bytes) } } },
    },
  });
}

describe("values", () => {
  it("reads a dataclass", () => {
    const value = readValue(binary([0x82, 0xa1, 0x61, 0x01, 0xa1, 0x62, 0xc3]));
    expect(value).toEqual({ kind: "json", json: { a: 1, b: true }, type: "object" });
    expect(pythonOf(value)).toBe('{"a": 1, "b": True}');
  });

  it("keeps what it cannot read opaque", () => {
    expect(readValue(binary([0xc1]))).toMatchObject({ kind: "opaque", bytes: 1 });
  });
});

describe("MessagePack", () => {
  it.each([
    [[0xcf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], 18446744073709551615n],
    [[0xd1, 0xff, 0x00], -256],
    [[0xcb, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0], 1.5],
    [
      [0x92, 0xc0, 0xa2, 0xc3, 0xa9],
      [null, "é"],
    ],
  ])("decodes %j", (bytes, value) => {
    expect(decodeMsgpack(new Uint8Array(bytes))).toEqual(value);
  });

  it("ends with a value or an error for any bytes, and asks for no more memory than they are", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        try {
          decodeMsgpack(bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(RangeError);
        }
      }),
    );
  });
});
