"""From a deployed model back to the training that it comes from, along real job folders."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from backend.export.origin import deployment_of, judged_by, trained_of, trained_of_gguf
from backend.export.proving import Said
from backend.parity.training import Trained, Training
from data.jobs.library import Library
from tests.ui.folders import Stable


def test_a_deployed_model_leads_back_to_what_its_training_recorded(tmp_path: Path) -> None:
    output, merged = tmp_path / "saves" / "run", tmp_path / "models" / "robin"
    gguf = merged / "robin.gguf"
    output.mkdir(parents=True)
    record = {
        "version": 1, "job": "j", "template": "qwen", "enable_thinking": False, "default_system": "Be kind.",
        "cutoff_len": 3000, "tool_format": "glm4", "preserve_thinking": True,
    }  # fmt: skip
    (output / "paddock.json").write_text(json.dumps(record), encoding="utf-8")
    stable = Stable(tmp_path / "jobs", workspace=str(tmp_path))
    args = {"adapter_name_or_path": "saves/run", "model_name_or_path": "some/base"}
    stable.job("export", "merge", ago_s=90, params={"args": args, "export_dir": str(merged)}).start().end()
    stable.job("convert", "GGUF", ago_s=80, params={"source": str(merged), "target": str(gguf)}).start().end()
    deploy = stable.job("deploy", "robin", ago_s=70, params={"gguf": str(gguf), "name": "robin"}).start()
    deploy.event("result", values={"model": "robin:latest", "host": "http://127.0.0.1:1", "digest": "abc"}).end()
    told = {"gguf": "/far.gguf", "name": "told", "training": {"template": "llama3", "tool_format": "qwen"}}
    stable.job("deploy", "told", ago_s=65, params=told).start().event("result", values={"model": "told"}).end()
    stable.job("deploy", "other", ago_s=60, params={"gguf": "/no.gguf", "name": "other"}).start()  # has not ended well
    stable.close()
    library = Library(tmp_path / "jobs")

    def trained(model: str, host: str = "", digest: str = "") -> Trained | None:
        return trained_of(library, deployment_of(library, model, host, digest))

    found = trained("Robin")
    assert found is not None
    assert (found.template, found.enable_thinking, found.default_system) == ("qwen", False, "Be kind.")
    assert (found.cutoff_len, found.source) == (3000, "record")
    assert (found.tool_format, found.preserve_thinking) == ("glm4", True)
    assert trained("robin", "http://127.0.0.1:2") is None  # a model of that name elsewhere
    assert trained("copy", "http://127.0.0.1:2", "abc") == found  # a copy of it, wherever
    assert trained("other") is None
    assert trained("no such/name/at/all") is None
    assert trained_of_gguf(library, gguf) == found
    (tmp_path / "link.gguf").symlink_to(gguf)
    assert trained_of_gguf(library, tmp_path / "link.gguf") == found
    assert trained("told") == Trained("llama3", tool_format="qwen", source="asked")  # no record leads there
    told_so = Training("qwen", "Be kind.", enable_thinking=False, preserve_thinking=True, tool_format="glm4")
    assert judged_by(library, gguf, replace(told_so, cutoff_len=3000)) == found
    assert judged_by(library, gguf, replace(told_so, cutoff_len=4000)).departs == ()  # more room contradicts nothing
    other = judged_by(library, gguf, replace(told_so, template="llama2_zh", cutoff_len=100))
    assert (other.template, other.source, other.departs) == ("llama2_zh", "asked", ("template", "cutoff_len"))
    assert judged_by(library, Path("/far.gguf"), told_so) == Trained.by(told_so, "asked")
    (output / "tokenizer_config.json").write_text('{"tokenizer_class": "LlamaTokenizer"}', encoding="utf-8")
    saved = {"pre_tokenizer": {"type": "Metaspace"}, "model": {"type": "BPE", "vocab": {"Ġ": 0}}}
    (output / "tokenizer.json").write_text(json.dumps(saved), encoding="utf-8")
    spoiled = replace(found, miscut=str(output))
    assert trained_of_gguf(library, gguf) == trained("robin") == spoiled  # what it was trained with lies beside it
    assert judged_by(library, gguf, replace(told_so, cutoff_len=3000)) == spoiled
    assert Said("qwen").over(spoiled, lambda: None, "m").miscut == str(output)
    deployment = deployment_of(library, "robin")
    assert deployment is not None
    assert deployment.gguf == str(gguf)


def test_the_private_server_is_the_same_one_at_every_port_that_it_has_had(tmp_path: Path) -> None:
    stable = Stable(tmp_path / "jobs", workspace=str(tmp_path))
    ports = [f"http://127.0.0.1:{port}" for port in (1, 2, 3)]
    for number, host in enumerate(ports[:2]):
        serve = stable.job("serve", "ollama", ago_s=90 - number).start()
        serve.event("result", values={"host": host, "version": "0.32.7"}).end()
    deploy = stable.job("deploy", "robin", ago_s=70, params={"gguf": "/r.gguf", "name": "robin"}).start()
    deploy.event("result", values={"model": "robin:latest", "host": ports[0]}).end()
    stable.close()
    library = Library(tmp_path / "jobs")
    found = [deployment_of(library, "robin", host) for host in ports]
    assert [one is not None for one in found] == [True, True, False]
