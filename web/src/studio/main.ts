// The studio: a page on which two people are directed.
import "../shared/theme.css";
import "./studio.css";
import { button, iconButton, make } from "../shared/dom";
import { createHelp, press, type Binding } from "../shared/keys";
import { createTransport } from "../shared/transport";
import { listModels, Locked, perform, unlock, upload, type Edit, type Generate, type Model } from "./api";
import { EditBar } from "./edits";
import { labelled } from "./fields";
import { Files } from "./files";
import { GenerateForm } from "./form";
import { decode, encode, replay } from "./link";
import { edited, History, takesOf, type Scene, type Take } from "./scene";
import { Status, type Watch } from "./status";
import { Timeline } from "./timeline";
import { Viewer } from "./viewer";

function start(models: Model[]): void {
  const history = new History();
  let running: AbortController | undefined;

  const status = new Status(() => running?.abort());
  const viewer: Viewer = new Viewer(
    () => transport.refresh(),
    () => {
      transport.showFrame();
      timeline.showFrame();
    },
    (current) => look({ current }),
  );
  const { playback } = viewer;
  const transport = createTransport(playback, {
    frameAll: () => viewer.frameAll(),
    orbit: (angle) => viewer.orbit(angle),
  });
  const timeline: Timeline = new Timeline(playback, () => edits.showSelection(), () => playback.setView(playback.view));
  const form = new GenerateForm(models, (requests) => void generate(requests));
  const edits = new EditBar(timeline, (edit) => void change(edit));
  const files = new Files((file) => void open(file), () => void copyLink());

  const follow = iconButton("follow", "Follow the people (C)", () => {
    viewer.follow(!viewer.following);
    follow.ariaPressed = String(viewer.following);
  });
  const undo = iconButton("undo", "Undo (Ctrl Z)", () => go("undo", "redo"));
  const redo = iconButton("redo", "Redo (Ctrl Shift Z)", () => go("redo", "undo"));
  const alone = button("Show this take alone, or all (A)", () => look({ alone: !history.scene.alone }));
  const help = button("Keys (?)", () => sheet.showModal(), "duo-icon");
  help.append("?");
  follow.ariaPressed = "false";
  transport.options.append(follow, alone, undo, redo, help);

  const bindings: Binding[] = [
    { keys: ["Ctrl+Enter"], label: "Generate", act: () => form.element.requestSubmit() },
    ...transport.bindings,
    { keys: ["c"], label: "Follow the people", act: () => follow.click() },
    { keys: ["i"], label: "The stretch begins here", act: () => timeline.mark("start") },
    { keys: ["o"], label: "The stretch ends here", act: () => timeline.mark("end") },
    { keys: ["Escape"], label: "No stretch", act: () => timeline.select(undefined) },
    { keys: ["["], label: "The take before", act: () => turn(-1) },
    { keys: ["]"], label: "The next take", act: () => turn(1) },
    { keys: ["a"], label: "One take or all", act: () => alone.click() },
    { keys: ["p"], label: "To the prompt", act: () => form.text.focus() },
    { keys: ["Ctrl+z"], label: "Undo", act: () => undo.click() },
    { keys: ["Ctrl+Shift+z", "Ctrl+y"], label: "Redo", act: () => redo.click() },
    { keys: ["?"], label: "This list", act: () => sheet.showModal() },
  ];
  const sheet = createHelp(bindings);
  document.addEventListener("keydown", (event) => !sheet.open && press(bindings, event));

  const invitation = make("p", { class: "invitation" }, "Describe what two people do, or open a motion file.");
  const stageArea = make("main", {}, viewer.element, invitation, make("div", { class: "notices" }, status.element, status.problem, status.remarks));
  document.body.append(
    make("aside", {}, form.element, files.element),
    make("div", { class: "work" }, stageArea, make("footer", {}, transport.bar, timeline.element, edits.element)),
    sheet,
  );

  const take = (): Take | undefined => history.scene.takes[history.scene.current];

  function modelOf({ steps }: Take): Model {
    const step = steps.findLast((each) => each.kind !== "upload");
    return models.find(({ name }) => name === step?.model) ?? form.chosen;
  }

  async function show(): Promise<void> {
    const { scene } = history;
    if (!(await viewer.show(scene))) return;
    const now = take();
    const model = now && modelOf(now);
    invitation.hidden = now !== undefined;
    timeline.show(now, viewer.stage);
    edits.show(now, now && viewer.stage, model ?? form.chosen);
    files.show(now);
    status.remark(now?.remarks ?? []);
    undo.disabled = !history.canUndo;
    redo.disabled = !history.canRedo;
    alone.hidden = scene.takes.length < 2;
    alone.textContent = scene.alone ? "All" : "Alone";
    transport.bar.hidden = now === undefined;
    window.history.replaceState(null, "", `#${encode(scene)}`);
  }

  // Does what may fail on the way to the next scene, and says so where it does.
  async function attempt(what: string, act: (watch: Watch, signal: AbortSignal) => Promise<Scene>): Promise<void> {
    if (running) return;
    running = new AbortController();
    setBusy(true);
    status.begin(what);
    try {
      const scene = await act(status.watch, running.signal);
      history.push(scene);
      await show();
      playback.setPlaying(!window.matchMedia("(prefers-reduced-motion: reduce)").matches);
    } catch (problem) {
      status.complain(problem instanceof Error ? problem.message : String(problem));
    } finally {
      running = undefined;
      status.end();
      setBusy(false);
    }
  }

  function setBusy(busy: boolean): void {
    form.setBusy(busy);
    edits.setBusy(busy);
  }

  const generate = (requests: Generate[]): Promise<void> =>
    attempt("Generating", async (watch, signal) => {
      const jobs = await Promise.all(requests.map((request) => perform(request, undefined, watch(), signal)));
      return { takes: jobs.flatMap((job, index) => takesOf(job, [requests[index]!])), current: 0, alone: false };
    });

  const change = (edit: Edit): Promise<void> =>
    attempt("Generating", async (watch, signal) => {
      const { scene } = history;
      const before = take()!;
      const after = edited(before, edit, await perform(edit, before.id, watch(), signal));
      return { ...scene, takes: scene.takes.with(scene.current, after) };
    });

  const open = (file: File): Promise<void> =>
    attempt("Reading the file", async () => {
      const step = await upload(file);
      const takes = takesOf({ state: "done", progress: 1, motions: [step.id] }, [step]);
      return { takes, current: 0, alone: false };
    });

  async function restore(text: string): Promise<void> {
    await attempt("Restoring", async (watch, signal) => {
      const { plans, current } = decode(text);
      const firsts = [...new Map(plans.map(({ steps }) => [JSON.stringify(steps[0]), steps[0]!])).values()];
      const [first, second] = firsts.filter((step) => step.kind === "generate");
      if (first) form.fill(first);
      if (first && second) form.compareWith(second.model);
      return { takes: await replay(plans, watch, signal), current, alone: false };
    });
  }

  // Where the server doesn't have what is to be shown any more, all stays as it is.
  function go(move: "undo" | "redo", back: "undo" | "redo"): void {
    if (running) return;
    history[move]();
    show().catch((problem: Error) => {
      history[back]();
      status.complain(problem.message);
    });
  }

  function look(change: Partial<Pick<Scene, "current" | "alone">>): void {
    history.look(change);
    void show();
  }

  function turn(by: number): void {
    const { takes, current } = history.scene;
    if (takes.length) look({ current: (current + by + takes.length) % takes.length });
  }

  async function copyLink(): Promise<void> {
    try {
      await navigator.clipboard.writeText(location.href);
      status.remark(["Link copied."]);
    } catch {
      window.prompt("The link:", location.href);
    }
  }

  window.addEventListener("hashchange", () => location.hash.length > 1 && void restore(location.hash.slice(1)));
  const linked = location.hash.slice(1);
  playback.setView("body");
  void show();
  if (linked) void restore(linked);
}

function askForKey(): void {
  const key = make("input", { type: "password", required: true, autocomplete: "current-password", ariaLabel: "Key of this service" });
  const wrong = make("p", { class: "problem", role: "alert", hidden: true }, "This is not the key.");
  const form = make("form", { class: "key" }, labelled("Key of this service", key), make("button", { type: "submit", class: "primary" }, "Open the studio"), wrong);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    unlock(key.value).then(
      () => {
        form.remove();
        open();
      },
      (problem: Error) => {
        wrong.hidden = false;
        if (!(problem instanceof Locked)) wrong.textContent = problem.message;
        key.select();
      },
    );
  });
  document.body.append(form);
  key.focus();
}

function open(): void {
  listModels()
    .then(start)
    .catch((problem: Error) => {
      if (problem instanceof Locked) askForKey();
      else document.body.append(make("p", { class: "problem", role: "alert" }, problem.message));
    });
}

open();
