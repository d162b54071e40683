/**
 * How well a text fits what was typed: the letters in their order, better in a row and at the starts of
 * words. 0: it does not.
 */
export function score(query: string, target: string): number {
  const wanted = query.toLowerCase();
  const text = target.toLowerCase();
  if (wanted === "") return 1;
  const at = text.indexOf(wanted);
  if (at >= 0) return 1000 - at + (at === 0 ? 500 : 0) - text.length / 100;
  let total = 0;
  let from = 0;
  for (const letter of wanted) {
    const found = text.indexOf(letter, from);
    if (found < 0) return 0;
    const startsWord = found === 0 || /[^a-z0-9]/.test(text[found - 1]!);
    total += startsWord ? 10 : found === from ? 5 : 1;
    from = found + 1;
  }
  return total;
}

/** The best fitting of some items, best first; equal ones keep their order. */
export function rank<Item>(
  query: string,
  items: readonly Item[],
  textOf: (item: Item) => string,
  most: number,
): Item[] {
  return items
    .map((item) => ({ item, fit: score(query, textOf(item)) }))
    .filter(({ fit }) => fit > 0)
    .sort((a, b) => b.fit - a.fit)
    .slice(0, most)
    .map(({ item }) => item);
}
