// Elements made in one expression.

const ICONS = {
  play: "M8 5.2v13.6a1 1 0 0 0 1.5.86l11-6.8a1 1 0 0 0 0-1.72l-11-6.8A1 1 0 0 0 8 5.2Z",
  pause: "M7 5h3.4v14H7zM13.6 5H17v14h-3.4z",
  loop: "M17 2.5 21 6.5l-4 4V7.6H8a3.4 3.4 0 0 0-3.4 3.4v.8H2.4V11A5.6 5.6 0 0 1 8 5.4h9ZM7 21.5 3 17.5l4-4v2.9h9a3.4 3.4 0 0 0 3.4-3.4v-.8h2.2v.8A5.6 5.6 0 0 1 16 18.6H7Z",
  frame:
    "M3 9V3h6v2.2H5.2V9zM15 3h6v6h-2.2V5.2H15zM3 15h2.2v3.8H9V21H3zM18.8 15H21v6h-6v-2.2h3.8zM12 8.6a3.4 3.4 0 1 1 0 6.8 3.4 3.4 0 0 1 0-6.8Z",
  follow: "M12 2 15.5 6H13v5h5V8.5L22 12l-4 3.5V13h-5v5h2.5L12 22l-3.5-4H11v-5H6v2.5L2 12l4-3.5V11h5V6H8.5Z",
  undo: "M9.5 4.5 3 10l6.5 5.5V12H14a4 4 0 0 1 0 8h-3v2h3a6 6 0 0 0 0-12H9.5Z",
  redo: "M14.5 4.5 21 10l-6.5 5.5V12H10a4 4 0 0 0 0 8h3v2h-3a6 6 0 0 1 0-12h4.5Z",
};
export type Icon = keyof typeof ICONS;

type Properties<Tag extends keyof HTMLElementTagNameMap> = Partial<
  Omit<HTMLElementTagNameMap[Tag], "children" | "style">
> & { class?: string };

export function make<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  { class: name, ...properties }: Properties<Tag> = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[Tag] {
  const element = document.createElement(tag);
  if (name) element.className = name;
  Object.assign(element, properties);
  element.append(...children);
  return element;
}

export function button(label: string, act: () => void, name = ""): HTMLButtonElement {
  const element = make("button", { type: "button", class: name, title: label, ariaLabel: label });
  element.addEventListener("click", act);
  return element;
}

export function iconButton(shape: Icon, label: string, act: () => void): HTMLButtonElement {
  const element = button(label, act, "duo-icon");
  element.append(icon(shape));
  return element;
}

export function icon(shape: Icon): SVGSVGElement {
  const svg = svgElement("svg", { viewBox: "0 0 24 24", "aria-hidden": "true" });
  svg.append(svgElement("path", { d: ICONS[shape] }));
  return svg;
}

export function svgElement<Tag extends keyof SVGElementTagNameMap>(
  tag: Tag,
  attributes: Record<string, string | number>,
): SVGElementTagNameMap[Tag] {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  return element;
}
