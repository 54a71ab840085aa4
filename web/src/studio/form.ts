// What is to be generated: prompts, model, length, seed, variants, wishes.
import { button, make } from "../shared/dom";
import type { Generate, Model, Prompt } from "./api";
import { labelled, numberIn, numberInput, options } from "./fields";
import { Contacts, Paths } from "./wishes";

export const MAX_SEED = 2 ** 32 - 1;
const MAX_SAMPLES = 8;
const MAX_PROMPT = 1000;
const NO_OTHER = "";

export const newSeed = (): number => Math.floor(Math.random() * (MAX_SEED - MAX_SAMPLES));

export class GenerateForm {
  readonly element = make("form", { class: "panel generate", ariaLabel: "Generate" });
  readonly text = promptArea("What do they do?", "two people shake hands");
  private readonly partner = promptArea("What does person B do?", "a person bows");
  private readonly apart = make("input", { type: "checkbox" });
  private readonly firstSeconds = numberInput("Seconds of this prompt", { min: 0.5, step: "any" });
  private readonly more = make("div", { class: "prompts" });
  private readonly model = make("select");
  private readonly other = make("select");
  private readonly seconds = numberInput("Length in seconds", { placeholder: "auto" });
  private readonly seed = numberInput("Seed", { min: 0, max: MAX_SEED, step: 1, value: 0 });
  private readonly samples = numberInput("Variants", { min: 1, max: MAX_SAMPLES, step: 1, value: 1 });
  private readonly guidance = numberInput("Guidance", { min: 0, max: 100, placeholder: "auto" });
  private readonly steps = numberInput("Sampling steps", { min: 1, max: 1000, step: 1, placeholder: "auto" });
  private readonly contacts = new Contacts();
  private readonly paths = new Paths();
  private readonly kinds = make("div", { class: "kinds" });
  private readonly submit = make("button", { type: "submit", class: "primary", title: "Ctrl Enter" }, "Generate");
  private readonly parts: Record<"textLabel" | "apart" | "partner" | "firstSeconds" | "seconds" | "kinds", HTMLElement>;

  constructor(
    private readonly models: Model[],
    onGenerate: (requests: Generate[]) => void,
  ) {
    options(this.model, models.map(({ name }) => name));
    options(this.other, [NO_OTHER, ...models.map(({ name }) => name)], (name) => name || "none");
    const another = button("Add what happens next", () => this.addPrompt({ text: "", seconds: this.chosen.default_seconds }));
    another.append("+ Then…");
    const reseed = button("Another seed", () => (this.seed.value = String(newSeed())));
    reseed.append("New");
    this.parts = {
      textLabel: labelled("What do they do?", this.text),
      apart: make("label", { class: "check" }, this.apart, "A prompt for each person"),
      partner: labelled("Person B", this.partner),
      firstSeconds: labelled("Seconds", this.firstSeconds, "short"),
      seconds: labelled("Length, s", this.seconds),
      kinds: make("details", {}, make("summary", {}, "What the model has learned"), this.kinds),
    };
    const { textLabel, apart, partner, firstSeconds, seconds, kinds } = this.parts;
    this.element.append(
      make("div", { class: "prompt" }, textLabel, firstSeconds),
      partner,
      this.more,
      make("div", { class: "row" }, apart, another),
      make("div", { class: "columns" }, labelled("Model", this.model), labelled("Compare with", this.other)),
      make("div", { class: "columns" }, seconds, labelled("Variants", this.samples)),
      make("div", { class: "prompt" }, labelled("Seed", this.seed), reseed),
      this.submit,
      kinds,
      make(
        "details",
        {},
        make("summary", {}, "More"),
        make("div", { class: "columns" }, labelled("Guidance", this.guidance), labelled("Steps", this.steps)),
        this.contacts.element,
        this.paths.element,
      ),
    );
    this.element.addEventListener("input", () => this.refresh());
    // What is folded away can't be shown to be wrong.
    const unfold = ({ target }: Event): void => {
      const details = target instanceof Element ? target.closest("details") : null;
      if (details) details.open = true;
    };
    this.element.addEventListener("invalid", unfold, { capture: true });
    this.element.addEventListener("submit", (event) => {
      event.preventDefault();
      onGenerate(this.read());
    });
    this.refresh();
  }

  get chosen(): Model {
    return this.models.find(({ name }) => name === this.model.value)!;
  }

  setBusy(busy: boolean): void {
    this.submit.disabled = busy;
  }

