"""What a deployment is asked to do: checked before a job is laid down, and again when the job runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

from backend.deploy.written import check_go, check_sources, check_written, moved
from backend.ollama.address import parse_address
from backend.ollama.modelfile import Modelfile, make, parse
from backend.ollama.name import parse_name
from backend.parity.training import Prompt, Training
from data.errors import AppError, RequestError
from data.i18n import _
from data.jobs.spec import Chain, JobSpec

KIND: Final = "deploy"
_QUANTIZATIONS: Final = ("q8_0", "q4_K_M", "q4_K_S", "q4_K", "bf16", "f16", "f32")
"""What Ollama makes (ollama 0.24.0 and 0.32.7, ``fs/ggml/type.go`` ParseFileType); capitals do not count"""
_TABLES: Final = frozenset({"parameters", "training"})
_SWITCHES: Final = frozenset({"private", "unproven"})
_MODELFILE_LIMIT_BYTES: Final = 16 << 20


@dataclass(frozen=True, slots=True)
class Deployment:
    """A GGUF, the name that it gets, and what goes with it. Fields are the params of a ``deploy`` job."""

    gguf: str
    """Absolute path; in a chain it exists only when the job runs"""
    name: str
    template: str = ""
    """Go template; empty takes the run's, else the Modelfile's, else Ollama chooses by the GGUF"""
    system: str = ""
    """Empty takes the run's, else the Modelfile's"""
    parameters: Mapping[str, object] = field(default_factory=dict[str, object])
    """Added to the Modelfile's; a name in both is taken from here"""
    training: Mapping[str, object] = field(default_factory=dict[str, object])
    """What the run decided about prompts (``Training.as_params``): TEMPLATE, SYSTEM, stops and num_ctx come of it"""
    quantize: str = ""
    """q4_K_M, q8_0 …; needs a GGUF in f32, f16 or bf16"""
    modelfile: str = ""
    """Path of a Modelfile, or of a folder with one (LLaMA-Factory's export); its FROM is not used"""
    edited: str = ""
    """Text of a Modelfile that a person wrote: it stands for template, system, parameters, training and ``modelfile``;
    its FROM names ``gguf`` or nothing else, and the training still serves the proof"""
    unproven: bool = False
    """Publish the model even if the proof fails"""
    host: str = ""
    """Server, as in OLLAMA_HOST; empty looks for one"""
    private: bool = False
    """Only Paddock's own server will do"""

    def of(self, gguf: str) -> Deployment:
        """Return the same for another GGUF; a FROM that named the one before goes with it."""
        edited = moved(self.edited, self.gguf, gguf) if self.edited else ""
        return dataclasses.replace(self, gguf=gguf, edited=edited)

    def check(self) -> None:
        """Raise RequestError for what is wrong before any file is looked at."""
        parse_name(self.name)
        if self.host:
            parse_address(self.host)
        make(self.gguf, parameters=self.parameters)
        Training.read(self.training)
        if self.template:
            check_go(self.template)
        if self.edited:
            read_edited(self.edited)
        if self.quantize and self.quantize.lower() not in {name.lower() for name in _QUANTIZATIONS}:
            raise RequestError(
                _("Ollama cannot quantise to {text}", text=repr(self.quantize)),
                _("It makes {names}.", names=", ".join(_QUANTIZATIONS)),
                _("Usual ones are q8_0, q4_K_M and q4_K_S; leave it out to keep the GGUF as it is."),
            )

    def spec(self, *, workspace: Path, after: tuple[str, ...] = (), chain: Chain | None = None) -> JobSpec:
        """Return the job; raises RequestError where the request is wrong."""
        self.check()
        if self.edited:
            read_edited(self.edited, self.gguf)
        params = {name: value for name, value in dataclasses.asdict(self).items() if value}
        return JobSpec.new(KIND, self.name, workspace=str(workspace), params=params, after=after, chain=chain)

    @classmethod
    def read(cls, params: Mapping[str, object]) -> Deployment:
        """Read a job's params; raises RequestError for unknown ones, wrong types and wrong values."""
        known = {f.name: f for f in dataclasses.fields(cls)}
        for name, value in params.items():
            kinds = (dict,) if name in _TABLES else (bool,) if name in _SWITCHES else (str,)
            if name not in known or not (value is None or isinstance(value, kinds)):
                raise _wrong(name, value)
        for name in ("gguf", "name"):
            if not params.get(name):
                raise _wrong(name, params.get(name))
        made = cls(**cast("dict[str, Any]", {name: value for name, value in params.items() if value}))
        made.check()
        return made

    def values(self, prompt: Prompt | None = None) -> Modelfile:
        """Return everything that goes with the weights: the params, then the run's ``prompt``, then the Modelfile's.

        Reads that file. Its template, stops and num_ctx count only where there is no run. ``edited`` stands for all.
        """
        if self.edited:
            written = read_edited(self.edited)
            return make(
                self.gguf,
                template=written.template,
                system=written.system,
                parameters=written.parameters,
                licenses=written.licenses,
                messages=written.messages,
            )
        base = read_modelfile(Path(self.modelfile)) if self.modelfile else Modelfile(())
        found = prompt or Prompt("", "", {})
        return make(
            self.gguf,
            template=self.template or found.template or base.template,
            system=self.system or (found.system if prompt else base.system),
            parameters={**base.parameters, **found.parameters, **self.parameters},
            licenses=base.licenses,
            messages=base.messages,
        )


def read_edited(text: str, gguf: str = "") -> Modelfile:
    """Read what a person made of the Modelfile of ``gguf``; raises RequestError with the place of a mistake.

    Without ``gguf``, as of a job that was laid down, FROM is not looked at.
    """
    written = parse(text, needs_source=False)
    check_written(written, "Modelfile")
    if gguf:
        check_sources(written, "Modelfile", [Path(gguf)], Path(gguf).parent)
    return written


def modelfile_at(path: Path) -> Path:
    """Return the Modelfile that ``path`` means: itself, or the one in that folder."""
    return path / "Modelfile" if path.is_dir() else path


def read_modelfile(path: Path) -> Modelfile:
    """Read a Modelfile, or the one in a folder; raises AppError with the place of a mistake."""
    file = modelfile_at(path)
    try:
        with file.open("rb") as stream:
            content = stream.read(_MODELFILE_LIMIT_BYTES + 1)
        if len(content) > _MODELFILE_LIMIT_BYTES:
            raise ValueError(f"> {_MODELFILE_LIMIT_BYTES:,} bytes")  # noqa: TRY301, EM102 - one road out for all causes
        text = content.decode("utf-8")
    except (OSError, ValueError) as error:
        raise AppError(
            _("The Modelfile cannot be read"),
            str(error) if isinstance(error, OSError) else f"{file}: {error}",
            _("A Modelfile is text in UTF-8; LLaMA-Factory's export writes one beside the merged model."),
        ) from error
    return parse(text, name=str(file), needs_source=False)


def _wrong(name: str, value: object) -> RequestError:
    known: Sequence[str] = [f.name for f in dataclasses.fields(Deployment)]
    return RequestError(
        _("The deployment's {name} has a wrong value", name=name),
        repr(value),
        _("Known are {names}; gguf and name are needed.", names=", ".join(known)),
    )
