// The bar below the picture, and the keys that do the same.
import { button, icon, iconButton, make } from "./dom";
import type { Binding } from "./keys";
import { SPEEDS, type Playback, type View } from "./playback";

const ORBIT_STEP = Math.PI / 18;
const VIEWS: [View, string][] = [
  ["body", "Body"],
  ["skeleton", "Skeleton"],
  ["both", "Both"],
];

// What of a stage, or of several, the bar and the keys act on.
export interface Cameras {
  frameAll: () => void;
  orbit: (angle: number) => void;
}

export interface Transport {
  bar: HTMLElement;
  options: HTMLElement;
  bindings: Binding[];
  refresh: () => void;
  showFrame: () => void;
}

export function createTransport(playback: Playback, cameras: Cameras): Transport {
  const play = button("", () => playback.setPlaying(!playback.playing), "duo-play");
  const scrub = make("input", { type: "range", min: "0", step: "1", ariaLabel: "Frame" });
  scrub.addEventListener("input", () => {
    playback.seek(Number(scrub.value));
    playback.setPlaying(false);
  });
  const clock = make("output", { class: "duo-clock" });
  const speed = make("select", { ariaLabel: "Speed", title: "Speed (< and >)" });
  for (const value of SPEEDS) speed.append(new Option(`${value}×`, String(value)));
  speed.addEventListener("change", () => playback.setSpeed(Number(speed.value)));
  const loop = iconButton("loop", "Loop (L)", () => playback.setLoop(!playback.loop));
  const views = make("div", { class: "duo-views", role: "group", ariaLabel: "What to show" });
  const viewButtons = VIEWS.map(([view, label]) => {
    const item = button(`${label} (B changes)`, () => playback.setView(view));
    item.append(label);
    views.append(item);
    return item;
  });
  const frameAll = iconButton("frame", "Frame all (F)", cameras.frameAll);

  const track = make("div", { class: "duo-track" }, play, scrub, clock);
  const options = make("div", { class: "duo-options" }, speed, loop, views, frameAll);
  const bar = make("div", { class: "duo-bar" }, track, options);

  function showFrame(): void {
    const { frame, lastFrame, numFrames } = playback;
    const whole = Math.round(frame);
    scrub.value = String(whole);
    scrub.style.setProperty("--done", `${lastFrame ? (100 * frame) / lastFrame : 0}%`);
    scrub.ariaValueText = `frame ${whole + 1} of ${numFrames}`;
    clock.value = `${playback.seconds.toFixed(2)} s`;
    clock.dataset.frames = `${whole + 1} / ${numFrames}`;
  }

  function refresh(): void {
    scrub.max = String(playback.lastFrame);
    play.replaceChildren(icon(playback.playing ? "pause" : "play"));
    play.ariaLabel = play.title = playback.playing ? "Pause (space)" : "Play (space)";
    loop.ariaPressed = String(playback.loop);
    speed.value = String(playback.speed);
    VIEWS.forEach(([view], index) => (viewButtons[index]!.ariaPressed = String(view === playback.view)));
    showFrame();
  }

  const second = (): number => Math.round(playback.fps);
  const bindings: Binding[] = [
    { keys: [" "], label: "Play or pause", act: () => playback.setPlaying(!playback.playing) },
    { keys: ["ArrowLeft"], label: "A frame back", act: () => playback.step(-1) },
    { keys: ["ArrowRight"], label: "A frame on", act: () => playback.step(1) },
    { keys: ["PageUp"], label: "A second back", act: () => playback.step(-second()) },
    { keys: ["PageDown"], label: "A second on", act: () => playback.step(second()) },
    { keys: ["Home"], label: "To the start", act: () => playback.seek(0) },
    { keys: ["End"], label: "To the end", act: () => playback.seek(playback.lastFrame) },
    { keys: ["<"], label: "Slower", act: () => playback.changeSpeed(-1) },
    { keys: [">"], label: "Faster", act: () => playback.changeSpeed(1) },
    { keys: ["l"], label: "Loop", act: () => playback.setLoop(!playback.loop) },
    { keys: ["b"], label: "Body, skeleton or both", act: () => playback.nextView() },
    { keys: ["f"], label: "Frame all", act: cameras.frameAll },
    { keys: ["Shift+ArrowLeft"], label: "Turn the camera left", act: () => cameras.orbit(-ORBIT_STEP) },
    { keys: ["Shift+ArrowRight"], label: "Turn the camera right", act: () => cameras.orbit(ORBIT_STEP) },
  ];
  return { bar, options, bindings, refresh, showFrame };
}
