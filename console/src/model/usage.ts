/** Rules of the page of usage: months, and amounts in words. */

/** The month of an instant (UTC) and those before it, the latest first, as in `2026-11`. */
export function monthsUntil(now: number, count: number): string[] {
  const at = new Date(now);
  return Array.from({ length: count }, (_, back) =>
    new Date(Date.UTC(at.getUTCFullYear(), at.getUTCMonth() - back, 1)).toISOString().slice(0, 7),
  );
}

/** The days of a month, as in `2026-11-01`; none if it is no month. */
export function daysOf(month: string): string[] {
  const first = Date.parse(`${month}-01T00:00:00Z`);
  if (Number.isNaN(first)) return [];
  const days: string[] = [];
  for (let at = new Date(first); at.toISOString().startsWith(month); ) {
    days.push(at.toISOString().slice(0, 10));
    at.setUTCDate(at.getUTCDate() + 1);
  }
  return days;
}

/** Seconds as hours, with as many digits as say something: `0.02`, `3.4`, `1,204`. */
export function hours(seconds: number): string {
  const value = seconds / 3600;
  const digits = value === 0 || value >= 100 ? 0 : value >= 1 ? 1 : 2;
  if (value > 0 && value < 0.005) return "< 0.01";
  return value.toLocaleString("en", {
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  });
}
