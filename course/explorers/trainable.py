"""Live explorers with a button that trains the chosen model, in a thread."""

import threading
from statistics import fmean

import traitlets
from torch import Generator

from course.explorers.live import Explorer
from course.explorers.packing import arrays_of, pack_arrays
from course.explorers.panel import OnStep, Training
from course.explorers.stored import Cell
from course.runs import RunConfig, load_data
from helpers import (
    History,
    Sequential,
    count_parameters,
    evaluate,
    sample,
    train,
)

EVERY = 25  # steps from one picture of a training to the next
OFFERED_SAMPLES = 5
NO_TRAINING = "No training yet."


class TrainableExplorer(Explorer):
    """The base of explorers that train what is chosen, and show it while it trains.

    A concrete one has `chosen()`, what is to be trained, and `keep(config, model,
    about)`, which takes the model after every 25 steps and at the end.
    """

    training = traitlets.Dict().tag(sync=True)  # status, running, runs, steps
    seed = 42  # of initial weights and batches
    steps = 400  # of a training: some seconds, enough to tell models apart
    kept = 4  # curves that are shown, the last one and those before it

    def __init__(self, **traits):
        self.runs = []  # {"name", "losses", "every", "number"}, the newest last
        self.changing = threading.RLock()  # a slider may move while a model is trained
        super().__init__(**traits)
        self.runner = LiveTraining(self)
        self.show_training(NO_TRAINING)
        self.on_msg(self.hear)

    def chosen(self) -> RunConfig:
        """What the button would train now; ValueError if nothing can be trained."""
        raise NotImplementedError

    def config(self, cell: Cell) -> RunConfig:
        """What a training of this model is."""
        architecture, block_size, hidden = cell
        return RunConfig(
            architecture=architecture,
            block_size=block_size,
            hidden=hidden,
            steps=self.steps,
        )

    def keep(self, config: RunConfig, model: Sequential, about: dict) -> None:
        """Takes a model that is being trained; `about` says how far it is."""
        raise NotImplementedError

    def curve_name(self, config: RunConfig) -> str:
        """What the curve of a run is called."""
        return name_of(config)

    def page_state(self) -> dict[str, object]:
        return super().page_state() | {"training": {}}

    def hear(self, widget, content: dict, buffers: list) -> None:
        """What the buttons ask for."""
        if content.get("do") == "stop":
            self.runner.stop()
        elif content.get("do") == "train":
            self.runner.start()

    def forget(self) -> None:
        """Ends a run, and shows none of those before."""
        self.runner.stop()
        self.runner.wait()
        self.runs.clear()
        self.show_training(NO_TRAINING)

    def show_training(self, status: str, *, running: bool = False) -> None:
        """The curves of the last runs, and a line on what goes on."""
        runs = []
        for run in self.runs[-self.kept :]:
            is_last = run is self.runs[-1]
            runs.append(run | {"losses": list(run["losses"]), "isLast": is_last})
        steps = max([run["steps"] for run in runs], default=self.steps)
        self.training = {
            "status": status,
            "running": running,
            "runs": runs,
            "steps": steps,
        }

    def train(self, config: RunConfig, on_step: OnStep) -> str:
        """Trains one model from the beginning; a line on what came out."""
        name = name_of(config)
        run = {
            "name": self.curve_name(config),
            "losses": [],
            "every": EVERY,
            "number": len(self.runs),
            "steps": config.steps,
        }
        self.runs.append(run)
        vocab, data = load_data(config.block_size)
        generator = Generator().manual_seed(self.seed)
        model = config.build(len(vocab), generator=generator)

        def show(history: History) -> bool:
            step = len(history.losses)
            if step % EVERY == 0:
                loss = fmean(history.losses[-EVERY:])
                run["losses"].append(round(loss, 4))
                self.keep(config, model, {"trained": step, "loss": loss})
                status = f"{name}: step {step} of {config.steps}, loss {loss:.3f}"
                self.show_training(status, running=True)
            return on_step(history)

        options = {"seed": self.seed, "progress": False, "on_step": show}
        history = train(model, *data["train"], config, **options)
        val = evaluate(model, *data["val"])
        sampled = (config.block_size, OFFERED_SAMPLES)
        samples = sample(model, vocab, *sampled, generator=generator)
        steps = len(history.losses)
        run["val"] = round(val, 4)
        self.keep(config, model, {"trained": steps, "val": val, "samples": samples})
        ended = "Stopped" if self.runner.stopped else "Trained"
        return f"{ended} after {steps} steps. {name}: validation loss {val:.3f}"


def name_of(config: RunConfig) -> str:
    """What a run is called: "tree, block size 8, hidden width 64"."""
    sizes = f"block size {config.block_size}, hidden width {config.hidden}"
    return f"{config.architecture}, {sizes}"


def packed_model(config: RunConfig, model: Sequential, about: dict) -> bytes:
    """The model's weights for a script, with what is known of it."""
    found = {"parameters": count_parameters(model)}
    for field in ("architecture", "block_size", "hidden"):
        found[field] = getattr(config, field)
    return pack_arrays(arrays_of(model), found | about)


class LiveTraining(Training):
    """The runs of a TrainableExplorer."""

    def __init__(self, explorer: TrainableExplorer):
        self.explorer = explorer
        self.words = ""  # what is said when a run has ended
        super().__init__(explorer.chosen, explorer.train)

    def began(self) -> None:
        self.explorer.show_training("The training begins.", running=True)

    def say(self, text: str) -> None:
        self.words = text

    def failed(self, error: Exception) -> None:
        self.words = str(error)
        self.explorer.show_training(self.words)

    def ended(self) -> None:
        self.explorer.show_training(self.words)
