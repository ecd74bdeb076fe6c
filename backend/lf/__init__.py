"""Find LLaMA-Factory, write its YAML and argv, run bridge scripts in its Python."""
