"""Files that were made to do harm: whoever looks at them spends less than a second and 100 MB before the refusal."""

from __future__ import annotations

import json
import struct
import subprocess
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data.gguf import layout
from tests.support import program
from tests.unit.model_folder import write_model

MOST_SECONDS = 10.0  # of a core: how fast it is, is for the benches; what a lie makes endless is for here
MOST_MB = 100.0
HUGE = 2**63
STRING, ARRAY, UINT8, UINT32 = layout.STRING, layout.ARRAY, 0, 4


class Looker:
    """A process that looks at files; it is kept, so that a thousand files take no thousand starts."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            program("hostile_cost.py"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def look(self, what: str, path: Path) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"what": what, "path": str(path)}) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline() or '{"said": "it died"}')
        return answer

    def close(self) -> None:
        self._process.communicate()


@pytest.fixture(scope="module")
def looker() -> Generator[Looker]:
    looker = Looker()
    yield looker
    looker.close()


@pytest.fixture
def fresh() -> Generator[Looker]:
    """A process that has freed nothing yet whose memory could be used again unseen."""
    looker = Looker()
    yield looker
    looker.close()


def assert_cheap(answer: dict[str, Any]) -> None:
    assert answer["seconds"] < MOST_SECONDS, answer
    assert answer["mb"] < MOST_MB, answer


def u32(value: int) -> bytes:
    return struct.pack("<I", value)


def u64(value: int) -> bytes:
    return struct.pack("<Q", value)


def text(value: str | bytes) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return u64(len(raw)) + raw


def gguf(keys: Sequence[bytes] = (), tensors: Sequence[bytes] = (), *, counts: tuple[int, int] | None = None) -> bytes:
    """Return a header; ``counts`` of tensors and keys are the truth where nothing else is claimed."""
    claimed = counts or (len(tensors), len(keys))
    return b"GGUF" + u32(3) + u64(claimed[0]) + u64(claimed[1]) + b"".join(keys) + b"".join(tensors)


def key(name: str, kind: int, value: bytes) -> bytes:
    return text(name) + u32(kind) + value


def tensor(name: str, shape: Sequence[int] = (32,), *, offset: int = 0, dimensions: int | None = None) -> bytes:
    sizes = b"".join(map(u64, shape))
    return text(name) + u32(len(shape) if dimensions is None else dimensions) + sizes + u32(0) + u64(offset)


def array(kind: int, count: int, raw: bytes = b"") -> bytes:
    return u32(kind) + u64(count) + raw


MODEL = key("general.architecture", STRING, text("llama"))
GPT2 = key("tokenizer.ggml.model", STRING, text("gpt2"))

# What each claims, and a word of the refusal.
GGUFS: dict[str, tuple[Callable[[], bytes], str]] = {
    "counts of keys": (lambda: gguf(counts=(0, HUGE)), "number of keys"),
    "counts of tensors": (lambda: gguf(counts=(HUGE, 0)), "number of tensors"),
    "length of a name": (lambda: gguf([u64(HUGE)]), "length of a name"),
    "length of a text": (lambda: gguf([key("a", STRING, u64(HUGE))]), "length of a string"),
    "text beyond the file": (lambda: gguf([key("a", STRING, u64(1000) + b"a")]), "ends in the middle"),
    "array of numbers": (lambda: gguf([key("a", ARRAY, array(UINT8, HUGE))]), "length of an array"),
    "array beyond the file": (lambda: gguf([key("a", ARRAY, array(UINT8, 60_000_000))]), "ends in the middle"),
    "array of texts": (lambda: gguf([key("a", ARRAY, array(STRING, HUGE))]), "length of an array"),
    "texts beyond the file": (
        lambda: gguf([key("a", ARRAY, array(STRING, 1_400_000, u64(HUGE)))]),
        "length of a string",
    ),
    "arrays in arrays": (lambda: gguf([key("a", ARRAY, array(ARRAY, 1, array(ARRAY, 1) * 50_000))]), "unknown type"),
    "a million dimensions": (
        lambda: gguf([MODEL], [tensor("a", [1] * 1_000_000)]),
        "number of dimensions",
    ),
    "huge dimensions": (lambda: gguf([MODEL], [tensor("a", [2**40, 2**40])]), "impossible shape"),
    "tensors on each other": (
        lambda: gguf([MODEL], [tensor(f"t{number}", [32]) for number in range(layout.MAX_TENSORS)]),
        "is due",
    ),
    "tensors beyond the file": (
        lambda: gguf([MODEL], [tensor(f"t{number}", [2**47], offset=number << 49) for number in range(16_000)]),
        "cut off",
    ),
    "twice the same tensor": (lambda: gguf([MODEL], [tensor("a"), tensor("a")]), "occurs twice"),
    "twice the same key": (lambda: gguf([MODEL, MODEL]), "occurs twice"),
    "half a million tokens": (
        lambda: gguf(
            [MODEL, GPT2, key("tokenizer.ggml.tokens", ARRAY, array(STRING, 500_000, _numbered(500_000)))],
            [tensor("a")],
        ),
        "merges",
    ),
    "too many tokens": (
        lambda: gguf([MODEL, GPT2, key("tokenizer.ggml.tokens", ARRAY, array(STRING, 1_400_000, bytes(11_200_000)))]),
        "tokens",
    ),
    "one token half a million times": (
        lambda: gguf([MODEL, GPT2, key("tokenizer.ggml.tokens", ARRAY, array(STRING, 500_000, bytes(4_000_000)))]),
        "occur more than once",
    ),
    "thousands of texts": (
        lambda: gguf([key(f"k{number}", STRING, text("x" * 2000)) for number in range(4_000)]),
        "",
    ),
    "thousands of arrays": (
        lambda: gguf([key(f"k{number}", ARRAY, array(STRING, 300, bytes(2400))) for number in range(4_000)]),
        "",
    ),
    "thousands of special tokens": (
        lambda: gguf(
            [MODEL, GPT2, key("tokenizer.ggml.tokens", ARRAY, array(STRING, 500_000, _numbered(500_000)))]
            + [key(f"tokenizer.ggml.s{number}_token_id", UINT32, u32(499_999 - number)) for number in range(4_000)]
        ),
        "merges",
    ),
    "ten thousand layers": (
        lambda: gguf(
            [MODEL, key("llama.block_count", UINT32, u32(10_000))],
            [tensor(f"blk.{number}.attn_norm.weight", [32], offset=number * 128) for number in range(10_000)],
        ),
        "missing",
    ),
}


def _numbered(count: int) -> bytes:
    return b"".join(text(str(number)) for number in range(count))


@pytest.mark.slow
@pytest.mark.parametrize("name", GGUFS)
@pytest.mark.parametrize("what", ["show", "deploy"])
def test_a_gguf_that_lies_costs_little(fresh: Looker, tmp_path: Path, name: str, what: str) -> None:
    path = tmp_path / "a.gguf"
    make, said = GGUFS[name]
    path.write_bytes(make() + bytes(64))
    answer = fresh.look(what, path)
    assert_cheap(answer)
    assert said in answer["said"]


def safetensors(header: bytes, *, length: int | None = None) -> bytes:
    return u64(len(header) if length is None else length) + header + bytes(64)


def entry(shape: object = (4,), begin: int = 0, end: int = 16, dtype: str = "F32") -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def packed(value: object) -> bytes:
    return json.dumps(value).encode()


SAFETENSORS: dict[str, tuple[Callable[[], bytes], str]] = {
    "length of the header": (lambda: safetensors(b"{}", length=HUGE), "claims"),
    "header beyond the file": (lambda: safetensors(b"{}", length=4_000_000), "claims"),
    "header of the largest size": (lambda: safetensors(b"{}" + b" " * (4 * 2**20 - 2)), "lacks weights"),
    "nesting": (lambda: safetensors(b'{"a":' * 90_000 + b"1" + b"}" * 90_000), "not a usable safetensors"),
    "nested arrays": (lambda: safetensors(b'{"a":' + b"[" * 90_000 + b"]" * 90_000 + b"}"), "not a usable"),
    "millions of objects": (lambda: safetensors(b'{"a":[' + b"{}," * 1_300_000 + b"{}]}"), "more than any model"),
    "millions of small objects": (lambda: safetensors(b'{"a":[' + b'{"":1},' * 580_000 + b"1]}"), "more than any"),
    "millions of texts": (lambda: safetensors(b'{"a":[' + b'"ab",' * 800_000 + b"1]}"), "more than any model"),
    "one text of four megabytes": (lambda: safetensors(packed({"é" * 690_000: 1})), "name of 690000"),
    "a million dimensions": (lambda: safetensors(packed({"a": entry([1] * 1_000_000)})), "more than any model"),
    "many dimensions": (lambda: safetensors(packed({"a": entry([1] * 200_000)})), "impossible shape"),
    "huge dimensions": (lambda: safetensors(packed({"a": entry([2**39] * 8)})), "do not fit"),
    "a number of millions of digits": (lambda: safetensors(b'{"a":' + b"9" * 4_000_000 + b"}"), "not a usable"),
    "numbers of thousands of digits": (
        lambda: safetensors(b'{"a":[' + (b"9" * 4299 + b",") * 950 + b"1]}"),
        "wrong form",
    ),
    "negative offsets": (lambda: safetensors(packed({"a": entry(begin=-16, end=0)})), "do not fit"),
    "offsets beyond the file": (lambda: safetensors(packed({"a": entry((1 << 39,), 0, 4 << 39)})), "do not fit"),
    "tensors on each other": (
        lambda: safetensors(packed({f"t{number}": entry() for number in range(30_000)})),
        "overlaps",
    ),
    "twice the same name": (
        lambda: safetensors(b'{"a":' + packed(entry()) + b',"a":' + packed(entry()) + b"}"),
        "twice",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SAFETENSORS)
def test_safetensors_that_lie_cost_little(fresh: Looker, tmp_path: Path, name: str) -> None:
    write_model(tmp_path / "model")
    make, said = SAFETENSORS[name]
    (tmp_path / "model" / "model.safetensors").write_bytes(make())
    answer = fresh.look("convert", tmp_path / "model")
    assert_cheap(answer)
    assert said in answer["said"]


INDEXES: dict[str, Callable[[], bytes]] = {
    "millions of weights": lambda: packed(
        {"weight_map": {f"w{number}": "model.safetensors" for number in range(600_000)}}
    ),
    "nesting": lambda: b'{"weight_map":' * 90_000 + b"1" + b"}" * 90_000,
    "one long text": lambda: packed({"weight_map": {"x": "y" * 15_000_000}}),
    "longer than any": lambda: b" " * (17 * 2**20) + b"{}",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", INDEXES)
def test_an_index_that_lies_costs_little(fresh: Looker, tmp_path: Path, name: str) -> None:
    write_model(tmp_path / "model")
    (tmp_path / "model" / "model.safetensors.index.json").write_bytes(INDEXES[name]())
    answer = fresh.look("convert", tmp_path / "model")
    assert_cheap(answer)
    assert "index.json" in answer["said"]


counts = st.one_of(st.integers(0, 5), st.integers(0, 2**64 - 1), st.sampled_from([2**31, 2**32, 2**40, HUGE]))
kinds = st.one_of(st.integers(0, 13), st.integers(0, 2**32 - 1))
names = st.one_of(
    st.sampled_from(
        ["general.architecture", "general.alignment", "tokenizer.ggml.tokens", "tokenizer.ggml.model", "a"]
    ),
    st.text(max_size=8),
)
values = st.one_of(
    st.binary(max_size=24),
    st.builds(lambda kind, count, raw: u32(kind) + u64(count) + raw, kinds, counts, st.binary(max_size=40)),
    st.builds(text, st.binary(max_size=30)),
)
any_key = st.builds(lambda name, kind, value: text(name) + u32(kind) + value, names, kinds, values)
any_tensor = st.builds(
    lambda name, shape, dimensions, offset: tensor(name, shape, dimensions=dimensions, offset=offset),
    names,
    st.lists(counts, max_size=5),
    st.one_of(st.none(), st.integers(0, 2**32 - 1)),
    counts,
)


@pytest.mark.slow
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    keys=st.lists(any_key, max_size=4),
    tensors=st.lists(any_tensor, max_size=4),
    claimed=st.one_of(st.none(), st.tuples(counts, counts)),
    tail=st.binary(max_size=64),
    cut=st.integers(0, 40),
)
def test_no_gguf_whatever_costs_much(
    looker: Looker,
    tmp_path: Path,
    keys: list[bytes],
    tensors: list[bytes],
    claimed: tuple[int, int] | None,
    tail: bytes,
    cut: int,
) -> None:
    raw = gguf(keys, tensors, counts=claimed) + tail
    path = tmp_path / "any.gguf"
    path.write_bytes(raw[: len(raw) - cut])
    for what in ("show", "deploy"):
        assert_cheap(looker.look(what, path))


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-5, 2**70), st.floats(), st.text(max_size=6)),
    lambda inner: st.one_of(st.lists(inner, max_size=6), st.dictionaries(st.text(max_size=6), inner, max_size=4)),
    max_leaves=12,
)
any_entry = st.one_of(
    json_values,
    st.fixed_dictionaries(
        {
            "dtype": st.one_of(st.sampled_from(["F32", "BF16", "F8_E4M3", "X"]), json_values),
            "shape": st.one_of(st.lists(st.integers(-1, 2**64), max_size=10), json_values),
            "data_offsets": st.one_of(st.lists(st.integers(-1, 2**65), min_size=2, max_size=2), json_values),
        }
    ),
)


@pytest.mark.slow
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    header=st.one_of(json_values, st.dictionaries(st.text(max_size=6), any_entry, max_size=5)),
    length=st.one_of(st.none(), st.integers(0, 2**64 - 1)),
    tail=st.binary(max_size=64),
)
def test_no_safetensors_whatever_cost_much(
    looker: Looker, tmp_path: Path, header: object, length: int | None, tail: bytes
) -> None:
    folder = tmp_path / "model"
    if not folder.exists():
        write_model(folder)
    (folder / "model.safetensors").write_bytes(safetensors(packed(header), length=length) + tail)
    answer = looker.look("convert", folder)
    assert_cheap(answer)
    assert answer["said"]
