// What is changed of the take that is shown: a stretch, a person, its end.
import { button, make } from "../shared/dom";
import type { Edit, Model, PersonName } from "./api";
import { labelled, numberIn, numberInput, options } from "./fields";
import { newSeed } from "./form";
import type { Stage } from "../shared/stage";
import { promptAt, type Take } from "./scene";
import type { Selection, Timeline, Who } from "./timeline";

const MOMENT = 1e-3; // seconds before the end, where the last prompt holds

export class EditBar {
  readonly element = make("form", { class: "edits", ariaLabel: "Edit" });
  private readonly who = make("select");
  private readonly start = numberInput("From, seconds", { min: 0 });
  private readonly end = numberInput("Until, seconds", { min: 0 });
  private readonly text = make("input", { type: "text", maxLength: 1000, });
  private readonly longer = numberInput("Extend to, seconds", { min: 0.5 });
  private readonly regenerate = action("Regenerate the stretch");
  private readonly partners: Record<PersonName, HTMLButtonElement> = {
    A: action("Keep A, new B"),
    B: action("Keep B, new A"),
  };
  private readonly extend = action("Extend");
  private readonly groups: Record<"stretch" | "extension", HTMLElement>;
  private model: Model | undefined;
  private take: Take | undefined;
  private stage: Stage | undefined;
  private busy = false;

  constructor(
    private readonly timeline: Timeline,
    onEdit: (edit: Edit) => void,
  ) {
    this.groups = {
      stretch: make("span", { class: "row" }, labelled("Stretch of", this.who), labelled("from", this.start), labelled("to", this.end), "s", this.regenerate),
      extension: make("span", { class: "row" }, labelled("To", this.longer), "s", this.extend),
    };
    this.element.append(labelled("Edit with prompt", this.text, "wide"), this.groups.stretch, this.partners.A, this.partners.B, this.groups.extension);
    this.regenerate.title = "Of the stretch that is selected: drag over a track, or press I and O";
    this.element.addEventListener("submit", (event) => event.preventDefault());
    for (const control of [this.who, this.start, this.end]) control.addEventListener("change", () => this.readSelection());
    this.regenerate.addEventListener("click", () => {
      const { selection } = this.timeline;
      if (!selection) return this.start.focus();
      const { who, start, end } = selection;
      onEdit({ kind: "inpaint", ...this.shared(start), person: who === "both" ? undefined : who, start, end });
    });
    for (const [kept, person] of [["A", "B"], ["B", "A"]] as const) {
      this.partners[kept].addEventListener("click", () => {
        const isAlone = this.stage!.people.length < 2;
        if (isAlone) onEdit({ kind: "react", ...this.shared(0), person: kept });
        // A reaction would make the given person the first of the two.
        else onEdit({ kind: "inpaint", ...this.shared(0), person, start: 0, end: this.seconds });
      });
    }
    this.extend.addEventListener("click", () => {
      if (!this.longer.reportValidity()) return;
      onEdit({ kind: "extend", ...this.shared(this.seconds - MOMENT), seconds: numberIn(this.longer)!, before: this.seconds });
    });
  }

  private get seconds(): number {
    return this.stage ? this.stage.numFrames / this.stage.fps : 0;
  }

  show(take: Take | undefined, stage: Stage | undefined, model: Model): void {
    [this.take, this.stage, this.model] = [take, stage, model];
    this.element.hidden = !stage;
    if (!stage) return;
    const names = stage.people.map(({ name }) => name);
    options(this.who, ["both", ...names].slice(names.length < 2 ? 1 : 0));
    this.longer.min = String(Math.ceil(this.seconds * 10 + 1) / 10);
    this.longer.value = String(Math.round(this.seconds + 2));
    this.showSelection();
    this.refresh();
  }

  setBusy(busy: boolean): void {
    this.busy = busy;
    this.refresh();
  }

  showSelection(): void {
    const { selection } = this.timeline;
    if (selection) this.who.value = this.who.options.length > 1 ? selection.who : this.who.value;
    this.text.placeholder = (this.take && promptAt(this.take, selection?.start ?? 0)) ?? "what happens (optional)";
    this.start.value = String(selection?.start ?? "");
    this.end.value = String(selection?.end ?? "");
    this.refresh();
  }

  private readSelection(): void {
    const [start, end] = [numberIn(this.start), numberIn(this.end)];
    if (start === undefined || end === undefined) return;
    const selection: Selection = { who: this.who.value as Who, start: Math.min(start, end), end: Math.max(start, end) };
    this.timeline.select(selection);
  }

  // Without another prompt the one that holds at that time stays.
  private shared(seconds: number): { model: string; text: string | undefined; seed: number } {
    const text = this.text.value.trim() || (this.take && promptAt(this.take, seconds));
    return { model: this.model!.name, text, seed: newSeed() };
  }

  private refresh(): void {
    if (!this.model || !this.stage) return;
    const { features, people } = this.model;
    const here = this.stage.people.length;
    this.groups.stretch.hidden = !features.inpaint || here !== people;
    this.groups.extension.hidden = !features.inpaint || here !== people;
    this.partners.A.hidden = here < 2 ? !features.reaction : !features.inpaint || here !== people;
    this.partners.B.hidden = this.partners.A.hidden || here < 2;
    const { A } = this.partners;
    A.textContent = A.ariaLabel = A.title = here < 2 ? "Make person B" : "Keep A, new B";
    for (const item of [this.partners.A, this.partners.B, this.extend]) item.disabled = this.busy;
    this.regenerate.disabled = this.busy || !this.timeline.selection;
  }
}

function action(label: string): HTMLButtonElement {
  const item = button(label, () => undefined);
  item.append(label);
  return item;
}
