// A scene in the page's address, and back. What stands there may have been written by anyone.
import { perform, type Job, type Step } from "./api";
import { edited, takesOf, type Plan, type Scene, type Take } from "./scene";
import type { Watch } from "./status";

const MAX_LETTERS = 30_000;
const MAX_TAKES = 16;
const MAX_STEPS = 50;
const FIELDS: Record<Step["kind"], Record<string, "string" | "number">> = {
  generate: { model: "string", seed: "number", samples: "number" },
  react: { model: "string", person: "string", seed: "number" },
  inpaint: { model: "string", start: "number", end: "number", seed: "number" },
  extend: { model: "string", seconds: "number", before: "number", seed: "number" },
  upload: { id: "string", name: "string" },
};

export interface Linked {
  plans: Plan[];
  current: number;
}

export function encode({ takes, current }: Scene): string {
  if (!takes.length) return "";
  const linked: Linked = { plans: takes.map(({ steps, pick }) => ({ steps, pick })), current };
  const bytes = new TextEncoder().encode(JSON.stringify(linked));
  const text = btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
  return text.replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

// Throws where the text is no scene.
export function decode(text: string): Linked {
  try {
    if (text.length > MAX_LETTERS) throw new Error("too long");
    const bytes = Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (letter) => letter.charCodeAt(0));
    const { plans, current } = JSON.parse(new TextDecoder().decode(bytes));
    if (!Array.isArray(plans) || !plans.length || plans.length > MAX_TAKES || !plans.every(isPlan)) throw new Error("no plans");
    return { plans, current: plans[current] ? current : 0 };
  } catch (problem) {
    throw new Error("This link is damaged; it was perhaps cut off when it was copied.", { cause: problem });
  }
}

function isPlan(value: unknown): value is Plan {
  const { steps, pick } = Object(value);
  return Number.isInteger(pick) && Array.isArray(steps) && steps.length > 0 && steps.length <= MAX_STEPS &&
    steps.every((step, index) => isStep(step) && (step.kind === "generate" || step.kind === "upload") === (index === 0));
}

function isStep(value: unknown): value is Step {
  const step = Object(value);
  const fields = Object.hasOwn(FIELDS, step.kind) ? FIELDS[step.kind as Step["kind"]] : undefined;
  return fields !== undefined && Object.entries(fields).every(([name, type]) => typeof step[name] === type);
}

// Makes the takes of plans again, each step once.
export async function replay(plans: Plan[], watch: Watch, signal: AbortSignal): Promise<Take[]> {
  const made = new Map<string, Promise<Take>>();
  const jobs = new Map<string, Promise<Job>>();

  function first(step: Step): Promise<Job> {
    if (step.kind === "upload") return Promise.resolve({ state: "done", progress: 1, motions: [step.id] });
    return perform(step, undefined, watch(), signal);
  }

  async function build(steps: Step[], pick: number): Promise<Take> {
    const last = steps.at(-1)!;
    const before = steps.slice(0, -1);
    if (!before.length) {
      const job = await remembered(jobs, JSON.stringify(last), () => first(last));
      const take = takesOf(job, steps)[pick];
      if (!take) throw new Error("This link names a variant that the server did not make.");
      return take;
    }
    const base = await take(before, pick);
    if (last.kind === "generate" || last.kind === "upload") throw new Error("only a first step starts from nothing");
    return edited(base, last, await perform(last, base.id, watch(), signal));
  }

  const take = (steps: Step[], pick: number): Promise<Take> =>
    remembered(made, JSON.stringify([steps, pick]), () => build(steps, pick));
  return Promise.all(plans.map(({ steps, pick }) => take(steps, pick)));
}

function remembered<Value>(known: Map<string, Value>, key: string, make: () => Value): Value {
  const value = known.get(key) ?? make();
  known.set(key, value);
  return value;
}
