"""Sections 12 and 13 of docs/protocol.md: the directory's client, chat and files."""

import http.client
import json
import os
import pathlib
import socket
import struct

from blake3 import blake3
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from peer import BULK, URGENT, Link, dial
from wire import Connection, Local, fingerprint, parse_peer_id, peer_id_text

SEED = bytes(range(32))
CHAT, FILES = "landline.chat/1", "landline.files/1"
TEXT, NAME = 0x01, 0x02
OFFER, FILE_DATA, END, ACCEPT, REFUSE, CONFIRM, FAILED = 0x01, 0x02, 0x03, 0x11, 0x12, 0x13, 0x1F
PAYLOAD_MAX = 65_520
UNKNOWN_SIZE = (1 << 64) - 1


def expect(condition, text):
    if not condition:
        raise AssertionError(text)


# --- 13.1 Chat --------------------------------------------------------------------------------------------------------


def chat(args):
    """Introduces itself, says three lines, reads three, says goodbye."""
    link = dial(args.address, Local(SEED), parse_peer_id(args.peer))
    channel = link.open(CHAT, URGENT)
    link.send(channel, bytes([NAME]) + b"python-3")
    link.send(channel, b"\x7fof a later version")
    for line in ("hello", "Grüße, 世界", ""):
        link.send(channel, bytes([TEXT]) + line.encode())
    heard = []
    while len(heard) < 4:
        event = link.next_event()
        expect(event[0] == "message", f"a message, not {event!r}")
        heard.append([event[2][0], event[2][1:].decode()])
    link.finish(channel)
    expect(link.next_event() == ("finished", channel), "the other side finishes too")
    link.close()
    return json.dumps(heard, ensure_ascii=False)


def bad_chat(args):
    link = dial(args.address, Local(SEED), parse_peer_id(args.peer))
    codes = []
    for message in (b"", b"\x01\xff", b"\x02No", b"\x01" + bytes(16_385)):
        link.send(link.open(CHAT, URGENT), message)
        codes.append(reset_code(link))
    link.open("nobody.knows/1")
    link.flush()
    codes.append(reset_code(link))
    link.close()
    return json.dumps(codes)


def reset_code(link):
    event = link.next_event()
    expect(event[0] == "reset", f"a reset, not {event!r}")
    return event[2]


# --- 13.2 Files -------------------------------------------------------------------------------------------------------


def header(kind, transfer):
    return bytes([kind, 0, 0, 0]) + struct.pack(">I", transfer)


def counted(data):
    return struct.pack(">H", len(data)) + data


def parse(message):
    return message[0], struct.unpack(">I", message[4:8])[0], message[8:]


def failure(body):
    code, length = struct.unpack(">HH", body[:4])
    return code, body[4 : 4 + length].decode()


def await_file_message(link):
    event = link.next_event()
    expect(event[0] == "message", f"a message, not {event!r}")
    return parse(event[2])


def send_file(link, channel, transfer, name, content, known=True, lie=0):
    """Gives `saved NAME` or the code of the failure."""
    size = len(content) if known else UNKNOWN_SIZE
    link.send(channel, header(OFFER, transfer) + struct.pack(">Qq", size, 1_700_000_000 * 10**9) + counted(name))
    kind, number, body = await_file_message(link)
    expect(number == transfer, "the same transfer")
    if kind == REFUSE:
        return failure(body)[0]
    expect(kind == ACCEPT, f"ACCEPT, not {kind:#x}")
    for offset in range(0, len(content), PAYLOAD_MAX):
        piece = content[offset : offset + PAYLOAD_MAX]
        link.send(channel, header(FILE_DATA, transfer) + struct.pack(">Q", offset + lie) + piece)
    link.send(channel, header(END, transfer) + struct.pack(">Q", len(content)) + blake3(content))
    kind, number, body = await_file_message(link)
    expect(number == transfer, "the same transfer")
    if kind == FAILED:
        return failure(body)[0]
    expect(kind == CONFIRM, f"CONFIRM, not {kind:#x}")
    length, digest, name_len = struct.unpack(">Q32sH", body[:42])
    expect((length, digest) == (len(content), blake3(content)), "what is confirmed is what was sent")
    return "saved " + body[42 : 42 + name_len].decode()


def files_send(args):
    """Sends good and bad files on one channel."""
    link = dial(args.address, Local(SEED), parse_peer_id(args.peer))
    channel = link.open(FILES, BULK)
    content = bytes(index * 7 % 256 for index in range(200_000))
    results = [
        send_file(link, channel, 1, b"first.bin", content),
        send_file(link, channel, 2, b"empty", b""),
        send_file(link, channel, 3, b"first.bin", b"another"),
        send_file(link, channel, 4, b"stream", content[:70_000], known=False),
        send_file(link, channel, 5, b"../etc/passwd", b""),
        send_file(link, channel, 9, b"lie", b"abc", lie=1),
        send_file(link, channel, 9, b"again", b"abc"),
    ]
    link.send(channel, header(0x20, 77))
    kind, number, body = await_file_message(link)
    expect((kind, number) == (FAILED, 77), "a kind that is not known")
    results.append(failure(body)[0])
    link.send(channel, header(ACCEPT, 1)[:7])
    results.append(f"reset {reset_code(link)}")
    link.close()
    return json.dumps(results)


