"""OLLAMA_HOST in all the forms that Ollama takes, versions, names."""

from __future__ import annotations

import pytest

from backend.ollama.address import parse_address
from backend.ollama.name import parse_name
from backend.ollama.version import is_new_enough, version_key
from data.errors import RequestError


# The first ones are the cases of Ollama's own envconfig tests.
@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("", "http://127.0.0.1:11434"),
        ("1.2.3.4", "http://1.2.3.4:11434"),
        (":1234", "http://127.0.0.1:1234"),
        ("1.2.3.4:1234", "http://1.2.3.4:1234"),
        ("[::1]", "http://[::1]:11434"),
        ("::1", "http://[::1]:11434"),
        ("[::1]:1234", "http://[::1]:1234"),
        ("0.0.0.0", "http://127.0.0.1:11434"),  # noqa: S104 - read, not bound
        ("0.0.0.0:8080", "http://127.0.0.1:8080"),
        ("[::]:1337", "http://[::1]:1337"),
        ("http://1.2.3.4", "http://1.2.3.4:80"),
        ("https://1.2.3.4", "https://1.2.3.4:443"),
        ("https://example.com:8000/ollama", "https://example.com:8000/ollama"),
        ("https://example.com/ollama/", "https://example.com:443/ollama"),
        ("gpu-box", "http://gpu-box:11434"),
        (" 'example.com:56789' ", "http://example.com:56789"),
    ],
)
def test_an_address_means_what_it_means_to_ollama(text: str, url: str) -> None:
    assert parse_address(text).url == url


@pytest.mark.parametrize("text", ["host:66000", "host:-1", "host:x", "ftp://host", "two words", "user@host", "[::1]:"])
def test_a_wrong_address_is_refused_in_words(text: str) -> None:
    with pytest.raises(RequestError) as caught:
        parse_address(text)
    assert text in caught.value.title.english()
    assert caught.value.hint


@pytest.mark.parametrize(
    ("text", "loopback"),
    [("", True), ("localhost", True), ("127.3.2.1:1", True), ("::1", True), ("10.0.0.1", False), ("gpu-box", False)],
)
def test_loopback_is_known(text: str, loopback: bool) -> None:
    assert parse_address(text).is_loopback is loopback


def test_versions_are_compared_by_number() -> None:
    texts = ["junk", "0.9.12", "0.11.5-rc1", "0.11.5", "0.24.0", "0.32.7", "1.0"]
    assert sorted(texts, key=version_key) == texts
    assert [is_new_enough(text) for text in texts] == [False, False, False, True, True, True, True]
    assert is_new_enough("0.0.0")  # built without a version


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("model", "model:latest"),
        ("Model.1:q4_K_M", "Model.1:q4_K_M"),
        ("me/model", "me/model:latest"),
        ("library/model:x", "model:x"),
        ("registry.ollama.ai/library/model", "model:latest"),
        ("localhost:5000/me/model:x", "localhost:5000/me/model:x"),
    ],
)
def test_a_name_is_shown_as_ollama_lists_it(text: str, name: str) -> None:
    assert str(parse_name(text)) == name
    assert parse_name(text).same_as(name.upper().replace(":LATEST", ":latest"))


@pytest.mark.parametrize(
    "text", ["", "-x", "a b", "模型", "a:", "a:b:c", "a/b/c/d", "/x", "n.s/x", "x" * 81, "x:" + "y" * 81]
)
def test_a_name_that_ollama_would_refuse_is_refused_first(text: str) -> None:
    with pytest.raises(RequestError) as caught:
        parse_name(text)
    assert caught.value.hint
