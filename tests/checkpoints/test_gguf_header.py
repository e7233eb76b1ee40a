"""The GGUF header reader on small files written here, whole and damaged in every way we thought of."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import pytest

from harness.checkpoints.gguf_header import KEPT, TYPES, LongArray, linear_types, read_header, read_headers
from harness.errors import EngineError

NUMBERS = {name: number for number, (name, _, _) in TYPES.items()}
BLOCKS = {name: (values, size) for name, values, size in TYPES.values()}
Row = tuple[str, tuple[int, ...], str]
TENSORS: tuple[Row, ...] = (
    ("token_embd.weight", (64, 10), "Q8_0"),
    ("blk.0.attn_norm.weight", (64,), "F32"),
    ("blk.0.attn_q.weight", (64, 64), "Q4_0"),
    ("blk.0.ffn_up.weight", (64, 128), "F16"),
    ("blk.0.ffn_gate_exps.weight", (64, 32, 4), "Q8_0"),
    ("output.weight", (64, 10), "F16"),
)


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def string(key: str, value: str) -> bytes:
    return text(key) + struct.pack("<I", 8) + text(value)


def whole(key: str, value: int) -> bytes:
    return text(key) + struct.pack("<II", 4, value)


def strings(key: str, values: Sequence[str]) -> bytes:
    return text(key) + struct.pack("<IIQ", 9, 8, len(values)) + b"".join(map(text, values))


def content(keys: Sequence[bytes] = (), tensors: Sequence[Row] = TENSORS, alignment: int = 32) -> bytes:
    """A whole file, weights of zeros."""
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(keys)) + b"".join(keys)
    offset = 0
    for name, shape, kind in tensors:
        head += text(name) + struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
        head += struct.pack("<IQ", NUMBERS[kind], offset)
        offset += -(-_bytes(shape, kind) // alignment) * alignment
    return head + bytes(-len(head) % alignment) + bytes(offset)


def _bytes(shape: tuple[int, ...], kind: str) -> int:
    values, size = BLOCKS[kind]
    count = 1
    for length in shape:
        count *= length
    return count // values * size


def retyped(length: int, number: int) -> bytes:
    """A file with one tensor of this length, whose type is changed to `number`."""
    before, after = (struct.pack("<QI", length, each) for each in (NUMBERS["F32"], number))
    return content(tensors=[("t", (length,), "F32")]).replace(before, after)


def written(tmp_path: Path, data: bytes, name: str = "model.gguf") -> Path:
    path = tmp_path / name
    path.write_bytes(data)
    return path


def test_metadata_and_tensors_are_read(tmp_path: Path) -> None:
    """Keys with their values; every tensor with its shape, type and place; long arrays by their length."""
    keys = [
        string("general.architecture", "llama"),
        whole("llama.context_length", 2048),
        text("llama.rope.freq_base") + struct.pack("<If", 6, 0.5),
        text("tokenizer.ggml.add_bos_token") + struct.pack("<I?", 7, True),
        strings("general.tags", ["a", "ü"]),
        strings("tokenizer.ggml.tokens", ["x"] * (KEPT + 1)),
        text("deep") + struct.pack("<IIQ", 9, 9, 2) + (struct.pack("<IQ", 5, 2) + struct.pack("<ii", -1, 2)) * 2,
    ]
    data = content(keys)
    header = read_header(written(tmp_path, data))
    assert header.text("general.architecture") == "llama"
    assert header.whole("llama.context_length") == 2048
    assert header.whole("tokenizer.ggml.add_bos_token") is None
    assert header.metadata["llama.rope.freq_base"] == 0.5
    assert header.metadata["tokenizer.ggml.add_bos_token"] is True
    assert header.metadata["general.tags"] == ("a", "ü")
    assert header.metadata["deep"] == ((-1, 2), (-1, 2))
    assert header.metadata["tokenizer.ggml.tokens"] == LongArray(count=KEPT + 1)
    assert [(each.name, each.shape, each.type) for each in header.tensors] == list(TENSORS)
    assert header.tensors[2].size == 64 * 64 // 32 * 18
    assert header.tensors[-1].offset + header.tensors[-1].size <= len(data) == header.file_bytes


def test_linear_layers_are_told_from_the_rest(tmp_path: Path) -> None:
    """Matrices and experts of blocks are linear layers; embeddings, output and norms are not."""
    path = written(tmp_path, content())
    assert linear_types(path) == {"Q4_0": 1, "F16": 1, "Q8_0": 1}
    assert [each.name for each in read_header(path).tensors if each.linear and each.quantized] == [
        "blk.0.attn_q.weight",
        "blk.0.ffn_gate_exps.weight",
    ]


def test_every_cut_is_noticed(tmp_path: Path) -> None:
    """A file cut anywhere before its last tensor's last byte is refused, and the message names the file."""
    keys = [string("general.architecture", "llama"), strings("general.tags", ["a", "b"])]
    data = content(keys)
    last = read_header(written(tmp_path, data)).tensors[-1]
    for size in [*range(0, 400, 7), len(data) // 2, last.offset + last.size - 1]:
        path = written(tmp_path, data[:size], "cut.gguf")
        with pytest.raises(EngineError, match=r"cut\.gguf: "):
            read_header(path)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"PK\x03\x04 something else", "is not a GGUF file"),
        (b"", "is not a GGUF file"),
        (b"GGUF" + struct.pack("<IQQ", 1, 0, 0), "GGUF version 1"),
        (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "big-endian"),
        (b"GGUF" + struct.pack("<IQQ", 3, 1 << 40, 0), "claims 1,099,511,627,776 tensors"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1 << 63), "metadata keys; it is damaged"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 1 << 62) + bytes(64), "a text of"),
        (content([text("k") + struct.pack("<I", 77)]), "unknown kind 77"),
        (content([text("k") + struct.pack("<IIQ", 9, 4, 1 << 60)]), "an array of"),
        (content([text("k") + struct.pack("<IIQ", 9, 9, 1) + struct.pack("<IQ", 9, 1) * 9]), "levels"),
        (content([whole("a", 1), whole("a", 2)]), "'a' is repeated"),
        (content([whole("general.alignment", 33)]), "expected a power of two, got 33"),
        (content(tensors=[TENSORS[0], TENSORS[0]]), "tensor's name is repeated"),
        (retyped(33, 2), "shape (33,) does not go with Q4_0, in blocks of 32"),
        (retyped(32, 99), "type 99 is not known here"),
        (content(tensors=[("t", (0,), "F32")]), "shape (0,)"),
        (content(tensors=[("t", (1, 1, 1, 1, 1), "F32")]), "5 dimensions"),
    ],
)
def test_damage_is_named(tmp_path: Path, data: bytes, says: str) -> None:
    """Bad magic, versions, counts, lengths, kinds, shapes: each an error that says what and in which file."""
    with pytest.raises(EngineError, match=r"model\.gguf: .*") as caught:
        read_header(written(tmp_path, data))
    assert says in str(caught.value)


