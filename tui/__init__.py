"""The shell: command line, app, services, actions, theme and reusable widgets."""
