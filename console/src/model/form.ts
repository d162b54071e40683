/** The launch form of a task: one field an input, as the server's JSON schema says. */

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
export type Schema = { [key: string]: Json };

export type Input = {
  name: string;
  schema: Schema;
  isRequired: boolean;
  hint: string;
  kind: "text" | "number" | "whole" | "bool" | "choice" | "json";
  choices: string[];
};

/** The inputs of a form, in the order of the task. */
export function inputsOf(form: Schema): Input[] {
  const properties = objectOf(form.properties);
  const order = listOf(form.propertyOrder).filter(
    (name): name is string => typeof name === "string",
  );
  const required = new Set(listOf(form.required));
  const names = [...order, ...Object.keys(properties).filter((name) => !order.includes(name))];
  return names
    .filter((name) => name in properties)
    .map((name) => {
      const schema = objectOf(properties[name]);
      const choices = listOf(schema.enum).filter(
        (each): each is string => typeof each === "string",
      );
      return {
        name,
        schema,
        isRequired: required.has(name),
        hint: [schema.title, schema.description, typeWords(schema)].find(
          (each) => typeof each === "string" && each !== "",
        ) as string,
        kind: choices.length > 0 ? "choice" : kindOf(schema),
        choices,
      };
    });
}

function kindOf(schema: Schema): Input["kind"] {
  switch (schema.type) {
    case "string":
      return "text";
    case "integer":
      return "whole";
    case "number":
      return "number";
    case "boolean":
      return "bool";
    default:
      return "json";
  }
}

function typeWords(schema: Schema): string {
  if (typeof schema.format === "string") return schema.format;
  if (typeof schema.type === "string") return schema.type;
  const variants = listOf(schema.oneOf).map((each) => typeWords(objectOf(each)));
  return variants.length > 0 ? variants.join(" or ") : "JSON";
}

/** What a field shows at first: the default of the form, as text. */
export function initialText(input: Input): string {
  const value = input.schema.default;
  if (value === undefined) return "";
  if (input.kind === "json" || typeof value === "object") return JSON.stringify(value, null, 2);
  return String(value);
}

/**
 * Puts what was typed into a form, as its defaults, beside the types that the server gave; throws with
 * the input's name. An input that was not touched keeps its value exactly, also one of a type that the
 * console does not know.
 */
export function fillForm(form: Schema, typed: ReadonlyMap<string, string>): Schema {
  const properties: Schema = {};
  for (const input of inputsOf(form)) {
    const text = typed.get(input.name);
    const isSame = text === undefined || text === initialText(input);
    if (isSame && "default" in input.schema) properties[input.name] = input.schema;
    else if (text === undefined || (text === "" && input.kind !== "text")) {
      if (input.isRequired) throw new Error(`${input.name} needs a value`);
    } else properties[input.name] = { ...input.schema, default: parseInput(input, text) };
  }
  return { ...form, properties };
}

function parseInput(input: Input, text: string): Json {
  switch (input.kind) {
    case "text":
    case "choice":
      return text;
    case "bool":
      return text === "true";
    case "whole":
      if (!/^-?\d+$/.test(text.trim())) throw new Error(`${input.name} must be a whole number`);
      return text.trim(); // as text: numbers beyond 2**53 stay exact
    case "number":
      if (text.trim() === "" || Number.isNaN(Number(text)))
        throw new Error(`${input.name} must be a number`);
      return Number(text);
    case "json":
      try {
        return JSON.parse(text) as Json;
      } catch {
        throw new Error(`${input.name} must be JSON; put text in double quotes`);
      }
  }
}

/** The `flyte run` options that give the same inputs. */
export function optionsOf(form: Schema, typed: ReadonlyMap<string, string>): string {
  return inputsOf(form)
    .filter((input) => typed.has(input.name) && typed.get(input.name) !== initialText(input))
    .map((input) => ` --${input.name} ${quote(typed.get(input.name) ?? "")}`)
    .join("");
}

function quote(text: string): string {
  return /^[\w./:@=-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

function objectOf(value: Json | undefined): Schema {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? value : {};
}

function listOf(value: Json | undefined): Json[] {
  return Array.isArray(value) ? value : [];
}
