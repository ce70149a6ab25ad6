// The font is measured before charts are laid out: labels would overlap if it came later.
const read = (kind, key) => JSON.parse(document.querySelector(`[data-${kind}="${key}"]`).textContent);
async function draw() {
  await Promise.all([400, 700].map((weight) => document.fonts.load(`${weight} 12px "Saeflow Sans"`, "aد")));
  for (const place of document.querySelectorAll("[data-chart]")) {
    const key = place.dataset.chart;
    try {
      await vegaEmbed(place, read("spec", key), read("options", key));
      place.style.minHeight = "";
    } catch (error) {
      place.textContent = `This chart cannot be drawn: ${error.message}`;
    }
  }
  document.body.dataset.drawn = "yes";
}
window.addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((item) => (item.open = true)));
draw();
