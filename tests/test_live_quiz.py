"""The quizzes with boxes for the answers, without a browser."""

import json

import nbformat
import pytest

from course.explorers.quiz import Quiz
from course.quizzes import QUIZZES


@pytest.mark.parametrize("notebook", QUIZZES)
def test_it_asks_what_the_notebook_asks_and_knows_the_answers(notebook):
    quiz = Quiz(notebook)
    truths = QUIZZES[notebook]()
    assert [it["words"] for it in quiz.questions] == list(truths)
    for question in quiz.questions:
        truth = truths[question["words"]]
        assert question["truth"] == truth
        if float(truth).is_integer():
            assert question["tolerance"] == 0 or notebook == "01"
        else:
            assert 0.002 <= question["tolerance"] / truth <= 0.01
    assert repr(quiz) == f"Quiz, notebook {notebook}, questions {len(truths)}"
    assert quiz.picture() and notebook in quiz.alt()


@pytest.mark.parametrize("notebook", QUIZZES)
def test_the_page_holds_the_answers_that_are_right_today(notebook, pytestconfig):
    (path,) = pytestconfig.rootpath.glob(f"notebooks/{notebook}_*.ipynb")
    found = []
    for cell in nbformat.read(path, as_version=4).cells:
        for output in cell.get("outputs", []):
            explorer = output.get("metadata", {}).get("explorer", {})
            if explorer.get("script") == "quiz":
                found.append(explorer["state"])
    assert found == [json.loads(json.dumps(Quiz(notebook).page_state()))]


@pytest.mark.parametrize("notebook", ["9", "00", None, 1])
def test_another_notebook_has_no_quiz(notebook):
    with pytest.raises((ValueError, TypeError), match="notebook is"):
        Quiz(notebook)
