// The picture: takes side by side, played together.
import { make } from "../shared/dom";
import { Playback } from "../shared/playback";
import { Screen } from "../shared/screen";
import { createStage, type Stage } from "../shared/stage";
import { fetchMotion, type Step } from "./api";
import type { Scene, Take } from "./scene";

interface Cell {
  element: HTMLElement;
  label: HTMLButtonElement;
  stage: Stage;
}

const MARGINS = { top: 24, bottom: 8 };

export class Viewer {
  readonly element = make("div", { class: "viewer" });
  readonly playback: Playback;
  following = false;
  private readonly canvas = make("canvas", { role: "img", ariaLabel: "The people in 3D" });
  private readonly screen = new Screen(this.canvas);
  private readonly dark = window.matchMedia("(prefers-color-scheme: dark)");
  private cells = new Map<string, Cell>();
  private shown: Cell[] = [];
  private current: Cell | undefined;
  private wanted: Scene | undefined;
  private dirty = true;
  private clockTime: number | undefined;

  // `onSelect` is called with a take that is to be the current one.
  constructor(
    onChange: () => void,
    onFrame: () => void,
    private readonly onSelect: (index: number) => void,
  ) {
    this.element.append(this.canvas);
    this.playback = new Playback(
      () => {
        for (const { stage } of this.shown) stage.show(this.playback.view);
        this.redraw();
        onChange();
      },
      () => {
        for (const { stage } of this.shown) stage.pose(this.playback.seconds);
        this.redraw();
        onFrame();
      },
    );
    new ResizeObserver(() => this.resize()).observe(this.element);
    this.dark.addEventListener("change", () => this.applyTheme());
    requestAnimationFrame((now) => this.tick(now));
  }

  get stage(): Stage | undefined {
    return this.current?.stage;
  }

  redraw(): void {
    this.dirty = true;
  }

  // Shows the scene; takes that stay are not loaded again. False where another scene was asked for meanwhile.
  async show(scene: Scene): Promise<boolean> {
    const { takes, current, alone } = scene;
    this.wanted = scene;
    const cells = await Promise.all(takes.map((take) => this.cells.get(take.id) ?? this.load(take)));
    if (this.wanted !== scene) return false;
    const kept = new Set(cells);
    for (const cell of this.cells.values()) if (!kept.has(cell)) cell.stage.dispose();
    this.cells = new Map(takes.map(({ id }, index) => [id, cells[index]!]));
    this.current = cells[current];
    this.shown = alone && this.current ? [this.current] : cells;
    this.element.replaceChildren(this.canvas, ...this.shown.map(({ element }) => element));
    this.element.dataset.count = String(this.shown.length);
    cells.forEach(({ label, element, stage }, index) => {
      const isCurrent = index === current;
      label.ariaPressed = String(isCurrent);
      label.hidden = takes.length < 2;
      label.textContent = describe(takes[index]!, index);
      label.onclick = () => this.onSelect(index);
      element.onpointerdown = () => this.current === cells[index] || this.onSelect(index);
      element.classList.toggle("current", isCurrent && this.shown.length > 1);
      stage.follow(this.following);
    });
    this.applyTheme();
    this.resize();
    const clip = this.current?.stage;
    if (!clip) return true;
    const seconds = Math.max(...this.shown.map(({ stage }) => stage.numFrames / stage.fps));
    this.playback.setClip(clip.fps, Math.round(seconds * clip.fps));
    return true;
  }

  frameAll(): void {
    for (const { stage } of this.shown) stage.frameAll();
    this.redraw();
  }

  orbit(angle: number): void {
    for (const { stage } of this.shown) stage.orbit(angle);
    this.redraw();
  }

  follow(on: boolean): void {
    this.following = on;
    for (const { stage } of this.cells.values()) stage.follow(on);
  }

  private async load(take: Take): Promise<Cell> {
    const element = make("div", { class: "cell" });
    const label = make("button", { type: "button", class: "cell-label" });
    element.append(label);
    const stage = await createStage(element, await fetchMotion(take.id));
    stage.showTouches(true);
    stage.onCamera(() => this.redraw());
    return { element, label, stage };
  }

  private applyTheme(): void {
    for (const { stage } of this.cells.values()) stage.theme(this.dark.matches);
    this.redraw();
  }

  private resize(): void {
    this.screen.resize();
    for (const { stage } of this.shown) stage.resize(MARGINS);
    this.redraw();
  }

  private tick(now: number): void {
    requestAnimationFrame((next) => this.tick(next));
    this.playback.advance(Math.min((now - (this.clockTime ?? now)) / 1000, 0.1));
    this.clockTime = now;
    for (const { stage } of this.shown) stage.update();
    if (!this.dirty) return;
    this.dirty = false;
    this.screen.render(this.shown.map(({ stage }) => stage));
  }
}

function describe({ steps, pick }: Take, index: number): string {
  const edits = steps.length - 1;
  const changed = edits ? ` · ${edits} ${edits > 1 ? "edits" : "edit"}` : "";
  return `${index + 1} · ${source(steps[0]!, pick)}${changed}`;
}

function source(step: Step, pick: number): string {
  if (step.kind === "upload") return step.name;
  if (step.kind !== "generate") return step.kind;
  return `${step.model} · seed ${step.seed + pick}`;
}
