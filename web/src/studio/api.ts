// The server's side of the studio: what is asked of it, and how an answer is waited for.

export type PersonName = "A" | "B";
export type ModelFeature = "partner_text" | "reaction" | "inpaint" | "contacts" | "paths" | "avoid_collisions";

export interface Model {
  name: string;
  system: string;
  people: number;
  seconds: [min: number, max: number];
  default_seconds: number;
  kinds: { name: string; example: string }[];
  features: Record<ModelFeature, boolean>;
}

export interface Prompt {
  text: string;
  seconds: number;
}

export interface ContactWish {
  first: string;
  second: string;
  start: number;
  end: number;
}

export interface PathWish {
  person: PersonName;
  // Seconds, x and z in metres.
  points: [time: number, x: number, z: number][];
}

export interface Generate {
  kind: "generate";
  model: string;
  // Either a text, perhaps with one of the partner's, or several prompts in a row.
  text?: string;
  partner?: string;
  seconds?: number;
  seed: number;
  samples: number;
  guidance?: number;
  steps?: number;
  prompts?: Prompt[];
  contacts?: ContactWish[];
  paths?: PathWish[];
}

export interface React {
  kind: "react";
  model: string;
  person: PersonName;
  text?: string;
  seed: number;
}

export interface Inpaint {
  kind: "inpaint";
  model: string;
  person?: PersonName;
  start: number;
  end: number;
  text?: string;
  seed: number;
}

export interface Extend {
  kind: "extend";
  model: string;
  // Of the result.
  seconds: number;
  // Of what is extended; the server knows.
  before: number;
  text?: string;
  seed: number;
}

export interface Upload {
  kind: "upload";
  id: string;
  name: string;
}

export type Edit = React | Inpaint | Extend;
export type Step = Generate | Edit | Upload;

export interface Job {
  state: "queued" | "running" | "done" | "failed" | "cancelled";
  position?: number | null;
  progress: number;
  error?: string | null;
  motions: string[];
  note?: string | null;
  read_as?: string | null;
}

export type MotionFormat = "bvh" | "glb" | "npz" | "mp4";
export const FORMATS: MotionFormat[] = ["bvh", "glb", "npz", "mp4"];

export const motionUrl = (id: string, format: MotionFormat): string => `api/motions/${encodeURIComponent(id)}.${format}`;

// The service has a key, and this browser has not given it.
export class Locked extends Error {
  override message = "The service asks for its key; reload the page to enter it.";
}

// Gives the key once; the browser keeps a cookie in its place, which this page can't read.
export async function unlock(key: string): Promise<void> {
  await ask("api/key", { method: "POST", headers: { "X-API-Key": key } });
}

export async function listModels(): Promise<Model[]> {
  return (await ask("api/models")).json();
}

export async function fetchMotion(id: string): Promise<ArrayBuffer> {
  return (await ask(motionUrl(id, "glb"))).arrayBuffer();
}

export async function upload(file: File): Promise<Upload> {
  const body = new FormData();
  body.append("file", file);
  const { id } = await (await ask("api/motions", { method: "POST", body })).json();
  return { kind: "upload", id, name: file.name };
}

// Starts what makes a step, from a motion or from nothing, and waits for it.
export async function perform(
  { kind, ...settings }: Generate | Edit,
  from: string | undefined,
  onProgress: (job: Job) => void,
  signal: AbortSignal,
): Promise<Job> {
  const motion = from === undefined ? undefined : { id: from };
  const body = JSON.stringify({ ...settings, before: undefined, motion });
  const headers = { "Content-Type": "application/json" };
  const { id } = await (await ask(`api/${kind}`, { method: "POST", body, headers, signal })).json();
  const url = `api/jobs/${encodeURIComponent(id)}`;
  try {
    const job = await finished(url, onProgress, signal);
    if (job.state === "done") return job;
    if (job.state === "cancelled") throw new Cancelled();
    throw new Error(sentence(job.error ?? "the server could not make this motion and did not say why"));
  } catch (problem) {
    if (signal.aborted) await fetch(url, { method: "DELETE" }).catch(() => undefined);
    throw problem;
  }
}

export class Cancelled extends Error {
  override message = "Cancelled.";
}

function finished(url: string, onProgress: (job: Job) => void, signal: AbortSignal): Promise<Job> {
  return new Promise((resolve, reject) => {
    const events = new EventSource(`${url}/events`);
    const settle = (end: () => void): void => {
      events.close();
      end();
    };
    const hear = (job: Job): void => {
      onProgress(job);
      if (["done", "failed", "cancelled"].includes(job.state)) settle(() => resolve(job));
    };
    for (const name of ["progress", "done", "failed"]) {
      events.addEventListener(name, ({ data }: MessageEvent<string>) => hear(JSON.parse(data)));
    }
    // A connection that was cut is opened again by the browser; meanwhile the job may have ended.
    events.addEventListener("error", () => {
      ask(url)
        .then((response) => response.json())
        .then(hear)
        .catch((problem) => settle(() => reject(problem)));
    });
    signal.addEventListener("abort", () => settle(() => reject(new Cancelled())));
  });
}

async function ask(url: string, options: RequestInit = {}): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(url, options);
  } catch (problem) {
    if (options.signal?.aborted) throw new Cancelled();
    throw new Error("The server can't be reached; is it still running?", { cause: problem });
  }
  if (response.ok) return response;
  if (response.status === 401) throw new Locked();
  throw new Error(await reason(response));
}

async function reason(response: Response): Promise<string> {
  if (response.status === 429) {
    const wait = response.headers.get("Retry-After");
    return `The server has too much to do; try again ${wait ? `in ${wait} s` : "soon"}.`;
  }
  const answer: unknown = await response.json().catch(() => undefined);
  const detail = answer instanceof Object && "detail" in answer ? answer.detail : undefined;
  if (typeof detail === "string") return sentence(detail);
  if (Array.isArray(detail) && detail.length) return detail.map(fault).join(" ");
  if (response.status === 404) return "The server doesn't have this motion any more.";
  if (response.status === 413) return "This file is too large.";
  return `The server answered with an error (${response.status}).`;
}

function fault({ loc, msg }: { loc?: unknown[]; msg?: string }): string {
  const field = loc?.filter((part) => part !== "body").join(" ");
  return sentence(field ? `${field}: ${msg}` : String(msg));
}

export function sentence(text: string): string {
  const whole = text.trim().replace(/^./, (letter) => letter.toUpperCase());
  return /[.!?]$/.test(whole) ? whole : `${whole}.`;
}
