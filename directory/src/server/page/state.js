// The directory's own state, read from `/metrics` every few seconds: leases, watchers, and over the last minute the rate
// of requests and how long answers took.
//
// A directory that keeps its metrics to itself shows none here; the rest of the page does not need them.

const PERIOD_MS = 5000;
const WINDOW_MS = 60000;
const TIMEOUT_MS = 4000;

const LEASES = "landline_directory_leases";
const WATCHERS = "landline_directory_watchers";
const REQUESTS = "landline_directory_requests_total";
const LATENCY = "landline_directory_request_duration_seconds_bucket";

// Calls `onAnswer(isAnswering)` after each try.
export function followState(onAnswer) {
  let samples = [];
  const poll = async () => {
    if (document.hidden) return;
    const answer = await ask();
    onAnswer(answer.isAnswering);
    document.getElementById("state").hidden = answer.text === null && answer.isAnswering;
    if (answer.text === null) return show(null, null);
    const sample = read(answer.text, performance.now());
    // A directory that was started anew counts from zero.
    if (samples.some((before) => before.requests > sample.requests)) samples = [];
    samples = [...samples.filter((before) => sample.at - before.at <= WINDOW_MS), sample];
    show(samples[0], sample);
  };
  poll();
  setInterval(poll, PERIOD_MS);
  document.addEventListener("visibilitychange", poll);
}

async function ask() {
  try {
    const response = await fetch("/metrics", { cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MS) });
    return { isAnswering: true, text: response.ok ? await response.text() : null };
  } catch {
    return { isAnswering: false, text: null };
  }
}

// The lines of the Prometheus text format that are of use here.
function read(text, at) {
  const sample = { at, leases: null, watchers: null, requests: 0, buckets: new Map() };
  for (const line of text.split("\n")) {
    const [, name, labels = "", value] = /^(\w+)(?:\{(.*)\})? (\S+)/.exec(line) ?? [];
    if (name === LEASES) sample.leases = Number(value);
    if (name === WATCHERS) sample.watchers = Number(value);
    if (name === REQUESTS) sample.requests += Number(value);
    if (name === LATENCY) {
      const bound = Number(/(?:^|,)le="([^"]*)"/.exec(labels)?.[1].replace("+Inf", "Infinity"));
      sample.buckets.set(bound, (sample.buckets.get(bound) ?? 0) + Number(value));
    }
  }
  return sample;
}

function show(first, last) {
  const put = (id, text) => {
    document.getElementById(`state-${id}`).textContent = text ?? "–";
  };
  const seconds = last === null ? 0 : (last.at - first.at) / 1000;
  put("leases", last?.leases?.toLocaleString());
  put("watchers", last?.watchers?.toLocaleString());
  put("rate", seconds > 0 ? `${round((last.requests - first.requests) / seconds)}/s` : null);
  put("p50", seconds > 0 ? quantile(0.5, first, last) : null);
  put("p99", seconds > 0 ? quantile(0.99, first, last) : null);
}

// Within a bucket answers count as evenly spread, as Prometheus does it.
function quantile(share, first, last) {
  const bounds = [...last.buckets.keys()].sort((left, right) => left - right);
  const counts = bounds.map((bound) => last.buckets.get(bound) - (first.buckets.get(bound) ?? 0));
  const wanted = share * counts.at(-1);
  if (!(wanted > 0)) return null;
  const index = counts.findIndex((count) => count >= wanted);
  const [below, countBelow] = index === 0 ? [0, 0] : [bounds[index - 1], counts[index - 1]];
  if (bounds[index] === Infinity) return `> ${duration(below)}`;
  return duration(below + ((bounds[index] - below) * (wanted - countBelow)) / (counts[index] - countBelow));
}

function duration(seconds) {
  if (seconds < 0.001) return `${round(seconds * 1e6)} µs`;
  return seconds < 1 ? `${round(seconds * 1000)} ms` : `${round(seconds)} s`;
}

function round(number) {
  return number.toLocaleString(undefined, { maximumFractionDigits: number < 10 ? 1 : 0 });
}