  fill(request: Generate): void {
    if (this.models.some(({ name }) => name === request.model)) this.model.value = request.model;
    const [first, ...next] = request.prompts ?? [];
    this.text.value = first?.text ?? request.text ?? "";
    this.apart.checked = request.partner !== undefined;
    this.partner.value = request.partner ?? "";
    this.firstSeconds.value = String(first?.seconds ?? "");
    this.more.replaceChildren();
    for (const prompt of next) this.addPrompt(prompt);
    const numbers: [HTMLInputElement, number | undefined][] = [
      [this.seconds, request.seconds],
      [this.seed, request.seed],
      [this.samples, request.samples],
      [this.guidance, request.guidance],
      [this.steps, request.steps],
    ];
    for (const [input, value] of numbers) input.value = String(value ?? "");
    this.contacts.fill(request.contacts ?? []);
    this.paths.fill(request.paths ?? []);
    this.refresh();
  }

  // Asks for two models with the same prompt.
  compareWith(name: string): void {
    this.other.value = name;
  }

  // One request for each model.
  private read(): Generate[] {
    const next = this.nextPrompts();
    const text = this.text.value.trim();
    const { features } = this.chosen;
    const contacts = features.contacts && !next.length ? this.contacts.read() : [];
    const paths = features.paths && !next.length ? this.paths.read() : [];
    const request: Generate = {
      kind: "generate",
      model: this.model.value,
      text: next.length ? undefined : text,
      partner: this.isApart ? this.partner.value.trim() : undefined,
      seconds: next.length ? undefined : numberIn(this.seconds),
      seed: numberIn(this.seed) ?? 0,
      samples: numberIn(this.samples) ?? 1,
      guidance: numberIn(this.guidance),
      steps: numberIn(this.steps),
      prompts: next.length ? [{ text, seconds: numberIn(this.firstSeconds) ?? this.chosen.default_seconds }, ...next] : undefined,
      contacts: contacts.length ? contacts : undefined,
      paths: paths.length ? paths : undefined,
    };
    const names = new Set([this.model.value, this.other.value].filter((name) => name !== NO_OTHER));
    return [...names].map((model) => ({ ...request, model }));
  }

  private get isApart(): boolean {
    return this.apart.checked && this.chosen.features.partner_text && !this.more.childElementCount;
  }

  private nextPrompts(): Prompt[] {
    return [...this.more.children].map((row) => ({
      text: row.querySelector("textarea")!.value.trim(),
      seconds: numberIn(row.querySelector("input")!) ?? this.chosen.default_seconds,
    }));
  }

  private addPrompt({ text, seconds }: Prompt): void {
    const area = promptArea("What happens next?", "they wave goodbye");
    area.value = text;
    const length = numberInput("Seconds of this prompt", { min: 0.5, value: seconds });
    const remove = button("Remove this prompt", () => {
      row.remove();
      this.refresh();
    }, "remove");
    remove.append("×");
    const row = make("div", { class: "prompt" }, labelled("Then", area), labelled("Seconds", length, "short"), remove);
    this.more.append(row);
    this.refresh();
    if (!text) area.focus();
  }

  private refresh(): void {
    const { people, seconds, default_seconds, features, kinds } = this.chosen;
    const { textLabel, apart, partner, firstSeconds } = this.parts;
    const inRow = this.more.childElementCount > 0;
    apart.hidden = people < 2 || !features.partner_text || inRow;
    partner.hidden = this.partner.disabled = !this.isApart;
    textLabel.firstElementChild!.textContent = this.isApart ? "Person A" : people < 2 ? "What does the person do?" : "What do they do?";
    firstSeconds.hidden = this.firstSeconds.disabled = !inRow;
    if (inRow && !this.firstSeconds.value) this.firstSeconds.value = String(default_seconds);
    this.parts.seconds.hidden = this.seconds.disabled = inRow;
    [this.seconds.min, this.seconds.max] = seconds.map(String) as [string, string];
    this.contacts.element.hidden = !features.contacts || inRow;
    this.paths.element.hidden = !features.paths || inRow;
    this.parts.kinds.hidden = kinds.length === 0;
    if (this.kinds.dataset.model === this.chosen.name) return;
    this.kinds.dataset.model = this.chosen.name;
    this.kinds.replaceChildren(
      ...kinds.map(({ name, example }) => {
        const item = button(example, () => {
          this.text.value = example;
          this.text.focus();
        });
        item.append(name);
        return item;
      }),
    );
  }
}

function promptArea(label: string, example: string): HTMLTextAreaElement {
  return make("textarea", { rows: 2, required: true, maxLength: MAX_PROMPT, ariaLabel: label, placeholder: example });
}
