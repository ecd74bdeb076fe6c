"""The bundled small model: rebuilding the base and the two questions."""
