"""What the peer does against the engine. tests/tests/interop.rs runs it:

    python3 scenarios.py SCENARIO... [--peer PEERID --address IP:PORT]

Scenarios that listen print `listening PEERID IP:PORT` first. One that went as it should prints `ok SCENARIO RESULT`;
the first that did not ends the program.
"""

import argparse
import json
import os
import pathlib
import socket
import struct
import sys

import services
from peer import (
    BULK,
    CREDIT,
    DATA,
    FINISH,
    GOAWAY,
    NORMAL,
    OPEN,
    PADDING,
    PING,
    RESET,
    RESUME,
    URGENT,
    Link,
    connect,
    dial,
    frame,
)
from wire import (
    CHARGE,
    PREFACE,
    SEALED,
    Connection,
    Keys,
    Local,
    Lost,
    expand,
    extract,
    fingerprint,
    parse_peer_id,
    peer_id_text,
    record_header,
)

SEED = bytes(range(32))


def expect(condition, text):
    if not condition:
        raise AssertionError(text)


# --- well-behaved -----------------------------------------------------------------------------------------------------


def next_message(link):
    event = link.next_event()
    expect(event[0] == "message", f"a message, not {event!r}")
    return event[2]


def messages():
    """All sizes that are cut and packed differently, and one that is longer than any window."""
    small = [bytes([index % 256]) * (index % 90) for index in range(2_000)]
    sizes = [4_095, 4_096, 4_097, 65_535, 65_536, 65_537, 66_560, 200_000, 3_000_000]
    return [b"", b"x", *small, *(os.urandom(size) for size in sizes), b""]


def echo_dial(args):
    """Sends to an echo, reads all back, ends in order."""
    link = dial(args.address, Local(SEED), parse_peer_id(args.peer))
    sent = messages()
    channel = link.open("interop.echo/1", URGENT)
    other = link.open("interop.echo/1", BULK)
    for message in sent:
        link.send(channel, message)
    link.send(other, b"another channel")
    link.ping(77)
    received = {channel: [], other: []}
    while len(received[channel]) < len(sent) or not received[other]:
        event = link.next_event()
        expect(event[0] == "message", f"a message, not {event!r}")
        received[event[1]].append(event[2])
    expect(received[channel] == sent, "the echo is what was sent")
    expect(received[other] == [b"another channel"], "the other channel's too")
    expect(link.pong_count == 1, "the PING was answered")
    link.finish(channel)
    expect(link.next_event() == ("finished", channel), "the echo finishes too")
    link.reset(other, 9)
    link.close()
    expect(link.goodbye == (0, ""), f"the other side's goodbye, not {link.goodbye}")
    return f"{len(sent)} messages"


def echo_listen(args):
    """Is an echo, until the other side says goodbye."""
    link = Link(accept(Local(SEED)))
    count = 0
    while True:
        event = link.next_event()
        if event[0] == "message":
            link.send(event[1], event[2])
            count += 1
        elif event[0] == "finished":
            link.finish(event[1])
        elif event[0] == "goodbye":
            link.answer_goodbye()
            return f"{count} messages, goodbye {event[1]}"


def idle(args):
    """A peer that says goodbye as soon as the link is up, with a code and a text of its own."""
    link = dial(args.address, Local(SEED), parse_peer_id(args.peer))
    link.connection.send_frames(frame(0x33, b"unknown") + frame(PADDING, bytes(99)) + goaway(4_711, "so long"))
    link.connection.sock.shutdown(socket.SHUT_WR)
    return observe(link.connection)


def epochs(args):
    """More records than one epoch holds, each with one empty frame to skip."""
    link = dial(args.address, Local(SEED), parse_peer_id(args.peer))
    connection = link.connection
    padding = frame(PADDING, b"")
    for _ in range(1_024):
        connection.sock.sendall(b"".join(connection.sending.seal(padding) for _ in range(1_024)))
    expect(connection.sending.epoch == 1, "the second epoch")
    link.ping(1)
    while link.pong_count == 0:
        link.read()
    link.close()
    return "a change of epoch"


