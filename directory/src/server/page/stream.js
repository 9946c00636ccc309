// The connection to `/v1/watch`: open while somebody looks, and opened again whenever it breaks.
//
// The browser itself comes back after a lost connection and says what it saw last. It gives up after a refusal; then, and
// when the directory stopped answering without the connection ending, this file starts a new one.

const EVENTS = ["reset", "up", "renew", "down", "ready"];
const PAUSE_MIN_MS = 1000;
const PAUSE_MAX_MS = 15000;
// A browser keeps six connections to one server: pages that nobody looks at must not hold them all.
const HIDDEN_MAX_MS = 30000;

export class Stream {
  #source = null;
  #onEvent;
  #onState;
  #pauseMs = PAUSE_MIN_MS;
  #retry = 0;
  #hidden = 0;

  // `onEvent(type, data)` for each event, `onState("connecting" | "live" | "lost")` for each change.
  constructor(onEvent, onState) {
    this.#onEvent = onEvent;
    this.#onState = onState;
    document.addEventListener("visibilitychange", () => this.#followVisibility());
    window.addEventListener("pagehide", () => this.#close());
    window.addEventListener("pageshow", () => this.#source ?? this.#open());
  }

  start() {
    this.#onState("connecting");
    this.#open();
  }

  // The directory does not answer other requests: what comes next is a new connection.
  abandon() {
    if (this.#source === null) return;
    this.#onState("lost");
    this.#openLater();
  }

  #open() {
    this.#close();
    const source = new EventSource("/v1/watch");
    this.#source = source;
    for (const type of EVENTS) {
      source.addEventListener(type, (event) => this.#handle(type, event));
    }
    source.addEventListener("error", () => {
      this.#onState("lost");
      if (source.readyState === EventSource.CLOSED) this.#openLater();
    });
  }

  #handle(type, event) {
    this.#onEvent(type, JSON.parse(event.data));
    if (type === "ready") {
      this.#pauseMs = PAUSE_MIN_MS;
      this.#onState("live");
    }
  }

  // Full jitter, so that many pages do not come back at once.
  #openLater() {
    this.#close();
    this.#retry = setTimeout(() => this.#open(), this.#pauseMs * (0.5 + 0.5 * Math.random()));
    this.#pauseMs = Math.min(2 * this.#pauseMs, PAUSE_MAX_MS);
  }

  #close() {
    clearTimeout(this.#retry);
    this.#source?.close();
    this.#source = null;
  }

  #followVisibility() {
    clearTimeout(this.#hidden);
    if (document.hidden) {
      this.#hidden = setTimeout(() => this.#close(), HIDDEN_MAX_MS);
    } else if (this.#source === null) {
      this.#pauseMs = PAUSE_MIN_MS;
      this.start();
    }
  }
}
