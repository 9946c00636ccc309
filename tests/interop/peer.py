"""A landline peer in Python, written from docs/protocol.md and from nothing else.

It is here to prove that page, not to be fast: one thread, one blocking socket, one link. Needs Python 3.9 and the
package `cryptography`. `scenarios.py` runs it against the engine; the section numbers are those of the page.
"""

import os
import socket
import struct
from collections import deque

from wire import CHARGE, PLAINTEXT_MAX, Connection, Fault

OPEN, DATA, CREDIT, FINISH, RESET = 0x81, 0x82, 0x83, 0x84, 0x85
PING, PONG, RESUME, GOAWAY, PADDING = 0x86, 0x87, 0x88, 0x89, 0x0A
CHANNEL_COUNT_MAX = 1_024
URGENT, NORMAL, BULK = 0, 1, 2


def frame(kind, body):
    return bytes([kind]) + len(body).to_bytes(3, "big") + body


class Channel:
    def __init__(self, number, service, priority, limit, window):
        self.number, self.service, self.priority = number, service, priority
        # What we send.
        self.queue, self.offset, self.limit, self.used = deque(), 0, limit, 0
        self.sent_count = self.acknowledged_count = 0
        self.finish_queued = self.finish_sent = False
        # What we receive.
        self.window, self.granted, self.received, self.taken = window, window, 0, 0
        self.received_count, self.partial, self.total_len = 0, None, 0
        self.finish_received = False
        self.told = (0, window)

    def is_over(self):
        all_acknowledged = not self.queue and self.acknowledged_count == self.sent_count
        return self.finish_sent and self.finish_received and all_acknowledged


