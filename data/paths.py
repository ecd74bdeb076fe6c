"""Where things are kept: the directories of the platform, or one injected root."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import platformdirs

HOME_VARIABLE = "PADDOCK_HOME"


class Paths(NamedTuple):
    """Paddock's own directories; nothing is created until something is written."""

    config: Path
    """settings.toml"""
    state: Path
    """jobs, leases, logs, mends: what must survive, and may be on a shared file system"""
    data: Path
    """managed LLaMA-Factory and Ollama, the demo's models"""
    cache: Path
    """what can be fetched or computed again"""

    @classmethod
    def default(cls, environ: Mapping[str, str] = os.environ) -> Paths:
        """Return the XDG directories, or ``$PADDOCK_HOME/{config,state,data,cache}`` where that is set."""
        root = environ.get(HOME_VARIABLE)
        if root:
            return cls.under(Path(root).expanduser().absolute())
        return cls(
            config=platformdirs.user_config_path("paddock"),
            state=platformdirs.user_state_path("paddock"),
            data=platformdirs.user_data_path("paddock"),
            cache=platformdirs.user_cache_path("paddock"),
        )

    @classmethod
    def under(cls, root: Path) -> Paths:
        """Return directories below ``root``."""
        return cls(config=root / "config", state=root / "state", data=root / "data", cache=root / "cache")

    @property
    def settings(self) -> Path:
        """The settings file."""
        return self.config / "settings.toml"

    @property
    def jobs(self) -> Path:
        """The folder of all job folders."""
        return self.state / "jobs"

    @property
    def leases(self) -> Path:
        """Lock files of GPUs that jobs hold."""
        return self.state / "leases"

    @property
    def logs(self) -> Path:
        """Tracebacks of surprises in the app and the command line."""
        return self.state / "logs"

    @property
    def mends(self) -> Path:
        """What the mend of each model was for."""
        return self.state / "mends"

    @property
    def llamafactory(self) -> Path:
        """Managed environments of LLaMA-Factory, one folder a set of versions."""
        return self.data / "llamafactory"

    @property
    def ollama(self) -> Path:
        """Managed Ollama programs, one folder a version (``bin/ollama``, ``lib/ollama/``)."""
        return self.data / "ollama"

    @property
    def ollama_home(self) -> Path:
        """HOME and model store of the private server."""
        return self.data / "ollama-home"

    @property
    def demo(self) -> Path:
        """The demo's base model and the artefacts of its runs."""
        return self.data / "demo"
