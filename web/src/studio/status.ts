// Progress of what is being made, and what there is to say about it.
import { button, make } from "../shared/dom";
import type { Job } from "./api";

export type Watch = () => (job: Job) => void;

export class Status {
  readonly element = make("div", { class: "status", role: "status", hidden: true });
  private what = "";
  private jobs: Pick<Job, "state" | "position" | "progress">[] = [];
  private readonly text = make("span");
  private readonly bar = make("progress", { max: 1 });
  readonly problem = make("p", { class: "problem", role: "alert", hidden: true });
  readonly remarks = make("p", { class: "remarks", hidden: true });

  constructor(onCancel: () => void) {
    const cancel = button("Cancel", onCancel);
    cancel.append("Cancel");
    this.element.append(this.text, this.bar, cancel);
  }

  begin(what: string): void {
    this.what = what;
    this.jobs = [];
    this.element.hidden = false;
    this.text.textContent = `${what}…`;
    this.bar.removeAttribute("value");
    this.complain("");
  }

  // For each job that is waited for; what is shown is their mean.
  readonly watch: Watch = () => {
    const job: Pick<Job, "state" | "position" | "progress"> = { state: "queued", progress: 0 };
    this.jobs.push(job);
    return (news) => {
      Object.assign(job, news);
      this.draw();
    };
  };

  private draw(): void {
    const share = this.jobs.reduce((sum, { progress }) => sum + progress, 0) / this.jobs.length;
    const ahead = Math.min(...this.jobs.map(({ position }) => position ?? 0));
    const waiting = this.jobs.every(({ state }) => state === "queued");
    const how = waiting ? `waiting${ahead > 0 ? `, ${ahead} ahead in the queue` : ""}` : `${Math.round(100 * share)} %`;
    this.text.textContent = `${this.what}… ${how}`;
    if (share > 0) this.bar.value = share;
  }

  end(): void {
    this.element.hidden = true;
  }

  complain(problem: string): void {
    this.problem.textContent = problem;
    this.problem.hidden = !problem;
  }

  remark(remarks: string[]): void {
    this.remarks.textContent = remarks.join(" ");
    this.remarks.hidden = !remarks.length;
  }
}