def test_a_missing_file_is_an_engine_error(tmp_path: Path) -> None:
    """The error tree has no OSError."""
    with pytest.raises(EngineError, match=r"none\.gguf: cannot be read"):
        read_header(tmp_path / "none.gguf")


def test_another_alignment_moves_the_weights(tmp_path: Path) -> None:
    """`general.alignment` says where the weights begin."""
    path = written(tmp_path, content([whole("general.alignment", 128)], alignment=128))
    assert all(each.offset % 128 == 0 for each in read_header(path).tensors)


def split(part: int, count: int, total: int) -> list[bytes]:
    keys = [("split.no", part), ("split.count", count), ("split.tensors.count", total)]
    return [string("general.architecture", "llama"), *(whole(key, value) for key, value in keys)]


def test_a_split_model_is_read_whole(tmp_path: Path) -> None:
    """All parts by the name of the first; a missing part, a wrong count and a wrong first part are errors."""
    first = written(tmp_path, content(split(0, 2, 6), TENSORS[:3]), "m-00001-of-00002.gguf")
    with pytest.raises(EngineError, match=r"m-00002-of-00002\.gguf: cannot be read"):
        read_headers(first)
    second = written(tmp_path, content(split(1, 2, 6), TENSORS[3:]), "m-00002-of-00002.gguf")
    assert [each.name for header in read_headers(first) for each in header.tensors] == [row[0] for row in TENSORS]
    assert sum(linear_types(first).values()) == 3
    with pytest.raises(EngineError, match=r"not the first of 2 files; name m-00001-of-00002\.gguf"):
        read_headers(second)
    written(tmp_path, content(split(1, 2, 6), TENSORS[4:]), "m-00002-of-00002.gguf")
    with pytest.raises(EngineError, match="hold 5 tensors, expected 6"):
        read_headers(first)
    with pytest.raises(EngineError, match="part of a model in 2 files"):
        read_headers(written(tmp_path, content(split(0, 2, 6), TENSORS[:3]), "renamed.gguf"))
