/**
 * Decodes MessagePack, in which the SDK writes dataclasses, dictionaries and lists of values.
 *
 * Integers beyond 2**53 become BigInt; bytes and extensions stay bytes. Throws RangeError for what is cut
 * off, and for nesting deeper than DEEPEST.
 */
const DEEPEST = 100;

export function decodeMsgpack(bytes: Uint8Array): unknown {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const text = new TextDecoder();
  let at = 0;

  function take(length: number): Uint8Array {
    if (at + length > bytes.length) throw new RangeError("the value is cut off");
    at += length;
    return bytes.subarray(at - length, at);
  }
  function number(size: 1 | 2 | 4): number {
    const from = at;
    take(size);
    return size === 1
      ? view.getUint8(from)
      : size === 2
        ? view.getUint16(from)
        : view.getUint32(from);
  }
  function large(value: bigint): number | bigint {
    return value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER
      ? Number(value)
      : value;
  }
  function array(length: number, depth: number): unknown[] {
    if (length > bytes.length - at) throw new RangeError("the value is cut off");
    return Array.from({ length }, () => value(depth + 1));
  }
  function map(length: number, depth: number): Record<string, unknown> {
    if (length * 2 > bytes.length - at) throw new RangeError("the value is cut off");
    const entries = Array.from(
      { length },
      () => [keyText(value(depth + 1)), value(depth + 1)] as const,
    );
    return Object.fromEntries(entries);
  }
  function value(depth: number): unknown {
    if (depth > DEEPEST) throw new RangeError("the value is nested too deeply");
    const tag = number(1);
    if (tag <= 0x7f) return tag;
    if (tag <= 0x8f) return map(tag & 0x0f, depth);
    if (tag <= 0x9f) return array(tag & 0x0f, depth);
    if (tag <= 0xbf) return text.decode(take(tag & 0x1f));
    if (tag >= 0xe0) return tag - 256;
    const from = at;
    switch (tag) {
      case 0xc0:
        return null;
      case 0xc2:
        return false;
      case 0xc3:
        return true;
      case 0xc4:
        return take(number(1)).slice();
      case 0xc5:
        return take(number(2)).slice();
      case 0xc6:
        return take(number(4)).slice();
      case 0xc7:
        return take(number(1) + 1).slice();
      case 0xc8:
        return take(number(2) + 1).slice();
      case 0xc9:
        return take(number(4) + 1).slice();
      case 0xca:
        take(4);
        return view.getFloat32(from);
      case 0xcb:
        take(8);
        return view.getFloat64(from);
      case 0xcc:
        return number(1);
      case 0xcd:
        return number(2);
      case 0xce:
        return number(4);
      case 0xcf:
        take(8);
        return large(view.getBigUint64(from));
      case 0xd0:
        take(1);
        return view.getInt8(from);
      case 0xd1:
        take(2);
        return view.getInt16(from);
      case 0xd2:
        take(4);
        return view.getInt32(from);
      case 0xd3:
        take(8);
        return large(view.getBigInt64(from));
      case 0xd4:
      case 0xd5:
      case 0xd6:
      case 0xd7:
      case 0xd8:
        return take(2 ** (tag - 0xd4) + 1).slice();
      case 0xd9:
        return text.decode(take(number(1)));
      case 0xda:
        return text.decode(take(number(2)));
      case 0xdb:
        return text.decode(take(number(4)));
      case 0xdc:
        return array(number(2), depth);
      case 0xdd:
        return array(number(4), depth);
      case 0xde:
        return map(number(2), depth);
      case 0xdf:
        return map(number(4), depth);
      default:
        throw new RangeError(`0x${tag.toString(16)} is no MessagePack`);
    }
  }
  return value(0);
}

function keyText(key: unknown): string {
  return typeof key === "string" ? key : String(key);
}
