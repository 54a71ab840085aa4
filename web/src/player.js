// A player for the .glb files that duomotion writes: mount(element, bytes) fills the element with it.
import style from "./player.css?inline";
import { createStage } from "./stage.js";

const SPEEDS = [0.25, 0.5, 1, 2];
const ORBIT_STEP = Math.PI / 18;
const ICONS = {
  play: "M8 5.2v13.6a1 1 0 0 0 1.5.86l11-6.8a1 1 0 0 0 0-1.72l-11-6.8A1 1 0 0 0 8 5.2Z",
  pause: "M7 5h3.4v14H7zM13.6 5H17v14h-3.4z",
  loop: "M17 2.5 21 6.5l-4 4V7.6H8a3.4 3.4 0 0 0-3.4 3.4v.8H2.4V11A5.6 5.6 0 0 1 8 5.4h9ZM7 21.5 3 17.5l4-4v2.9h9a3.4 3.4 0 0 0 3.4-3.4v-.8h2.2v.8A5.6 5.6 0 0 1 16 18.6H7Z",
  frame: "M3 9V3h6v2.2H5.2V9zM15 3h6v6h-2.2V5.2H15zM3 15h2.2v3.8H9V21H3zM18.8 15H21v6h-6v-2.2h3.8zM12 8.6a3.4 3.4 0 1 1 0 6.8 3.4 3.4 0 0 1 0-6.8Z",
};

