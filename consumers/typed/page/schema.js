// JSON Schemas, for people: what a value is called, and the fields that an object has.

import { element, paragraphs } from "./dom.js";

const MOST_CHOICES = 12;

/** Returns what a schema describes, in a few words. */
export function kindOf(api, schema) {
  if (schema === true || schema === undefined) return "anything";
  if (schema === false) return "nothing";
  if (schema.$ref) return api.resolve(schema).title ?? schema.$ref.split("/").at(-1);
  if ("const" in schema) return JSON.stringify(schema.const);
  if (schema.enum) {
    const shown = schema.enum.slice(0, MOST_CHOICES).map((each) => JSON.stringify(each));
    return [...shown, ...(schema.enum.length > MOST_CHOICES ? ["…"] : [])].join(" or ");
  }
  const choices = schema.oneOf ?? schema.anyOf;
  if (choices) return [...new Set(choices.map((each) => kindOf(api, each)))].join(" or ");
  if (schema.allOf?.length) return kindOf(api, schema.allOf[0]);
  if (Array.isArray(schema.items)) return `[${schema.items.map((each) => kindOf(api, each)).join(", ")}]`;
  if (schema.type === "array") return `${schema.uniqueItems ? "set" : "list"} of ${kindOf(api, schema.items)}`;
  if (schema.type === "object" && typeof schema.additionalProperties === "object" && !schema.properties) {
    return `object, each value: ${kindOf(api, schema.additionalProperties)}`;
  }
  const type = Array.isArray(schema.type) ? schema.type.join(" or ") : (schema.type ?? "anything");
  return schema.format ? `${schema.format} (${type})` : type;
}

/** Returns what limits a value, in words. */
export function limitsOf(schema) {
  const said = [];
  const between = (least, most, what) => {
    if (least !== undefined && most !== undefined) said.push(`${least} to ${most}${what}`);
    else if (least !== undefined) said.push(`at least ${least}${what}`);
    else if (most !== undefined) said.push(`at most ${most}${what}`);
  };
  between(schema.minLength, schema.maxLength, " characters");
  between(schema.minimum, schema.maximum, "");
  if (!Array.isArray(schema.items)) between(schema.minItems, schema.maxItems, " items");
  if (schema.exclusiveMinimum !== undefined) said.push(`more than ${schema.exclusiveMinimum}`);
  if (schema.exclusiveMaximum !== undefined) said.push(`less than ${schema.exclusiveMaximum}`);
  if (schema.multipleOf !== undefined) said.push(`a multiple of ${schema.multipleOf}`);
  if (schema.pattern !== undefined) said.push(`like ${schema.pattern}`);
  if (![undefined, null].includes(schema.default) && !("const" in schema)) {
    said.push(`default: ${JSON.stringify(schema.default)}`);
  }
  return said.join(", ");
}

/** Returns the objects that a value consists of: what a reader may want to unfold. A value may contain itself. */
function partsOf(api, schema, seen = new Set()) {
  if (!schema || typeof schema !== "object") return [];
  if (schema.$ref) {
    if (seen.has(schema.$ref)) return [];
    seen.add(schema.$ref);
    const found = api.resolve(schema);
    return found.properties ? [found] : partsOf(api, found, seen);
  }
  const choices = schema.oneOf ?? schema.anyOf;
  if (schema.properties && !choices) return [schema];
  const inside = [choices, schema.allOf, schema.items, schema.additionalItems, schema.additionalProperties];
  return [...new Set(inside.flat().flatMap((each) => partsOf(api, each, seen)))];
}

/** Shows the fields of an object; those of objects within it when they are unfolded. */
export function fieldsOf(api, schema) {
  const whole = schema.properties ? schema : (partsOf(api, schema)[0] ?? {});
  const required = new Set(whole.required);
  const rows = Object.entries(whole.properties ?? {}).map(([name, field]) => {
    const limits = limitsOf(field);
    return element(
      "li",
      {},
      element(
        "div",
        { class: "field" },
        element("code", { class: "name" }, name),
        element("span", { class: "kind" }, kindOf(api, field)),
        !required.has(name) && element("span", { class: "optional" }, "optional"),
        field.deprecated && element("span", { class: "optional" }, "deprecated"),
      ),
      limits && element("p", { class: "limits" }, limits),
      paragraphs(field.description),
      partsOf(api, field).map((part) => folded(api, part)),
    );
  });
  return rows.length ? element("ul", { class: "fields" }, rows) : element("p", { class: "muted" }, kindOf(api, schema));
}

function folded(api, schema) {
  const details = element("details", { class: "part" }, element("summary", {}, schema.title ?? "object"));
  details.addEventListener(
    "toggle",
    () => details.append(...paragraphs(schema.description), fieldsOf(api, schema)),
    { once: true },
  );
  return details;
}
