import type { ReactNode } from "react";
import { useTitle } from "../shell/Shell";

/** A page: its title, in the tab too, a sentence about it, and what one can do. */
export function Page(props: {
  title: string;
  lede?: ReactNode;
  actions?: ReactNode;
  children: ReactNode;
}) {
  useTitle(props.title);
  return (
    <div className="page">
      <header>
        <h1>{props.title}</h1>
        {props.actions !== undefined && <div className="actions">{props.actions}</div>}
        {props.lede !== undefined && <p className="lede">{props.lede}</p>}
      </header>
      {props.children}
    </div>
  );
}