def files_receive(args):
    """Listens, takes the first file, and refuses the second."""
    listener = socket.create_server(("127.0.0.1", 0))
    local = Local(SEED)
    print("listening", peer_id_text(local.peer_id), f"127.0.0.1:{listener.getsockname()[1]}", flush=True)
    connection = Connection(listener.accept()[0], local)
    connection.accept()
    link = Link(connection)
    expect(link.next_event()[2:] == (FILES, BULK), "a files channel")
    folder, current, last = pathlib.Path(args.folder), None, 0
    while True:
        event = link.next_event()
        if event[0] in ("finished", "reset"):
            continue
        if event[0] == "goodbye":
            link.answer_goodbye()
            return "done"
        channel = event[1]
        kind, transfer, body = parse(event[2])
        if kind == OFFER:
            size, modified, name_len = struct.unpack(">QqH", body[:18])
            expect(current is None and transfer > last, "one after the other")
            last = transfer
            if last > 1:
                text = "one is enough".encode()
                link.send(channel, header(REFUSE, transfer) + struct.pack(">H", 1) + counted(text))
                continue
            expect(modified == -(1 << 63) or modified > 0, "when it was modified")
            current = [transfer, size, body[18 : 18 + name_len].decode(), bytearray()]
            link.send(channel, header(ACCEPT, transfer))
        elif kind == FILE_DATA:
            expect(transfer == current[0] and struct.unpack(">Q", body[:8])[0] == len(current[3]), "in order")
            current[3] += body[8:]
        elif kind == END:
            length, digest = struct.unpack(">Q32s", body[:40])
            content = bytes(current[3])
            expect(length == len(content) == current[1] and digest == blake3(content), "whole")
            (folder / current[2]).write_bytes(content)
            link.send(channel, header(CONFIRM, transfer) + body[:40] + counted(current[2].encode()))
            current = None
        else:
            raise AssertionError(f"kind {kind:#x}")


# --- 12. The directory ------------------------------------------------------------------------------------------------

ANNOUNCE, WITHDRAW = b"landline/1 announce\0", b"landline/1 withdraw\0"


def envelope(local, domain, statement):
    text = json.dumps(statement)
    return json.dumps({"statement": text, "signature": local.sign(domain + text.encode()).hex()})


def open_entry(entry):
    """The announcement in an entry, if its signature fits."""
    statement = json.loads(entry["statement"])
    key = Ed25519PublicKey.from_public_bytes(parse_peer_id(statement["peer_id"]))
    try:
        key.verify(bytes.fromhex(entry["signature"]), ANNOUNCE + entry["statement"].encode())
    except InvalidSignature as error:
        raise AssertionError("an entry that its peer has not signed") from error
    return statement


class Directory:
    def __init__(self, address):
        self.http = http.client.HTTPConnection(address, timeout=10)

    def ask(self, method, path, body=None):
        headers = {"Content-Type": "application/json"} if body else {}
        self.http.request(method, path, body, headers)
        answer = self.http.getresponse()
        content = answer.read()
        return answer.status, json.loads(content) if "json" in answer.headers["Content-Type"] else content


def announcement(local, name, sequence, **more):
    statement = {"peer_id": peer_id_text(local.peer_id), "name": name, "addresses": ["127.0.0.1:4000"]}
    return {**statement, "services": ["chat"], "sequence": sequence, "lease": 30, **more}


# What breaks a rule of 12.1 or 12.2, as replacements in the text of an announcement.
SPOILS = [
    ('"sequence": 3000', '"sequence": 3e3'),
    ('"sequence": 3000', '"sequence": "3000"'),
    ('"sequence": 3000', '"sequence": 3000, "sequence": 3000'),
    ('"sequence": 3000', '"sequence": 9007199254740992'),
    ('"127.0.0.1:4000"', '"127.0.0.1:4000", "127.0.0.1:4000"'),
    ('"127.0.0.1:4000"', '"127.0.0.1:0"'),
    ('"127.0.0.1:4000"', '"0.0.0.0:4000"'),
    ('"127.0.0.1:4000"', '"[::ffff:127.0.0.1]:4000"'),
    ('"127.0.0.1:4000"', '"[fe80::1%1]:4000"'),
    ('"127.0.0.1:4000"', ""),
    ('"python-3"', '"..."'),
    ('"chat"', '"chat/1"'),
    ("}", ', "padding": "' + 4_096 * "x" + '"}'),
]


