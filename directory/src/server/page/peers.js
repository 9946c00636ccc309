// The peers as the watch stream tells them: what is known, and what has changed since it was last asked.
//
// It knows the events of the stream (docs/protocol.md, section 12) and no document. A snapshot is gathered aside and takes the
// place of what was known once it is whole, so that nothing flickers when the stream starts anew.

import { fingerprint } from "./fingerprint.js";

const LEASE_MIN_S = 5;
const LEASE_MAX_S = 3600;

export class Peers {
  // By PeerId.
  #known = new Map();
  // The snapshot that is arriving; null when there is none.
  #arriving = null;
  #sorted = [];
  #isSorted = true;

  get count() {
    return this.#known.size;
  }

  // Takes an event. Gives `{ isReady, isChanged, news, renewed }`: `news` for people, `renewed` a peer whose lease alone
  // has changed.
  handle(type, data, now) {
    const nothing = { isReady: false, isChanged: false, news: [], renewed: null };
    switch (type) {
      case "reset":
        this.#arriving = new Map();
        return nothing;
      case "ready":
        return { ...nothing, isReady: true, isChanged: this.#adopt() };
      case "up":
        return { ...nothing, ...this.#up(data, now) };
      case "renew":
        return { ...nothing, renewed: this.#renew(data, now) };
      case "down":
        return { ...nothing, ...this.#down(data) };
      default:
        return nothing;
    }
  }

  // Those that fit the filter, by name.
  select(filter) {
    if (!this.#isSorted) {
      this.#sorted = [...this.#known.values()].sort(byName);
      this.#isSorted = true;
    }
    const words = filter.toLowerCase().split(/\s+/).filter((word) => word !== "");
    return words.length === 0 ? this.#sorted : this.#sorted.filter((peer) => words.every((word) => peer.has(word)));
  }

  #adopt() {
    if (this.#arriving === null) return false;
    this.#known = this.#arriving;
    this.#arriving = null;
    this.#isSorted = false;
    return true;
  }

  #up(data, now) {
    const peer = Peer.read(data, now);
    if (peer === null) return {};
    if (this.#arriving !== null) {
      this.#arriving.set(peer.id, peer);
      return {};
    }
    const before = this.#known.get(peer.id);
    this.#known.set(peer.id, peer);
    this.#isSorted = false;
    const news = before?.name === peer.name ? [] : [{ name: peer.name, isHere: true }];
    return { isChanged: true, news };
  }

  #renew(data, now) {
    const peer = (this.#arriving ?? this.#known).get(data.peer_id);
    if (peer === undefined) return null;
    peer.expiresAt = now + Number(data.expires_in_ms);
    return this.#arriving === null ? peer : null;
  }

  // A peer goes by its PeerId: it may have taken another name in the moment before, of which nothing was told.
  #down(data) {
    const peers = this.#arriving ?? this.#known;
    const peer = peers.get(data.peer_id);
    if (!peers.delete(data.peer_id) || this.#arriving !== null) return {};
    this.#isSorted = false;
    return { isChanged: true, news: [{ name: peer.name, isHere: false }] };
  }
}

export class Peer {
  #fingerprint = null;
  #words = null;

  // Reads an entry; `now` is on the clock of `performance.now`. The page believes its directory, which gave it the page;
  // only what could not be shown at all is left out.
  static read(entry, now) {
    const statement = JSON.parse(String(entry.statement));
    if (typeof statement?.peer_id !== "string" || typeof statement.name !== "string") return null;
    const peer = new Peer();
    peer.id = statement.peer_id;
    peer.name = statement.name;
    peer.services = texts(statement.services);
    peer.addresses = texts(statement.addresses);
    peer.expiresAt = now + Number(entry.expires_in_ms);
    peer.hereSince = Number.isFinite(entry.since_ms) ? Date.now() - entry.since_ms : null;
    const lease = Number(statement.lease ?? 60);
    peer.leaseMs = 1000 * Math.min(Math.max(lease, LEASE_MIN_S), LEASE_MAX_S);
    return peer;
  }

  get fingerprint() {
    this.#fingerprint ??= fingerprint(this.id);
    return this.#fingerprint;
  }

  // What to type. A name may begin with a hyphen, and must not be taken for an option then.
  get command() {
    return this.name.startsWith("-") ? `landline chat -- ${this.name}` : `landline chat ${this.name}`;
  }

  // Whether name, services, addresses, fingerprint or PeerId hold `word`, which is in lower case.
  has(word) {
    this.#words ??= [this.name, this.fingerprint, this.id, ...this.services, ...this.addresses].join("\n").toLowerCase();
    return this.#words.includes(word);
  }
}

function texts(value) {
  return Array.isArray(value) ? value.map(String) : [];
}

function byName(left, right) {
  if (left.name === right.name) return left.id < right.id ? -1 : 1;
  return left.name < right.name ? -1 : 1;
}
