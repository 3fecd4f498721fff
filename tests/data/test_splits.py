"""Balanced and stratified choices, against scikit-learn and by counting."""

import numpy as np
import pytest
from sklearn.model_selection import train_test_split

from dlgn_keras.data.dataset import balanced_indices, class_ranks, stratified_indices


@pytest.fixture
def labels():
    rng = np.random.default_rng(3)
    return rng.permutation(np.repeat([0, 1, 2, 3], [100, 50, 37, 13]))


def test_class_ranks_agree_with_counting_one_by_one(labels):
    order = np.random.default_rng(0).permutation(len(labels))
    seen, slow = {}, np.empty(len(labels), int)
    for i in order:
        slow[i] = seen.setdefault(labels[i], 0)
        seen[labels[i]] += 1
    assert class_ranks(labels, order).tolist() == slow.tolist()
    assert class_ranks(labels, order[::-1]).tolist() != slow.tolist()


@pytest.mark.parametrize("num", [4, 20, 57, 199])
def test_stratified_counts_are_within_one_of_the_exact_share(labels, num):
    chosen = stratified_indices(labels, num, seed=5)
    assert len(set(chosen.tolist())) == num
    exact = np.bincount(labels) * num / len(labels)
    assert np.all(np.abs(np.bincount(labels[chosen], minlength=4) - exact) <= 1)


def test_the_share_bound_catches_a_choice_that_is_not_stratified(labels):
    chosen = np.sort(np.argsort(labels, kind="stable")[:57])
    exact = np.bincount(labels) * 57 / len(labels)
    assert np.any(np.abs(np.bincount(labels[chosen], minlength=4) - exact) > 1)


def test_stratified_counts_agree_with_scikit_learn_within_one(labels):
    _, theirs = train_test_split(labels, test_size=40, stratify=labels, random_state=0)
    ours = labels[stratified_indices(labels, 40, seed=0)]
    assert np.all(np.abs(np.bincount(ours) - np.bincount(theirs)) <= 1)


def test_the_seed_decides_which_examples(labels):
    first, again, other = (stratified_indices(labels, 40, seed=s) for s in (1, 1, 2))
    assert first.tolist() == again.tolist()
    assert first.tolist() != other.tolist()


def test_every_example_is_equally_likely_within_its_class():
    labels = np.repeat([0, 1], 10)
    hits = np.zeros(20)
    num_draws = 2000
    for seed in range(num_draws):
        hits[stratified_indices(labels, 6, seed)] += 1
    # Binomial with p = 0.3: five standard deviations.
    bound = 5 * np.sqrt(num_draws * 0.3 * 0.7)
    assert np.all(np.abs(hits - 0.3 * num_draws) < bound)


def test_ties_between_classes_do_not_favour_low_labels():
    labels = np.repeat(np.arange(100), 5)
    drawn = [labels[stratified_indices(labels, 10, seed)].mean() for seed in range(50)]
    # Mean of 500 labels drawn from 0..99: deviation 28.9 / sqrt(500).
    assert abs(np.mean(drawn) - 49.5) < 5 * 28.9 / np.sqrt(500)


def test_balanced_takes_the_first_of_each_class(labels):
    chosen = balanced_indices(labels, 12)
    for label in range(4):
        first = np.flatnonzero(labels == label)[:3]
        assert set(first) <= set(chosen)
    assert len(chosen) == 12


def test_balanced_fills_up_from_others_when_a_class_runs_out(labels):
    counts = np.bincount(labels[balanced_indices(labels, 80)])
    assert counts.tolist() == [23, 22, 22, 13]
