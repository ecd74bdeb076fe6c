"""The Modelfile of a deployment before there is one: to be looked at, edited, and made right again."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from backend.deploy.request import Deployment
from backend.deploy.work import prompt_of
from backend.export.plan import ExportPlan, base_folder, training_params
from backend.ollama.modelfile import Modelfile, make
from backend.parity.expression import Tokens
from backend.parity.room import num_ctx
from backend.parity.template import Template
from backend.parity.training import Prompt, Training, gguf_facts, prompt_with, tokens_of_folder
from data.errors import RequestError
from data.i18n import _
from data.paths import Paths
from data.settings import Settings


def draft(plan: ExportPlan, settings: Settings, paths: Paths) -> Modelfile:
    """Return what the ``deploy`` job of ``plan`` will give to Ollama with the weights.

    Where its GGUF is still to be made, the tokens are those that the conversion will write into it. Takes up to
    half a minute where LLaMA-Factory has to be asked for its templates. Raises AppError, also where the weights are
    not on this machine yet.
    """
    if plan.deployment is None:
        raise RequestError(_("Nothing is deployed"), "", _("Choose the step that puts the GGUF into Ollama."))
    deployment = dataclasses.replace(plan.deployment, training=training_params(plan))
    if deployment.edited or "convert" not in plan.steps:
        return deployment.values(prompt_of(deployment, paths))
    training = Training.read(deployment.training)
    if training is None:
        return deployment.values()
    folder = base_folder(plan)
    if folder is None:
        raise RequestError(
            _("The Modelfile is not known yet"),
            _("The base model {name} is not on this machine, and its tokens belong into it.", name=plan.base),
            _("Start the export: the deployment writes it when the model is here."),
        )
    template = training.resolve(settings, paths)
    return deployment.values(prompt_with(template, _tokens(template, folder), training.cutoff_len))


def _tokens(template: Template, folder: Path) -> Tokens:
    """Return what ``tokens_of_gguf`` will say of the GGUF that is made of ``folder``."""
    from backend.convert.foretold import special_token  # noqa: PLC0415 - a GGUF that is there needs no converter
    from backend.convert.refusal import UnknownHereError  # noqa: PLC0415

    facts = gguf_facts(template, folder)
    try:
        bos = special_token(folder, "bos")
    except UnknownHereError:  # another converter makes the GGUF
        return tokens_of_folder(template, folder)
    return Tokens(bos, facts.eos, adds_bos=facts.add_bos and bos is not None)


def mended(deployment: Deployment, paths: Paths, *, room: int = 0) -> Deployment:
    """Return ``deployment`` with all that decides a prompt as the training had it, and the rest as it was.

    ``room`` is the least num_ctx. A MESSAGE stands before every conversation, so it goes, too. Raises RequestError
    where no training is known.
    """
    found = prompt_of(deployment, paths)
    if found is None:
        raise RequestError(
            _("It is not known what {model} was trained on", model=deployment.name),
            _("No template of a training goes with this deployment."),
            _("Name the template that the model was trained with."),
        )
    values = deployment.values(found)
    parameters = {**values.parameters, **_parameters(values, found)}
    given = parameters.get("num_ctx")
    if room and isinstance(given, int) and given < room:
        cutoff_len = found.parameters.get("num_ctx")
        parameters["num_ctx"] = num_ctx(cutoff_len if isinstance(cutoff_len, int) else 0, room)
    made = make(
        deployment.gguf,
        template=found.template,
        system=found.system,
        parameters=parameters,
        licenses=values.licenses,
    )
    return dataclasses.replace(
        deployment, edited=str(made), template="", system="", parameters={}, modelfile="", unproven=False
    )


def _parameters(values: Modelfile, found: Prompt) -> dict[str, object]:
    """Return the parameters that the training decides; more room than it had does no harm."""
    wanted, given = found.parameters.get("num_ctx"), values.parameters.get("num_ctx")
    is_enough = isinstance(wanted, int) and isinstance(given, int) and given >= wanted
    return {key: given if key == "num_ctx" and is_enough else value for key, value in found.parameters.items()}
