"""The command line, one module a command: parse, call what the screens call too, print plainly or as JSON."""