def vectors(args):
    """The test vectors, from the inputs on."""
    path = pathlib.Path(__file__).parent.parent / "vectors" / "landline-1.json"
    file = json.loads(path.read_text())
    sides = [file["initiator"], file["responder"]]
    locals_ = []
    for side in sides:
        value = lambda key: bytes.fromhex(side[key])
        local = Local(value("identity_seed"), value("static_seed"), value("instance"))
        local.grants.message_len_max = side["message_len_max"]
        local.grants.channel_credit, local.grants.link_credit = side["channel_credit"], side["link_credit"]
        expect(local.peer_id == value("peer_id") == parse_peer_id(side["peer_id_text"]), "PeerId")
        expect(peer_id_text(local.peer_id) == side["peer_id_text"], "text form")
        expect(fingerprint(local.peer_id) == side["fingerprint"], "fingerprint")
        expect(local.static_public == value("static_public"), "static key")
        expect(local.hello() == value("hello"), "Hello")
        locals_.append(local)
    left, right = (Tap(sock) for sock in socket.socketpair(socket.AF_UNIX))
    handshake = file["handshake"]
    # One thread plays both: the initiator's messages do not depend on anything but message 2, which is in the file.
    initiator, responder = Connection(left, locals_[0]), Connection(right, locals_[1])
    right.sock.sendall(bytes.fromhex(handshake["record_2"]))
    initiator.dial(locals_[1].peer_id, bytes.fromhex(sides[0]["ephemeral_seed"]))
    responder.accept(bytes.fromhex(sides[1]["ephemeral_seed"]))
    sent = handshake["preface"] + handshake["record_1"] + handshake["record_3"]
    expect(left.sent.hex() == sent, "what the initiator sends")
    expect(right.sent.hex() == handshake["record_2"], "what the responder sends")
    expect(initiator.handshake_hash.hex() == handshake["hash"] == responder.handshake_hash.hex(), "handshake hash")
    split = tuple(bytes.fromhex(handshake[key]) for key in ("split_initiator", "split_responder"))
    expect(initiator.split == split == responder.split, "split keys")
    directions = {"initiator": file["initiator_keys"], "responder": file["responder_keys"]}
    for split_key, epochs_ in zip(split, directions.values()):
        root = extract(initiator.handshake_hash, split_key)
        for epoch in epochs_:
            found = [root.hex()]
            for label, length in (("key", 32), ("iv", 12), ("next", 32)):
                found.append(expand(root, f"landline/1 {label}".encode(), length).hex())
            expect(found == [epoch[key] for key in ("root", "key", "iv", "next_root")], "an epoch's keys")
            root = bytes.fromhex(epoch["next_root"])
    for record in file["records"]:
        keys = Keys.__new__(Keys)
        keys.root, keys.epoch = bytes.fromhex(directions[record["from"]][record["epoch"]]["root"]), record["epoch"] - 1
        keys.sequence = 1 << 20
        keys.next_nonce()
        keys.sequence = record["sequence"]
        frames = bytes.fromhex(record["frames"])
        expect(keys.seal(frames).hex() == record["record"], f"a record: {record['what']}")
    return f"{len(file['records'])} records"


class Tap:
    """A socket that remembers what was sent."""

    def __init__(self, sock):
        self.sock, self.sent = sock, b""

    def sendall(self, data):
        self.sent += data
        self.sock.sendall(data)

    def setsockopt(self, *_):
        pass

    def __getattr__(self, name):
        return getattr(self.sock, name)


# --- hostile ----------------------------------------------------------------------------------------------------------


def goaway(code, text=""):
    return frame(GOAWAY, struct.pack(">H", code) + text.encode())


