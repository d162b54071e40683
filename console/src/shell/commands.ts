import { useEffect } from "react";

/** Something to do on the page that is shown, offered by the palette. */
export type Command = { name: string; run: () => void; keys?: string };

const offered: (readonly Command[])[] = [];

/** Offers commands while the component is shown. */
export function useCommands(commands: readonly Command[]): void {
  useEffect(() => {
    offered.push(commands);
    return () => {
      offered.splice(offered.lastIndexOf(commands), 1);
    };
  });
}

export function pageCommands(): Command[] {
  return offered.flat();
}
