"""`python -m llm_twin.cli`: the same as `twin`."""

from llm_twin.cli import main

main()
