import { type RefObject, useEffect, useRef, useState } from "react";

/** A field of a filter, which asks a moment after the last key. */
export function Field(props: {
  name: string;
  value: string;
  set: (value: string) => void;
  inputRef?: RefObject<HTMLInputElement | null>;
}) {
  const [typed, setTyped] = useState(props.value);
  const { value, set } = props;
  const latest = useRef(set);
  latest.current = set;
  useEffect(() => setTyped(value), [value]);
  useEffect(() => {
    if (typed === value) return undefined;
    const timer = setTimeout(() => latest.current(typed), 250);
    return () => clearTimeout(timer);
  }, [typed, value]);
  return (
    <input
      ref={props.inputRef}
      type="search"
      className="filter-field"
      placeholder={props.name}
      aria-label={`Filter: ${props.name}`}
      value={typed}
      onChange={(event) => setTyped(event.target.value)}
    />
  );
}
