// Labelled controls of forms.
import { make } from "../shared/dom";

export function labelled(text: string, control: HTMLElement, name = ""): HTMLLabelElement {
  control.ariaLabel ??= text;
  return make("label", { class: `field ${name}` }, make("span", {}, text), control);
}

interface Range {
  min?: number;
  max?: number;
  step?: number | "any";
  value?: number;
  placeholder?: string;
}

export function numberInput(label: string, { min, max, step = "any", value, placeholder = "" }: Range): HTMLInputElement {
  return make("input", {
    type: "number",
    inputMode: "decimal",
    ariaLabel: label,
    min: String(min ?? ""),
    max: String(max ?? ""),
    step: String(step),
    value: String(value ?? ""),
    placeholder,
  });
}

// Undefined where nothing is entered.
export function numberIn(input: HTMLInputElement): number | undefined {
  return input.value === "" || Number.isNaN(input.valueAsNumber) ? undefined : input.valueAsNumber;
}

export function options(select: HTMLSelectElement, values: readonly string[], label = (value: string) => value): void {
  const before = select.value;
  select.replaceChildren(...values.map((value) => new Option(label(value), value)));
  if (values.includes(before)) select.value = before;
}
