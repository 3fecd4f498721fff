"""A search without training: scores from a formula, oracles driven by hand."""

import keras_tuner
from keras_tuner.engine.trial import TrialStatus

from dlgn_keras.tuning.oracles import make_oracle
from dlgn_keras.tuning.spaces import ask

SPACE = {
    "depth": [2, 3, 4],
    "optimizer": ["adam", "sgd"],
    "momentum": {"values": [0.9, 0.5], "when": {"optimizer": ["sgd"]}},
}
POINTS = 3 * (1 + 2)  # depth times adam, or sgd at two momenta


def score(values):
    """The formula: best at depth 3 with momentum 0.5."""
    return 1 - 0.1 * abs(values["depth"] - 3) + 0.2 * (values.get("momentum") == 0.5)


def fails(values):
    """Some of the points crash."""
    return values["depth"] == 4 and values["optimizer"] == "adam"


def oracle(folder, algorithm="grid", trials=None, hours=None, space=SPACE):
    """An oracle on a folder, new or going on."""
    folder.mkdir(exist_ok=True)
    hp = keras_tuner.HyperParameters()
    ask(hp, space)
    made = make_oracle(
        algorithm, "validation_accuracy", hp, trials=trials, seed=0, epochs=4
    )
    made.settle(folder, hours)
    return made


def step(made, name="alone", ran=None):
    """Run one trial; return its status, or why there was none."""
    trial = made.create_trial(name)
    if trial.status != TrialStatus.RUNNING:
        return trial.status
    if ran is not None:
        ran.append(trial.trial_id)
    end(made, trial)
    return trial.status


def end(made, trial):
    """Report what the formula says of a trial."""
    values = trial.hyperparameters.values
    if fails(values):
        trial.status, trial.message = TrialStatus.FAILED, "it crashed"
    else:
        made.update_trial(trial.trial_id, {"validation_accuracy": score(values)})
        trial.status = TrialStatus.COMPLETED
    made.end_trial(trial)


def drive(made, name="alone"):
    """Run trials to the end; return the ids of what ran."""
    ran = []
    while step(made, name, ran) not in (TrialStatus.STOPPED, TrialStatus.IDLE):
        pass
    return ran


def outcome(made):
    """{trial: (values, status, score)} of what ended."""
    return {
        trial.trial_id: (
            tuple(sorted(trial.hyperparameters.values.items())),
            trial.status,
            trial.score,
        )
        for trial in made.ended_trials()
    }
