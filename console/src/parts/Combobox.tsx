import { type KeyboardEvent, type ReactNode, useId, useRef, useState } from "react";

export type Option = { id: string; label: ReactNode; group?: string; run: () => void };

/**
 * A text field over a list of options: arrows move, Enter takes, and the list says how many there are.
 *
 * Follows the ARIA pattern of an editable combobox with a list that is always open.
 */
export function Combobox(props: {
  label: string;
  placeholder: string;
  query: string;
  onQuery: (query: string) => void;
  options: readonly Option[];
  note?: string;
}) {
  const [chosen, setChosen] = useState(0);
  const id = useId();
  const list = useRef<HTMLDivElement>(null);
  const count = props.options.length;
  const index = Math.min(chosen, count - 1);

  const move = (to: number) => {
    const next = count === 0 ? 0 : (to + count) % count;
    setChosen(next);
    list.current?.querySelector(`[data-index="${next}"]`)?.scrollIntoView({ block: "nearest" });
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === "ArrowDown") move(index + 1);
    else if (event.key === "ArrowUp") move(index - 1);
    else if (event.key === "Home" && event.ctrlKey) move(0);
    else if (event.key === "Enter") props.options[index]?.run();
    else return;
    event.preventDefault();
  };
  return (
    <div className="combobox">
      <input
        type="text"
        role="combobox"
        aria-expanded="true"
        aria-controls={`${id}-list`}
        aria-activedescendant={count > 0 ? `${id}-${index}` : undefined}
        aria-autocomplete="list"
        aria-label={props.label}
        placeholder={props.placeholder}
        autoComplete="off"
        spellCheck={false}
        // biome-ignore lint/a11y/noAutofocus: the field is what was asked for
        autoFocus
        value={props.query}
        onChange={(event) => {
          props.onQuery(event.target.value);
          setChosen(0);
        }}
        onKeyDown={onKeyDown}
      />
      <div ref={list} id={`${id}-list`} role="listbox" aria-label={props.label}>
        {props.options.map((option, at) => (
          // biome-ignore lint/a11y/useKeyWithClickEvents: the field above takes the keys
          <div
            key={option.id}
            id={`${id}-${at}`}
            data-index={at}
            role="option"
            tabIndex={-1}
            aria-selected={at === index}
            onClick={option.run}
            onPointerMove={() => setChosen(at)}
          >
            {option.label}
            {option.group !== undefined && <span className="quiet">{option.group}</span>}
          </div>
        ))}
      </div>
      <p className="quiet note" role="status">
        {count === 0 ? (props.note ?? "Nothing is called so.") : `${count} of them`}
      </p>
    </div>
  );
}
