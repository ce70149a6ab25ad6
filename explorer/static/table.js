// The feature table, scrolled over all of its rows: those in view are in the page, and blocks of rows are fetched as
// they come into view. Without this script the table shows one block, with links to the blocks before and after it.
"use strict";

const MOST_PX = 17_500_000; // Firefox draws nothing taller: beyond it a step of the scroll bar is more than its pixels
const AROUND = 12; // rows drawn above and below those in view
const MOST_BLOCKS = 40;
const AT_ONCE = 2; // requests

class Rows {
  constructor(region) {
    this.region = region;
    this.table = region.querySelector("table");
    this.body = this.table.tBodies[0];
    this.total = Number(region.dataset.total);
    this.size = Number(region.dataset.size);
    this.place = document.querySelector("[data-place]");
    this.height = this.body.rows[0].offsetHeight;
    this.head = this.table.tHead.offsetHeight;
    this.blocks = new Map([[Math.floor(region.dataset.first / this.size), [...this.body.rows]]]);
    this.loaded = new Set(this.blocks.keys());
    this.asking = new Set();
    this.active = null;
    this.gaps = ["beforebegin", "afterend"].map((where) => this.gap(where));
    this.table.removeAttribute("data-rows");
    document.querySelector("nav.pager")?.remove();
    this.listen();
    const { top, active } = history.state ?? {};
    this.scrollTo(top ?? (Number(region.dataset.row) - 1) * this.height);
    if (active != null) this.go(active);
  }

  gap(where) {
    const gap = document.createElement("tbody");
    gap.className = "gap";
    gap.ariaHidden = "true";
    gap.insertRow().insertCell().colSpan = this.table.tHead.rows[0].cells.length;
    this.body.insertAdjacentElement(where, gap);
    return gap.rows[0].cells[0];
  }

  // Pixels of the rows in view; how many there would be of all, and how many there are.
  get view() { return this.region.clientHeight - this.head; }
  get whole() { return this.total * this.height; }
  get drawn() { return Math.min(this.whole, MOST_PX); }
  get ratio() { return Math.max(1, (this.whole - this.view) / Math.max(1, this.drawn - this.view)); }
  // Where each pixel of the scroll bar is several, rows are moved whole.
  get top() {
    const top = this.region.scrollTop * this.ratio;
    return this.ratio > 1 ? Math.min(this.whole - this.view, Math.round(top / this.height) * this.height) : top;
  }
  get first() { return Math.min(this.total - 1, Math.round(this.top / this.height)); }

  listen() {
    this.region.addEventListener("scroll", () => this.later(), { passive: true });
    new ResizeObserver(() => this.later()).observe(this.region);
    this.body.addEventListener("focusin", (event) => { this.active = this.indexOf(event.target.closest("tr")); });
    this.body.addEventListener("click", () => this.remember(), true);
    document.addEventListener("keydown", (event) => this.key(event), true);
  }

  later() {
    this.frame ??= requestAnimationFrame(() => { this.frame = null; this.draw(); });
    clearTimeout(this.idle);
    this.idle = setTimeout(() => this.remember(), 150);
  }

  indexOf(row) { return row.ariaRowIndex - 2; }

  row(index) {
    const block = Math.floor(index / this.size);
    if (!this.blocks.has(block)) this.blocks.set(block, this.waiting(block));
    return this.blocks.get(block)[index % this.size];
  }

  waiting(block) {
    const first = block * this.size;
    return Array.from({ length: Math.min(this.size, this.total - first) }, (_, place) => {
      const row = document.createElement("tr");
      row.className = "waiting";
      row.ariaRowIndex = first + place + 2;
      const cell = row.insertCell();
      cell.colSpan = this.table.tHead.rows[0].cells.length;
      cell.textContent = "…";
      return row;
    });
  }

