"use strict";
// Sections come rendered and escaped by the program, and no script of theirs would run: see the policy of this page.
const feed = document.getElementById("feed"), pause = document.getElementById("pause"), gone = document.getElementById("gone");
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit", timeZoneName: "short" });
const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric" });
const held = new Map();
// Something comes every second. Without anything for so long, the program is gone, or the way to it is.
const SILENCE_MS = 5000;
let events, heardAt = Date.now();
function say(word) { if (feed.textContent !== word) feed.textContent = word; }
function isPaused() { return pause.getAttribute("aria-pressed") === "true"; }
function put(id, html) {
  const section = document.getElementById(id), at = document.activeElement;
  const name = section.contains(at) ? at.getAttribute("href") ?? at.getAttribute("aria-label") : null;
  const scrolled = [...section.querySelectorAll(".scroll")].map(box => [box.scrollLeft, box.scrollTop]);
  section.innerHTML = html;
  section.querySelectorAll(".scroll").forEach((box, n) => { [box.scrollLeft, box.scrollTop] = scrolled[n] ?? [0, 0]; });
  const is = element => [element.getAttribute("href"), element.getAttribute("aria-label")].includes(name);
  if (name) [...section.querySelectorAll("a, [tabindex]")].find(is)?.focus({ preventScroll: true });
  if (id === "chart") read();
}
function take(sections) {
  for (const { id, html } of sections) held.set(id, html);
  if (isPaused()) return;
  held.forEach((html, id) => put(id, html));
  held.clear();
}
function heard() {
  heardAt = Date.now();
  document.body.classList.remove("gone");
  document.title = "Gravimeter";
  gone.textContent = "";
  if (!isPaused()) say("live");
}
function lost() {
  if (document.body.classList.contains("gone")) return;
  document.body.classList.add("gone");
  document.title = "(out of reach) Gravimeter";
  gone.textContent = `Gravimeter is out of reach since ${day.format(heardAt)}, ${clock.format(heardAt)}. Everything below is as it was then.`;
  say("out of reach");
}
function open() {
  events = new EventSource(zone ? `/live?tz=${encodeURIComponent(zone)}` : "/live");
  events.addEventListener("hello", event => { event.data === "{{version}}" ? heard() : location.reload(); });
  events.addEventListener("sections", event => { heard(); take(JSON.parse(event.data)); });
  events.addEventListener("alive", heard);
  events.addEventListener("error", () => {
    lost();
    // A refusal ends the stream for good; a lost connection is tried again by the browser itself.
    if (events.readyState === EventSource.CLOSED) setTimeout(open, 5000);
  });
}
setInterval(() => { if (Date.now() - heardAt > SILENCE_MS) lost(); }, 1000);
pause.addEventListener("click", () => {
  const paused = !isPaused();
  pause.setAttribute("aria-pressed", paused);
  if (!document.body.classList.contains("gone")) say(paused ? `paused at ${clock.format(Date.now())}` : "live");
  take([]);
});

// The values of one moment of the chart. It stays where it is in time while the chart moves on.
const chart = document.getElementById("chart");
let moment = null, isPointed = false, hint = "";
function axis(plot) {
  const rates = JSON.parse(plot.dataset.rates), step = Number(plot.dataset.step), slots = rates[0].length;
  return { rates, step, slots, start: Number(plot.dataset.end) - (slots - 1) * step };
}
function read() {
  const plot = chart.querySelector(".plot"), reading = chart.querySelector(".reading");
  if (!plot) return;
  hint ||= reading.textContent;
  const { rates, step, slots, start } = axis(plot), at = moment === null ? -1 : Math.round((moment - start) / step);
  const cursor = plot.querySelector(".cursor");
  if (at < 0 || at >= slots) {
    reading.textContent = hint;
    cursor.removeAttribute("d");
    plot.setAttribute("aria-valuetext", "no moment is selected");
    return;
  }
  cursor.setAttribute("d", `M${(at + .5) * 1000 / slots} 0V200`);
  const names = [...chart.querySelectorAll(".legend li")];
  const values = names.map(item => `${item.querySelector(".name").textContent} ${rates[item.dataset.line][at]}`);
  const sum = rates.reduce((sum, line) => sum + line[at], 0);
  reading.textContent = `${clock.format((start + at * step) * 1000)}: ${Math.round(sum * 10) / 10} tokens per second (${values.join(", ")})`;
  plot.setAttribute("aria-valuenow", at);
  plot.setAttribute("aria-valuetext", reading.textContent);
}
// Of the document, as the chart below the pointer is another one every second.
function point(event) {
  const plot = event.type === "pointermove" ? event.target.closest?.("#chart .plot") : null;
  if (plot) {
    const { slots, step, start } = axis(plot), box = plot.getBoundingClientRect();
    moment = start + Math.min(Math.floor((event.clientX - box.left) / box.width * slots), slots - 1) * step;
  } else if (isPointed) moment = null;
  if (plot || isPointed) read();
  isPointed = Boolean(plot);
}
document.addEventListener("pointermove", point);
document.documentElement.addEventListener("pointerleave", point);
chart.addEventListener("keydown", event => {
  const plot = event.target.closest?.(".plot");
  if (!plot) return;
  const { slots, step, start } = axis(plot), last = start + (slots - 1) * step, from = moment ?? last + step;
  const to = { ArrowLeft: from - step, ArrowDown: from - step, ArrowRight: from + step, ArrowUp: from + step,
    PageDown: from - 15 * step, PageUp: from + 15 * step, Home: start, End: last, Escape: null }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  isPointed = false;
  moment = to === null ? null : Math.min(Math.max(to, start), last);
  read();
});
document.querySelector(".feed").hidden = false;
open();
