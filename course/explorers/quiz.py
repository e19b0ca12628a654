"""The questions that end a notebook, with a box for each answer."""

import traitlets
from matplotlib.figure import Figure

from course.checks import check_choice
from course.colors import INK, WIRE
from course.drawings import as_png
from course.explorers.live import Explorer
from course.quizzes import QUIZZES, TOLERANCES

DPI = 160  # sharp on screens with two pixels a point
TYPED = 0.005  # of an answer that is no whole number: how far a typed one may be
LINE = 0.42  # inches


class Quiz(Explorer):
    """The questions of a notebook ("01" to "09"); each answer is judged when typed.

    The right answers are computed by course.quizzes, which judges answers in code, too.
    """

    script = "quiz"
    title = "Quiz"

    notebook = traitlets.Unicode().tag(sync=True)
    questions = traitlets.List().tag(sync=True)  # {"words", "truth", "tolerance"}

    def __init__(self, notebook: str):
        notebook = check_choice("notebook", notebook, choices=QUIZZES)
        questions = []
        for words, truth in QUIZZES[notebook]().items():
            tolerance = tolerance_of(notebook, truth)
            question = {"words": words, "truth": truth, "tolerance": tolerance}
            questions.append(question)
        super().__init__(notebook=notebook, questions=questions)

    def settings(self) -> dict[str, object]:
        return {"notebook": self.notebook, "questions": len(self.questions)}

    def alt(self) -> str:
        count = len(self.questions)
        return f"the {count} questions of notebook {self.notebook}, to be answered"

    def picture(self) -> bytes:
        height = LINE * (len(self.questions) + 0.4)
        fig = Figure(figsize=(9.2, height), dpi=DPI)
        for row, question in enumerate(self.questions):
            y = 1 - LINE * (row + 0.7) / height
            fig.text(0.01, y, question["words"], va="center", size=9.5, color=INK)
            fig.text(0.9, y, "= ?", va="center", size=9.5, color=WIRE)
        return as_png(fig)


def tolerance_of(notebook: str, truth: float) -> float:
    """How far a typed answer may be from the right one; whole numbers are exact."""
    given = TOLERANCES.get(notebook, 0)
    return given if float(truth).is_integer() else max(given, TYPED * abs(truth))
