// The page for people, live: takes over what the server rendered, and follows the watch stream.
//
// Ties the stream (stream.js), what is known of peers (peers.js), the table (view.js) and the directory's own state
// (state.js) together. However many events come, the table is drawn at most once for each frame.

import { Peers } from "./peers.js";
import { followState } from "./state.js";
import { Stream } from "./stream.js";
import { View } from "./view.js";

// News are read out at most this often: nobody can listen to more.
const NEWS_PERIOD_MS = 4000;
const NEWS_COUNT_MAX = 3;
const ADDRESS_PAUSE_MS = 300;
// Without an answer for so many tries of state.js the stream is taken for dead, whatever TCP says.
const MISSED_COUNT_MAX = 3;

const element = (id) => document.getElementById(id);
const peers = new Peers();
const view = new View((text) => (element("news").textContent = text));
const noNews = () => ({ hereCount: 0, goneCount: 0, texts: [] });
let news = noNews();
let missedCount = 0;
let isDrawing = false;
let hasSnapshot = false;

const stream = new Stream(
  (type, data) => {
    const outcome = peers.handle(type, data, performance.now());
    if (outcome.isReady) hasSnapshot = true;
    if (outcome.isChanged) draw();
    if (outcome.renewed !== null) view.tick(performance.now(), outcome.renewed);
    outcome.news.forEach(gather);
  },
  (state) => showStream(state),
);

function draw() {
  // Until the first snapshot is whole, what the server rendered stays.
  if (isDrawing || !hasSnapshot) return;
  isDrawing = true;
  requestAnimationFrame(() => {
    isDrawing = false;
    view.show(peers.select(element("filter").value), peers.count, performance.now());
  });
}

function showStream(state) {
  const place = element("stream");
  // What is lost stays lost since the same moment, however often it is tried again.
  if (place.dataset.state === state) return;
  place.dataset.state = state;
  const time = new Date().toLocaleTimeString();
  const texts = { connecting: "Connecting", live: "Live", lost: `Connection lost at ${time}. Trying again.` };
  place.textContent = texts[state];
}

function gather({ name, isHere }) {
  news[isHere ? "hereCount" : "goneCount"] += 1;
  if (news.texts.length < NEWS_COUNT_MAX) news.texts.push(isHere ? `${name} is here.` : `${name} has gone.`);
}

function tellNews() {
  const { hereCount, goneCount, texts } = news;
  if (texts.length === 0) return;
  element("news").textContent =
    hereCount + goneCount === texts.length ? texts.join(" ") : `${hereCount} peers came, ${goneCount} went.`;
  news = noNews();
}

function takeOverFilter() {
  const input = element("filter");
  const query = new URLSearchParams(location.search);
  input.value = query.get("filter") ?? query.get("name") ?? query.get("service") ?? "";
  input.name = "filter";
  element("filter-label").textContent = "Filter by name, service or fingerprint";
  element("filter-button").hidden = true;
  element("filter-form").addEventListener("submit", (event) => event.preventDefault());
  let timer = 0;
  input.addEventListener("input", () => {
    draw();
    // Browsers refuse to have the address changed with every key.
    clearTimeout(timer);
    timer = setTimeout(() => keepFilter(input.value), ADDRESS_PAUSE_MS);
  });
}

function keepFilter(filter) {
  history.replaceState(null, "", filter === "" ? "/" : `/?${new URLSearchParams({ filter })}`);
}

takeOverFilter();
stream.start();
followState((isAnswering) => {
  missedCount = isAnswering ? 0 : missedCount + 1;
  if (missedCount > 0 && missedCount % MISSED_COUNT_MAX === 0) stream.abandon();
});
setInterval(() => view.tick(performance.now()), 1000);
setInterval(tellNews, NEWS_PERIOD_MS);
