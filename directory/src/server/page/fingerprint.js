// The fingerprint of a PeerId, as `landline id` shows it: 8 groups of 5 digits.
//
// The first 16 bytes of SHA-256 over "landline/1 fingerprint", a zero byte and the 32 bytes of the key; each group is two
// of them, big endian, in decimal. Browsers offer SHA-256 only to pages that came over TLS or from this host, hence our
// own: what is hashed is 55 bytes long, which with its padding is exactly one block (FIPS 180-4).

const CONTEXT = new TextEncoder().encode("landline/1 fingerprint\0");
const ALPHABET = "abcdefghijklmnopqrstuvwxyz234567";
const BLOCK_LEN = 64;

// The first 32 bits of the fractional parts of the roots of the first primes: square roots start the state, cube roots
// are the constants of the rounds.
const PRIMES = firstPrimes(64);
const START = PRIMES.slice(0, 8).map((prime) => fraction(Math.sqrt(prime)));
const ROUND = PRIMES.map((prime) => fraction(Math.cbrt(prime)));

// Gives "" for a text that is no PeerId.
export function fingerprint(peerId) {
  const key = decodeBase32(peerId);
  if (key === null) return "";
  const block = new Uint8Array(BLOCK_LEN);
  block.set(CONTEXT);
  block.set(key, CONTEXT.length);
  const len = CONTEXT.length + key.length;
  block[len] = 0x80;
  new DataView(block.buffer).setUint16(BLOCK_LEN - 2, len * 8);
  const words = hashBlock(block).slice(0, 4);
  return words.flatMap((word) => [word >>> 16, word & 0xffff]).map((pair) => String(pair).padStart(5, "0")).join(" ");
}

// 52 characters at 5 bits each; the last 4 bits are padding.
function decodeBase32(text) {
  if (text.length !== 52) return null;
  const bytes = [];
  let bits = 0;
  let bitCount = 0;
  for (const character of text) {
    const value = ALPHABET.indexOf(character);
    if (value < 0) return null;
    bits = ((bits << 5) | value) & 0xfff;
    bitCount += 5;
    if (bitCount >= 8) {
      bitCount -= 8;
      bytes.push((bits >>> bitCount) & 0xff);
    }
  }
  return bytes;
}

function hashBlock(block) {
  const view = new DataView(block.buffer);
  const schedule = Array.from({ length: 16 }, (_, index) => view.getUint32(4 * index));
  for (let t = 16; t < 64; t += 1) {
    const [near, far] = [schedule[t - 2], schedule[t - 15]];
    const small = rotate(far, 7) ^ rotate(far, 18) ^ (far >>> 3);
    const large = rotate(near, 17) ^ rotate(near, 19) ^ (near >>> 10);
    schedule.push((schedule[t - 16] + small + schedule[t - 7] + large) >>> 0);
  }
  let [a, b, c, d, e, f, g, h] = START;
  for (let t = 0; t < 64; t += 1) {
    const choice = (e & f) ^ (~e & g);
    const majority = (a & b) ^ (a & c) ^ (b & c);
    const first = (h + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) + choice + ROUND[t] + schedule[t]) >>> 0;
    const second = ((rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) + majority) >>> 0;
    [h, g, f, e, d, c, b, a] = [g, f, e, (d + first) >>> 0, c, b, a, (first + second) >>> 0];
  }
  return [a, b, c, d, e, f, g, h].map((word, index) => (word + START[index]) >>> 0);
}

function rotate(word, count) {
  return (word >>> count) | (word << (32 - count));
}

function firstPrimes(count) {
  const primes = [];
  for (let number = 2; primes.length < count; number += 1) {
    if (primes.every((prime) => number % prime !== 0)) primes.push(number);
  }
  return primes;
}

// A double holds the 3 bits before the point and the 32 behind it with 18 to spare, which more than covers the last
// digit that a root may be off by.
function fraction(root) {
  return Math.floor((root - Math.floor(root)) * 2 ** 32);
}
