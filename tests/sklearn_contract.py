"""What scikit-learn's checks ask of the estimators of tables."""

from sklearn.utils import estimator_checks

# A share of scikit-learn's checks that is quick; all of them are run with `-m slow`.
QUICK = (
    "check_no_attributes_set_in_init",
    "check_estimators_unfitted",
    "check_complex_data",
    "check_estimators_empty_data_messages",
    "check_fit2d_1sample",
    "check_methods_subset_invariance",
    "check_n_features_in",
)


def run(name, estimator):
    """Run one check on what scikit-learn makes of the estimator for it."""
    found = estimator_checks.estimator_checks_generator(estimator)
    ((one, check),) = [
        (one, check) for one, check in found if check.func.__name__ == name
    ]
    check(one)


def run_all(estimator, drawn):
    """Run every check; those that need another package may be skipped."""
    expected = expected_failures(drawn)
    outcomes = estimator_checks.check_estimator(
        estimator, expected_failed_checks=expected, on_skip=None
    )
    statuses = {one["check_name"]: one["status"] for one in outcomes}
    others = {k: v for k, v in statuses.items() if k not in expected}
    assert set(others.values()) <= {"passed", "skipped"}
    assert len(others) > 40


def expected_failures(drawn):
    """A row twice and a row of weight 2 are drawn into other ones of these."""
    return {
        f"check_sample_weight_equivalence_on_{kind}_data": f"{drawn} are drawn of rows"
        for kind in ("dense", "sparse")
    }
