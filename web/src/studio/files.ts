// Motion that comes in, and goes out.
import { button, make } from "../shared/dom";
import { FORMATS, motionUrl, type MotionFormat } from "./api";
import type { Take } from "./scene";

const LABELS: Record<MotionFormat, string> = { bvh: "BVH", glb: "GLB", npz: "npz", mp4: "mp4" };

export class Files {
  readonly element = make("section", { class: "panel files", ariaLabel: "Files" });
  private readonly downloads = make("div", { class: "row" });
  private readonly choose = make("input", { type: "file", accept: ".bvh,.npz", hidden: true, ariaLabel: "Motion file" });

  constructor(
    onUpload: (file: File) => void,
    onCopyLink: () => void,
  ) {
    const open = button("Open a BVH or npz file", () => this.choose.click());
    open.append("Open BVH or npz…");
    const link = button("Copy a link to what is shown", onCopyLink);
    link.append("Copy link");
    this.choose.addEventListener("change", () => {
      const [file] = this.choose.files ?? [];
      if (file) onUpload(file);
      this.choose.value = "";
    });
    this.element.append(make("div", { class: "row" }, open, link), this.choose, this.downloads);
    for (const kind of ["dragover", "drop"] as const) {
      document.addEventListener(kind, (event) => {
        event.preventDefault();
        const [file] = kind === "drop" ? (event.dataTransfer?.files ?? []) : [];
        if (file) onUpload(file);
      });
    }
  }

  show(take: Take | undefined): void {
    const first = take?.steps[0];
    const text = first?.kind === "generate" ? (first.text ?? first.prompts?.[0]?.text ?? "") : first?.kind === "upload" ? first.name.replace(/\.\w+$/, "") : "";
    const name = text.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-|-$/g, "").slice(0, 60) || "motion";
    this.downloads.replaceChildren(
      ...(take ? ["Download", ...FORMATS.map((format) => make("a", { href: motionUrl(take.id, format), download: `${name}.${format}` }, LABELS[format]))] : []),
    );
  }
}
