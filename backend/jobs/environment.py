"""The environment of a job: an allow-list, so that a run does not depend on whatever a shell happened to hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

# Names and prefixes (ending in *) that a training, a build or a server needs to be itself on this machine.
KEPT: Final = (
    "HOME", "USER", "LOGNAME", "SHELL", "PATH", "TERM", "TZ", "LANG", "LANGUAGE", "LC_*", "TMPDIR", "TEMP", "TMP",
    "XDG_*", "PADDOCK_*", "VIRTUAL_ENV", "CONDA_*", "LD_LIBRARY_PATH", "LD_PRELOAD",
    "CUDA_*", "NVIDIA_*", "NCCL_*", "ROCR_*", "HIP_*", "HSA_*", "ASCEND_*", "GLOO_*", "UCX_*", "FI_*",
    "TORCH*", "PYTORCH_*", "TRITON_*", "ACCELERATE_*", "DEEPSPEED_*", "DS_*", "FSDP_*", "OMP_*", "MKL_*", "KMP_*",
    "OPENBLAS_*", "NUMEXPR_*", "TOKENIZERS_*", "TRANSFORMERS_*", "DATASETS_*", "SAFETENSORS_*", "BITSANDBYTES_*",
    "HF_*", "HUGGINGFACE_*", "HUGGING_FACE_*", "MODELSCOPE_*", "USE_MODELSCOPE_HUB", "USE_OPENMIND_HUB", "OPENMIND_*",
    "WANDB_*", "SWANLAB_*", "MLFLOW_*", "TRACKIO_*", "NEPTUNE_*", "COMET_*", "OLLAMA_*",
    "DISABLE_VERSION_CHECK", "FORCE_TORCHRUN", "MASTER_ADDR", "MASTER_PORT", "NNODES", "NODE_RANK", "NPROC_PER_NODE",
    "RAY_*", "SLURM_*", "PBS_*", "LLAMAFACTORY_*", "RECORD_VRAM", "ALLOW_EXTRA_ARGS", "FORCE_CHECK_IMPORTS",
    "http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY",
    "ALL_PROXY", "NO_PROXY", "SSL_*", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PIP_*", "UV_*", "GOPROXY", "GONOPROXY",
    "GOSUMDB", "GOFLAGS", "GONOSUMDB", "GONOSUMCHECK", "GOPRIVATE", "NETRC", "CC", "CXX", "CFLAGS", "CXXFLAGS",
    "LDFLAGS", "MODULEPATH", "LOADEDMODULES", "PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX",
)  # fmt: skip
# What belongs to one job or one view and must not leak from a job into another that is started by it.
_OWN: Final = frozenset({"PADDOCK_JOB", "PADDOCK_REPORT"})


@dataclass(frozen=True, slots=True)
class ChildEnvironment:
    """What a job sees of the environment, and the names of what it does not."""

    kept: Mapping[str, str]
    dropped: tuple[str, ...]


def child_environment(environ: Mapping[str, str], keep: str = "", needs: tuple[str, ...] = ()) -> ChildEnvironment:
    """Return the allowed part of ``environ``; ``keep`` is the setting: names or prefixes with *, by commas."""
    patterns = (*KEPT, *(word.strip() for word in keep.split(",") if word.strip()), *needs)
    exact = frozenset(pattern for pattern in patterns if not pattern.endswith("*"))
    prefixes = tuple(pattern[:-1] for pattern in patterns if pattern.endswith("*"))
    kept = {
        name: value
        for name, value in environ.items()
        if name not in _OWN and (name in exact or name.startswith(prefixes))
    }
    return ChildEnvironment(kept, tuple(sorted(environ.keys() - kept.keys() - _OWN)))


def missing(environ: Mapping[str, str], needs: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names in ``needs`` that are not set."""
    return tuple(name for name in needs if not environ.get(name))