  draw() {
    const top = this.top;
    const before = Math.min(AROUND, Math.floor(this.region.scrollTop / this.height));
    const from = Math.max(0, Math.floor(top / this.height) - before);
    const to = Math.min(this.total, Math.ceil((top + this.view) / this.height) + AROUND);
    const rows = Array.from({ length: to - from }, (_, place) => this.row(from + place));
    const kept = new Set(rows);
    const focused = document.activeElement.closest("tr");
    if (focused && this.body.contains(focused) && !kept.has(focused)) this.region.focus({ preventScroll: true });
    for (const row of [...this.body.rows]) if (!kept.has(row)) row.remove();
    rows.forEach((row, place) => {
      if (this.body.rows[place] !== row) this.body.insertBefore(row, this.body.rows[place] ?? null);
    });
    const above = Math.max(0, this.region.scrollTop + from * this.height - top);
    const below = Math.max(0, this.drawn - above - rows.length * this.height);
    [above, below].forEach((height, place) => { this.gaps[place].style.height = `${height}px`; });
    const last = Math.min(this.total, Math.floor((top + this.view) / this.height + 0.5));
    this.place.textContent = `, rows ${(this.first + 1).toLocaleString("en")} to ${last.toLocaleString("en")}`;
    this.ask(Math.floor(from / this.size), Math.floor((to - 1) / this.size));
  }

  // The blocks in view first, then the one after and the one before; what has gone out of view is asked for no more.
  ask(from, to) {
    const last = Math.floor((this.total - 1) / this.size);
    const wanted = [...Array.from({ length: to - from + 1 }, (_, place) => from + place), to + 1, from - 1];
    for (const block of wanted) {
      if (this.asking.size >= AT_ONCE || block < 0 || block > last) continue;
      if (!this.loaded.has(block) && !this.asking.has(block)) this.load(block);
    }
    for (const block of this.blocks.keys()) {
      if (this.blocks.size <= MOST_BLOCKS) break;
      if (wanted.includes(block)) continue;
      this.blocks.delete(block);
      this.loaded.delete(block);
    }
  }

  async load(block) {
    this.asking.add(block);
    try {
      const address = new URL(location.href);
      address.searchParams.set("row", block * this.size + 1);
      address.searchParams.set("part", "rows");
      const answer = await fetch(address);
      if (!answer.ok) throw new Error(answer.status);
      const table = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("table");
      if (Number(table.dataset.total) !== this.total) return location.reload(); // labelled or computed again meanwhile
      this.blocks.set(block, [...table.tBodies[0].rows].map((row) => document.adoptNode(row)));
      this.loaded.add(block);
      const pending = document.activeElement === this.region && Math.floor(this.active / this.size) === block;
      this.asking.delete(block);
      this.draw();
      if (pending && this.active !== null) this.row(this.active).querySelector("a").focus({ preventScroll: true });
    } catch {
      this.asking.delete(block);
      this.place.textContent = ", but rows cannot be fetched: is the explorer running? Scroll to try again.";
    }
  }

  scrollTo(top) {
    this.region.scrollTop = top / this.ratio;
    // Before the gaps are there, the region is not tall enough to be scrolled so far.
    this.gaps[1].style.height = `${this.drawn}px`;
    this.region.scrollTop = top / this.ratio;
    this.draw();
  }

  go(index) {
    const at = Math.min(this.total - 1, Math.max(0, index)) * this.height;
    if (at < this.top) this.scrollTo(at);
    else if (at + this.height > this.top + this.view) this.scrollTo(Math.ceil((at + this.height - this.view) / this.height) * this.height);
    this.active = at / this.height;
    (this.row(this.active).querySelector("a") ?? this.region).focus({ preventScroll: true });
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
    const inside = this.region.contains(event.target);
    const from = event.target.matches("input, textarea, select");
    if (from && !(event.key === "ArrowDown" && event.target.matches("[data-search]"))) return;
    const seen = this.active !== null && Math.abs(this.active * this.height - this.top) < 2 * this.view;
    const page = Math.max(1, Math.floor(this.view / this.height) - 1);
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -this.total, End: this.total }[event.key];
    if (!step || (Math.abs(step) > 1 && !inside)) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    const start = inside && seen ? this.active + step : Math.abs(step) === 1 ? this.first : this.first + step;
    this.go(start);
  }

  // The address names the first row in view, and the history its place and the row that had the focus: going back
  // finds them.
  remember() {
    const address = new URL(location.href);
    address.searchParams.delete("page");
    if (this.first) address.searchParams.set("row", this.first + 1);
    else address.searchParams.delete("row");
    const active = this.body.contains(document.activeElement) ? this.active : null;
    history.replaceState({ active, top: this.top }, "", address);
  }
}

const region = document.querySelector(".rows");
if (region) new Rows(region);
