// What keys do, and the sheet that lists it.
import { make } from "./dom";

export interface Binding {
  keys: string[];
  label: string;
  act: () => void;
}

// "Ctrl+z", "Shift+ArrowLeft", "l", "?": Command counts as Ctrl; Shift is named with keys that print nothing.
function nameOf(event: KeyboardEvent): string {
  const printed = event.key.length === 1;
  const key = printed ? event.key.toLowerCase() : event.key;
  const control = event.ctrlKey || event.metaKey ? "Ctrl+" : "";
  const shift = event.shiftKey && (!printed || control) ? "Shift+" : "";
  return `${control}${shift}${key}`;
}

// Whether the key means something to the control that has the focus.
function isTaken(event: KeyboardEvent, name: string): boolean {
  if (!(event.target instanceof HTMLElement)) return false;
  if (event.target.closest("textarea, select, input:not([type=range]):not([type=checkbox])")) return true;
  const pressed = name === " " || name === "Enter";
  return pressed && event.target.closest("button, a, summary, [type=checkbox]") !== null;
}

// Does what is bound to the key; says whether anything was.
export function press(bindings: Binding[], event: KeyboardEvent): boolean {
  if (event.altKey || event.defaultPrevented) return false;
  const name = nameOf(event);
  const always = name === "Ctrl+Enter";
  if (!always && isTaken(event, name)) {
    if (name === "Escape") (event.target as HTMLElement).blur();
    return false;
  }
  const binding = bindings.find(({ keys }) => keys.includes(name));
  if (!binding) return false;
  event.preventDefault();
  binding.act();
  return true;
}

const SHOWN: Record<string, string> = {
  " ": "Space",
  ArrowLeft: "←",
  ArrowRight: "→",
  "Shift+ArrowLeft": "Shift ←",
  "Shift+ArrowRight": "Shift →",
  PageUp: "Page up",
  PageDown: "Page down",
  Escape: "Esc",
};

function shown(key: string): string {
  return SHOWN[key] ?? (key.length === 1 ? key.toUpperCase() : key.replace(/\+(.)$/, (_, letter) => ` ${letter.toUpperCase()}`).replace("+", " "));
}

export function createHelp(bindings: Binding[]): HTMLDialogElement {
  const list = make("dl");
  for (const { keys, label } of bindings) {
    const term = make("dt");
    term.append(...keys.map((key) => make("kbd", {}, shown(key))));
    list.append(term, make("dd", {}, label));
  }
  const close = make("button", { type: "submit" }, "Close");
  const form = make("form", { method: "dialog" }, make("h2", {}, "Keys"), list, close);
  const dialog = make("dialog", { class: "duo-help", ariaLabel: "Keys" }, form);
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  return dialog;
}
