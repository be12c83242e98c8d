"""What a notebook says to the person who works through it: guesses, questions, checks."""

from helpers.classroom.exercises import Exercises
from helpers.classroom.lesson import attempt, check, choose, interact, reveal
from helpers.classroom.pad import DRAWN_DIGITS, DrawingPad, draw_digit

__all__ = ["DRAWN_DIGITS", "DrawingPad", "Exercises", "attempt", "check", "choose", "draw_digit",
           "interact", "reveal"]  # fmt: skip
