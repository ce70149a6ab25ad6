const read = (kind, key) => JSON.parse(document.querySelector(`[data-${kind}="${key}"]`).textContent);
const narrow = window.matchMedia("(max-width: 40rem)");
const AXIS = 90; // pixels that an axis with its title takes beside a panel

// On a narrow page panels stand below each other with their legends under them; what is still too wide is scaled.
function stacked(part, room, datasets) {
  const { hconcat, ...found } = part;
  if (hconcat) found.vconcat = hconcat;
  if (found.concat) found.columns = 1;
  if (found.facet?.column && !found.facet.row) Object.assign(found, { facet: found.facet.column, columns: 1 });
  if (found.encoding?.column && !found.encoding.row) {
    const { column, ...encoding } = found.encoding;
    found.encoding = { ...encoding, facet: { ...column, columns: 1 } };
  }
  for (const key of ["vconcat", "concat", "layer"])
    if (found[key]) found[key] = found[key].map((inner) => stacked(inner, room, datasets));
  const { row, column } = found.facet ?? found.encoding ?? {};
  const rows = row && column ? datasets[found.data?.name] ?? [] : [];
  const own = room / Math.max(1, new Set(rows.map((one) => one[column.field])).size);
  if (found.spec) found.spec = stacked(found.spec, own, datasets);
  if (typeof found.width === "number") found.width = Math.min(found.width, own);
  return found;
}

function fitted(spec, place) {
  if (!narrow.matches) return spec;
  const found = stacked(spec, Math.max(160, place.parentElement.clientWidth - AXIS), spec.datasets ?? {});
  const legend = { ...found.config.legend, orient: "bottom", columns: 2, labelLimit: 140 };
  const axisY = { ...found.config.axisY, labelLimit: 120 };
  found.config = { ...found.config, legend, axisY };
  return found;
}

// The first screen's pictures become copies of the charts, which follow the reader's colour scheme.
function copyToAnswers() {
  for (const shown of document.querySelectorAll("[data-figure]")) {
    const chart = document.querySelector(`[data-chart="${shown.dataset.figure}"] svg`);
    if (!chart) continue;
    const copy = chart.cloneNode(true);
    const size = ["width", "height"].map((side) => chart.getAttribute(side));
    if (!copy.getAttribute("viewBox")) copy.setAttribute("viewBox", `0 0 ${size.join(" ")}`);
    copy.removeAttribute("height");
    copy.setAttribute("width", "100%");
    copy.setAttribute("role", "img");
    copy.setAttribute("aria-label", shown.alt ?? shown.getAttribute("aria-label"));
    copy.dataset.figure = shown.dataset.figure;
    shown.replaceWith(copy);
  }
}

async function draw() {
  // The font is measured before charts are laid out: labels would overlap if it came later.
  await Promise.all([400, 700].map((weight) => document.fonts.load(`${weight} 12px "Saeflow Sans"`, "aد")));
  for (const place of document.querySelectorAll("[data-chart]")) {
    const key = place.dataset.chart;
    try {
      await vegaEmbed(place, fitted(read("spec", key), place), read("options", key));
      place.style.minHeight = "";
      const drawn = place.querySelector("svg.marks, canvas.marks");
      drawn.setAttribute("role", "img");
      drawn.setAttribute("aria-label", place.dataset.alt);
      place.querySelector("summary")?.setAttribute("aria-label", "Save this chart");
    } catch (error) {
      place.textContent = `This chart cannot be drawn: ${error.message}`;
    }
  }
  copyToAnswers();
  document.body.dataset.drawn = "yes";
}
window.addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((item) => (item.open = true)));
narrow.addEventListener("change", draw);
draw();
