"""BLAKE3 with 32 bytes of output, unkeyed, after its specification. For files of some hundred KiB: it is slow."""

import struct

IV = [0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19]
PERMUTATION = [2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8]
CHUNK_START, CHUNK_END, PARENT, ROOT = 1, 2, 4, 8
MASK = 0xFFFFFFFF
COLUMNS = [(0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15)]
DIAGONALS = [(0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14)]


def compress(chaining, block, counter, length, flags):
    state = list(chaining) + IV[:4] + [counter & MASK, counter >> 32, length, flags]
    words = list(struct.unpack("<16I", block))
    for _ in range(7):
        for index, (a, b, c, d) in enumerate(COLUMNS + DIAGONALS):
            va, vb, vc, vd = state[a], state[b], state[c], state[d]
            va = (va + vb + words[2 * index]) & MASK
            vd ^= va
            vd = (vd >> 16 | vd << 16) & MASK
            vc = (vc + vd) & MASK
            vb ^= vc
            vb = (vb >> 12 | vb << 20) & MASK
            va = (va + vb + words[2 * index + 1]) & MASK
            vd ^= va
            vd = (vd >> 8 | vd << 24) & MASK
            vc = (vc + vd) & MASK
            vb ^= vc
            vb = (vb >> 7 | vb << 25) & MASK
            state[a], state[b], state[c], state[d] = va, vb, vc, vd
        words = [words[source] for source in PERMUTATION]
    return [low ^ high for low, high in zip(state[:8], state[8:])]


def chunk(data, counter, flags):
    """A chunk of at most 1,024 bytes."""
    chaining = IV
    blocks = [data[at : at + 64] for at in range(0, len(data), 64)] or [b""]
    for index, block in enumerate(blocks):
        here = (CHUNK_START if index == 0 else 0) | (CHUNK_END | flags if index == len(blocks) - 1 else 0)
        chaining = compress(chaining, block.ljust(64, b"\0"), counter, len(block), here)
    return chaining


def tree(data, counter, flags):
    if len(data) <= 1_024:
        return chunk(data, counter, flags)
    chunk_count = (len(data) + 1_023) // 1_024
    left = 1 << (chunk_count - 1).bit_length() - 1
    children = tree(data[: left * 1_024], counter, 0) + tree(data[left * 1_024 :], counter + left, 0)
    return compress(IV, struct.pack("<16I", *children), 0, 64, PARENT | flags)


def blake3(data):
    return struct.pack("<8I", *tree(bytes(data), 0, ROOT))
