"""Sections 2 to 5 of docs/protocol.md: names, the connection, the handshake, keys and sealed records.

Ed25519 signatures are checked as the package `cryptography` does it, which takes keys of small order; a real peer has
to refuse those.
"""

import hashlib
import hmac
import os
import socket
import struct

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

PREFACE = b"LANDLINE\x01"
SEALED, MESSAGE_1, MESSAGE_2, MESSAGE_3, REJECT = 0x01, 0x10, 0x11, 0x12, 0x1F
PLAINTEXT_MAX = 66_560
SEALED_LEN_MIN, SEALED_LEN_MAX = 17, 66_576
HANDSHAKE_MESSAGE_MAX = 1_024
EPOCH_RECORD_COUNT = 1 << 20
CHARGE = 64
BASE32 = "abcdefghijklmnopqrstuvwxyz234567"


class Fault(Exception):
    """The other side broke the protocol. `code` is that of the GOAWAY to send; None closes without a word."""

    def __init__(self, text, code=None):
        super().__init__(text)
        self.code = code


class Lost(Exception):
    """TCP ended without a GOAWAY."""


class Rejected(Exception):
    """The responder sent a reject record."""


# --- 2. Names ---------------------------------------------------------------------------------------------------------


def peer_id_text(peer_id):
    number = int.from_bytes(peer_id, "big") << 4
    return "".join(BASE32[number >> 5 * index & 31] for index in reversed(range(52)))


def parse_peer_id(text):
    if len(text) != 52 or any(character not in BASE32 for character in text) or text[-1] not in "aq":
        raise ValueError("not a PeerId")
    number = 0
    for character in text:
        number = number << 5 | BASE32.index(character)
    return (number >> 4).to_bytes(32, "big")


def fingerprint(peer_id):
    digest = hashlib.sha256(b"landline/1 fingerprint\0" + peer_id).digest()
    return " ".join(f"{group:05}" for group in struct.unpack(">8H", digest[:16]))


# --- 4. Handshake -----------------------------------------------------------------------------------------------------


def hmac_sha256(key, data):
    return hmac.new(key, data, hashlib.sha256).digest()


def extract(salt, ikm):
    return hmac_sha256(salt, ikm)


def expand(prk, info, length):
    """HKDF-Expand for at most 32 bytes."""
    return hmac_sha256(prk, info + b"\x01")[:length]


def dh(secret, public):
    try:
        return secret.exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError as error:  # the package refuses results of all zeroes
        raise Fault(f"weak key: {error}") from error


class Noise:
    """The symmetric state of 4.1."""

    def __init__(self, prologue=PREFACE):
        self.h = b"Noise_XX_25519_AESGCM_SHA256" + bytes(4)
        self.ck = self.h
        self.k = None
        self.n = 0
        self.mix_hash(prologue)

    def mix_hash(self, data):
        self.h = hashlib.sha256(self.h + data).digest()

    def mix_key(self, secret):
        t = hmac_sha256(self.ck, secret)
        self.ck = hmac_sha256(t, b"\x01")
        self.k = hmac_sha256(t, self.ck + b"\x02")
        self.n = 0

    def nonce(self):
        self.n += 1
        return bytes(4) + struct.pack(">Q", self.n - 1)

    def encrypt_and_hash(self, data):
        result = AESGCM(self.k).encrypt(self.nonce(), data, self.h) if self.k else data
        self.mix_hash(result)
        return result

    def decrypt_and_hash(self, data):
        try:
            result = AESGCM(self.k).decrypt(self.nonce(), data, self.h) if self.k else data
        except InvalidTag as error:
            raise Fault("a handshake message does not decrypt") from error
        self.mix_hash(data)
        return result

    def split(self):
        t = hmac_sha256(self.ck, b"")
        k1 = hmac_sha256(t, b"\x01")
        return k1, hmac_sha256(t, k1 + b"\x02")


class Grants:
    def __init__(self, message_len_max=4 << 20, channel_credit=65_664, link_credit=None):
        self.message_len_max = message_len_max
        self.channel_credit = channel_credit
        self.link_credit = link_credit or 2 * (message_len_max + CHARGE)


