// The table of peers: one row for each that is shown, kept as long as the peer is, so that focus and selection stay where
// they are. Whatever a peer said is put in as text.

// More rows than this nobody reads, and a browser takes its time for them.
const ROW_COUNT_MAX = 300;
const COPIED_MS = 2000;

const element = (id) => document.getElementById(id);

export class View {
  // Rows by PeerId, with the fields that change: `{ row, fields, peer }`.
  #rows = new Map();
  #isFirst = true;
  #say;

  // `say(text)` tells a reader who does not see the page.
  constructor(say) {
    this.#say = say;
    element("rows").addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (button !== null) this.#copy(button);
    });
  }

  // Shows the first of `peers`; `count` is how many there are without the filter.
  show(peers, count, now) {
    const shown = peers.slice(0, ROW_COUNT_MAX);
    if (this.#isFirst) element("rows").replaceChildren();
    this.#drop(new Set(shown.map((peer) => peer.id)));
    let next = element("rows").firstElementChild;
    for (const peer of shown) {
      const row = this.#rowOf(peer, now);
      if (row === next) {
        next = next.nextElementSibling;
      } else {
        element("rows").insertBefore(row, next);
      }
    }
    this.#isFirst = false;
    const more = peers.length - shown.length;
    element("more").textContent = more > 0 ? `${more.toLocaleString()} more: narrow the filter to see them.` : "";
    element("count").textContent =
      peers.length === count ? count.toLocaleString() : `${peers.length.toLocaleString()} of ${count.toLocaleString()}`;
    element("none").hidden = count > 0;
    element("no-match").hidden = count === 0 || peers.length > 0;
    element("table").hidden = peers.length === 0;
    document.title = `${count.toLocaleString()} ${count === 1 ? "peer" : "peers"} - landline directory`;
  }

  // Counts down, in all rows or in that of one peer.
  tick(now, peer = null) {
    if (peer !== null) {
      const shown = this.#rows.get(peer.id);
      if (shown !== undefined) showLeft(shown, now);
      return;
    }
    for (const shown of this.#rows.values()) showLeft(shown, now);
  }

  #drop(wanted) {
    for (const [id, { row }] of this.#rows) {
      if (wanted.has(id)) continue;
      // Who was on this row goes on from the next one.
      const heir = row.contains(document.activeElement) ? (row.nextElementSibling ?? row.previousElementSibling) : null;
      const hadFocus = row.contains(document.activeElement);
      row.remove();
      this.#rows.delete(id);
      if (hadFocus) (heir?.querySelector("button") ?? element("peers")).focus();
    }
  }

  #rowOf(peer, now) {
    const shown = this.#rows.get(peer.id) ?? newRow(!this.#isFirst);
    if (shown.peer !== peer) {
      shown.peer = peer;
      fill(shown.fields, peer);
      this.#rows.set(peer.id, shown);
    }
    showLeft(shown, now);
    return shown.row;
  }

  async #copy(button) {
    const code = button.parentElement.querySelector("code");
    const isCopied = await copyText(code);
    button.textContent = isCopied ? "Copied" : "Selected";
    this.#say(isCopied ? `Copied: ${code.textContent}` : `Selected, copy it by your keyboard: ${code.textContent}`);
    setTimeout(() => (button.textContent = "Copy"), COPIED_MS);
  }
}

function newRow(isFresh) {
  const row = element("row").content.firstElementChild.cloneNode(true);
  const fields = {};
  for (const field of row.querySelectorAll("[data-field]")) fields[field.dataset.field] = field;
  row.classList.toggle("fresh", isFresh);
  return { row, fields, peer: null };
}

function fill(fields, peer) {
  fields.name.textContent = peer.name;
  list(fields.services, peer.services);
  list(fields.addresses, peer.addresses);
  fields.fingerprint.textContent = peer.fingerprint;
  fields.id.textContent = peer.id;
  fields.since.textContent = peer.hereSince === null ? "–" : moment(peer.hereSince);
  if (peer.hereSince !== null) fields.since.dateTime = new Date(peer.hereSince).toISOString();
  fields.command.textContent = peer.command;
  fields.copy.hidden = false;
  fields.copy.setAttribute("aria-label", `Copy ${peer.command}`);
}

function list(place, texts) {
  const items = texts.map((text) => {
    const item = document.createElement("li");
    item.textContent = text;
    return item;
  });
  if (items.length === 0) {
    const item = document.createElement("li");
    item.className = "nothing";
    item.textContent = "none";
    items.push(item);
  }
  place.replaceChildren(...items);
}

function showLeft({ fields, peer }, now) {
  const leftMs = peer.expiresAt - now;
  // Peers renew at a third of the lease: one that has less than a third left has missed two turns.
  const isLate = leftMs < peer.leaseMs / 3;
  const text = leftMs <= 0 ? "lease over" : isLate ? `${human(leftMs)}, late` : human(leftMs);
  if (fields.expires.textContent === text) return;
  fields.expires.textContent = text;
  fields.expires.classList.toggle("late", isLate);
}

function human(ms) {
  const seconds = Math.ceil(ms / 1000);
  return seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}

// The time of day, with the date where that was not today.
function moment(at) {
  const date = new Date(at);
  const isToday = date.toDateString() === new Date().toDateString();
  const day = isToday ? {} : { day: "numeric", month: "short" };
  return date.toLocaleString(undefined, { ...day, hour: "2-digit", minute: "2-digit" });
}

// Gives whether the text is on the clipboard. The clipboard is offered only to pages that came over TLS or from this
// host; elsewhere the text is selected, and copied where the browser still takes that old command.
async function copyText(place) {
  try {
    await navigator.clipboard.writeText(place.textContent);
    return true;
  } catch {
    getSelection().selectAllChildren(place);
    return document.execCommand("copy");
  }
}
