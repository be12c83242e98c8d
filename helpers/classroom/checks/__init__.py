"""The checks of the exercises: a module for each lesson, a function for each exercise.

A check receives what the student wrote and returns, or raises ``Wrong`` with a hint (never with the
answer). It tries inputs that are not in the notebook, edge cases among them.
"""