class Local:
    """What this process is in every handshake."""

    def __init__(self, identity_seed, static_seed=None, instance=None, grants=None, extensions=b""):
        self.identity = Ed25519PrivateKey.from_private_bytes(identity_seed)
        self.peer_id = self.identity.public_key().public_bytes_raw()
        self.static = X25519PrivateKey.from_private_bytes(static_seed or os.urandom(32))
        self.static_public = self.static.public_key().public_bytes_raw()
        self.instance = instance or os.urandom(16)
        self.grants = grants or Grants()
        self.extensions = extensions

    def sign(self, message):
        return self.identity.sign(message)

    def hello(self):
        grants = self.grants
        signature = self.sign(b"landline/1 static\0" + self.static_public)
        numbers = struct.pack(">IQQ", grants.message_len_max, grants.channel_credit, grants.link_credit)
        return self.peer_id + self.instance + signature + numbers + self.extensions


class Hello:
    """A decoded and checked Hello, in the order of 4.3."""

    def __init__(self, data, static_public):
        if len(data) < 132:
            raise Fault("a Hello is too short")
        self.peer_id, self.instance, signature = data[:32], data[32:48], data[48:112]
        numbers = struct.unpack(">IQQ", data[112:132])
        self.grants = Grants(*numbers)
        rest, seen = data[132:], set()
        while rest:
            if len(rest) < 3 or len(rest) < 3 + int.from_bytes(rest[1:3], "big"):
                raise Fault("an extension is cut short")
            kind, length = rest[0], int.from_bytes(rest[1:3], "big")
            if kind in seen or kind & 0x80:
                raise Fault("an extension stands twice or is critical and unknown")
            seen.add(kind)
            rest = rest[3 + length :]
        try:
            key = Ed25519PublicKey.from_public_bytes(self.peer_id)
            key.verify(signature, b"landline/1 static\0" + static_public)
        except InvalidSignature as error:
            raise Fault("the signature does not fit") from error
        if self.grants.channel_credit < 4_160 or self.grants.link_credit < self.grants.message_len_max + CHARGE:
            raise Fault("the grants are not in order")


class Keys:
    """5: the keys of one direction."""

    def __init__(self, handshake_hash, split_key):
        self.root = extract(handshake_hash, split_key)
        self.epoch = -1
        self.sequence = EPOCH_RECORD_COUNT

    def next_nonce(self):
        if self.sequence == EPOCH_RECORD_COUNT:
            self.aead = AESGCM(expand(self.root, b"landline/1 key", 32))
            self.iv = expand(self.root, b"landline/1 iv", 12)
            self.root = expand(self.root, b"landline/1 next", 32)
            self.epoch += 1
            self.sequence = 0
        counter = bytes(4) + struct.pack(">Q", self.sequence)
        self.sequence += 1
        return bytes(a ^ b for a, b in zip(self.iv, counter))

    def seal(self, frames):
        assert 1 <= len(frames) <= PLAINTEXT_MAX
        header = record_header(SEALED, len(frames) + 16)
        return header + self.aead_for(self.next_nonce()).encrypt(self.nonce, frames, header)

    def open(self, header, body):
        try:
            return self.aead_for(self.next_nonce()).decrypt(self.nonce, body, header)
        except InvalidTag as error:
            raise Fault("a record does not open") from error

    def aead_for(self, nonce):
        self.nonce = nonce
        return self.aead


def record_header(kind, length):
    return bytes([kind]) + length.to_bytes(3, "big")


