// The time that is shown: plays, steps, loops. Knows nothing of what is drawn.

export const SPEEDS = [0.1, 0.25, 0.5, 1, 2];
export type View = "body" | "skeleton" | "both";

export class Playback {
  frame = 0;
  fps = 30;
  numFrames = 1;
  playing = false;
  loop = true;
  speed = 1;
  view: View = "body";

  // `onChange` is called where a setting changes, `onFrame` where the frame does.
  constructor(
    private readonly onChange: () => void,
    private readonly onFrame: () => void,
  ) {}

  get lastFrame(): number {
    return this.numFrames - 1;
  }

  get seconds(): number {
    return this.frame / this.fps;
  }

  setClip(fps: number, numFrames: number): void {
    const { seconds } = this;
    this.fps = fps;
    this.numFrames = numFrames;
    this.seek(seconds * fps);
    this.onChange();
  }

  seek(frame: number): void {
    this.frame = Math.min(Math.max(frame, 0), this.lastFrame);
    this.onFrame();
  }

  step(frames: number): void {
    this.setPlaying(false);
    this.seek(Math.round(this.frame) + frames);
  }

  setPlaying(playing: boolean): void {
    this.playing = playing && this.lastFrame > 0;
    if (this.playing && this.frame >= this.lastFrame) this.frame = 0;
    this.onChange();
  }

  setLoop(loop: boolean): void {
    this.loop = loop;
    this.onChange();
  }

  setSpeed(speed: number): void {
    this.speed = speed;
    this.onChange();
  }

  changeSpeed(steps: number): void {
    const index = SPEEDS.indexOf(this.speed) + steps;
    this.setSpeed(SPEEDS[Math.min(Math.max(index, 0), SPEEDS.length - 1)]!);
  }

  setView(view: View): void {
    this.view = view;
    this.onChange();
  }

  nextView(): void {
    this.setView(({ body: "skeleton", skeleton: "both", both: "body" } as const)[this.view]);
  }

  advance(seconds: number): void {
    if (!this.playing) return;
    const next = this.frame + seconds * this.fps * this.speed;
    if (next <= this.lastFrame) this.frame = next;
    else if (this.loop) this.frame = next % this.lastFrame;
    else {
      this.frame = this.lastFrame;
      this.setPlaying(false);
    }
    this.onFrame();
  }
}
