// Live charts, drawn as SVG: the last two minutes of a few figures per second.

const KEPT_S = 120;
const WIDTH = 300;
const HEIGHT = 72;
const SVG = "http://www.w3.org/2000/svg";

function svg(tag, attributes) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

export function short(number) {
  if (number >= 1e6) return `${(number / 1e6).toFixed(number >= 1e7 ? 0 : 1)} M`;
  if (number >= 1e4) return `${(number / 1e3).toFixed(number >= 1e5 ? 0 : 1)} k`;
  return number >= 10 || Number.isInteger(number) ? Math.round(number).toLocaleString("en") : number.toFixed(1);
}

// The least of 1, 2, 5, 10, 20, … that is not below a number.
function ceiling(number) {
  const power = 10 ** Math.floor(Math.log10(Math.max(number, 1)));
  return [1, 2, 5, 10].map((each) => each * power).find((each) => each >= number) ?? 10 * power;
}

export class Chart {
  // `series` are the names of its lines, in the order of the values that are pushed.
  constructor(title, series, unit = "") {
    this.unit = unit;
    this.title = title;
    this.series = series;
    this.points = [];            // {at, values}; null where nothing was known
    this.element = document.createElement("figure");
    const caption = document.createElement("figcaption");
    const name = document.createElement("span");
    name.textContent = title;
    caption.append(name);
    this.figures = series.map((each, index) => {
      const figure = document.createElement("span");
      figure.className = `figure line${index}`;
      caption.append(figure);
      return figure;
    });
    this.picture = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" });
    this.picture.append(
      svg("line", { class: "grid", x1: 0, x2: WIDTH, y1: HEIGHT / 2, y2: HEIGHT / 2 }),
      svg("line", { class: "grid", x1: 0, x2: WIDTH, y1: HEIGHT - 0.5, y2: HEIGHT - 0.5 }),
    );
    this.lines = series.map((_, index) => svg("path", { class: `line line${index}` }));
    this.picture.append(...this.lines);
    const axis = document.createElement("div");
    axis.className = "axis";
    this.highest = document.createElement("span");
    const span = document.createElement("span");
    span.textContent = "last 2 minutes";
    axis.append(this.highest, span);
    this.element.append(caption, this.picture, axis);
    this.draw();
  }

  push(at, values) {
    this.points.push({ at, values });
    while (this.points.length && this.points[0].at < at - KEPT_S) this.points.shift();
    this.draw();
  }

  draw() {
    const known = this.points.filter((point) => point.values !== null);
    const top = ceiling(Math.max(1, ...known.flatMap((point) => point.values)));
    const now = this.points.at(-1)?.at ?? 0;
    this.highest.textContent = `0 to ${short(top)}${this.unit}`;
    const latest = this.points.at(-1)?.values ?? null;
    this.lines.forEach((line, index) => {
      let path = "";
      let isDown = false;
      for (const point of this.points) {
        if (point.values === null) {
          isDown = false;
          continue;
        }
        const x = WIDTH - ((now - point.at) / KEPT_S) * WIDTH;
        const y = HEIGHT - 1 - (point.values[index] / top) * (HEIGHT - 3);
        path += `${isDown ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`;
        isDown = true;
      }
      line.setAttribute("d", path);
      const value = latest === null ? "–" : short(latest[index]) + this.unit;
      this.figures[index].textContent = this.series[index] ? `${this.series[index]} ${value}` : value;
    });
    const told = this.figures.map((figure) => figure.textContent).join(", ");
    this.picture.setAttribute("aria-label", `${this.title}: now ${told}; the scale is 0 to ${short(top)}${this.unit}`);
  }
}
