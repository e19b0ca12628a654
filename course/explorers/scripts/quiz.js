// The questions at the end of a notebook; each answer is judged when it is typed.
"use strict";

class Quiz {
  constructor(model, el) {
    const items = model.get("questions").map((question) => this.item(question));
    const intro =
      "Type a number, such as 1,234 or 0.5 or 3/8. The answer is judged at once.";
    el.append(html("p", {}, intro), html("ol", { class: "quiz" }, ...items));
  }

  item({ words, truth, tolerance }) {
    const plain = { autocomplete: "off", spellcheck: "false", inputmode: "decimal" };
    const input = html("input", { type: "text", size: 9, ...plain });
    const verdict = html("output", { class: "verdict" });
    input.addEventListener("input", () => {
      const found = verdictOn(input.value, truth, tolerance);
      verdict.textContent = found;
      verdict.classList.toggle("right", found === RIGHT);
    });
    const question = html("span", {}, words);
    const label = html("label", {}, question, input);
    return html("li", {}, label, verdict);
  }
}

explorers.quiz = Quiz;

const RIGHT = "✓ right";

// As course/quizzes.py judges, and what no number is gets a word of its own.
function verdictOn(text, truth, tolerance) {
  if (!text.trim()) return "";
  const answer = numberOf(text);
  if (Number.isNaN(answer)) return "no number yet";
  return Math.abs(answer - truth) <= tolerance + 1e-9 ? RIGHT : "look again";
}

// "76,579", "0.5", "-2", "15 / 7"; NaN for everything else.
function numberOf(text) {
  const parts = text.replaceAll(",", "").split("/");
  if (parts.length > 2 || parts.some((part) => !part.trim())) return NaN;
  const [above, below = 1] = parts.map(Number);
  return above / below;
}
