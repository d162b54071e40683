"""Run a task that is defined in this very script, and print what came out."""

import sys
from pathlib import Path

import flyte

env = flyte.TaskEnvironment(name="in_place")


@env.task
def shout(text: str) -> str:
    return text.upper()


@env.task
def main(texts: list[str]) -> list[str]:
    return [str(text) for text in flyte.map(shout, texts)]


if __name__ == "__main__":
    endpoint, how, *texts = sys.argv[1:]
    flyte.init(
        endpoint=endpoint,
        insecure=True,
        project="flytesnacks",
        domain="development",
        root_dir=Path(__file__).parent,
    )
    context = flyte.with_runcontext(mode="remote", interactive_mode=how == "pickled")
    run = context.run(main, texts=texts)
    run.wait()
    print("outputs", run.outputs())