// The bytes of a page's own clip: base64 of a gzipped .glb.
export async function unpack(text) {
  const packed = Uint8Array.from(atob(text.trim()), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}

export async function mount(element, bytes) {
  addStyle();
  const root = make("section", { class: "duo", tabIndex: 0, ariaLabel: "Motion player" });
  const canvas = make("canvas", { ariaLabel: "3D view; drag to turn, scroll to zoom", role: "img" });
  root.append(canvas);
  element.replaceChildren(root);

  let stage;
  try {
    stage = await createStage(canvas, bytes);
  } catch (problem) {
    root.append(make("p", { class: "duo-problem", role: "alert" }, `This motion can't be shown: ${problem.message}`));
    throw problem;
  }

  const { fps, numFrames } = stage;
  const lastFrame = numFrames - 1;
  const state = { frame: 0, playing: false, loop: true, speed: 1, view: "body" };
  const listening = new AbortController();
  const { signal } = listening;

  const header = make("header");
  if (stage.caption) header.append(make("h1", { dir: "auto", title: stage.caption }, stage.caption));
  const legend = make("ul", { class: "duo-legend", ariaLabel: "People" });
  for (const person of stage.people) {
    const dot = make("i");
    dot.style.background = person.colour.getStyle();
    const toggle = button(`Show or hide person ${person.name}`, () => {
      person.visible = !person.visible;
      toggle.ariaPressed = String(person.visible);
      stage.show(state.view);
      dirty = true;
    });
    toggle.ariaPressed = "true";
    toggle.append(dot, person.name);
    const item = make("li");
    item.append(toggle);
    legend.append(item);
  }
  header.append(legend);

  const play = button("Play (space)", () => setPlaying(!state.playing), "duo-play");
  const scrub = make("input", { type: "range", min: 0, max: lastFrame, step: 1, ariaLabel: "Frame" });
  const clock = make("output", { class: "duo-clock" });
  const speed = make("select", { ariaLabel: "Speed", title: "Speed (< and >)" });
  for (const value of SPEEDS) speed.append(new Option(`${value}×`, value, value === 1, value === 1));
  const loop = button("Loop (L)", () => setLoop(!state.loop), "duo-icon");
  loop.append(icon(ICONS.loop));
  const views = make("div", { class: "duo-views", role: "group", ariaLabel: "What to show" });
  const viewButtons = {};
  for (const [view, label] of [["body", "Body"], ["skeleton", "Skeleton"], ["both", "Both"]]) {
    viewButtons[view] = button(`${label} (B changes)`, () => setView(view));
    viewButtons[view].append(label);
    views.append(viewButtons[view]);
  }
  const frameAll = button("Frame all (F)", () => {
    stage.frameAll();
    dirty = true;
  }, "duo-icon");
  frameAll.append(icon(ICONS.frame));

  const track = make("div", { class: "duo-track" });
  track.append(play, scrub, clock);
  const options = make("div", { class: "duo-options" });
  options.append(speed, loop, views, frameAll);
  const bar = make("div", { class: "duo-bar" });
  bar.append(track, options);
  root.append(header, bar);

  let dirty = true;
  let clockTime;

  function showFrame() {
    const whole = Math.round(state.frame);
    stage.pose(state.frame / fps);
    scrub.value = whole;
    scrub.style.setProperty("--done", `${lastFrame ? (100 * state.frame) / lastFrame : 0}%`);
    scrub.ariaValueText = `frame ${whole + 1} of ${numFrames}`;
    clock.value = `${(state.frame / fps).toFixed(2)} s`;
    clock.dataset.frames = `${whole + 1} / ${numFrames}`;
    dirty = true;
  }

  function seek(frame) {
    state.frame = Math.min(Math.max(frame, 0), lastFrame);
    showFrame();
  }

  function setPlaying(playing) {
    state.playing = playing && lastFrame > 0;
    if (state.playing && state.frame >= lastFrame) state.frame = 0;
    play.replaceChildren(icon(state.playing ? ICONS.pause : ICONS.play));
    play.ariaLabel = play.title = state.playing ? "Pause (space)" : "Play (space)";
  }

  function setLoop(on) {
    state.loop = on;
    loop.ariaPressed = String(on);
  }

  function setView(view) {
    state.view = view;
    for (const [name, item] of Object.entries(viewButtons)) item.ariaPressed = String(name === view);
    stage.show(view);
    dirty = true;
  }

  function setSpeed(value) {
    state.speed = value;
    speed.value = value;
  }

  function advance(seconds) {
    const next = state.frame + seconds * fps * state.speed;
    if (next <= lastFrame) state.frame = next;
    else if (state.loop) state.frame = next % (lastFrame || 1);
    else {
      state.frame = lastFrame;
      setPlaying(false);
    }
    showFrame();
  }

  scrub.addEventListener("input", () => {
    setPlaying(false);
    seek(Number(scrub.value));
  });
  speed.addEventListener("change", () => setSpeed(Number(speed.value)));
  stage.onCamera(() => (dirty = true));

  const step = (frames) => {
    setPlaying(false);
    seek(Math.round(state.frame) + frames);
  };
  const keys = {
    " ": () => setPlaying(!state.playing),
    ArrowLeft: () => step(-1),
    ArrowRight: () => step(1),
    PageUp: () => step(-Math.round(fps)),
    PageDown: () => step(Math.round(fps)),
    Home: () => seek(0),
    End: () => seek(lastFrame),
    l: () => setLoop(!state.loop),
    b: () => setView({ body: "skeleton", skeleton: "both", both: "body" }[state.view]),
    f: () => frameAll.click(),
    "<": () => setSpeed(SPEEDS[Math.max(SPEEDS.indexOf(state.speed) - 1, 0)]),
    ">": () => setSpeed(SPEEDS[Math.min(SPEEDS.indexOf(state.speed) + 1, SPEEDS.length - 1)]),
  };
  root.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const onControl = event.target.closest("button, select");
    if (onControl && (event.key === " " || event.target === speed)) return;
    if (event.shiftKey && event.key.startsWith("Arrow")) {
      if (event.key === "ArrowLeft" || event.key === "ArrowRight") {
        stage.orbit(event.key === "ArrowLeft" ? -ORBIT_STEP : ORBIT_STEP);
        event.preventDefault();
      }
      return;
    }
    const act = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!act) return;
    event.preventDefault();
    act();
  }, { signal });

  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const applyTheme = () => {
    stage.theme(dark.matches);
    dirty = true;
  };
  dark.addEventListener("change", applyTheme, { signal });
  const resize = () => {
    const bottom = root.clientHeight - bar.offsetTop;
    stage.resize({ top: header.offsetHeight * 0.7, bottom });
    dirty = true;
  };
  const observer = new ResizeObserver(resize);
  observer.observe(root);

  let request;
  function tick(now) {
    request = requestAnimationFrame(tick);
    const passed = Math.min((now - (clockTime ?? now)) / 1000, 0.1);
    clockTime = now;
    if (state.playing) advance(passed);
    stage.update();
    if (!dirty) return;
    dirty = false;
    stage.render();
  }

  applyTheme();
  resize();
  setLoop(true);
  setView("body");
  seek(0);
  setPlaying(!window.matchMedia("(prefers-reduced-motion: reduce)").matches);
  request = requestAnimationFrame(tick);

  return {
    numFrames,
    fps,
    caption: stage.caption,
    seek,
    play: () => setPlaying(true),
    pause: () => setPlaying(false),
    get frame() {
      return state.frame;
    },
    get playing() {
      return state.playing;
    },
    // World positions of every person's joints in the frame that is shown, [person][joint][xyz].
    joints: () => stage.people.map(({ bones }) => bones.map((bone) => bone.matrixWorld.elements.slice(12, 15))),
    dispose() {
      cancelAnimationFrame(request);
      listening.abort();
      observer.disconnect();
      stage.dispose();
      root.remove();
    },
  };
}

function make(tag, { class: name, ...properties } = {}, text = "") {
  const element = document.createElement(tag);
  if (name) element.className = name;
  Object.assign(element, properties);
  element.textContent = text;
  return element;
}

function button(label, act, name = "") {
  const element = make("button", { type: "button", class: name, title: label, ariaLabel: label });
  element.addEventListener("click", act);
  return element;
}

function icon(path) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const shape = document.createElementNS(svg.namespaceURI, "path");
  shape.setAttribute("d", path);
  svg.append(shape);
  return svg;
}

function addStyle() {
  if (document.getElementById("duo-style")) return;
  document.head.append(make("style", { id: "duo-style" }, style));
}
