// One canvas that shows several stages, each in the place of its own element.
import { PCFShadowMap, WebGLRenderer } from "three";
import type { Stage } from "./stage";

export class Screen {
  private readonly renderer: WebGLRenderer;

  constructor(readonly canvas: HTMLCanvasElement) {
    this.renderer = new WebGLRenderer({ canvas, antialias: true, alpha: true });
    this.renderer.setClearColor(0x000000, 0);
    this.renderer.setPixelRatio(Math.min(window.devicePixelRatio, 2));
    this.renderer.shadowMap.enabled = true;
    this.renderer.shadowMap.type = PCFShadowMap;
  }

  resize(): void {
    this.renderer.setSize(this.canvas.clientWidth, this.canvas.clientHeight, false);
  }

  render(stages: Stage[]): void {
    const { renderer } = this;
    const whole = this.canvas.getBoundingClientRect();
    renderer.setScissorTest(false);
    renderer.clear();
    renderer.setScissorTest(true);
    for (const { element, scene, camera } of stages) {
      const { left, bottom, width, height } = element.getBoundingClientRect();
      const place = [left - whole.left, whole.bottom - bottom, width, height] as const;
      renderer.setViewport(...place);
      renderer.setScissor(...place);
      renderer.render(scene, camera);
    }
  }

  dispose(): void {
    this.renderer.dispose();
  }
}
