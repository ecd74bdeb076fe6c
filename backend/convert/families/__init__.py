"""The families of architectures that the converter knows: one module each, over backend.convert.decoder."""
