"""Run the experiments of a topic: `python -m benchmarks TOPIC [EXPERIMENT ...] [options]`."""

import argparse
from importlib import import_module
from pathlib import Path

TOPICS = sorted(
    path.stem for path in Path(__file__).with_name("topics").glob("*.py") if path.stem[0] != "_"
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("topic", choices=TOPICS, help="`TOPIC --help` says what belongs to it")
    parser.add_argument("rest", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    topic = import_module(f".topics.{arguments.topic}", __package__).TOPIC
    topic.main(arguments.rest)


if __name__ == "__main__":
    main()
