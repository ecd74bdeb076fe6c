"""The Chinese catalogue: whole, well formed, in step with the code, and what the build makes of it."""

from __future__ import annotations

import ast
import gettext
import importlib.util
import re
import shutil
import string
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po

from data import i18n
from data.i18n import DOMAIN
from data.jobs.spec import Chain, JobSpec
from data.jobs.status import STATUS_WORDS, Status
from tui.wording import amount, chain_title, duration, job_title, wrap

ROOT = Path(__file__).parents[2]
ROOMS = ("tui", "screens", "backend", "data")
PO = ROOT / "data" / "locale" / "zh_CN" / "LC_MESSAGES" / f"{DOMAIN}.po"
HAN = "[一-鿿]"
AS_THEY_ARE = ("paddock ", "tmux ", "{pip} ")
"""Commands read the same in every language"""


def calls(name: str) -> Iterator[tuple[str, ast.Call]]:
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            source = path.read_text(encoding="utf-8")
            if f"{name}(" in source:
                for node in ast.walk(ast.parse(source)):
                    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name:
                        yield f"{path.relative_to(ROOT)}:{node.lineno}", node


def literal(node: ast.Call) -> str | None:
    first = node.args[0] if len(node.args) == 1 else None
    return first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else None


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def read(path: Path = PO) -> Catalog:
    with path.open("rb") as stream:
        return read_po(stream)


@pytest.fixture(scope="module")
def chinese() -> dict[str, str]:
    return {str(message.id): str(message.string) for message in read() if message.id}


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load(ROOT / "scripts" / "catalogue.py")


