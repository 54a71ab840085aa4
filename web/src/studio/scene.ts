// What is on the stage, how it came about, and the way back.
import { sentence, type Edit, type Job, type Step } from "./api";

// How a motion is made: a first step, then edits; `pick` says which of the variants was taken.
export interface Plan {
  steps: Step[];
  pick: number;
}

export interface Take extends Plan {
  id: string;
  remarks: string[];
}

export interface Scene {
  takes: Take[];
  current: number;
  // Whether the current take is shown alone.
  alone: boolean;
}

const EMPTY: Scene = { takes: [], current: 0, alone: false };

export function takesOf(job: Job, steps: Step[]): Take[] {
  return job.motions.map((id, pick) => ({ steps, pick, id, remarks: remarksOf(job) }));
}

export function edited(take: Take, edit: Edit, job: Job): Take {
  return { ...take, id: job.motions[0]!, steps: [...take.steps, edit], remarks: remarksOf(job) };
}

// The prompt that holds at a time of the take; undefined where none does.
export function promptAt({ steps }: Plan, seconds: number): string | undefined {
  const extension = steps.findLast((step) => step.kind === "extend" && step.before <= seconds);
  if (extension?.kind === "extend") return extension.text;
  const first = steps[0];
  // What each of the two does makes no sentence about both.
  if (first?.kind !== "generate" || first.partner) return undefined;
  let end = 0;
  return first.text ?? first.prompts?.find((prompt) => seconds < (end += prompt.seconds))?.text;
}

function remarksOf({ note, read_as: kind }: Job): string[] {
  return [...(kind ? [`Read as “${kind}”.`] : []), ...(note ? [sentence(note)] : [])];
}

export class History {
  private scenes = [EMPTY];
  private index = 0;

  get scene(): Scene {
    return this.scenes[this.index]!;
  }

  get canUndo(): boolean {
    return this.index > 0;
  }

  get canRedo(): boolean {
    return this.index < this.scenes.length - 1;
  }

  push(scene: Scene): void {
    this.scenes = [...this.scenes.slice(0, this.index + 1), scene];
    this.index++;
  }

  // What is looked at is no edit.
  look(change: Partial<Pick<Scene, "current" | "alone">>): void {
    this.scenes[this.index] = { ...this.scene, ...change };
  }

  undo(): void {
    if (this.canUndo) this.index--;
  }

  redo(): void {
    if (this.canRedo) this.index++;
  }
}
