import type { Duration, Timestamp } from "@bufbuild/protobuf/wkt";

/** Milliseconds since 1970; undefined if unset. */
export function msOf(timestamp: Timestamp | undefined): number | undefined {
  if (timestamp === undefined) return undefined;
  const ms = Number(timestamp.seconds) * 1000 + timestamp.nanos / 1e6;
  return ms === 0 ? undefined : ms;
}

export function msOfDuration(duration: Duration | undefined): number | undefined {
  return duration && Number(duration.seconds) * 1000 + duration.nanos / 1e6;
}

/** Writes a duration in at most two units: `840 ms`, `4.2 s`, `14m 02s`, `3h 05m`, `2d 04h`. */
export function formatDuration(ms: number): string {
  const value = Math.max(0, ms);
  if (value < 1000) return `${Math.round(value)} ms`;
  if (value < 59_950) return `${(value / 1000).toFixed(1)} s`;
  const seconds = Math.round(value / 1000);
  if (seconds < 3600) return two(seconds, 60, "m", "s");
  const minutes = Math.round(seconds / 60);
  if (minutes < 60 * 24) return two(minutes, 60, "h", "m");
  return two(Math.round(minutes / 60), 24, "d", "h");
}

function two(value: number, base: number, large: string, small: string): string {
  return `${Math.floor(value / base)}${large} ${String(value % base).padStart(2, "0")}${small}`;
}

/** Writes how long ago something was, as lists show it. */
export function formatAgo(then: number, now: number): string {
  const seconds = (now - then) / 1000;
  if (seconds < -1) return `in ${formatDuration(-seconds * 1000)}`;
  if (seconds < 5) return "just now";
  if (seconds < 60) return `${Math.floor(seconds)} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86_400)} d ago`;
}

/** Writes an instant with its zone: `2026-11-29 12:03:11 UTC`. */
export function formatInstant(ms: number, zone: "utc" | "local"): string {
  const date = new Date(ms);
  if (zone === "utc") return `${date.toISOString().slice(0, 19).replace("T", " ")} UTC`;
  const shifted = new Date(ms - date.getTimezoneOffset() * 60_000);
  const offset = offsetOf(date);
  return `${shifted.toISOString().slice(0, 19).replace("T", " ")} ${offset === "+00:00" ? "UTC" : offset}`;
}

export function formatClock(ms: number, zone: "utc" | "local"): string {
  return formatInstant(ms, zone).slice(11, 19);
}

function offsetOf(date: Date): string {
  const minutes = -date.getTimezoneOffset();
  const sign = minutes < 0 ? "-" : "+";
  const hours = String(Math.floor(Math.abs(minutes) / 60)).padStart(2, "0");
  return `${sign}${hours}:${String(Math.abs(minutes) % 60).padStart(2, "0")}`;
}

const SINCE = /^(\d+)([mhd])$/;
const UNIT_MS: Record<string, number> = { m: 60_000, h: 3_600_000, d: 86_400_000 };

/** Milliseconds of `30m`, `24h` or `7d`; undefined for anything else. */
export function parseSince(text: string): number | undefined {
  const match = SINCE.exec(text);
  const unit = match && UNIT_MS[match[2]!];
  return match && unit ? Number(match[1]) * unit : undefined;
}