def accept(local, tweak=lambda message: message):
    listener = socket.create_server(("127.0.0.1", 0))
    print("listening", peer_id_text(local.peer_id), f"127.0.0.1:{listener.getsockname()[1]}", flush=True)
    listener.settimeout(20)
    connection = Connection(listener.accept()[0], local)
    connection.accept(tweak=tweak)
    return connection


def observe(connection):
    """How the engine ends the connection: `goaway CODE TEXT` or `closed`."""
    try:
        while True:
            frames = connection.read_frames()
            while frames:
                length = int.from_bytes(frames[1:4], "big")
                if frames[0] == GOAWAY:
                    code = int.from_bytes(frames[4:6], "big")
                    return f"goaway {code} {frames[6:4 + length].decode()}".strip()
                frames = frames[4 + length :]
    except Lost:
        return "closed"


def lie(seal):
    """A scenario that brings a link up and then sends the bytes that `seal` makes of the connection and a channel."""

    def scenario(args):
        link = dial(args.address, Local(SEED), parse_peer_id(args.peer))
        channel = link.open("interop.echo/1", NORMAL)
        link.flush()
        link.connection.sock.sendall(seal(link.connection, channel))
        return observe(link.connection)

    return scenario


def flipped(record, at):
    return record[:at] + bytes([record[at] ^ 1]) + record[at + 1 :]


def data(channel, total_len, offset, payload):
    return frame(DATA, struct.pack(">III", channel, total_len, offset) + payload)


def replay(connection, channel):
    record = connection.sending.seal(data(channel, 2, 0, b"hi"))
    return record + record


def sealed(frames_of):
    return lie(lambda connection, channel: connection.sending.seal(frames_of(channel)))


def too_much(connection, channel):
    """Three messages of the longest kind are begun: more than the link's credit at its start."""
    frames = b""
    for number in (channel, channel + 2, channel + 4):
        if number != channel:
            frames += frame(OPEN, struct.pack(">IB", number, 0) + b"x")
        frames += data(number, 16 << 20, 0, b"x")
    return connection.sending.seal(frames)


def many_channels(channel):
    """One more than a side may have open."""
    numbers = range(channel + 2, channel + 2 + 2 * 512, 2)
    return b"".join(frame(OPEN, struct.pack(">IB", number, BULK) + b"x") for number in numbers)


def raw(preface):
    def scenario(args):
        sock = connect(args.address)
        sock.sendall(preface)
        sock.settimeout(10)
        answer = b""
        try:
            while part := sock.recv(4_096):
                answer += part
        except ConnectionError:
            pass
        return f"answer {answer.decode()!r}" if answer else "closed"

    return scenario


def early(frames):
    """In place of its RESUME the initiator says something else."""

    def scenario(args):
        connection = Connection(connect(args.address), Local(SEED))
        connection.dial(parse_peer_id(args.peer))
        connection.send_frames(frames(connection))
        return observe(connection)

    return scenario


def resume(connection, generation=0, sender=None):
    instances = (sender or connection.local.instance) + connection.peer.instance
    return frame(RESUME, instances + bytes(16) + struct.pack(">IH", generation, 0))


def bad_dial(local, tweak=lambda message: message):
    """An initiator whose message 3 is wrong."""

    def scenario(args):
        connection = Connection(connect(args.address), local())
        connection.dial(parse_peer_id(args.peer), tweak=tweak)
        return observe(connection)

    return scenario


def bad_listen(local, tweak=lambda message: message):
    """A responder whose message 2 is wrong: the initiator has to leave without message 3."""

    def scenario(args):
        try:
            accept(local(), tweak)
        except Lost:
            return "closed"
        raise AssertionError("the engine sent message 3")

    return scenario


def reject_listen(args):
    listener = socket.create_server(("127.0.0.1", 0))
    print("listening", peer_id_text(Local(SEED).peer_id), f"127.0.0.1:{listener.getsockname()[1]}", flush=True)
    sock = listener.accept()[0]
    expect(sock.recv(9, socket.MSG_WAITALL) == PREFACE, "the preface")
    text = "this side has suite 2\x1b[2J".encode()
    sock.sendall(record_header(0x1F, len(text)) + text)
    return "rejected"