class Connection:
    """3 to 5: the bytes of one TCP stream. `step` and the `tweak` hooks let hostile scenarios lie."""

    def __init__(self, sock, local):
        self.sock = sock
        self.local = local
        self.buffer = bytearray()
        self.peer = None
        sock.settimeout(20)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def read_exact(self, length):
        while len(self.buffer) < length:
            try:
                data = self.sock.recv(1 << 18)
            except ConnectionError as error:
                raise Lost(str(error)) from error
            if not data:
                raise Lost("end of stream")
            self.buffer += data
        data = bytes(self.buffer[:length])
        del self.buffer[:length]
        return data

    def read_record(self, expected):
        header = self.read_exact(4)
        kind, length = header[0], int.from_bytes(header[1:], "big")
        if kind == REJECT and expected == MESSAGE_2 and 1 <= length <= HANDSHAKE_MESSAGE_MAX:
            raise Rejected(self.read_exact(length)[:200].decode("utf-8", "replace"))
        low, high = (SEALED_LEN_MIN, SEALED_LEN_MAX) if expected == SEALED else (1, HANDSHAKE_MESSAGE_MAX)
        if kind != expected or not low <= length <= high:
            raise Fault(f"a record of type {kind:#x} and length {length}")
        return header, self.read_exact(length)

    def send_message(self, kind, body):
        self.sock.sendall(record_header(kind, len(body)) + body)

    def dial(self, expected, ephemeral=None, preface=PREFACE, tweak=lambda message: message):
        self.is_initiator = True
        noise, local = Noise(), self.local
        e = X25519PrivateKey.from_private_bytes(ephemeral or os.urandom(32))
        e_public = e.public_key().public_bytes_raw()
        noise.mix_hash(e_public)
        self.sock.sendall(preface)
        self.send_message(MESSAGE_1, e_public + noise.encrypt_and_hash(b""))
        _, message = self.read_record(MESSAGE_2)
        if len(message) < 32 + 48 + 16:
            raise Fault("message 2 is too short")
        f = message[:32]
        noise.mix_hash(f)
        noise.mix_key(dh(e, f))
        r = noise.decrypt_and_hash(message[32:80])
        noise.mix_key(dh(e, r))
        hello = Hello(noise.decrypt_and_hash(message[80:]), r)
        if hello.peer_id == local.peer_id:
            raise Fault("the peer is this node")
        if hello.peer_id != expected:
            raise Fault("another identity answers")
        sealed_static = noise.encrypt_and_hash(local.static_public)
        noise.mix_key(dh(local.static, f))
        self.send_message(MESSAGE_3, tweak(sealed_static + noise.encrypt_and_hash(local.hello())))
        self.establish(noise, hello)

    def accept(self, ephemeral=None, tweak=lambda message: message):
        self.is_initiator = False
        noise, local = Noise(), self.local
        preface = self.read_exact(9)
        if preface[:8] != PREFACE[:8]:
            raise Fault("not landline")
        if preface != PREFACE:
            self.send_message(REJECT, b"this side has suite 1")
            raise Fault("unknown suite")
        _, e = self.read_record(MESSAGE_1)
        if len(e) != 32:
            raise Fault("message 1 carries a payload")
        noise.mix_hash(e)
        noise.decrypt_and_hash(b"")
        f = X25519PrivateKey.from_private_bytes(ephemeral or os.urandom(32))
        f_public = f.public_key().public_bytes_raw()
        noise.mix_hash(f_public)
        noise.mix_key(dh(f, e))
        sealed_static = noise.encrypt_and_hash(local.static_public)
        noise.mix_key(dh(local.static, e))
        self.send_message(MESSAGE_2, tweak(f_public + sealed_static + noise.encrypt_and_hash(local.hello())))
        _, message = self.read_record(MESSAGE_3)
        if len(message) < 48 + 16:
            raise Fault("message 3 is too short")
        s = noise.decrypt_and_hash(message[:48])
        noise.mix_key(dh(f, s))
        hello = Hello(noise.decrypt_and_hash(message[48:]), s)
        if hello.peer_id == local.peer_id:
            raise Fault("the peer is this node")
        self.establish(noise, hello)

    def establish(self, noise, hello):
        self.peer = hello
        self.handshake_hash = noise.h
        self.split = noise.split()
        keys = [Keys(noise.h, key) for key in self.split]
        self.sending, self.receiving = keys if self.is_initiator else reversed(keys)

    def send_frames(self, frames):
        self.sock.sendall(self.sending.seal(frames))

    def read_frames(self):
        header, body = self.read_record(SEALED)
        return self.receiving.open(header, body)
