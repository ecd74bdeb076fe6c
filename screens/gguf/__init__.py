"""The viewer of GGUFs: keys, tensors, chat template and tokenizer of a file, read from its header alone."""