def spoiled(local, spoil):
    text = json.dumps(announcement(local, "python-3", 3_000))
    expect(spoil[0] in text, "something to spoil")
    text = text.replace(*spoil)
    return json.dumps({"statement": text, "signature": local.sign(ANNOUNCE + text.encode()).hex()})


def directory(args):
    """Announces, looks up, lists, is refused, withdraws; then the statements of the vectors."""
    there, local, other = Directory(args.directory), Local(SEED), Local(os.urandom(32))
    me = peer_id_text(local.peer_id)
    put = lambda local, statement: there.ask(
        "PUT", f"/v1/announcements/{peer_id_text(local.peer_id)}", envelope(local, ANNOUNCE, statement)
    )
    status, granted = put(local, announcement(local, "python-3", 1_000))
    expect(status == 201 and granted["peer_id"] == me and granted["sequence"] == 1_000, f"announced: {granted}")
    expect(25_000 < granted["expires_in_ms"] <= 30_000 and 0 < granted["renew_after_ms"] < 15_000, "the lease")
    expect(put(local, announcement(local, "python-3", 1_000))[0] == 200, "the same again")
    expect(put(local, announcement(local, "python-3", 1_001, unknown={"later": 1}))[0] == 200, "renewed")
    for path in ("/v1/peers/python-3", f"/v1/announcements/{me}"):
        status, entry = there.ask("GET", path)
        expect(status == 200 and open_entry(entry)["sequence"] == 1_001, "looked up")
        expect(open_entry(entry)["addresses"] == ["127.0.0.1:4000"], "where it is")
    page = there.ask("GET", "/v1/peers?name=py&service=chat&limit=10")[1]
    expect([open_entry(entry)["name"] for entry in page["peers"]] == ["python-3"] and page["next"] is None, "listed")
    found = []

    def refused(answer):
        found.append([answer[0], answer[1]["code"]])
        return answer[1]

    expect(refused(put(local, announcement(local, "python-3", 7)))["sequence"] == 1_001, "which is too low")
    expect(refused(put(other, announcement(other, "python-3", 7)))["holder"] == me, "who has the name")
    refused(put(other, announcement(local, "python-3", 2_000)))
    refused(put(local, announcement(other, "python-3", 2_000)))
    refused(put(local, announcement(local, "P", 2_000)))
    theirs = envelope(other, ANNOUNCE, announcement(other, "another", 1))
    refused(there.ask("PUT", f"/v1/announcements/{me}", theirs))
    for bad in ("limit=0", "limit=501", "limit=x", "name=py&name=py", "cursor=A"):
        refused(there.ask("GET", f"/v1/peers?{bad}"))
    expect(there.ask("GET", "/v1/peers?unknown=1&unknown=2")[0] == 200, "an unknown parameter is skipped")
    expect(there.ask("GET", "/v1/peers?service=Chat") == (200, {"peers": [], "next": None}), "no such service")
    for spoil in SPOILS:
        refused(there.ask("PUT", f"/v1/announcements/{me}", spoiled(local, spoil)))
    there.http.request("PUT", f"/v1/announcements/{me}", "{}", {"Content-Type": "text/plain"})
    answer = there.http.getresponse()
    refused((answer.status, json.loads(answer.read())))
    refused(there.ask("GET", "/v1/peers/nobody"))
    refused(there.ask("GET", "/v1/peers/x"))
    refused(there.ask("DELETE", "/v1/peers/python-3"))
    status, who = there.ask("GET", "/v1/whoami")
    expect(who["ip"] == "127.0.0.1" and who["address"].startswith("127.0.0.1:"), "who am I")
    expect(there.ask("GET", "/healthz") == (200, b"ok\n"), "healthy")
    gone = envelope(local, WITHDRAW, {"peer_id": me, "sequence": 1_002, "withdraw": True})
    status, answer = there.ask("DELETE", f"/v1/announcements/{me}", gone)
    expect(status == 200 and answer == {"peer_id": me, "sequence": 1_002, "withdrawn": True}, "withdrawn")
    refused(there.ask("GET", "/v1/peers/python-3"))
    refused(put(local, announcement(local, "python-3", 1_001)))
    directory_vectors()
    return json.dumps(found)


def directory_vectors():
    root = pathlib.Path(__file__).parent.parent.parent
    file = json.loads((root / "directory" / "vectors" / "announcement.json").read_text())
    local = Local(bytes.fromhex(file["seed"]))
    expect(local.peer_id.hex() == file["public_key"], "public key")
    expect((peer_id_text(local.peer_id), fingerprint(local.peer_id)) == (file["peer_id"], file["fingerprint"]), "names")
    for domain, key in ((ANNOUNCE, "announcement"), (WITHDRAW, "withdrawal")):
        vector = file[key]
        expect(local.sign(domain + vector["statement"].encode()).hex() == vector["signature"], key)


SCENARIOS = {
    "chat": chat,
    "bad-chat": bad_chat,
    "files-send": files_send,
    "files-receive": files_receive,
    "directory": directory,
}