def narrow(args):
    """The least that may be granted is enough: each message of the echo waits for the one before."""
    local = Local(SEED)
    vars(local.grants).update(channel_credit=4_160, message_len_max=70_000, link_credit=70_064)
    link = dial(args.address, local, parse_peer_id(args.peer))
    channel = link.open("interop.echo/1", NORMAL)
    sent = [b"", os.urandom(4_096), os.urandom(4_097), os.urandom(70_000), b"", os.urandom(70_000), b"x"]
    for message in sent:
        link.send(channel, message)
    expect([next_message(link) for _ in sent] == sent, "the echo is what was sent")
    link.close()
    return f"{len(sent)} messages"


def forgotten(args):
    """What comes for a channel that is gone is ignored, and its link charge comes back."""
    link = dial(args.address, Local(SEED), parse_peer_id(args.peer))
    channel = link.open("interop.echo/1", NORMAL)
    link.reset(channel, 1)
    length = link.limits.message_len_max
    for _ in range(20):
        while link.used + length + CHARGE > link.limit:
            link.read()
        link.used += length + CHARGE
        link.connection.send_frames(data(channel, length, 0, b"x") + data(channel, length, 1, b"y"))
    credit = frame(CREDIT, struct.pack(">IQQ", channel, 9, 9))
    end = frame(FINISH, struct.pack(">IQ", channel, 9))
    link.connection.send_frames(credit + end + frame(RESET, struct.pack(">II", channel, 9)))
    link.ping(1)
    while link.pong_count == 0:
        link.read()
    link.close()
    return f"{20 * length} bytes"


def fin(args):
    """FIN without GOAWAY, though all is said and acknowledged."""
    link = dial(args.address, Local(SEED), parse_peer_id(args.peer))
    link.connection.sock.shutdown(socket.SHUT_WR)
    return observe(link.connection)


def forged():
    """A Local whose signature is over another key."""
    local = Local(SEED)
    local.sign = lambda message: local.identity.sign(message[:-1] + bytes([message[-1] ^ 1]))
    return local


def granting(**grants):
    """A Local whose grants are not in order."""

    def local():
        local = Local(SEED)
        vars(local.grants).update(grants)
        return local

    return local


def harmless_extension_listen(args):
    """An extension that is not critical is skipped."""
    link = Link(accept(Local(SEED, extensions=b"\x01\0\x03abc\x02\0\0")))
    expect(link.next_event()[0] == "goodbye", "the engine ends in order")
    link.answer_goodbye()
    return "skipped"


