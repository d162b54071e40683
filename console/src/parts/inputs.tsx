import {
  type FormEvent,
  type HTMLInputTypeAttribute,
  type ReactNode,
  useId,
  useState,
} from "react";

type Checked = HTMLInputElement | HTMLTextAreaElement | HTMLSelectElement;

/**
 * The browser's own check of a field, as a sentence below it: what it says is read out, and stays until
 * the field changes. The first field of a form that is wrong gets the focus.
 */
function useValidity() {
  const [message, setMessage] = useState("");
  const onInvalid = (event: FormEvent<Checked>) => {
    event.preventDefault();
    const field = event.currentTarget;
    setMessage(sentenceOf(field));
    if (field.form?.querySelector(":is(input, select, textarea):invalid") === field) field.focus();
  };
  return { message, onInvalid, clear: () => setMessage("") };
}

function sentenceOf(field: Checked): string {
  return field.validity.valueMissing ? "This is needed." : field.validationMessage;
}

type Common = { label: ReactNode; hint?: ReactNode };

function Box(props: Common & { id: string; message?: string; children: ReactNode }) {
  return (
    <div className="field">
      <label htmlFor={props.id}>{props.label}</label>
      {props.children}
      {props.message && (
        <span id={`${props.id}-error`} className="field-error" role="alert">
          {props.message}
        </span>
      )}
      {props.hint !== undefined && (
        <span id={`${props.id}-hint`} className="hint">
          {props.hint}
        </span>
      )}
    </div>
  );
}

function descriptionOf(id: string, hint: ReactNode, message: string): string | undefined {
  const ids = [message && `${id}-error`, hint !== undefined && `${id}-hint`].filter(Boolean);
  return ids.length === 0 ? undefined : ids.join(" ");
}

/** A line of text; with `rows`, several. */
export function TextField(
  props: Common & {
    value: string;
    set: (value: string) => void;
    type?: HTMLInputTypeAttribute;
    required?: boolean;
    placeholder?: string;
    rows?: number;
  },
) {
  const id = useId();
  const { message, onInvalid, clear } = useValidity();
  const common = {
    id,
    value: props.value,
    required: props.required,
    placeholder: props.placeholder,
    spellCheck: false,
    "aria-invalid": message !== "",
    "aria-describedby": descriptionOf(id, props.hint, message),
    onInvalid,
    onChange: (event: { target: { value: string } }) => {
      clear();
      props.set(event.target.value);
    },
  };
  return (
    <Box id={id} label={props.label} hint={props.hint} message={message}>
      {props.rows === undefined ? (
        // No password manager is to keep what is typed into these forms.
        <input {...common} type={props.type ?? "text"} autoComplete="off" data-1p-ignore="true" />
      ) : (
        <textarea {...common} rows={props.rows} />
      )}
    </Box>
  );
}

/** A whole number. What is no number is kept as it is typed until it is one. */
export function NumberField(
  props: Common & { value: number; set: (value: number) => void; min?: number; max?: number },
) {
  const id = useId();
  const [typed, setTyped] = useState(String(props.value));
  const { message, onInvalid, clear } = useValidity();
  return (
    <Box id={id} label={props.label} hint={props.hint} message={message}>
      <input
        id={id}
        type="number"
        required
        step={1}
        min={props.min}
        max={props.max}
        value={typed}
        aria-invalid={message !== ""}
        aria-describedby={descriptionOf(id, props.hint, message)}
        onInvalid={onInvalid}
        onChange={(event) => {
          clear();
          setTyped(event.target.value);
          if (Number.isInteger(event.target.valueAsNumber)) props.set(event.target.valueAsNumber);
        }}
      />
    </Box>
  );
}

export type Choice<Value extends string> = Value | { value: Value; label: string };

/** One of several choices. */
export function SelectField<Value extends string>(
  props: Common & { value: Value; set: (value: Value) => void; choices: readonly Choice<Value>[] },
) {
  const id = useId();
  return (
    <Box id={id} label={props.label} hint={props.hint}>
      <select
        id={id}
        value={props.value}
        aria-describedby={descriptionOf(id, props.hint, "")}
        onChange={(event) => props.set(event.target.value as Value)}
      >
        {props.choices.map((each) => {
          const { value, label } = typeof each === "string" ? { value: each, label: each } : each;
          return (
            <option key={value} value={value}>
              {label}
            </option>
          );
        })}
      </select>
    </Box>
  );
}

/** Yes or no. */
export function CheckField(props: {
  label: ReactNode;
  value: boolean;
  set: (value: boolean) => void;
}) {
  return (
    <label className="check">
      <input
        type="checkbox"
        checked={props.value}
        onChange={(event) => props.set(event.target.checked)}
      />
      {props.label}
    </label>
  );
}
