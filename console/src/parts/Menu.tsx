import { type ReactNode, useEffect, useRef } from "react";
import "./menu.css";

/** A button that opens a small box of choices; a click outside of it and Escape close it. */
export function Menu(props: { label: string; children: ReactNode }) {
  const box = useRef<HTMLDetailsElement>(null);
  useEffect(() => {
    const close = (event: Event) => {
      const details = box.current;
      if (details?.open && !details.contains(event.target as Node)) details.open = false;
    };
    document.addEventListener("pointerdown", close);
    return () => document.removeEventListener("pointerdown", close);
  }, []);
  return (
    <details
      ref={box}
      className="menu"
      onKeyDown={(event) => {
        if (event.key !== "Escape" || !box.current?.open) return;
        event.stopPropagation();
        box.current.open = false;
        box.current.querySelector("summary")?.focus();
      }}
    >
      <summary className="button small">{props.label}</summary>
      <div className="menu-box">{props.children}</div>
    </details>
  );
}
