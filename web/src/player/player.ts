// A player for the .glb files that duomotion writes: mount(element, bytes) fills the element with it.
import { button, make } from "../shared/dom";
import { createHelp, press } from "../shared/keys";
import { Playback } from "../shared/playback";
import { Screen } from "../shared/screen";
import { createStage, type Stage } from "../shared/stage";
import theme from "../shared/theme.css?inline";
import { createTransport } from "../shared/transport";
import style from "./player.css?inline";

export interface Player {
  readonly numFrames: number;
  readonly fps: number;
  readonly caption: string;
  readonly frame: number;
  readonly playing: boolean;
  seek: (frame: number) => void;
  play: () => void;
  pause: () => void;
  // World positions of every person's joints in the frame that is shown, [person][joint][xyz].
  joints: () => number[][][];
  dispose: () => void;
}

// The player that keys go to where nothing on the page has the focus.
let current: HTMLElement | undefined;

// The bytes of a page's own clip: base64 of a gzipped .glb.
export async function unpack(text: string): Promise<ArrayBuffer> {
  const packed = Uint8Array.from(atob(text.trim()), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}

export async function mount(element: HTMLElement, bytes: ArrayBuffer): Promise<Player> {
  addStyle();
  const root = make("section", { class: "duo duo-player", tabIndex: 0, ariaLabel: "Motion player" });
  const canvas = make("canvas", { ariaLabel: "3D view; drag to turn, scroll to zoom", role: "img" });
  root.append(canvas);
  element.replaceChildren(root);

  let stage: Stage;
  let screen: Screen;
  try {
    stage = await createStage(canvas, bytes);
    screen = new Screen(canvas);
  } catch (problem) {
    const reason = problem instanceof Error ? problem.message : String(problem);
    root.append(make("p", { class: "duo-problem", role: "alert" }, `This motion can't be shown: ${reason}`));
    throw problem;
  }

  let dirty = true;
  const redraw = (): void => void (dirty = true);
  const listening = new AbortController();
  const { signal } = listening;
  const frameAll = (): void => {
    stage.frameAll();
    redraw();
  };

  const playback = new Playback(
    () => {
      transport.refresh();
      stage.show(playback.view);
      redraw();
    },
    () => {
      stage.pose(playback.seconds);
      transport.showFrame();
      redraw();
    },
  );
  const transport = createTransport(playback, { frameAll, orbit: stage.orbit });
  const bindings = [...transport.bindings, { keys: ["?"], label: "This list", act: () => help.showModal() }];
  const help = createHelp(bindings);
  const header = make("header", {}, ...title(stage.caption), legend(stage, () => playback.setView(playback.view)));
  root.append(header, transport.bar, help);

  const isHere = (target: EventTarget | null): boolean => {
    if (target instanceof Node && root.contains(target)) return true;
    return current === root && (target === document.body || target === document.documentElement);
  };
  document.addEventListener("keydown", (event) => isHere(event.target) && !help.open && press(bindings, event), { signal });
  current = root;
  for (const kind of ["pointerdown", "focusin"]) root.addEventListener(kind, () => (current = root), { signal });

  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const applyTheme = (): void => {
    stage.theme(dark.matches);
    redraw();
  };
  dark.addEventListener("change", applyTheme, { signal });
  const resize = (): void => {
    screen.resize();
    stage.resize({ top: header.offsetHeight * 0.7, bottom: root.clientHeight - transport.bar.offsetTop });
    redraw();
  };
  const observer = new ResizeObserver(resize);
  observer.observe(root);
  stage.onCamera(redraw);

  let request = 0;
  let clockTime: number | undefined;
  function tick(now: number): void {
    request = requestAnimationFrame(tick);
    playback.advance(Math.min((now - (clockTime ?? now)) / 1000, 0.1));
    clockTime = now;
    stage.update();
    if (!dirty) return;
    dirty = false;
    screen.render([stage]);
  }

  applyTheme();
  resize();
  playback.setClip(stage.fps, stage.numFrames);
  playback.setPlaying(!window.matchMedia("(prefers-reduced-motion: reduce)").matches);
  request = requestAnimationFrame(tick);

  return {
    numFrames: stage.numFrames,
    fps: stage.fps,
    caption: stage.caption,
    get frame() {
      return playback.frame;
    },
    get playing() {
      return playback.playing;
    },
    seek: (frame) => playback.seek(frame),
    play: () => playback.setPlaying(true),
    pause: () => playback.setPlaying(false),
    joints: () =>
      stage.people.map(({ bones }) => bones.map(({ matrixWorld }) => matrixWorld.elements.slice(12, 15))),
    dispose() {
      cancelAnimationFrame(request);
      listening.abort();
      observer.disconnect();
      stage.dispose();
      screen.dispose();
      root.remove();
      if (current === root) current = undefined;
    },
  };
}

function title(caption: string): HTMLElement[] {
  return caption ? [make("h1", { dir: "auto", title: caption }, caption)] : [];
}

function legend(stage: Stage, onChange: () => void): HTMLElement {
  const list = make("ul", { class: "duo-legend", ariaLabel: "People" });
  for (const person of stage.people) {
    const dot = make("i");
    dot.style.background = person.colour.getStyle();
    const toggle = button(`Show or hide person ${person.name}`, () => {
      person.visible = !person.visible;
      toggle.ariaPressed = String(person.visible);
      onChange();
    });
    toggle.ariaPressed = "true";
    toggle.append(dot, person.name);
    list.append(make("li", {}, toggle));
  }
  return list;
}

function addStyle(): void {
  if (document.getElementById("duo-style")) return;
  document.head.append(make("style", { id: "duo-style" }, theme, style));
}