SCENARIOS = {
    **services.SCENARIOS,
    "echo-dial": echo_dial,
    "echo-listen": echo_listen,
    "idle": idle,
    "epochs": epochs,
    "vectors": vectors,
    "fin": fin,
    "tampered": lie(lambda connection, channel: flipped(connection.sending.seal(data(channel, 2, 0, b"hi")), 9)),
    "tampered-tag": lie(lambda connection, channel: flipped(connection.sending.seal(data(channel, 2, 0, b"hi")), 37)),
    "replay": lie(replay),
    "oversized": lie(lambda connection, channel: record_header(SEALED, 66_577)),
    "undersized": lie(lambda connection, channel: record_header(SEALED, 16)),
    "wrong-type": lie(lambda connection, channel: record_header(0x10, 32)),
    "too-much": lie(too_much),
    "unknown-critical": sealed(lambda channel: frame(0xB3, b"")),
    "cut-frame": sealed(lambda channel: frame(PING, bytes(8))[:-1]),
    "long-frame": sealed(lambda channel: frame(PING, bytes(9))),
    "second-resume": lie(lambda connection, channel: connection.sending.seal(resume(connection))),
    "parity": sealed(lambda channel: frame(OPEN, struct.pack(">IB", channel + 1, 0) + b"x")),
    "id-again": sealed(lambda channel: frame(OPEN, struct.pack(">IB", channel, 0) + b"x")),
    "no-channel": sealed(lambda channel: data(channel + 2, 0, 0, b"")),
    "gap": sealed(lambda channel: data(channel, 10, 0, b"abc") + data(channel, 10, 4, b"d")),
    "too-long": sealed(lambda channel: data(channel, (16 << 20) + 1, 0, b"abc")),
    "finish-count": sealed(lambda channel: frame(FINISH, struct.pack(">IQ", channel, 1))),
    "credit-back": sealed(lambda channel: frame(CREDIT, struct.pack(">IQQ", 0, 0, CHARGE))),
    "acknowledges-too-much": sealed(lambda channel: frame(CREDIT, struct.pack(">IQQ", channel, 1, 1 << 40))),
    "channel-0": sealed(lambda channel: data(0, 0, 0, b"")),
    "empty-fragment": sealed(lambda channel: data(channel, 5, 0, b"")),
    "fragment-too-long": sealed(lambda channel: data(channel, 5, 0, b"abcdef")),
    "after-finish": sealed(lambda channel: frame(FINISH, struct.pack(">IQ", channel, 0)) + data(channel, 0, 0, b"")),
    "service-name": sealed(lambda channel: frame(OPEN, struct.pack(">IB", channel + 2, 0) + b"a b")),
    "no-service-name": sealed(lambda channel: frame(OPEN, struct.pack(">IB", channel + 2, 0))),
    "long-goodbye": sealed(lambda channel: goaway(0, 129 * "x")),
    "forgotten": forgotten,
    "flood": sealed(lambda channel: 17 * frame(PING, bytes(8))),
    "many-channels": sealed(many_channels),
    "no-resume": early(lambda connection: frame(PING, bytes(8))),
    "padding-then-resume": early(lambda connection: frame(PADDING, b"x") + resume(connection) + goaway(0)),
    "resumes-old-link": early(lambda connection: resume(connection, generation=3)),
    "resumes-as-another": early(lambda connection: resume(connection, sender=bytes(16))),
    "garbage": raw(b"GET / HTTP/1.1\r\n\r\n"),
    "weak-message-1": raw(PREFACE + record_header(0x10, 32) + bytes(32)),
    "unknown-suite": raw(b"LANDLINE\x09"),
    "tampered-message-3": bad_dial(lambda: Local(SEED), lambda message: flipped(message, 60)),
    "bad-signature": bad_dial(forged),
    "critical-extension": bad_dial(lambda: Local(SEED, extensions=b"\x81\0\0")),
    "doubled-extension": bad_dial(lambda: Local(SEED, extensions=b"\x01\0\0\x01\0\0")),
    "narrow-channel": bad_dial(granting(channel_credit=4_159)),
    "narrow-link": bad_dial(granting(message_len_max=70_000, link_credit=70_063)),
    "narrow-but-enough": narrow,
    "tampered-message-2": bad_listen(lambda: Local(SEED), lambda message: flipped(message, 60)),
    "weak-ephemeral": bad_listen(lambda: Local(SEED), lambda message: bytes(32) + message[32:]),
    "bad-signature-listen": bad_listen(forged),
    "other-identity": bad_listen(lambda: Local(SEED)),
    "critical-extension-listen": bad_listen(lambda: Local(SEED, extensions=b"\x81\0\0")),
    "reject-listen": reject_listen,
    "harmless-extension-listen": harmless_extension_listen,
}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("scenarios", nargs="+")
    parser.add_argument("--peer")
    parser.add_argument("--address")
    parser.add_argument("--directory")
    parser.add_argument("--folder")
    args = parser.parse_args()
    for name in args.scenarios:
        print("ok", name, SCENARIOS[name](args), flush=True)


if __name__ == "__main__":
    sys.exit(main())
