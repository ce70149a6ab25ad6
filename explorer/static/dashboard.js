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

// What takes seconds says so until its page comes; a page that is gone back to has nothing under way.
for (const form of document.querySelectorAll("[data-works]")) {
  const said = document.createElement("output");
  said.className = "works";
  form.append(said);
  form.addEventListener("submit", () => {
    said.textContent = form.dataset.works;
    form.ariaBusy = "true";
  });
  addEventListener("pageshow", () => {
    said.textContent = "";
    form.ariaBusy = "false";
  });
}

// Who labels is asked once.
const author = document.querySelector("[data-remembered]");
if (author) {
  author.value ||= localStorage.getItem("saeflow-author") ?? "";
  author.form.addEventListener("submit", () => localStorage.setItem("saeflow-author", author.value));
}

// A section that takes a moment to compute is fetched when it comes into view; without this its link shows it.
for (const link of document.querySelectorAll("[data-fills]")) {
  const section = link.closest("section");
  const seen = new IntersectionObserver(async (entries) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    seen.disconnect();
    section.ariaBusy = "true";
    try {
      const answer = await fetch(link.href);
      const made = new DOMParser().parseFromString(await answer.text(), "text/html");
      const found = answer.ok && made.getElementById(section.getAttribute("aria-labelledby"))?.closest("section");
      if (found) section.replaceChildren(...found.childNodes);
    } finally {
      section.ariaBusy = "false";
    }
  });
  seen.observe(section);
}

document.querySelector(".chips [aria-current]")?.scrollIntoView({ inline: "center", block: "nearest" });