@pytest.fixture
def compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Use what the build hook makes of the catalogue, not a file that an earlier build left."""
    target = tmp_path / PO.relative_to(ROOT)
    target.parent.mkdir(parents=True)
    shutil.copy(PO, target)
    (written,) = load(ROOT / "hatch_build.py").compile_catalogues(tmp_path)
    monkeypatch.setattr(i18n, "LOCALE_DIR", tmp_path / "data" / "locale")
    i18n.activate("zh_CN")
    return written


def values(text: str) -> list[str]:
    """Return the placeholders with their formats, in alphabetical order; "" stands for an escaped brace."""
    return sorted(
        f"{name}!{conversion}:{form}"
        for _text, name, form, conversion in string.Formatter().parse(text)
        if name is not None
    )


def test_every_message_of_the_code_is_a_literal_and_in_the_catalogue(chinese: dict[str, str]) -> None:
    found = {place: literal(node) for place, node in calls("_")}
    assert [place for place, template in found.items() if template is None] == []
    missing = {template: place for place, template in found.items() if template not in chinese}
    assert missing == {}, "run `make catalogue` and translate them"


def test_no_text_is_shown_past_the_catalogue() -> None:
    templates = {place: literal_template(node) for place, node in calls("Message")}
    assert {place: text for place, text in templates.items() if re.search("[A-Za-z]", re.sub(r"{\w+}", "", text))} == {}


def literal_template(node: ast.Call) -> str:
    first = node.args[0]
    return first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else ""


def test_every_message_is_translated_for_good(chinese: dict[str, str]) -> None:
    catalogue = read()
    assert [id_ for id_, text in chinese.items() if not text.strip()] == []
    assert [message.id for message in catalogue if message.id and message.fuzzy] == []
    assert list(catalogue.obsolete) == []


def test_nothing_is_translated_that_the_code_does_not_say(chinese: dict[str, str]) -> None:
    assert chinese.keys() - {literal(node) for _place, node in calls("_")} == set()


def test_translations_take_the_same_values_in_the_same_form(chinese: dict[str, str]) -> None:
    assert {id_: text for id_, text in chinese.items() if values(id_) != values(text)} == {}


def test_translations_keep_commands_lines_and_margins(chinese: dict[str, str]) -> None:
    def commands(text: str) -> list[str]:
        return sorted(re.findall("`[^`]+`|--[a-z-]+", text))

    def shape(text: str) -> tuple[int, bool]:
        return text.count("\n"), text.startswith(" ") or text.endswith(" ")

    assert {id_: text for id_, text in chinese.items() if commands(id_) != commands(text)} == {}
    assert {id_: text for id_, text in chinese.items() if shape(id_) != shape(text)} == {}


def test_translations_are_chinese_with_chinese_punctuation(chinese: dict[str, str]) -> None:
    def has_words(text: str) -> bool:
        return bool(re.search("[A-Za-z]{2,} [A-Za-z]{2,}", re.sub("{[^}]*}", "", text)))

    copied = [id_ for id_, text in chinese.items() if text == id_ and has_words(text)]
    assert [id_ for id_ in copied if not id_.startswith(AS_THEY_ARE)] == []
    assert [text for text in chinese.values() if re.search(f"{HAN}[,;!?()]|{HAN}:(?!$)", text)] == []
    assert [text for text in chinese.values() if re.search(f"{HAN}[A-Za-z`]|[A-Za-z`]{HAN}", text)] == []


def test_a_rerun_of_the_update_changes_nothing(chinese: dict[str, str], script: ModuleType) -> None:
    text = PO.read_text(encoding="utf-8")
    assert script.render("zh_CN", chinese) == text
    assert not re.search("^#[:~,].*(fuzzy|py:)|Date:", text, re.MULTILINE)


def test_an_update_keeps_drops_and_adds(tmp_path: Path, script: ModuleType) -> None:
    source, target = (
        tmp_path / "data" / "words.py",
        tmp_path / "data" / "locale" / "zh_CN" / "LC_MESSAGES" / "paddock.po",
    )
    target.parent.mkdir(parents=True)
    source.write_text("""a = _("Kept {n}", n=1)\nb = f"{_('New')}"\nc = _(\n    "Guessed "\n    "{x}"\n)\n""")
    target.write_text(
        'msgid ""\nmsgstr ""\n"Content-Type: text/plain; charset=utf-8\\n"\n\n'
        'msgid "Kept {n}"\nmsgstr "保留 {n}"\n\n#, fuzzy\nmsgid "Guessed {x}"\nmsgstr "猜的"\n\n'
        'msgid "Gone"\nmsgstr "没了"\n\n#~ msgid "Older"\n#~ msgstr "更旧"\n',
        encoding="utf-8",
    )
    script.update(tmp_path)
    assert {str(m.id): str(m.string) for m in read(target) if m.id} == {
        "Guessed {x}": "",
        "Kept {n}": "保留 {n}",
        "New": "",
    }
    before = target.read_bytes()
    assert "没了" not in before.decode()
    assert "更旧" not in before.decode()
    script.update(tmp_path)
    assert target.read_bytes() == before


@pytest.mark.parametrize("argument", ['f"{name}"', "name", '"a" + name', '"%s" % name', '"{}", name'])
def test_a_message_that_is_no_literal_stops_the_update(tmp_path: Path, script: ModuleType, argument: str) -> None:
    (tmp_path / "tui").mkdir()
    (tmp_path / "tui" / "words.py").write_text(f"x = 1\ny = _({argument})\n")
    with pytest.raises(SystemExit, match=r"words\.py:2: .*literal"):
        script.templates(tmp_path)


def test_the_check_names_what_is_missing_and_fails(
    tmp_path: Path, script: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "data" / "locale" / "zh_CN" / "LC_MESSAGES"
    folder.mkdir(parents=True)
    (folder / "paddock.po").write_text('msgid "Gone"\nmsgstr "没了"\n', encoding="utf-8")
    (tmp_path / "data" / "words.py").write_text('x = _("New")\n')
    assert script.report(tmp_path) == 1
    assert capsys.readouterr().out.splitlines() == [
        "zh_CN: missing: 'New'",
        "zh_CN: obsolete: 'Gone'",
        "zh_CN: 1 messages, 1 missing, 1 obsolete",
    ]


def test_the_script_itself_agrees() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "catalogue.py", "check"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"zh_CN: \d+ messages, 0 missing, 0 obsolete\n", done.stdout)


def test_the_build_writes_every_message(compiled: Path, chinese: dict[str, str]) -> None:
    with compiled.open("rb") as stream:
        made = gettext.GNUTranslations(stream)
    assert {id_: made.gettext(id_) for id_ in chinese} == chinese


def test_two_builds_of_the_same_catalogue_are_the_same_bytes(compiled: Path) -> None:
    first = compiled.read_bytes()
    load(ROOT / "hatch_build.py").compile_catalogues(compiled.parents[4])
    assert compiled.read_bytes() == first


@pytest.mark.usefixtures("compiled")
def test_numbers_and_times_read_right_in_chinese() -> None:
    assert [duration(s) for s in (2.5, 41, 185, 7800, 273600)] == [
        "2.5秒",
        "41秒",
        "3分05秒",
        "2小时10分",
        "3天4小时",
    ]
    assert amount(13, 32, "steps") == "13/32 步"
    assert amount(4, None, "files") == "4 个文件"
    assert amount(98.1e6, 270e6, "bytes") == "98.1 MB / 270 MB"


@pytest.mark.usefixtures("compiled")
def test_a_jobs_title_has_the_readers_own_colon() -> None:
    assert job_title(JobSpec.new("train", "LoRA", workspace="/", params={})) == "训练：LoRA"


@pytest.mark.usefixtures("compiled")
def test_states_and_the_names_that_paddock_gives_are_chinese() -> None:
    assert str(STATUS_WORDS[Status.LOST]) == "意外中断"
    assert chain_title(Chain("demo-1", "demo", 0, 7)) == "演示"
    assert chain_title(Chain("x", "我的 demo", 0, 7)) == "我的 demo"


@pytest.mark.parametrize(
    ("text", "width", "lines"),
    [
        ("训练完成，请查看日志。", 10, ["训练完成，", "请查看日", "志。"]),
        ("用 LLaMA-Factory 训练适配器", 18, ["用 LLaMA-Factory", "训练适配器"]),
        ("见（帮助）一节", 5, ["见", "（帮", "助）", "一节"]),
        ("plain words  stay", 12, ["plain words", "stay"]),
        ("", 5, [""]),
    ],
)
def test_chinese_lines_break_between_characters_but_not_before_a_closing_sign(
    text: str, width: int, lines: list[str]
) -> None:
    assert wrap(text, width) == lines
