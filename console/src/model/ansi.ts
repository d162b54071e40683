/** Text of a program for terminals, as parts with a style: SGR sequences alone, others are dropped. */
export type Part = { text: string; classes: string };

// biome-ignore lint/suspicious/noControlCharactersInRegex: it is what terminals are sent
const SEQUENCE = /\u001b(?:\[([0-9;:]*)([@-~])|\][^\u0007\u001b]*(?:\u0007|\u001b\\)?|[@-Z\\-_])/g;
// biome-ignore lint/suspicious/noControlCharactersInRegex: invisible, and able to mislead a reader
const CONTROL = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f\u202a-\u202e\u2066-\u2069]/g;

type Style = { colour: number | undefined; bold: boolean; dim: boolean; underline: boolean };

const PLAIN: Style = { colour: undefined, bold: false, dim: false, underline: false };

/** Splits a line into styled parts. Text of right-to-left overrides and control characters is shown as is. */
export function parseAnsi(line: string): Part[] {
  if (!line.includes("\u001b")) return line === "" ? [] : [{ text: clean(line), classes: "" }];
  const parts: Part[] = [];
  let style = PLAIN;
  let from = 0;
  const push = (text: string) => {
    if (text !== "") parts.push({ text: clean(text), classes: classesOf(style) });
  };
  for (const match of line.matchAll(SEQUENCE)) {
    push(line.slice(from, match.index));
    from = match.index + match[0].length;
    if (match[2] === "m") style = apply(style, match[1] ?? "");
  }
  push(line.slice(from));
  return parts;
}

/** The text of a line without any sequence. */
export function stripAnsi(line: string): string {
  return clean(line.replace(SEQUENCE, ""));
}

function clean(text: string): string {
  return text.replace(CONTROL, "\ufffd");
}

function apply(before: Style, codes: string): Style {
  let style = before;
  const numbers = codes === "" ? [0] : codes.split(/[;:]/).map(Number);
  for (let index = 0; index < numbers.length; index++) {
    const code = numbers[index]!;
    if (code === 0) style = PLAIN;
    else if (code === 1) style = { ...style, bold: true };
    else if (code === 2) style = { ...style, dim: true };
    else if (code === 4) style = { ...style, underline: true };
    else if (code === 22) style = { ...style, bold: false, dim: false };
    else if (code === 24) style = { ...style, underline: false };
    else if (code >= 30 && code <= 37) style = { ...style, colour: code - 30 };
    else if (code >= 90 && code <= 97) style = { ...style, colour: code - 90 };
    else if (code === 39) style = { ...style, colour: undefined };
    else if (code === 38 || code === 48) index += numbers[index + 1] === 5 ? 2 : 4; // palettes: not shown
  }
  return style;
}

function classesOf(style: Style): string {
  const classes = [
    style.colour !== undefined && `ansi-${style.colour}`,
    style.bold && "ansi-bold",
    style.dim && "ansi-dim",
    style.underline && "ansi-underline",
  ];
  return classes.filter(Boolean).join(" ");
}

const LINK = /\bhttps?:\/\/[^\s"'<>]+[^\s"'<>.,;:!?)\]]/g;

/** Splits text at its web addresses. */
export function splitLinks(text: string): { text: string; isLink: boolean }[] {
  const found: { text: string; isLink: boolean }[] = [];
  let from = 0;
  for (const match of text.matchAll(LINK)) {
    if (match.index > from) found.push({ text: text.slice(from, match.index), isLink: false });
    found.push({ text: match[0], isLink: true });
    from = match.index + match[0].length;
  }
  if (from < text.length) found.push({ text: text.slice(from), isLink: false });
  return found;
}
