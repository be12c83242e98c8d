"""What a notebook says to the person who works through it: guesses, questions, checks."""

from helpers.classroom.exercises import Exercises
from helpers.classroom.lesson import attempt, check, choose, interact, reveal

__all__ = ["Exercises", "attempt", "check", "choose", "interact", "reveal"]
