"""How fast is it here, and what limits it? Stages, bare engines and the whole run, in turns."""
