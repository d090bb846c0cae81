"""Replace the random names that DVC gives experiments by names composed from their conditions."""

from viad.artifacts.dvc_adapter import Repository
from viad.experiments.experiment_names import RANDOM_NAME
from viad.experiments.experiment_tables import describe_experiment, find_start
from viad.experiments.overrides import CommittedConf
from viad.experiments.revisions import Revision


def rename_random_experiments() -> dict[str, str]:
    """Rename every experiment that has a random name; return the new names by the old ones.

    A number distinguishes experiments that would have the same name.
    """
    renamed = {}
    with Repository() as repo:
        experiments = repo.list_experiments()
        taken = {name for name, _ in experiments}
        conf = CommittedConf(Revision(repo, "HEAD").read_yaml)
        for old, revision in sorted(experiments, key=lambda experiment: repo.read_commit(experiment[1]).time):
            row = describe_experiment(Revision(repo, revision), find_start(repo, revision).read_yaml, conf)
            if not RANDOM_NAME.fullmatch(old) or row is None:
                continue
            new = _find_free_name(row["experiment"], taken)
            repo.rename_experiment(old, new)
            taken.add(new)
            renamed[old] = new
    return renamed


def _find_free_name(name: str, taken: set[str]) -> str:
    number, candidate = 1, name
    while candidate in taken:
        number += 1
        candidate = f"{name}-{number}"
    return candidate
