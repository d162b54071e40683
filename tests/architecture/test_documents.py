"""What is written about the code agrees with the code."""

from scripts import diagrams


def test_the_picture_of_phases_is_drawn_from_the_table() -> None:
    assert diagrams.PHASES.read_text() == diagrams.phases(), "run make diagrams"