class Link:
    """7: one link on one connection. Events come from `next_event`."""

    def __init__(self, connection, link_id=None):
        self.connection = connection
        peer, local = connection.peer, connection.local
        self.grants, self.limits = local.grants, peer.grants
        self.channels = {}
        self.next_number = 1 if local.peer_id < peer.peer_id else 2
        self.peer_number = 0
        self.limit, self.used = peer.grants.link_credit, 0
        self.granted = self.told = local.grants.link_credit
        self.received = self.taken = 0
        self.control = []
        self.events = deque()
        self.goodbye = None
        self.pong_count = 0
        self.link_id = link_id or os.urandom(16)
        self.peer_resumed = False
        if connection.is_initiator:
            self.send_resume()
        while not self.peer_resumed and self.goodbye is None:
            self.read()
        self.flush()

    def send_resume(self):
        instances = self.connection.local.instance + self.connection.peer.instance
        self.connection.send_frames(frame(RESUME, instances + self.link_id + struct.pack(">IH", 0, 0)))

    # What the application does.

    def open(self, service, priority=NORMAL):
        number = self.next_number
        self.next_number += 2
        self.insert(number, service, priority)
        self.control.append(frame(OPEN, struct.pack(">IB", number, priority) + service.encode()))
        return number

    def send(self, number, message):
        assert len(message) <= self.limits.message_len_max
        self.channels[number].queue.append(bytes(message))
        self.flush()

    def finish(self, number):
        self.channels[number].finish_queued = True
        self.flush()

    def reset(self, number, code):
        self.control.append(frame(RESET, struct.pack(">II", number, code)))
        self.forget(number, give_back=True)
        self.flush()

    def ping(self, token):
        self.control.append(frame(PING, struct.pack(">Q", token)))
        self.flush()

    def next_event(self):
        """Waits for the next event: opened, message, finished, reset, goodbye. Taking a message grants its charge."""
        while not self.events:
            if self.goodbye is not None:
                return ("goodbye", *self.goodbye)
            self.read()
        event = self.events.popleft()
        if event[0] == "message":
            _, number, message = event
            self.give_back(len(message) + CHARGE)
            channel = self.channels.get(number)
            if channel:
                channel.taken += len(message) + CHARGE
                channel.granted = max(channel.granted, channel.taken + channel.window)
            self.flush()
        return event

    def is_drained(self):
        return all(not c.queue and c.acknowledged_count == c.sent_count for c in self.channels.values())

    def close(self):
        """8: waits until all is acknowledged, says GOAWAY, and waits for the other's."""
        while not self.is_drained() and self.goodbye is None:
            self.read()
        if self.goodbye is None:
            self.say_goodbye(0, b"")
            while self.goodbye is None:
                self.read()
        self.wait_for_end()

    def say_goodbye(self, code, text):
        self.pack_credits()
        self.connection.send_frames(b"".join(self.control) + frame(GOAWAY, struct.pack(">H", code) + text))
        self.connection.sock.shutdown(socket.SHUT_WR)

    def wait_for_end(self):
        try:
            while self.connection.sock.recv(65_536):
                pass
        except ConnectionError:
            pass
        self.connection.sock.close()

    # What goes out.

    def flush(self):
        self.pack_credits()
        batch = b""
        for part in self.control:
            batch = self.add(batch, part)
        self.control.clear()
        for channel in sorted(self.channels.values(), key=lambda c: c.priority):
            while (fragment := self.next_fragment(channel, PLAINTEXT_MAX - len(batch) - 16)) is not None:
                batch = self.add(batch, fragment)
            if channel.finish_queued and not channel.finish_sent and not channel.queue:
                channel.finish_sent = True
                batch = self.add(batch, frame(FINISH, struct.pack(">IQ", channel.number, channel.sent_count)))
        if batch:
            self.connection.send_frames(batch)
        self.forget_what_is_over()

    def add(self, batch, part):
        if len(batch) + len(part) > PLAINTEXT_MAX:
            self.connection.send_frames(batch)
            return part
        return batch + part

    def next_fragment(self, channel, room):
        if not channel.queue:
            return None
        message, first = channel.queue[0], channel.offset == 0
        rest = len(message) - channel.offset
        credit = channel.limit - channel.used - (CHARGE if first else 0)
        if room < min(rest, 4_096):
            room = PLAINTEXT_MAX - 16  # `add` begins a new record
        length = min(rest, credit, room, 65_536)
        if credit < 0 or (length == 0 and rest > 0):
            return None
        if first:
            if self.used + len(message) + CHARGE > self.limit:
                return None
            self.used += len(message) + CHARGE
            channel.used += CHARGE
        fragment = message[channel.offset : channel.offset + length]
        head = struct.pack(">III", channel.number, len(message), channel.offset)
        channel.used += length
        channel.offset += length
        if channel.offset == len(message):
            channel.queue.popleft()
            channel.offset = 0
            channel.sent_count += 1
        return frame(DATA, head + fragment)

    def pack_credits(self):
        if not self.peer_resumed:
            return
        if self.granted != self.told:
            self.told = self.granted
            self.control.append(frame(CREDIT, struct.pack(">IQQ", 0, 0, self.granted)))
        for channel in self.channels.values():
            news = (channel.received_count, channel.granted)
            if news != channel.told:
                channel.told = news
                self.control.append(frame(CREDIT, struct.pack(">IQQ", channel.number, *news)))

    # What comes in.

    def read(self):
        frames = self.connection.read_frames()
        try:
            self.handle(frames)
        except Fault as fault:
            if fault.code is not None:
                self.say_goodbye(fault.code, str(fault).encode()[:128])
            raise
        if self.goodbye is None:
            self.flush()

    def handle(self, frames):
        at = 0
        while at < len(frames) and self.goodbye is None:
            if len(frames) - at < 4:
                raise Fault("a frame header is cut short", 1)
            kind, length = frames[at], int.from_bytes(frames[at + 1 : at + 4], "big")
            body = frames[at + 4 : at + 4 + length]
            at += 4 + length
            if at > len(frames):
                raise Fault("a frame runs past its record", 1)
            self.handle_frame(kind, body)

    def handle_frame(self, kind, body):
        handlers = {OPEN: self.on_open, DATA: self.on_data, CREDIT: self.on_credit, FINISH: self.on_finish}
        handlers |= {RESET: self.on_reset, PING: self.on_ping, PONG: self.on_pong}
        try:
            if kind == RESUME:
                self.on_resume(body)
            elif kind == GOAWAY:
                self.on_goaway(body)
            elif kind in handlers:
                if not self.peer_resumed:
                    raise Fault("a frame before the RESUME", 1)
                handlers[kind](body)
            elif kind & 0x80:
                raise Fault(f"unknown critical frame {kind:#x}", 1)
        except struct.error as error:
            raise Fault("a frame of another length than its type says", 1) from error

    def on_resume(self, body):
        sender, receiver, link_id, generation, count = struct.unpack(">16s16s16sIH", body[:54])
        connection = self.connection
        if self.peer_resumed or sender != connection.peer.instance or receiver != connection.local.instance:
            raise Fault("a RESUME that does not fit", 1)
        if len(body) != 54 + 12 * count:
            raise Fault("a RESUME of another length than it says", 1)
        if generation or count:
            raise Fault("no links are resumed here", 4)
        if connection.is_initiator and link_id != self.link_id:
            raise Fault("the answer names another link", 1)
        self.peer_resumed = True
        if not connection.is_initiator:
            self.link_id = link_id
            self.send_resume()

    def on_open(self, body):
        number, priority = struct.unpack(">IB", body[:5])
        service = body[5:]
        if not 1 <= len(service) <= 64 or any(not 0x21 <= byte <= 0x7E for byte in service):
            raise Fault("not a service name", 1)
        if number % 2 == self.next_number % 2 or number <= self.peer_number:
            raise Fault("a channel id out of order", 1)
        if len(self.channels) >= CHANNEL_COUNT_MAX:
            raise Fault("too many channels", 1)
        self.peer_number = number
        self.insert(number, service.decode(), min(priority, BULK))
        self.events.append(("opened", number, service.decode(), min(priority, BULK)))

    def on_data(self, body):
        number, total_len, offset = struct.unpack(">III", body[:12])
        payload = body[12:]
        if total_len > self.grants.message_len_max:
            raise Fault("a message is too long", 1)
        if offset == 0:
            self.received += total_len + CHARGE
            if self.received > self.granted:
                raise Fault("more than was granted", 1)
        channel = self.find(number)
        if channel is None:
            if offset == 0:
                self.give_back(total_len + CHARGE)
            return
        expected = len(channel.partial) if channel.partial is not None else 0
        same = channel.partial is None or channel.total_len == total_len
        if offset != expected or not same or len(payload) > total_len - offset or (not payload and total_len):
            raise Fault("a fragment does not continue its message", 1)
        if channel.finish_received:
            raise Fault("DATA after FINISH", 1)
        channel.received += len(payload) + (CHARGE if offset == 0 else 0)
        if channel.received > channel.granted:
            raise Fault("more than was granted", 1)
        if channel.partial is None:
            channel.partial, channel.total_len = bytearray(), total_len
        channel.partial += payload
        rest = total_len - len(channel.partial)
        if rest:
            channel.granted = max(channel.granted, channel.received + rest)
            return
        message, channel.partial = bytes(channel.partial), None
        channel.received_count += 1
        self.events.append(("message", number, message))

    def on_credit(self, body):
        number, through, limit = struct.unpack(">IQQ", body)
        if number == 0:
            if limit < self.limit or through:
                raise Fault("credit goes backwards", 1)
            self.limit = limit
            return
        channel = self.find(number)
        if channel is None:
            return
        if limit < channel.limit or not channel.acknowledged_count <= through <= channel.sent_count:
            raise Fault("credit goes backwards or too far", 1)
        channel.limit, channel.acknowledged_count = limit, through

    def on_finish(self, body):
        number, count = struct.unpack(">IQ", body)
        channel = self.find(number)
        if channel is None:
            return
        if channel.finish_received or channel.partial is not None or channel.received_count != count:
            raise Fault("a FINISH that does not fit", 1)
        channel.finish_received = True
        self.events.append(("finished", number))

    def on_reset(self, body):
        number, code = struct.unpack(">II", body)
        if self.find(number):
            self.forget(number, give_back=True)
            self.events.append(("reset", number, code))

    def on_ping(self, body):
        self.control.append(frame(PONG, struct.pack(">Q", *struct.unpack(">Q", body))))

    def on_pong(self, body):
        struct.unpack(">Q", body)
        self.pong_count += 1

    def on_goaway(self, body):
        (code,) = struct.unpack(">H", body[:2])
        if len(body) > 130:
            raise Fault("a GOAWAY is too long", 1)
        self.goodbye = (code, body[2:].decode("utf-8", "replace"))

    def answer_goodbye(self):
        """8: the answer to a GOAWAY."""
        self.say_goodbye(0, b"")
        self.wait_for_end()

    # Channels.

    def insert(self, number, service, priority):
        channel = Channel(number, service, priority, self.limits.channel_credit, self.grants.channel_credit)
        self.channels[number] = channel

    def find(self, number):
        """The channel, None when it is forgotten; a fault when it never was."""
        if number in self.channels:
            return self.channels[number]
        ours = number % 2 == self.next_number % 2
        known = number < self.next_number if ours else number <= self.peer_number
        if number == 0 or not known:
            raise Fault("a channel that was never opened", 1)
        return None

    def forget(self, number, give_back):
        channel = self.channels.pop(number)
        if give_back and channel.partial is not None:
            self.give_back(channel.total_len + CHARGE)

    def forget_what_is_over(self):
        for number in [c.number for c in self.channels.values() if c.is_over()]:
            self.forget(number, give_back=False)

    def give_back(self, charge):
        self.taken += charge
        self.granted = max(self.granted, self.taken + self.grants.link_credit)


def dial(address, local, expected):
    sock = connect(address)
    connection = Connection(sock, local)
    connection.dial(expected)
    return Link(connection)


def connect(address):
    host, port = address.rsplit(":", 1)
    return socket.create_connection((host.strip("[]"), int(port)), timeout=10)
