// A track for each person, the prompts above, the distance below; dragging over a track selects a stretch.
import { button, make, svgElement } from "../shared/dom";
import type { Playback } from "../shared/playback";
import type { Stage } from "../shared/stage";
import type { PersonName } from "./api";
import type { Take } from "./scene";

export type Who = PersonName | "both";

export interface Selection {
  who: Who;
  // Seconds.
  start: number;
  end: number;
}

interface Stretch {
  start: number;
  end: number;
  text: string;
}

const MIN_DRAG = 4; // pixels; less is a click, which seeks
const LANES: [Who, string][] = [
  ["both", "Prompt"],
  ["A", "A"],
  ["B", "B"],
];

export class Timeline {
  readonly element = make("section", { class: "timeline", ariaLabel: "Timeline" });
  selection: Selection | undefined;
  private readonly head = make("div", { class: "playhead" });
  private readonly range = make("div", { class: "range" });
  private readonly lanes = make("div", { class: "lanes" });
  private readonly labels = make("div", { class: "lane-labels" });
  private readonly distance = make("output", { class: "distance" });
  private tracks = new Map<Who, HTMLElement>();
  private stage: Stage | undefined;

  constructor(
    private readonly playback: Playback,
    private readonly onSelect: () => void,
    private readonly onShow: () => void,
  ) {
    this.element.append(this.labels, this.lanes);
    this.lanes.addEventListener("pointerdown", (event) => this.press(event));
  }

  private get seconds(): number {
    return this.playback.lastFrame / this.playback.fps || 1;
  }

  show(take: Take | undefined, stage: Stage | undefined): void {
    this.stage = stage;
    this.element.hidden = !take || !stage;
    if (!take || !stage) return;
    const stretches = stretchesOf(take, stage.numFrames / stage.fps);
    this.labels.replaceChildren(make("span", { class: "lane-label ruler" }, "s"));
    this.lanes.replaceChildren(this.ruler());
    this.tracks = new Map();
    for (const [who, name] of LANES) {
      const person = stage.people.find((each) => each.name === who);
      if (who !== "both" && !person) continue;
      this.labels.append(person ? this.toggle(person) : make("span", { class: "lane-label" }, name));
      const track = make("div", { class: "lane track" });
      track.dataset.who = who;
      for (const { start, end, text } of stretches[who]) {
        const block = make("div", { class: "stretch", title: text }, text);
        if (person) block.style.setProperty("--colour", person.colour.getStyle());
        this.place(block, start, end);
        track.append(block);
      }
      if (who !== "both") track.dataset.hint = `drag to select a stretch of ${who}`;
      this.tracks.set(who, track);
      this.lanes.append(track);
    }
    if (stage.people.length === 2) {
      this.labels.append(make("span", { class: "lane-label curve" }, this.distance));
      this.lanes.append(curve(stage, this.seconds));
    }
    this.lanes.append(this.head);
    if (this.selection && this.selection.end > this.seconds + 0.5) this.selection = undefined;
    this.showSelection();
    this.showFrame();
  }

  select(selection: Selection | undefined): void {
    this.selection = selection;
    this.showSelection();
    this.onSelect();
  }

  // Moves an end of the selection to the frame that is shown.
  mark(end: "start" | "end"): void {
    const { who, start, end: stop } = this.selection ?? { who: "both" as const, start: 0, end: this.seconds };
    const now = this.playback.seconds;
    const [from, to] = end === "start" ? [now, Math.max(stop, now)] : [Math.min(start, now), now];
    this.select({ who, start: round(from), end: round(to) });
  }

  showFrame(): void {
    this.head.style.left = `${(100 * this.playback.seconds) / this.seconds}%`;
    const frame = Math.min(Math.round(this.playback.frame), (this.stage?.numFrames ?? 1) - 1);
    const meeting = this.stage?.recording.meetings[frame];
    if (!meeting || this.stage?.people.length !== 2) return;
    this.distance.value = `${meeting.distance.toFixed(2)} m`;
    this.distance.classList.toggle("touching", meeting.touches.length > 0);
    this.distance.title = "Between the joints of the two that are nearest";
  }

  private showSelection(): void {
    const track = this.selection && this.tracks.get(this.selection.who);
    if (!this.selection || !track) return this.range.remove();
    this.place(this.range, this.selection.start, this.selection.end);
    track.append(this.range);
  }

  private toggle(person: Stage["people"][number]): HTMLElement {
    const dot = make("i");
    dot.style.background = person.colour.getStyle();
    const item = button(`Show or hide person ${person.name}`, () => {
      person.visible = !person.visible;
      item.ariaPressed = String(person.visible);
      this.onShow();
    }, "lane-label");
    item.ariaPressed = String(person.visible);
    item.append(dot, person.name);
    return item;
  }

