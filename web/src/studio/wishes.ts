// What is wished for beyond the text: touches, and paths over the floor.
import { button, make, svgElement } from "../shared/dom";
import type { ContactWish, PathWish, PersonName } from "./api";
import { labelled, numberIn, numberInput, options } from "./fields";

// Palms, and joints of the SMPL skeleton.
export const JOINTS = [
  ...["left_hand", "right_hand", "head", "neck", "left_shoulder", "right_shoulder", "left_elbow", "right_elbow"],
  ...["spine3", "pelvis", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle"],
];
const MAP_REACH = 3; // metres from the middle of the map to its edge
const spoken = (joint: string): string => joint.replace("spine3", "chest").replace("_", " ");

export class Contacts {
  readonly element = make("fieldset", { class: "wishes" }, make("legend", {}, "Touches"));
  private readonly rows = make("div", { class: "rows" });

  constructor() {
    const add = button("Add a touch", () => this.add({ first: "right_hand", second: "left_shoulder", start: 1, end: 2 }));
    add.append("Add a touch");
    this.element.append(this.rows, add);
  }

  read(): ContactWish[] {
    return [...this.rows.children].map((row) => {
      const [first, second] = [...row.querySelectorAll("select")].map(({ value }) => value);
      const [start, end] = [...row.querySelectorAll("input")].map((input) => numberIn(input) ?? 0);
      return { first: first!, second: second!, start: start!, end: end! };
    });
  }

  fill(wishes: ContactWish[]): void {
    this.rows.replaceChildren();
    for (const wish of wishes) this.add(wish);
  }

  private add({ first, second, start, end }: ContactWish): void {
    const joints = [first, second].map((joint, person) => {
      const select = make("select", { ariaLabel: `Joint of ${"AB"[person]}` });
      options(select, JOINTS, spoken);
      select.value = joint;
      return select;
    });
    const times = make(
      "div",
      { class: "row" },
      numberInput("Touch from, seconds", { min: 0, value: start }),
      "to",
      numberInput("Touch until, seconds", { min: 0, value: end }),
      "s",
    );
    const wish = make("div", {}, make("div", { class: "row" }, "A", joints[0]!, "B", joints[1]!), times);
    times.append(removal(wish, "Remove this touch"));
    this.rows.append(wish);
  }
}

export class Paths {
  readonly element = make("fieldset", { class: "wishes" }, make("legend", {}, "Paths"));
  private readonly person = make("select", { ariaLabel: "Person whose path is drawn" });
  private readonly map = svgElement("svg", { viewBox: `${-MAP_REACH} ${-MAP_REACH} ${2 * MAP_REACH} ${2 * MAP_REACH}`, class: "floor-map", role: "img", "aria-label": "The floor from above, six metres wide" });
  private readonly rows = make("div", { class: "rows" });

  constructor() {
    options(this.person, ["A", "B"]);
    const add = button("Add a point", () => this.add(this.chosen, this.nextTime(), 0, 0));
    add.append("Add a point");
    const clear = button("Clear the paths", () => this.fill([]));
    clear.append("Clear");
    this.map.addEventListener("click", ({ clientX, clientY }) => {
      const { left, top, width, height } = this.map.getBoundingClientRect();
      // Ahead is up, and left of the first person is left.
      const [x, z] = [(clientX - left) / width, (clientY - top) / height].map((share) => Math.round((1 - share * 2) * MAP_REACH * 10) / 10);
      this.add(this.chosen, this.nextTime(), x!, z!);
    });
    this.rows.addEventListener("input", () => this.draw());
    this.element.append(labelled("Person", this.person), this.map, this.rows, make("div", { class: "row" }, add, clear));
    this.draw();
  }

  read(): PathWish[] {
    const points = [...this.rows.children].map((row) => {
      const [time, x, z] = [...row.querySelectorAll("input")].map((input) => numberIn(input) ?? 0);
      return { person: row.querySelector("select")!.value as PersonName, point: [time!, x!, z!] as PathWish["points"][number] };
    });
    return (["A", "B"] as const)
      .map((person) => ({ person, points: points.filter((each) => each.person === person).map(({ point }) => point).sort((a, b) => a[0] - b[0]) }))
      .filter((path) => path.points.length > 0);
  }

  fill(paths: PathWish[]): void {
    this.rows.replaceChildren();
    for (const { person, points } of paths) for (const point of points) this.add("AB".indexOf(person), ...point);
    this.draw();
  }

  private get chosen(): number {
    return "AB".indexOf(this.person.value);
  }

  private nextTime(): number {
    const path = this.read().find(({ person }) => person === this.person.value);
    return path ? path.points.at(-1)![0] + 1 : 0;
  }

  private add(person: number, time: number, x: number, z: number): void {
    // The first person's path starts at the origin.
    const [atX, atZ] = person === 0 && time === 0 ? [0, 0] : [x, z];
    const who = make("select", { ariaLabel: "Person" });
    options(who, ["A", "B"]);
    who.value = "AB"[person]!;
    const point = make(
      "div",
      { class: "row" },
      who,
      numberInput("Time, seconds", { min: 0, value: time }),
      "s",
      numberInput("To the left, metres", { value: atX }),
      numberInput("Ahead, metres", { value: atZ }),
      "m",
    );
    point.append(removal(point, "Remove this point", () => this.draw()));
    this.rows.append(make("div", {}, point));
    this.draw();
  }

  private draw(): void {
    const grid = svgElement("path", { class: "map-grid", d: Array.from({ length: 7 }, (_, line) => `M-3 ${line - 3}H3M${line - 3} -3V3`).join("") });
    this.map.replaceChildren(grid);
    for (const { person, points } of this.read()) {
      const places = points.map(([, x, z]) => `${-x} ${-z}`);
      this.map.append(svgElement("path", { class: `map-path map-${person}`, d: `M${places.join("L")}` }));
      for (const [, x, z] of points) this.map.append(svgElement("circle", { class: `map-${person}`, cx: -x, cy: -z, r: 0.12 }));
    }
  }
}

function removal(row: HTMLElement, label: string, then: () => void = () => undefined): HTMLButtonElement {
  const remove = button(label, () => {
    row.remove();
    then();
  }, "remove");
  remove.append("×");
  return remove;
}
