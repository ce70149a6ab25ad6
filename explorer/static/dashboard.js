// Nothing here is needed to read a page: it adds the keyboard, remembers who labels, and spares a click.
"use strict";

const typing = (element) => element.matches("input, textarea, select, [contenteditable]");

// A table's rows: ↓ and ↑ go from link to link, Enter opens as it does on every link, ← and → turn pages.
function move(step) {
  const links = [...document.querySelectorAll("table[data-rows] tbody th a")];
  if (!links.length) return false;
  const at = links.indexOf(document.activeElement?.closest("tr")?.querySelector("th a"));
  const next = at < 0 ? (step > 0 ? 0 : links.length - 1) : Math.min(links.length - 1, Math.max(0, at + step));
  links[next].focus();
  links[next].scrollIntoView({ block: "nearest" });
  return true;
}

function turn(kind) {
  const link = document.querySelector(`a[rel="${kind}"]`);
  if (link) link.click();
  return Boolean(link);
}

const KEYS = {
  ArrowDown: () => move(1),
  ArrowUp: () => move(-1),
  ArrowLeft: () => turn("prev"),
  ArrowRight: () => turn("next"),
  "/": () => {
    const field = document.querySelector("[data-search]");
    field?.focus();
    field?.select?.();
    return Boolean(field);
  },
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (typing(event.target)) {
    if (event.key === "Escape" || (event.key === "ArrowDown" && event.target.matches("[data-search]"))) {
      event.target.blur();
      if (event.key === "ArrowDown" && move(1)) event.preventDefault();
    }
    return;
  }
  const sideways = event.key === "ArrowLeft" || event.key === "ArrowRight";
  const scroller = event.target.closest(".scroll");
  if (sideways && scroller === event.target && scroller.scrollWidth > scroller.clientWidth) return;
  if (KEYS[event.key]?.()) event.preventDefault();
});

for (const field of document.querySelectorAll("[data-submits]")) {
  field.addEventListener("change", () => field.form.requestSubmit());
}

// Who labels is asked once.
const author = document.querySelector("[data-remembered]");
if (author) {
  author.value ||= localStorage.getItem("saeflow-author") ?? "";
  author.form.addEventListener("submit", () => localStorage.setItem("saeflow-author", author.value));
}