  private place(block: HTMLElement, start: number, end: number): void {
    const whole = this.seconds;
    const [left, right] = [start, end].map((time) => 100 * Math.min(time / whole, 1)) as [number, number];
    block.style.left = `${left}%`;
    block.style.width = `${Math.max(right - left, 0)}%`;
  }

  private ruler(): HTMLElement {
    const ruler = make("div", { class: "lane ruler" });
    const whole = this.seconds;
    const step = [0.5, 1, 2, 5, 10].find((each) => whole / each <= 12) ?? 20;
    for (let time = 0; time <= whole * 0.98; time += step) {
      const tick = make("span", {}, String(time));
      tick.style.left = `${(100 * time) / whole}%`;
      ruler.append(tick);
    }
    return ruler;
  }

  private timeAt(x: number): number {
    const { left, width } = this.lanes.getBoundingClientRect();
    return Math.min(Math.max((x - left) / width, 0), 1) * this.seconds;
  }

  private press(event: PointerEvent): void {
    const track = event.target instanceof Element ? event.target.closest<HTMLElement>(".track") : null;
    const from = event.clientX;
    const seek = (x: number): void => {
      this.playback.setPlaying(false);
      this.playback.seek(Math.round(this.timeAt(x) * this.playback.fps));
    };
    const drag = ({ clientX }: PointerEvent): void => {
      if (!track) return seek(clientX);
      if (Math.abs(clientX - from) < MIN_DRAG) return;
      const [start, end] = [this.timeAt(from), this.timeAt(clientX)].sort((a, b) => a - b) as [number, number];
      this.select({ who: track.dataset.who as Who, start: round(start), end: round(end) });
    };
    const listening = new AbortController();
    const release = ({ clientX }: PointerEvent): void => {
      listening.abort();
      if (!track || Math.abs(clientX - from) >= MIN_DRAG) return;
      seek(clientX);
      this.select(undefined);
    };
    if (!track) seek(from);
    this.lanes.setPointerCapture(event.pointerId);
    this.lanes.addEventListener("pointermove", drag, { signal: listening.signal });
    this.lanes.addEventListener("pointerup", release, { signal: listening.signal });
    this.lanes.addEventListener("pointercancel", () => listening.abort(), { signal: listening.signal });
  }
}

// Which stretch of the clip came from which step.
function stretchesOf({ steps }: Take, seconds: number): Record<Who, Stretch[]> {
  const found: Record<Who, Stretch[]> = { both: [], A: [], B: [] };
  const first = steps.find((step) => step.kind === "extend")?.before ?? seconds;
  for (const step of steps) {
    const text = "text" in step && step.text ? step.text : "";
    if (step.kind === "generate" && step.prompts) {
      let end = 0;
      for (const prompt of step.prompts) found.both.push({ start: end, end: (end += prompt.seconds), text: prompt.text });
    } else if (step.kind === "generate") {
      found.both.push({ start: 0, end: first, text: step.partner ? `A: ${text} · B: ${step.partner}` : text });
    } else if (step.kind === "upload") {
      found.both.push({ start: 0, end: first, text: step.name });
    } else if (step.kind === "extend") {
      found.both.push({ start: step.before, end: step.seconds, text: text || "extended" });
    } else if (step.kind === "react") {
      found[step.person === "A" ? "B" : "A"].push({ start: 0, end: seconds, text: text || "reaction" });
    } else {
      found[step.person ?? "both"].push({ start: step.start, end: step.end, text: text || "anew" });
    }
  }
  return found;
}

// `seconds`: of the lane, which a longer take may set.
function curve(stage: Stage, seconds: number): HTMLElement {
  const { meetings } = stage.recording;
  const last = Math.max(meetings.length - 1, 1);
  const top = Math.max(1, ...meetings.map(({ distance }) => distance));
  const svg = svgElement("svg", { viewBox: `0 0 ${last} ${top}`, preserveAspectRatio: "none", role: "img", "aria-label": "Distance between the people" });
  const touching = meetings.map(({ touches }, frame) => (touches.length ? `M${Math.max(frame - 0.5, 0)} ${top}h1` : "")).join("");
  const line = meetings.map(({ distance }, frame) => `${frame ? "L" : "M"}${frame} ${(top - distance).toFixed(3)}`).join("");
  svg.style.width = `${(100 * last) / stage.fps / seconds}%`;
  svg.append(svgElement("path", { class: "curve-touch", d: touching }), svgElement("path", { class: "curve-line", d: line }));
  const lane = make("div", { class: "lane curve" });
  lane.append(svg);
  return lane;
}

function round(seconds: number): number {
  return Math.round(seconds * 100) / 100;
}
